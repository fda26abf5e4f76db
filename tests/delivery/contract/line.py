"""What every Cluster does where a right, the API server or its answer is missing; and its clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from delivery.cluster import Cluster, ConflictError, RefusedError, UnavailableError
from tests.delivery.contract.place import Place, changed, configuration, there

Question = Callable[[Cluster], object]


def replace(cluster: Cluster) -> None:
    """As whoever holds a lease does: at the version that was read."""
    found = there(cluster.get("configmap/one"))
    version = found["metadata"]["resourceVersion"]
    body = changed(cluster)
    body["metadata"]["resourceVersion"] = version
    cluster.replace(body)


# What needs a right each.
QUESTIONS: dict[str, Question] = {
    "get": lambda cluster: cluster.get("configmap/one"),
    "list": lambda cluster: cluster.list("ConfigMap"),
    "apply": lambda cluster: cluster.apply([changed(cluster)]),
    "difference": lambda cluster: cluster.difference([changed(cluster)]),
    "preview": lambda cluster: cluster.preview(changed(cluster)),
    "create": lambda cluster: cluster.create(changed(cluster)),
    "rehearse": lambda cluster: cluster.rehearse(changed(cluster)),
    "replace": lambda cluster: cluster.replace(changed(cluster)),
    "patch": lambda cluster: cluster.patch("configmap/one", {"data": {"a": "2"}}),
    "delete": lambda cluster: cluster.delete("configmap/one"),
    "exec": lambda cluster: cluster.exec("none", "main", "true"),
    "logs": lambda cluster: cluster.logs("none"),
}


# What changes something, whether it may meet what it did itself, and what there is then.
CHANGES: dict[str, tuple[Question, bool, list[str]]] = {
    "create": (lambda cluster: cluster.create(changed(cluster, "new")), True, ["2", "1"]),
    "apply": (lambda cluster: cluster.apply([changed(cluster, "new")]), False, ["2", "1"]),
    "replace": (replace, True, ["2"]),
    "patch": (QUESTIONS["patch"], False, ["2"]),
    "delete": (QUESTIONS["delete"], False, []),
}


class Line:
    """To be run by a class with a fixture `place`."""

    @pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
    def test_whoever_lacks_the_right_is_refused(self, place: Place, question: Question) -> None:
        place.cluster.create(configuration(place))
        before = place.cluster.get("configmap/one")
        with place.nobody() as nobody, pytest.raises(RefusedError):
            question(nobody)
        assert place.cluster.get("configmap/one") == before

    @pytest.mark.parametrize("name", [*CHANGES, "exec"])
    def test_a_change_that_a_check_forbids_is_not_made(self, place: Place, name: str) -> None:
        def forbid() -> None:
            raise RefusedError("not now")

        place.cluster.create(configuration(place))
        guarded = place.cluster.guarded(forbid)
        before = guarded.get("configmap/one")
        question = CHANGES[name][0] if name in CHANGES else QUESTIONS[name]
        with pytest.raises(RefusedError, match="not now"):
            question(guarded.patient(5).within(guarded.namespace))
        assert place.cluster.get("configmap/one") == before
        assert place.cluster.get("configmap/new") is None

    def test_what_takes_too_long_is_given_up_and_may_be_done(self, place: Place) -> None:
        hasty = place.cluster.patient(0, timeout=2)
        with place.slow(), pytest.raises(UnavailableError):
            hasty.create(configuration(place))
        with place.slow(), pytest.raises(UnavailableError):
            hasty.get("configmap/one")

    def test_an_api_server_that_is_away_is_asked_again(self, place: Place) -> None:
        began = place.cluster.now()
        place.away(5)
        place.cluster.create(configuration(place))
        assert place.cluster.now() >= began + 5
        assert place.cluster.get("configmap/one")

    def test_patience_ends(self, place: Place) -> None:
        place.away(8)
        with pytest.raises(UnavailableError):
            place.cluster.patient(2).get("configmap/one")

    @pytest.mark.parametrize(
        ("change", "twice", "left"),
        # On a real line each takes a quarter of a minute.
        [pytest.param(*CHANGES[name], marks=[pytest.mark.slow] * (name != "replace"), id=name) for name in CHANGES],
    )
    def test_a_line_that_breaks_costs_nothing(
        self, place: Place, change: Question, twice: bool, left: list[str]
    ) -> None:
        """What was done already is done again, so that `create` and `replace` meet themselves."""
        met = False
        for broken in place.breaks():
            place.cluster.delete("configmap/one", "configmap/new")
            place.cluster.create(configuration(place))
            with broken:
                try:
                    change(place.cluster)
                except ConflictError:
                    met = True
            names = ("configmap/new", "configmap/one")
            found = [body for body in map(place.cluster.get, names) if body]
            assert [body["data"]["a"] for body in found] == left
        assert met == twice

    def test_the_clock_goes_forward(self, place: Place) -> None:
        before = place.cluster.now()
        place.cluster.pause(0.2)
        assert before + 0.2 <= place.cluster.now()

    def test_an_action_is_repeated_beside_the_body_until_it_says_no(self, place: Place) -> None:
        calls: list[float] = []

        def action() -> bool:
            calls.append(place.cluster.now())
            return len(calls) < 3

        with place.cluster.every(0.1, action):
            assert calls == []
            place.cluster.pause(1)
        assert len(calls) == 3

    def test_an_action_ends_with_the_body(self, place: Place) -> None:
        calls: list[float] = []

        def action() -> bool:
            calls.append(place.cluster.now())
            return True

        with place.cluster.every(0.1, action):
            place.cluster.pause(0.35)
        count = len(calls)
        place.cluster.pause(0.3)
        assert len(calls) == count > 0
