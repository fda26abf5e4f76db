"""The pages' languages: Portuguese first, English for those who ask for it."""

from __future__ import annotations

import io
import re
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import Request

# The first is the default; messages are written in English in the source.
LANGUAGES = {"pt-BR": "Português", "en": "English"}
COOKIE = "language"
# A language range of Accept-Language (RFC 9110, 12.5.4): its primary tag, and its quality.
RANGE = re.compile(r"([a-z]+)[a-z0-9-]*\s*(?:;\s*q=([01](?:\.\d*)?))?", re.ASCII)


def choose(request: Request) -> str:
    """The language of a request: asked for in the address, remembered in the cookie, or preferred by the browser."""
    for asked in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if asked in LANGUAGES:
            return asked
    ranges = RANGE.findall(request.headers.get("accept-language", "")[:200].lower())
    # A browser that asks for any Portuguese, or any English, gets the one that there is.
    known = [(float(quality or 1), language) for language, quality in ranges if language in ("pt", "en")]
    return "en" if max(known, key=lambda each: each[0], default=(1, "pt"))[1] == "en" else "pt-BR"


@cache
def translations(language: str) -> NullTranslations:
    """The catalogue of a language; made from its .po file in memory, so that no compiled file has to be kept."""
    if language == "en":
        return NullTranslations()
    path = Path(__file__).with_name("locales") / language.replace("-", "_") / "LC_MESSAGES" / "messages.po"
    compiled = io.BytesIO()
    with path.open("rb") as catalogue:
        write_mo(compiled, read_po(catalogue))
    compiled.seek(0)
    return GNUTranslations(compiled)
