from __future__ import annotations

import pytest

from delivery import licences
from delivery.shell import DeliveryError


def test_the_page_says_what_the_installed_packages_say() -> None:
    assert licences.DOCUMENT.read_text() == licences.document()


@pytest.mark.parametrize(
    ("expression", "refused"),
    [
        ("MIT", []),
        ("BSD-3-Clause AND Zlib", []),
        ("GPL-3.0-only OR MIT", []),
        ("MIT AND GPL-3.0-only", ["GPL-3.0-only"]),
        ("(AGPL-3.0-only)", ["AGPL-3.0-only"]),
        ("unknown", ["unknown"]),
    ],
)
def test_a_licence_is_refused_that_would_claim_our_own_code(expression: str, refused: list[str]) -> None:
    assert licences.refused(expression) == refused


def test_a_package_with_a_refused_licence_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "ALLOWED", licences.ALLOWED - {"LGPL-3.0-only"})
    with pytest.raises(DeliveryError, match=r"handed on with MIT code: fpdf2 \(LGPL-3.0-only\)"):
        licences.document()
