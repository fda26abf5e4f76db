"""The same runs with the real docker, registry and cluster: one commit on its way from homolog to production.

    pytest tests/workflows/test_cluster.py --registry localhost:5000

KUBECONFIG is an administrator's. The three environments are made at the sizes of `make up`, and stay. GitHub's services
are stood in for, `gh` among them; `make` runs everything but the tests, which have been run on their own. These tests
build on one another.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from delivery import credentials, deploy, image, overlay
from delivery.kubectl import Kubectl
from delivery.shell import run
from policy_tests.environment import find
from tests.workflows.act import ROOT, Act, Run

ENVIRONMENTS = ("homolog", "preprod", "prod")
TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
DELIVERED = dict.fromkeys(("test", "test-mysql", "image", "deploy"), "success")

Digest = Callable[[str], str | None]
Push = Callable[..., Run]


@pytest.fixture(scope="module")
def name(pytestconfig: pytest.Config) -> str:
    return f"{pytestconfig.getoption('--registry')}/school-scheduler-{os.getpid()}"


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Act:
    """A clone of the working tree as it is, and namespaces with credentials for it."""
    nothing = image.Image("localhost/none", "none", "sha256:" + "0" * 64)
    for environment in map(find, ENVIRONMENTS):
        render = overlay.render(overlay.write(environment, nothing, single_node=True))
        deploy.bootstrap(environment, Kubectl(environment.namespace), render)
    folder = tmp_path_factory.mktemp("act")
    # The load has no kubeconfig to read its authority with.
    public = Path(os.environ.get("REQUESTS_CA_BUNDLE", requests.utils.DEFAULT_CA_BUNDLE_PATH)).read_text()
    authorities = folder / "authorities.pem"
    certificate = credentials.read(Kubectl(find("preprod").namespace), "web-tls")
    authorities.write_text(public + certificate["ca.crt"])
    variables = {"VENV": str(Path(sys.prefix)), "TESTED": "yes", "DOCKER_HOST": "unix:///var/run/docker.sock"}
    variables |= {"REQUESTS_CA_BUNDLE": str(authorities)}
    variables |= {each: os.environ[each] for each in ("PYTHON_IMAGE", "PIP_CERT") if each in os.environ}
    variables["PATH"] = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    return Act(folder, ("make", "gh"), variables)


@pytest.fixture(scope="module")
def push(act: Act, name: str) -> Push:
    """A push to a ref of the newest commit."""
    kubeconfig = base64.b64encode(Path(os.environ["KUBECONFIG"]).read_bytes()).decode()
    secrets = {f"KUBECONFIG_{environment.upper()}": kubeconfig for environment in ENVIRONMENTS}
    settings = {"IMAGE_NAME": name, "DEPLOY_OPTIONS": "--single-node --canary 0.6 --watch 0.6"}
    settings["INGRESS"] = os.environ.get("INGRESS", "127.0.0.1")

    def push(workflow: str, ref: str, run_id: int) -> Run:
        payload = {"ref": ref, "repository": {"visibility": "public"}}
        return act.run(workflow, "push", payload, run_id=run_id, secrets=secrets, settings=settings)

    return push


@pytest.fixture(scope="module")
def commit(act: Act) -> Callable[[], str]:
    """Commits the working tree once more; its id."""
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return lambda: act.commit(ROOT / file for file in files if (ROOT / file).is_file())


@pytest.fixture(scope="module")
def digest(name: str) -> Digest:
    """The digest behind a tag, by the registry itself."""
    registry, _, repository = name.partition("/")

    def digest(tag: str) -> str | None:
        url = f"http://{registry}/v2/{repository}/manifests/{tag}"
        return requests.head(url, headers={"Accept": TYPES}, timeout=10).headers.get("Docker-Content-Digest")

    return digest


@pytest.fixture(scope="module")
def first(commit: Callable[[], str]) -> str:
    return commit()


def running(environment: str) -> str:
    """The digest that the web pods of an environment run."""
    deployment = Kubectl(find(environment).namespace).get("deployment/school-scheduler")
    assert deployment, environment
    image = str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])
    return image.partition("@")[2]


def test_homolog_runs_what_a_push_built(first: str, push: Push, digest: Digest) -> None:
    run = push("ci-homolog", "refs/heads/homolog", 1)
    assert run.jobs == DELIVERED, run.log
    assert running("homolog") == digest("homolog-1")


def test_preprod_proves_a_commit(first: str, push: Push, digest: Digest) -> None:
    assert digest(f"sha-{first}") is None
    run = push("ci-preprod", "refs/heads/main", 2)
    assert run.jobs == DELIVERED | dict.fromkeys(("look", "scan", "sign", "approve", "prove"), "success"), run.log
    assert running("preprod") == digest("preprod-2") == digest(f"sha-{first}")


def test_prod_runs_the_digest_that_preprod_proved(first: str, push: Push, digest: Digest) -> None:
    run = push("ci-prod", "refs/tags/v1.2.3", 3)
    assert run.jobs == dict.fromkeys(("verify", "promote", "deploy"), "success"), run.log
    assert running("prod") == digest("v1.2.3") == digest(f"sha-{first}")


def test_a_release_whose_smoke_tests_fail_is_red_and_prod_is_back_at_the_one_before(
    act: Act, first: str, push: Push, digest: Digest, name: str
) -> None:
    good = running("homolog")
    application = act.tree / "app" / "web" / "application.py"
    application.write_text(application.read_text().replace('"digest": digest}', '"digest": "another"}'))
    act.commit([])
    run = push("ci-homolog", "refs/heads/homolog", 4)
    assert run.jobs == DELIVERED | {"deploy": "failure"}, run.log
    assert digest("homolog-4") not in (None, good)
    assert running("homolog") == good


def test_a_commit_that_preprod_has_not_proved_is_refused(first: str, push: Push, digest: Digest) -> None:
    good = running("prod")
    run = push("ci-prod", "refs/tags/v1.2.4", 5)
    assert run.jobs == {"verify": "failure"}
    assert "there is no image" in run.log
    assert digest("v1.2.4") is None
    assert running("prod") == good


def test_a_release_s_tag_is_not_moved_to_another_proven_commit(
    act: Act, first: str, push: Push, digest: Digest, name: str
) -> None:
    good = digest("v1.2.3")
    another = act.commit([])
    run(sys.executable, "-m", "delivery", "promote", "--image", f"{name}:homolog-4", "--tag", f"sha-{another}")
    refused = push("ci-prod", "refs/tags/v1.2.3", 6)
    assert refused.jobs == {"verify": "success", "promote": "failure"}
    assert "never moves" in refused.log
    assert digest("v1.2.3") == good
