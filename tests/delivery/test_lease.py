from __future__ import annotations

import pytest

from delivery import lease
from delivery.shell import DeliveryError
from tests.delivery.scripted import Cluster

NAMESPACE = "school-scheduler-prod"


def test_whoever_waits_is_told_for_whom_and_for_what(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    with lease.held(NAMESPACE, work="restore"):
        holder = cluster.lease["spec"]["holderIdentity"]

        def renewed(there: Cluster) -> None:
            version = there.lease["metadata"]["resourceVersion"]
            there.lease["metadata"]["resourceVersion"] = str(int(version) + 1)

        cluster.fault = renewed
        with pytest.raises(DeliveryError, match=f"is in use: {holder}"), lease.held(NAMESPACE, wait=40):
            pass
        cluster.fault = lambda there: None
    assert holder.startswith("restore by ")
    assert capsys.readouterr().err.count(f"waiting for the {holder}") == 1


def test_a_lease_that_somebody_else_has_by_now_is_left_to_them(cluster: Cluster) -> None:
    with lease.held(NAMESPACE):
        cluster.lease["spec"]["holderIdentity"] = "somebody else"
    assert cluster.lease["spec"]["holderIdentity"] == "somebody else"


def test_what_was_done_counts_where_the_lease_cannot_be_given_back(cluster: Cluster) -> None:
    with lease.held(NAMESPACE):
        cluster.away_until = cluster.clock + 600
