"""What watches an environment is installed as a whole, or nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from delivery import credentials, observability
from delivery.observability import LOGS, NAMESPACE, install
from delivery.render import Render
from delivery.shell import DeliveryError
from policy_tests.render import render as kustomize
from tests.delivery.fake import FakeCluster
from tests.delivery.small import PROD, Stage

WEBHOOK = "https://alerts.example/hook"


@pytest.fixture(scope="module")
def rendered() -> Callable[[str], str]:
    """What kustomize makes of the folders, asked once for all tests."""
    return cache(kustomize)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is rendered is written there, the same for all tests."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture
def empty(empty: Stage, rendered: Callable[[str], str], root: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(observability, "ROOT", root)
    monkeypatch.setattr(observability, "kustomize", rendered)
    return empty


def watching(stage: Stage) -> FakeCluster:
    return stage.cluster.within(NAMESPACE)


def started(stage: Stage) -> dict[str, str]:
    """The pods of what watches, and when each was made."""
    pods = watching(stage).list("Pod")
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}


def told(stage: Stage) -> dict[str, str | None]:
    """The address of each receiver of alerts."""
    configuration = yaml.safe_load(credentials.read(watching(stage), "alertmanager-config")["alertmanager.yaml"])
    found = {each["name"]: each.get("webhook_configs", [{"url": None}]) for each in configuration["receivers"]}
    return {name: only["url"] for name, (only,) in found.items()}


def test_all_of_it_runs_and_alerts_have_an_address(empty: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    install(empty.target, WEBHOOK)
    assert {name.partition("-")[0] for name in started(empty)} >= {"alertmanager", "grafana", "prometheus"}
    assert empty.cluster.pods("app.kubernetes.io/component=mysqld-exporter")
    assert told(empty) == {"outside": None, "team": WEBHOOK}
    assert len(credentials.read(watching(empty), "grafana-admin")["password"]) == 32
    shows = f"kubectl -n {NAMESPACE} port-forward svc/grafana 3000 shows it"
    assert capsys.readouterr().err.endswith(f"delivery: prod is watched; {shows}\n")


def test_every_object_of_both_folders_is_there(empty: Stage, rendered: Callable[[str], str], root: Path) -> None:
    install(empty.target, WEBHOOK)
    folders = ((root / "build" / "targets", ""), (observability.EXPORTER, PROD.namespace))
    for folder, own in folders:
        for wanted in Render(rendered(str(folder))).objects:
            namespace = own or wanted["metadata"].get("namespace", "")
            name = f"{wanted['kind'].lower()}/{wanted['metadata']['name']}"
            assert empty.cluster.within(namespace).get(name), (namespace, name)


def test_whatever_reads_a_secret_comes_after_it(empty: Stage) -> None:
    def look(cluster: FakeCluster, operation: str, name: str) -> None:
        if operation == "apply" and name.partition("/")[0] in ("deployment", "statefulset"):
            secrets.append({key[2] for key in cluster.server.objects if key[0] == "Secret"})

    secrets: list[set[str]] = []
    empty.cluster.faults.before = look
    install(empty.target, WEBHOOK)
    assert secrets
    assert all({"alertmanager-config", "grafana-admin"} <= there for there in secrets)


def test_a_second_installation_changes_no_secret_and_restarts_nothing(empty: Stage) -> None:
    install(empty.target, WEBHOOK)
    secrets, pods = watching(empty).list("Secret"), started(empty)
    for webhook in (None, WEBHOOK):
        install(empty.target, webhook)
        assert watching(empty).list("Secret") == secrets
        assert started(empty) == pods


def test_a_new_address_restarts_what_reads_it_and_nothing_else(empty: Stage) -> None:
    install(empty.target, WEBHOOK)
    # Another second than the one of the restart to come.
    annotations = {"kubectl.kubernetes.io/restartedAt": "2026-11-29T00:00:00+00:00"}
    change = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    watching(empty).by_hand("statefulset/alertmanager", change)
    empty.cluster.pause(30)
    before = started(empty)
    install(empty.target, "https://other.example")
    after = started(empty)
    assert {name for name in after if after[name] != before.get(name)} == {"alertmanager-0"}
    assert told(empty) == {"outside": None, "team": "https://other.example"}


def test_a_sign_of_life_goes_to_its_own_address_and_an_address_stays_until_there_is_another(empty: Stage) -> None:
    install(empty.target, WEBHOOK)
    install(empty.target, None, heartbeat="https://alive.example")
    assert told(empty) == {"outside": "https://alive.example", "team": WEBHOOK}
    install(empty.target, "https://other.example")
    assert told(empty) == {"outside": "https://alive.example", "team": "https://other.example"}


def test_a_sign_of_life_alone_tells_nobody_of_an_alert(empty: Stage) -> None:
    with pytest.raises(DeliveryError, match="who is told of alerts"):
        install(empty.target, None, heartbeat="https://alive.example")


def test_what_somebody_has_added_goes_wherever_it_is(empty: Stage) -> None:
    install(empty.target, WEBHOOK)
    places = {
        NAMESPACE: "statefulset/alertmanager",
        LOGS: "daemonset/collector",
        PROD.namespace: "deployment/mysqld-exporter",
    }
    for namespace, name in places.items():
        empty.cluster.within(namespace).by_hand(name, {"metadata": {"labels": {"note": "x"}}})
    install(empty.target, WEBHOOK)
    for namespace, name in places.items():
        assert "note" not in (empty.cluster.within(namespace).get(name) or {})["metadata"]["labels"]


def test_a_configuration_that_somebody_made_stays(empty: Stage) -> None:
    watching(empty).create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    own = {"alertmanager.yaml": "route: {receiver: mail}"}
    watching(empty).create(credentials.secret(NAMESPACE, "alertmanager-config", own))
    install(empty.target, None)
    assert credentials.read(watching(empty), "alertmanager-config") == own


HOST = "school-scheduler.example.org"


@pytest.fixture
def served(empty: Stage) -> Stage:
    """With an Ingress, by TLS, whose certificate is signed by itself."""
    rules, tls = [{"host": HOST}], [{"hosts": [HOST], "secretName": "web-tls"}]
    name = {"name": "web", "namespace": PROD.namespace}
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": name}
    empty.cluster.create({**ingress, "spec": {"rules": rules, "tls": tls}})
    empty.cluster.create(credentials.secret(PROD.namespace, "web-tls", {"ca.crt": "its own"}))
    return empty


def asked(root: Path) -> dict[str, dict[str, str]]:
    """The labels of everything that the probe asks."""
    sites = yaml.safe_load((root / "build" / "targets" / "sites.yaml").read_text())
    return {url: entry["labels"] for entry in sites for url in entry["targets"]}


def test_the_site_is_asked_as_its_users_ask(served: Stage, root: Path) -> None:
    install(served.target, WEBHOOK)
    found = asked(root)
    modules = {url: labels["__param_module"] for url, labels in found.items()}
    assert modules == {
        f"https://{HOST}/": "page",
        f"https://{HOST}/ready?save=true": "save",
        f"https://{HOST}/health": "certificate",
    }
    assert {labels["namespace"] for labels in found.values()} == {PROD.namespace}
    assert [url for url, labels in found.items() if url != labels["__param_target"]] == []


def test_the_site_is_asked_at_an_address_where_dns_does_not_know_its_host(served: Stage, root: Path) -> None:
    install(served.target, WEBHOOK, through="traefik.traefik.svc")
    labels = asked(root)[f"https://{HOST}/ready?save=true"]
    assert labels["__param_target"] == "https://traefik.traefik.svc/ready?save=true"
    assert labels["__param_hostname"] == HOST


def test_a_site_without_tls_is_not_asked_for_a_certificate(served: Stage, root: Path) -> None:
    served.cluster.patch("ingress/web", {"spec": {"tls": None}})
    install(served.target, WEBHOOK)
    assert set(asked(root)) == {f"http://{HOST}/", f"http://{HOST}/ready?save=true"}


def test_the_probe_trusts_an_authority_of_the_environment_s_own(served: Stage, root: Path) -> None:
    install(served.target, WEBHOOK)
    assert (root / "build" / "targets" / f"{PROD.namespace}.crt").read_text() == "its own"
    generated = yaml.safe_load((root / "build" / "targets" / "kustomization.yaml").read_text())["configMapGenerator"]
    files = {each["name"]: each["files"] for each in generated}
    assert files == {
        "prometheus-config": ["prometheus.yaml", "sites.yaml"],
        "blackbox-config": [f"{PROD.namespace}.crt"],
    }


def test_what_is_not_watched_of_another_environment_is_said(
    served: Stage, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"app.kubernetes.io/part-of": "school-scheduler", "environment": "uat"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "uat", "labels": labels}}
    served.cluster.create(space)
    install(served.target, WEBHOOK)
    said = capsys.readouterr().err
    assert "uat has no Ingress web, so nothing asks for its pages; deliver it, and do this again\n" in said
    assert "nothing asks the database of uat; `make observability ENV=uat` does\n" in said
    assert {labels["namespace"] for labels in asked(root).values()} == {PROD.namespace}


def refused(stage: Stage, webhook: str | None) -> str:
    """Why nothing was changed."""
    before = stage.cluster.server.objects.copy()
    with pytest.raises(DeliveryError) as error:
        install(stage.target, webhook)
    assert stage.cluster.server.objects == before
    return str(error.value)


def test_without_an_address_nothing_is_changed(empty: Stage) -> None:
    assert "say who is told of alerts: WEBHOOK=https://" in refused(empty, None)


def test_without_the_environment_nothing_is_changed() -> None:
    reason = f"there is no namespace {PROD.namespace}; deliver the environment first"
    assert refused(Stage(), WEBHOOK) == reason


def test_without_the_exporter_s_account_nothing_is_changed(empty: Stage) -> None:
    empty.cluster.patch("secret/db-credentials", {"data": {"ca.crt": None, "exporter-user": None}})
    assert refused(empty, WEBHOOK) == (
        f"Secret {PROD.namespace}/db-credentials lacks exporter-user, ca.crt; `make credentials ENV=prod` adds them"
    )


def test_an_empty_password_of_the_exporter_is_none(empty: Stage) -> None:
    empty.cluster.patch("secret/db-credentials", {"data": {"exporter-password": ""}})
    assert "lacks exporter-password;" in refused(empty, WEBHOOK)


@pytest.mark.parametrize("name", ["grafana", "mysqld-exporter", "collector"])
def test_what_does_not_run_is_an_error(empty: Stage, name: str) -> None:
    empty.cluster.server.ill[name] = "ImagePullBackOff"
    with pytest.raises(DeliveryError, match=f"/{name}: ImagePullBackOff"):
        install(empty.target, WEBHOOK)


def test_another_overlay_may_be_installed(
    empty: Stage, rendered: Callable[[str], str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = root / "build" / "targets"
    texts = {str(targets): rendered(str(observability.FOLDER)), str(observability.EXPORTER): ""}
    monkeypatch.setattr(observability, "kustomize", texts.pop)
    install(empty.target, WEBHOOK, root / "overlay")
    assert texts == {}
    assert "- ../../overlay\n" in (targets / "kustomization.yaml").read_text()
    assert "grafana" in {name.partition("-")[0] for name in started(empty)}


def test_a_prometheus_that_does_not_get_ready_gives_way_to_the_next_installation(empty: Stage) -> None:
    install(empty.target, WEBHOOK)
    cluster = watching(empty)
    body = cluster.get("statefulset/prometheus") or {}
    containers = [{**container, "image": "broken"} for container in body["spec"]["template"]["spec"]["containers"]]
    cluster.server.ill = {"broken": "unready"}
    cluster.by_hand("statefulset/prometheus", {"spec": {"template": {"spec": {"containers": containers}}}})
    cluster.pause(20)
    before = started(empty)["prometheus-0"]
    install(empty.target, None)
    assert started(empty)["prometheus-0"] != before
