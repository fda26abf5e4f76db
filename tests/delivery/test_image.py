from __future__ import annotations

import pytest

from delivery.image import Image
from delivery.shell import DeliveryError

DIGEST = "sha256:" + "0" * 64


def test_a_reference_is_read_and_written_back() -> None:
    reference = f"localhost:5001/school-scheduler:dev-17@{DIGEST}"
    image = Image.parse(reference)
    assert (image.name, image.tag, image.digest) == ("localhost:5001/school-scheduler", "dev-17", DIGEST)
    assert str(image) == reference


@pytest.mark.parametrize("reference", ["", "app:v1", f"app@{DIGEST}", f"app:v1@{DIGEST[:-1]}", f"app:v1@{DIGEST}\n"])
def test_what_is_not_pinned_is_refused(reference: str) -> None:
    with pytest.raises(DeliveryError, match="is not a pinned image; give NAME:TAG@sha256:DIGEST"):
        Image.parse(reference)
