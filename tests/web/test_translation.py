from __future__ import annotations

import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po

import app.web

WEB = Path(app.web.__file__).parent
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]


def catalogue() -> Catalog:
    with (WEB / "locales" / "pt_BR" / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, abort_invalid=True)


def translated() -> dict[str, str]:
    return {str(each.id): str(each.string) for each in catalogue() if each.id}


def test_the_catalogue_has_what_the_pages_say_and_nothing_else() -> None:
    keywords = DEFAULT_KEYWORDS | {"translate": None}
    said = {str(message[2]) for message in extract_from_dir(WEB, METHODS, keywords=keywords)}
    assert said == set(translated())


def test_every_message_is_translated() -> None:
    assert [message for message, translation in translated().items() if not translation] == []


def test_a_translation_has_the_fields_of_its_message() -> None:
    fields = re.compile(r"\{\w*\}")
    for message, translation in translated().items():
        assert sorted(fields.findall(message)) == sorted(fields.findall(translation)), message


def test_no_message_is_there_twice() -> None:
    text = (WEB / "locales" / "pt_BR" / "LC_MESSAGES" / "messages.po").read_text()
    assert len(re.findall("^msgid ", text, re.MULTILINE)) == len(translated()) + 1
