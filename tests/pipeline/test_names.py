"""What the images are called, and who logs in for them."""

from __future__ import annotations

import pytest

from delivery.shell import DeliveryError
from pipeline.names import login, reference, registry

RUN = {"GITHUB_REPOSITORY": "Escola/Horario", "GITHUB_ACTOR": "somebody"}
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("name", "user", "whole", "subject", "who"),
    [
        ("", "", "ghcr.io/escola/horario", "ghcr.io/escola/horario", "somebody"),
        ("school_scheduler", "", "ghcr.io/escola/school_scheduler", "ghcr.io/escola/school_scheduler", "somebody"),
        ("", "Ana", "docker.io/ana/school-scheduler", "index.docker.io/ana/school-scheduler", "Ana"),
        ("school_scheduler", "Ana", "docker.io/ana/school_scheduler", "index.docker.io/ana/school_scheduler", "Ana"),
        ("escola/horario", "Ana", "docker.io/escola/horario", "index.docker.io/escola/horario", "Ana"),
        ("localhost:5000/a/b", "", "localhost:5000/a/b", "localhost:5000/a/b", "somebody"),
        ("quay.io/escola/x", "ana", "quay.io/escola/x", "quay.io/escola/x", "ana"),
    ],
)
def test_a_name_may_be_whole_or_what_comes_behind_the_owner(
    name: str, user: str, whole: str, subject: str, who: str
) -> None:
    found = registry({**RUN, "IMAGE_NAME": name, "DOCKERHUB_USERNAME": user})
    assert (found.name, found.subject, found.user) == (whole, subject, who)
    assert found.host == whole.partition("/")[0]


@pytest.mark.parametrize("missing", ["DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN"])
def test_half_of_a_login_is_refused(missing: str) -> None:
    pair = {"DOCKERHUB_USERNAME": "ana", "DOCKERHUB_TOKEN": "token"} | {missing: ""}
    with pytest.raises(DeliveryError, match=f"is set and {missing} is not"):
        login(RUN | pair)


def test_an_image_is_its_name_with_the_tag_and_digest_of_the_job_before() -> None:
    whole = reference({**RUN, "TAG": "preprod-17", "DIGEST": DIGEST})
    assert str(whole) == f"ghcr.io/escola/horario:preprod-17@{DIGEST}"


@pytest.mark.parametrize(("tag", "digest", "what"), [("", DIGEST, "tag"), ("v1", "", "digest")])
def test_an_image_that_the_job_before_did_not_give_is_refused(tag: str, digest: str, what: str) -> None:
    with pytest.raises(DeliveryError, match=f"the job before gave no {what} of an image; nothing is delivered"):
        reference({**RUN, "TAG": tag, "DIGEST": digest})


def test_what_is_no_digest_is_refused() -> None:
    with pytest.raises(DeliveryError, match="is not a pinned image"):
        reference({**RUN, "TAG": "v1", "DIGEST": "***"})
