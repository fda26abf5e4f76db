from __future__ import annotations

from delivery import rollout
from delivery.deploy import forgotten, superfluous, tls_hosts
from delivery.release import Release


def release(number: int, phase: str, *names: str) -> Release:
    """One that has put these objects, KIND/NAME, into the cluster."""
    objects = [{"kind": name.partition("/")[0], "metadata": {"name": name.partition("/")[2]}} for name in names]
    return Release(number, phase, "", "", "", "", rollout.write(objects))


def test_hosts_are_read_from_every_tls_entry() -> None:
    ingresses = [
        {"kind": "Ingress", "spec": {"tls": [{"hosts": ["a.example", "b.example"]}, {"hosts": ["c.example"]}]}},
        {"kind": "Ingress", "spec": {"rules": [{"host": "plain.example"}]}},
        {"kind": "Service", "spec": {}},
    ]
    assert tls_hosts(ingresses) == ["a.example", "b.example", "c.example"]


def test_a_release_leaves_the_configuration_of_good_ones_for_rollout_undo() -> None:
    good = release(1, "good", "ConfigMap/config-1", "Deployment/web")
    failed = release(2, "failed", "ConfigMap/config-2", "Deployment/school-scheduler")
    new = release(3, "pending", "ConfigMap/config-3", "Deployment/school-scheduler")
    objects = rollout.read(new.manifests)
    assert superfluous(objects, [failed, good]) == ["deployment/web", "configmap/config-2"]


def test_a_release_that_is_forgotten_takes_along_the_configuration_that_only_it_had() -> None:
    history = [
        release(3, "good", "ConfigMap/config-2", "Deployment/school-scheduler"),
        release(2, "good", "ConfigMap/config-2", "Deployment/web"),
        release(1, "good", "ConfigMap/config-1", "Deployment/web"),
    ]
    assert forgotten(history, kept=2) == ["configmap/config-1", "configmap/release-1"]
    assert forgotten(history, kept=1) == ["configmap/config-1", "configmap/release-2", "configmap/release-1"]
