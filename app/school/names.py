"""What a name may be: one rule for forms, worksheets and archives; and several names in one cell."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

# What has no place in a name, and mostly none in XML 1.0 either: control characters, lone surrogates, what is no
# character, and what is invisible or changes the direction of the text around it.
HIDDEN = re.compile(
    "(?!\\s)[\x00-\x1f\x7f-\x9f\xad\u200b\u202a-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
    + "".join(chr(0x10000 * plane + last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
# Emoji and some scripts join letters with these; at an end they join nothing.
JOINERS = "\u200c\u200d\u200e\u200f "
# Stands for a name of which nothing can be shown: a school that was stored with one still opens.
UNSHOWN = "\ufffd"
# Parts several names; a name that has it itself is in quotation marks, which are doubled within.
AND = "+"
PART = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*(?=\+|$)|([^+]*))(?:\+|$)')


def clean(text: str) -> str:
    """The name without what cannot be seen, one blank for all white space, and in Unicode's composed form.

    It is never longer than what was given, and clean of itself.
    """
    plain = " ".join(HIDDEN.sub("", text).split()).strip(JOINERS)
    composed = unicodedata.normalize("NFC", plain)
    # A few characters only have a longer form.
    return (composed if len(composed) <= len(plain) else plain) or (UNSHOWN if text.strip() else "")


def joined(names: Iterable[str]) -> str:
    """Several names as one text."""
    return f" {AND} ".join(_quoted(name) if AND in name or name.startswith('"') else name for name in names)


def parted(text: str) -> Iterator[str]:
    """The names of a text; the inverse of `joined`."""
    for quoted, plain in PART.findall(text):
        if name := quoted.replace('""', '"').strip() or plain.strip():
            yield name


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
