from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract, extract_from_dir
from babel.messages.pofile import read_po

import app.web

WEB = Path(app.web.__file__).parent
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]


def catalogue() -> Catalog:
    with (WEB / "locales" / "pt_BR" / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, abort_invalid=True)


def translated() -> dict[str, str]:
    return {str(each.id): str(each.string) for each in catalogue() if each.id}


def schools() -> list[Any]:
    with (WEB.parent / "schools.py").open("rb") as one, (WEB.parent / "accounts.py").open("rb") as other:
        return [*extract("python", one), *extract("python", other)]


def test_the_catalogue_has_what_the_pages_say_and_nothing_else() -> None:
    keywords = DEFAULT_KEYWORDS | {"translate": None}
    folders = (WEB, WEB.parent / "school")
    found = (message for folder in folders for message in extract_from_dir(folder, METHODS, keywords=keywords))
    said = {str(message[2]) for message in found} | {str(message[1]) for message in schools()}
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
