"""An environment that Flux brings from commits, as docs/gitops.md has it, and whose data stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from delivery import credentials, release, rotation
from delivery.cluster import Manifest, name
from delivery.image import Image
from delivery.kubectl import kubectl
from delivery.render import COMPONENT, SINGLE_NODE
from delivery.workloads import ready
from drills.conftest import STAGE
from drills.flux import Handed, controlled, documented
from drills.test_zero_downtime import failed
from drills.watching import until
from policy_tests.environment import find

# The cluster's own, and what says only that it goes on.
PASSING = ("events", "leases", "endpoints", "pods.metrics.k8s.io")


@pytest.fixture(scope="module")
def handed(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Handed]:
    """The environment, brought up by Flux from nothing; without Go the drill is left out."""
    if shutil.which("go") is None:
        pytest.skip("there is no Go, by which the controller is compiled")
    option, folder = pytestconfig.getoption, tmp_path_factory.mktemp("repository")
    stage = Handed(folder, find(option("--env")), option("--registry"), option("--ingress"))
    try:
        yield stage
    finally:
        stage.end()
        if others := pytestconfig.stash.get(STAGE, None):
            others.deploy(others.good, bootstrap=True)


def inside(stage: Handed) -> list[Manifest]:
    """Everything in the namespace that belongs to nothing else there, with its managers."""
    listed = kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    kinds = ",".join(kind for kind in listed if not kind.startswith(PASSING))
    text = kubectl("-n", stage.namespace, "get", kinds, "--output=json", "--show-managed-fields")
    bodies = json.loads(text)["items"]
    return [body for body in bodies if not body["metadata"].get("ownerReferences")]


def written(body: Manifest) -> Any:
    """What shows that somebody has written an object, its status aside."""
    metadata = body["metadata"]
    managers = metadata.get("managedFields", [])
    times = [(each["manager"], each["time"]) for each in managers if "subresource" not in each]
    version = None if "status" in body else metadata["resourceVersion"]
    return metadata["uid"], metadata.get("generation"), version, times


def labels(stage: Handed) -> set[str]:
    return {name(body) for body in inside(stage)}


def settle(stage: Handed, revision: str) -> None:
    """Waits for a revision, and until no pod of an earlier one is left."""
    stage.wait_until_ready(revision)
    web = f"{COMPONENT}=web"
    until(lambda: all(map(ready, stage.cluster.list("Pod", selector=web))), seconds=120)


@pytest.mark.slow
def test_an_environment_comes_up_from_the_first_commit(handed: Handed) -> None:
    stage = handed
    assert set(stage.pods().values()) == {str(stage.good)}
    assert release.read(stage.cluster) == []
    smoked = stage.smoke()
    assert smoked.returncode == 0, smoked.stdout[-3000:]


@pytest.mark.slow
def test_twice_in_a_row_nothing_changes(handed: Handed) -> None:
    stage = handed
    begun = stage.reconciliations()
    before = {name(body): written(body) for body in inside(stage)}
    until(lambda: stage.reconciliations() >= begun + 3, seconds=400)
    assert {name(body): written(body) for body in inside(stage)} == before
    jobs = {label for label in before if label.startswith("job/")}
    assert jobs == {"job/accounts", "job/credentials"}


@pytest.mark.slow
def test_what_is_changed_by_hand_goes_within_an_interval(handed: Handed) -> None:
    stage = handed
    there = ("-n", stage.namespace)
    begun, before = stage.reconciliations(), labels(stage)
    web, worker = stage.find("deployment/school-scheduler"), stage.find("deployment/worker")
    kubectl(*there, "set", "env", "deployment/school-scheduler", "DRILLED=yes")
    kubectl(*there, "scale", "deployment/worker", f"--replicas={worker['spec']['replicas'] + 1}")
    kubectl(*there, "label", "service/web", "drilled=yes")
    kubectl(*there, "label", "service/web-metrics", "environment=other", "--overwrite")
    kubectl(*there, "delete", "networkpolicy", "web")
    kubectl(*there, "delete", "configmap", f"--selector={COMPONENT}=web")
    # The interval that is under way may have passed an object already.
    until(lambda: stage.reconciliations() >= begun + 2, seconds=300)
    assert stage.find("deployment/school-scheduler")["spec"] == web["spec"]
    assert stage.find("deployment/worker")["spec"] == worker["spec"]
    assert "drilled" not in stage.find("service/web")["metadata"]["labels"]
    label = stage.find("service/web-metrics")["metadata"]["labels"]["environment"]
    assert label == stage.environment.name
    assert labels(stage) == before


@pytest.mark.slow
def test_a_release_loses_no_request_and_makes_the_accounts_anew(handed: Handed) -> None:
    stage = handed
    before, other = stage.find("job/accounts"), stage.faulty("none", after=1)
    stage.choose(other)
    with stage.traffic() as answers:
        settle(stage, stage.commit("The second release"))
    assert failed(answers) == []
    assert set(stage.pods().values()) == {str(other)}
    after = stage.find("job/accounts")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["succeeded"] == 1


@pytest.mark.slow
def test_a_broken_release_leaves_the_one_before_to_users_until_it_is_reverted(
    handed: Handed,
) -> None:
    stage = handed
    good, before = set(stage.pods().values()), labels(stage)
    broken = stage.faulty("never-ready")
    stage.choose(broken)
    stage.write("base/app/kustomization.yaml", "SOLVER_WORKERS=2", "SOLVER_WORKERS=1")
    with stage.traffic() as answers:
        revision = stage.commit("The broken release")
        until(lambda: stage.ready().get("status") == "False", seconds=600)
    assert failed(answers) == []
    condition = stage.ready()
    assert condition["reason"] == "HealthCheckFailed"
    assert f"Deployment/{stage.namespace}/school-scheduler" in condition["message"]
    assert stage.kustomization()["status"]["lastAttemptedRevision"] == revision
    # What serves is the release before, and goes on being it when its pod has to start again.
    served = [pod for pod, built in stage.pods().items() if {built} == good]
    for pod in served:
        kubectl("-n", stage.namespace, "delete", f"pod/{pod}")
    until(lambda: any(ready(pod) for pod in web_pods(stage, good)), seconds=180)
    with stage.traffic() as answers:
        settle(stage, stage.revert())
    assert failed(answers) == []
    assert set(stage.pods().values()) == good
    assert labels(stage) >= before


def web_pods(stage: Handed, images: set[str]) -> list[Manifest]:
    """The web's pods that run one of some images."""
    pods = stage.cluster.list("Pod", selector=f"{COMPONENT}=web")
    return [pod for pod in pods if pod["spec"]["containers"][0]["image"] in images]


@pytest.mark.slow
def test_configmaps_that_nothing_names_are_found_and_deleted(handed: Handed) -> None:
    stage = handed
    stage.write("base/backup/kustomization.yaml", "7d 4w 12m", "8d 4w 12m")
    settle(stage, stage.commit("A ConfigMap that only CronJobs name"))
    settle(stage, stage.revert())
    before = labels(stage)
    lines = documented(r"^```sh\n(namespace=[^\n]+\nnamed=.*?)^```$", prod=stage.environment.name)
    stage.type(lines)
    gone = before - labels(stage)
    # Those of the web are named by a ReplicaSet to which one may go back.
    assert [label.rpartition("-")[0] for label in gone] == ["configmap/backup-config"]


@pytest.mark.slow
def test_what_a_commit_lacks_goes_and_what_holds_data_stays(handed: Handed) -> None:
    stage = handed
    before = labels(stage)
    stage.write("base/kustomization.yaml", "  - generation\n", "")
    stage.hand_over(without="components/backup-store")
    settle(stage, stage.commit("Without the headless generation"))
    gone = before - labels(stage)
    shared = ("serviceaccount", "networkpolicy")
    store = {f"{kind}/backup-store" for kind in ("service", *shared)}
    assert gone == store | {f"{kind}/generation" for kind in ("cronjob", *shared)}
    assert stage.find("statefulset/backup-store")["status"]["readyReplicas"] == 1
    stage.revert()
    stage.hand_over()
    until(lambda: labels(stage) >= before and stage.ready().get("status") == "True", seconds=300)


@pytest.mark.slow
def test_a_delivery_takes_over_and_hands_back_with_new_passwords(handed: Handed) -> None:
    stage = handed
    environment = stage.environment.name
    suspend = documented(r"^(kubectl -n flux-system patch [^\n]*)$", prod=environment)
    names = documented(r"^```sh\n(namespace=[^\n]+\nkinds=.*?)^```$", prod=environment)
    pods, database = stage.pods(), stage.find("statefulset/mysql")["metadata"]["uid"]
    stage.type(suspend)
    stage.type(names)
    with stage.secrets():
        stage.deploy(Image.parse(*set(pods.values())))
        assert stage.pods() == pods
        rotation.rotate(stage.target)
    passwords = credentials.read(stage.cluster, "db-credentials")
    stage.type(names)
    schema = '    school-scheduler/schema: "0003"\n'
    stage.write("base/app/deployment.yaml", schema, '    drilled: "yes"\n')
    revision = stage.commit("New passwords, and another annotation")
    stage.type(suspend.replace("true", "false"))
    settle(stage, revision)

    def annotations() -> set[str]:
        return set(stage.find("deployment/school-scheduler")["metadata"]["annotations"])

    assert "drilled" in annotations()
    until(lambda: not annotations() & {"school-scheduler/schema", SINGLE_NODE}, seconds=180)
    assert credentials.read(stage.cluster, "db-credentials") == passwords
    assert stage.find("statefulset/mysql")["metadata"]["uid"] == database


@pytest.mark.slow
def test_deleting_the_kustomization_leaves_everything_and_by_mistake_what_holds_data(
    handed: Handed,
) -> None:
    stage = handed
    before = {name(body): body["metadata"]["uid"] for body in inside(stage)}
    delete = ("delete", "kustomization", stage.namespace, "--timeout=120s")
    controlled(*delete)
    assert {name(body): body["metadata"]["uid"] for body in inside(stage)} == before
    stage.hand_over(deletionPolicy="Delete")
    stage.wait_until_ready(f"main@sha1:{stage.git('rev-parse', 'HEAD').strip()}")
    controlled(*delete)
    until(lambda: "deployment/school-scheduler" not in labels(stage), seconds=120)
    after = {name(body): body["metadata"]["uid"] for body in inside(stage)}
    kinds = ("statefulset/", "secret/", "persistentvolumeclaim/")
    held = {label for label in before if label.startswith(kinds)}
    assert {"statefulset/mysql", "secret/db-credentials", "secret/backup"} <= held
    assert {label: after.get(label) for label in held} == {label: before[label] for label in held}
    assert not stage.find(f"namespace/{stage.namespace}")["metadata"].get("deletionTimestamp")
