# Everything that people and pipelines run. `make run` and `make test` set up what they need by themselves.
PYTHON ?= python3
BIN := .venv/bin
ENV ?= dev
REGISTRY ?= localhost:5001
INGRESS ?= 127.0.0.1
# Some containers forbid byte code; without it every command here takes three times as long to start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test check check-deployed policy unit unit-delivery unit-rest test-mysql screenshots up deploy rollback monitor observability \
  account backup backups restore restore-drill credentials secrets rotate status promote version smoke generate down diff load \
  bench drills mutants \
  requirements audit sbom licences pins github gate

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/app ## the product on http://127.0.0.1:8000: Python alone, SQLite in data/
	@$(BIN)/python -m app.school_schedule serve --invite

test: ## everything that needs no cluster
	@$(MAKE) --no-print-directory -j3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=line) check policy unit-delivery
	@$(MAKE) --no-print-directory unit-rest

check: .venv/test ## style, types, workflows, Dockerfile, YAML, secrets in any commit
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck .ci/* base/*/*.sh
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --persona=auditor --quiet .github
	@if git rev-parse --is-shallow-repository 2>/dev/null | grep -q false; then \
	  echo '$(BIN)/gitleaks git' && $(BIN)/gitleaks git --no-banner --redact --verbose; \
	else echo 'THE HISTORY WAS NOT SCANNED FOR SECRETS: git has none here, or the newest commits alone' >&2; fi

check-deployed: .venv/test ## what watches judges its configuration, by the images that are deployed, in docker
	PULL=missing $(BIN)/python -m pytest tests/observability/test_programs.py $(OPTIONS)

policy: .venv/test .venv-checkov/ready ## the rules over the manifests of every environment
	$(BIN)/python -m pytest policy_tests $(OPTIONS)

PARALLEL := --numprocesses=auto --dist=loadfile
ifeq ($(OPTIONS),)
unit: unit-delivery unit-rest ## all tests in tests/, on SQLite and in a real browser; without OPTIONS, how much of delivery/ they run
else
unit: .venv/test
	$(BIN)/python -m pytest tests $(PARALLEL) $(OPTIONS)
endif

# What is measured takes nearly twice the time: nothing but these, and none of them that draws
# its faults, which are marked no_cover.
unit-delivery: .venv/test
	$(BIN)/python -m pytest tests/delivery $(PARALLEL) --cov

unit-rest: .venv/test
	$(BIN)/python -m pytest tests --ignore=tests/delivery $(PARALLEL) --no-loadscope-reorder

test-mysql: .venv/test ## the application's database tests on a throw-away MySQL in docker
	$(BIN)/python -m tests.mysql $(BIN)/python -m pytest tests -m mysql

screenshots: .venv/test ## the pictures of docs/images, by the test that makes a timetable from an empty database
	SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/web/test_journey.py

up: .venv/test ## ENV on a cluster of your own, from nothing to smoke-tested (docs/cluster.md)
	@$(BIN)/python -m delivery up $(ENV) --registry $(REGISTRY) --ingress $(INGRESS) $(OPTIONS)

deploy: .venv/test ## IMAGE (NAME:TAG@sha256:DIGEST) to ENV; a release that fails goes back to the last good one
	@$(BIN)/python -m delivery deploy $(ENV) --image '$(IMAGE)' $(OPTIONS)

rollback: .venv/test ## ENV to the last good release before the newest
	@$(BIN)/python -m delivery rollback $(ENV) $(OPTIONS)

monitor: .venv/test ## watch ENV for ten minutes
	@$(BIN)/python -m delivery monitor $(ENV) $(OPTIONS)

observability: .venv/test ## watch ENV: metrics, logs, dashboards, alerts to WEBHOOK, a sign of life to HEARTBEAT (docs/observability.md)
	@$(BIN)/python -m delivery observability $(ENV) $(if $(WEBHOOK),--webhook '$(WEBHOOK)') \
	  $(if $(HEARTBEAT),--heartbeat '$(HEARTBEAT)') $(OPTIONS)

account: .venv/test ## a new link by which the first account of ENV is made; the older one no longer works
	@$(BIN)/python -m delivery account $(ENV)

status: .venv/test ## releases and pods of ENV
	@$(BIN)/python -m delivery status $(ENV)

promote: .venv/test ## IMAGE (NAME:TAG@sha256:DIGEST or NAME:TAG) gets the tag TAG as well; nothing is built
	@$(BIN)/python -m delivery promote --image '$(IMAGE)' --tag '$(TAG)' $(OPTIONS)

version: .venv/test ## IMAGE (NAME:TAG@sha256:DIGEST) into overlays/ENV/version, for a commit that a controller applies (docs/gitops.md)
	@$(BIN)/python -m delivery version $(ENV) --image '$(IMAGE)'

smoke: .venv/test ## the smoke tests of the newest good release in ENV
	@$(BIN)/python -m delivery smoke $(ENV) $(OPTIONS)

backup: .venv/test ## back up the data of ENV, now
	@$(BIN)/python -m delivery backup $(ENV)

backups: .venv/test ## the backups of ENV, newest first
	@$(BIN)/python -m delivery backups $(ENV)

restore: .venv/test ## bring the data of ENV back from its newest backup; OPTIONS: docs/backups.md
	@$(BIN)/python -m delivery restore $(ENV) $(OPTIONS)

restore-drill: .venv/test ## make a database of the newest backup of ENV, beside the live one
	@$(BIN)/python -m delivery restore-drill $(ENV)

credentials: .venv/test ## what Secret db-credentials of ENV lacks, made in the cluster alone (docs/secrets.md)
	@$(BIN)/python -m delivery credentials $(ENV)

secrets: .venv/test ## random passwords and a certificate for ENV, encrypted into secrets/ENV.enc.yaml (docs/secrets.md)
	@$(BIN)/python -m delivery secrets $(ENV) $(OPTIONS)

rotate: .venv/test ## new passwords for the database accounts of ENV, while the application goes on; OPTIONS: docs/secrets.md
	@$(BIN)/python -m delivery rotate $(ENV) $(OPTIONS)

generate: .venv/test ## one headless generation in ENV, now
	@$(BIN)/python -m delivery generate $(ENV) $(OPTIONS)

down: .venv/test ## delete ENV with all its data, by OPTIONS="--confirm ENV"
	@$(BIN)/python -m delivery down $(ENV) $(OPTIONS)

diff: .venv/test ## what the working tree changes in each environment, against the checkout BASE, as Markdown
	@$(BIN)/python -m policy_tests diff --base '$(BASE)' --head .

load: .venv-load/ready ## visitors in ENV for two minutes; non-zero beyond load_tests/thresholds.py, or where DIGEST does not run
	@mkdir -p build/load
	@ENV=$(ENV) DIGEST='$(DIGEST)' .venv-load/bin/locust --locustfile load_tests/locustfile.py --headless --only-summary \
	  --users 10 --spawn-rate 2 --run-time 2m --csv build/load/$(ENV) $(OPTIONS)

bench: .venv/test .venv-checkov/ready ## what is measured rather than tested, beside what it should be; INSTANCES: XHSTT files for the search
	@$(BIN)/python -m bench $(INSTANCES)

mutants: .venv/test .venv-checkov/ready .venv-mutants/ready ## change the code of PACKAGE, one thing at a time, and list what no test notices; BASE, SAMPLE, SEED
	@.venv-mutants/bin/python -m bench.mutants $(PACKAGE) $(if $(BASE),--base '$(BASE)') \
	  $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) $(OPTIONS)

drills: .venv/test ## break releases of ENV on a cluster of your own, and see each noticed and mended
	@$(BIN)/python -m pytest drills --env=$(ENV) --registry=$(REGISTRY) --ingress=$(INGRESS) $(OPTIONS)

requirements: .venv/test ## pin anew what requirements/*.in ask for
	@for name in app test checkov load audit mutants; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --output-file requirements/$$name.txt requirements/$$name.in || exit 1; done

audit: .venv-audit/ready ## known vulnerabilities of requirements/*.txt and, if given, IMAGE; 0 also where AUDIT SKIPPED says so
	@$(BIN)/python -m delivery.audit $(IMAGE)

sbom: .venv-audit/ready ## build/sbom.cdx.json: the packages of the image with versions and hashes, as CycloneDX
	@mkdir -p build
	@.venv-audit/bin/cyclonedx-py requirements --output-reproducible --output-file build/sbom.cdx.json requirements/app.txt

licences: .venv/test ## docs/licences.md anew
	@$(BIN)/python -m delivery.licences

pins: .venv/test ## what Dependabot renewed, in all places where it is used
	@$(BIN)/python -m delivery.pins

github: .venv/test ## in what the repository on GitHub is not what it should be; OPTIONS=--apply sets it (docs/github.md)
	@$(BIN)/python -m repository $(OPTIONS)

gate: .venv/test ## in a run of GitHub Actions: who approved it for the environment GATE; fails where nobody did
	@$(BIN)/python -m repository gate '$(GATE)'

# One virtual environment for the product and its tests, a second one for checkov, whose pins contradict OR-Tools'.
# Byte code is made at the first import: most of what is installed is never imported.
INSTALL := pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"{sys.executable} is Python {sys.version.split()[0]}; 3.11 or newer is needed: make PYTHON=python3.13 ...")'
	@$(PYTHON) -m venv .venv

.venv/app: requirements/app.txt | .venv/bin/python
	@echo "Installing requirements/app.txt into .venv ..."
	@$(BIN)/$(INSTALL) $<
	@touch $@

.venv/test: requirements/test.txt | .venv/bin/python
	@echo "Installing requirements/test.txt into .venv ..."
	@$(BIN)/$(INSTALL) $<
	@touch $@ .venv/app

.venv-checkov/ready: requirements/checkov.txt
	@echo "Installing requirements/checkov.txt into .venv-checkov ..."
	@$(PYTHON) -m venv .venv-checkov
	@.venv-checkov/bin/$(INSTALL) $<
	@touch $@

.venv-audit/ready: requirements/audit.txt | .venv/test
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/$(INSTALL) $<
	@touch $@

.venv-load/ready: requirements/load.txt
	@echo "Installing requirements/load.txt into .venv-load ..."
	@$(PYTHON) -m venv .venv-load
	@.venv-load/bin/$(INSTALL) $<
	@touch $@

.venv-mutants/ready: requirements/mutants.txt
	@$(PYTHON) -m venv .venv-mutants
	@.venv-mutants/bin/$(INSTALL) $<
	@touch $@
