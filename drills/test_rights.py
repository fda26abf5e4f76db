"""Who may do what: every delivery of these drills but the first is the deployer's, and here is what it may not do."""

from __future__ import annotations

import json

import pytest

from delivery import credentials
from delivery.kubectl import kubectl
from delivery.shell import DeliveryError
from drills.conftest import Stage
from smoke_tests.test_admission import UNPINNED, verdict

# (verb, resource): what a delivery does not do.
DENIED = """
create pods, delete pods, patch secrets, create secrets, list secrets, get secrets, delete secrets, get secrets/backup,
delete statefulsets.apps, delete persistentvolumeclaims, get persistentvolumeclaims, create daemonsets.apps,
patch resourcequotas, delete resourcequotas, patch limitranges, delete limitranges, patch namespaces,
create roles.rbac.authorization.k8s.io,
patch roles.rbac.authorization.k8s.io, create rolebindings.rbac.authorization.k8s.io, create serviceaccounts/token,
impersonate serviceaccounts, create pods/ephemeralcontainers, delete events, deletecollection configmaps, patch leases
"""
EVERYWHERE = """
get nodes, list namespaces, create namespaces, delete namespaces, patch namespaces, get persistentvolumes,
create clusterroles.rbac.authorization.k8s.io, create clusterrolebindings.rbac.authorization.k8s.io,
create customresourcedefinitions.apiextensions.k8s.io, list pods, list secrets, create deployments.apps,
delete validatingadmissionpolicies.admissionregistration.k8s.io,
patch validatingadmissionpolicybindings.admissionregistration.k8s.io
"""


def may(account: str, request: str, *options: str) -> bool:
    """Whether the API server would let the account do it: `VERB RESOURCE[/NAME or /SUBRESOURCE]`."""
    verb, resource = request.split()
    named, _, rest = resource.partition("/")
    inside = [f"--subresource={rest}"] if named in ("pods", "serviceaccounts") and rest else []
    resource = named if inside else resource
    command = ("auth", "can-i", verb, resource, *inside, f"--as=system:serviceaccount:{account}", *options)
    return kubectl(*command, good=(0, 1)).strip().startswith("yes")


def listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def test_whoever_delivers_here_is_the_deployer(stage: Stage) -> None:
    with stage.as_deployer():
        name = json.loads(kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    assert name == f"system:serviceaccount:{stage.namespace}:deployer"


def test_the_deployer_may_nothing_that_a_delivery_does_not_do(stage: Stage) -> None:
    deployer = f"{stage.namespace}:deployer"
    assert may(deployer, "patch deployments.apps", "-n", stage.namespace)
    assert [each for each in listed(DENIED) if may(deployer, each, "-n", stage.namespace)] == []
    assert [each for each in listed(EVERYWHERE) if may(deployer, each, "-n", "kube-system")] == []


def test_no_other_account_of_the_environment_has_a_right(stage: Stage) -> None:
    kinds = "rolebindings,clusterrolebindings"
    bindings = json.loads(kubectl("get", kinds, "--all-namespaces", "-o", "json"))["items"]
    subjects = {
        each["name"]
        for binding in bindings
        for each in binding.get("subjects", [])
        if (each["kind"], each.get("namespace")) == ("ServiceAccount", stage.namespace)
    }
    assert subjects == {"deployer"}


def test_an_unpinned_image_is_refused_to_a_bare_pod_and_to_a_debugger(stage: Stage) -> None:
    template = stage.find("deployment/worker")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "never-made"}, "spec": template["spec"]}
    assert verdict(stage.namespace, pod) == ""
    pod["spec"]["containers"][0]["image"] = UNPINNED
    assert "is not: " + UNPINNED in verdict(stage.namespace, pod)
    security = template["spec"]["containers"][0]["securityContext"]
    running = f"pod/{next(iter(stage.pods()))}"

    def debug(image: str) -> None:
        container = {"name": "debugger", "image": image, "securityContext": security}
        patch = json.dumps({"spec": {"ephemeralContainers": [container]}})
        options = ("--subresource=ephemeralcontainers", "--dry-run=server")
        kubectl("-n", stage.namespace, "patch", running, *options, f"--patch={patch}")

    debug(str(stage.good))
    with pytest.raises(DeliveryError, match="is pinned by its digest"):
        debug(UNPINNED)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job", "CronJob"])
def test_the_account_that_adds_credentials_is_refused_to_the_deployer(stage: Stage, kind: str) -> None:
    template = stage.find("deployment/worker")["spec"]["template"]
    spec = {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}
    if kind in ("Job", "CronJob"):
        template["spec"]["restartPolicy"] = "Never"
        spec = {"template": template}
    if kind == "CronJob":
        spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": spec}}
    version = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": "never-made"}, "spec": spec}
    with stage.as_deployer():
        assert verdict(stage.namespace, manifest) == ""
        template["spec"]["serviceAccountName"] = "credentials"
        assert "which an administrator applies" in verdict(stage.namespace, manifest)
        template["spec"]["serviceAccountName"], template["spec"]["serviceAccount"] = "", "credentials"
        assert "which an administrator applies" in verdict(stage.namespace, manifest)
    # Whoever may bind rights had them anyway.
    assert verdict(stage.namespace, manifest) == ""


def test_the_deployer_cannot_give_a_workload_of_its_own_that_account(stage: Stage) -> None:
    patch = json.dumps({"spec": {"template": {"spec": {"serviceAccountName": "credentials"}}}})
    with stage.as_deployer(), pytest.raises(DeliveryError, match="which an administrator applies"):
        kubectl("-n", stage.namespace, "patch", "deployment/worker", "--dry-run=server", f"--patch={patch}")


def test_a_delivery_that_may_not_add_a_key_says_who_does(stage: Stage) -> None:
    def patch(kind: str, name: str, change: dict[str, object]) -> None:
        kubectl("-n", stage.namespace, "patch", kind, name, "--type=json", f"--patch={json.dumps([change])}")

    binding = stage.find("rolebinding/secrets")
    patch("secret", "db-credentials", {"op": "remove", "path": "/data/exporter-user"})
    try:
        patch("rolebinding", "secrets", {"op": "remove", "path": "/subjects"})
        missing = "lacks exporter-user; an administrator's `make credentials ENV=.*` adds them"
        with pytest.raises(DeliveryError, match=missing):
            stage.deploy(stage.good)
    finally:
        patch("rolebinding", "secrets", {"op": "add", "path": "/subjects", "value": binding["subjects"]})
    with stage.as_deployer():
        credentials.require_database(stage.environment, stage.cluster)
    assert credentials.read(stage.cluster, "db-credentials")["exporter-user"] == "exporter"
