"""What is said to people: a text in English, which is the key of its translations, and the values for its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Message(NamedTuple):
    """`text` has the fields of `values` in braces."""

    text: str
    values: Mapping[str, str | int | Message] = {}

    def said(self, translate: Callable[[str], str]) -> str:
        """The message in the language of `translate`."""
        values = {key: each.said(translate) if isinstance(each, Message) else each for key, each in self.values.items()}
        return translate(self.text).format_map(values)


def _(text: str, **values: str | int | Message) -> Message:
    """A message; the name marks it for the catalogue."""
    return Message(text, values)


class SchoolError(ValueError):
    """An edit that cannot be made; the message says why and what to do."""

    def __init__(self, message: Message) -> None:
        super().__init__(message.said(str))
        self.message = message
