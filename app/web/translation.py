"""The pages' languages: Portuguese first, English for those who ask for it."""

from __future__ import annotations

import io
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import Request

# The first is the default; messages are written in English in the source.
LANGUAGES = {"pt-BR": "Português", "en": "English"}
COOKIE = "language"


def choose(request: Request) -> str:
    """The language of a request: asked for in the address, remembered in the cookie, or preferred by the browser."""
    for asked in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if asked in LANGUAGES:
            return asked
    header = request.headers.get("accept-language", "")[:200]
    preferred = [part.split(";")[0].strip() for part in header.split(",")]
    # A browser that asks for any Portuguese, or any English, gets the one that there is.
    match = negotiate_locale([each.split("-")[0].lower() for each in preferred], ["pt", "en"], sep="-")
    return "en" if match == "en" else "pt-BR"


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
