"""XML as a tree that remembers lines, so that every complaint about a file can name one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

# The largest instance of the public archive has 3 MB and 60,000 elements; what is far beyond is no school.
MOST_BYTES = 20_000_000
MOST_ELEMENTS = 500_000
MOST_DIGITS = 6


class XhsttError(ValueError):
    """A file that cannot be used; the text is `SOURCE:LINE: what is wrong; what to do`."""


@dataclass(slots=True)
class Element:
    """One element: its children and text, on which line it starts, and before which byte its end tag."""

    tag: str
    attributes: dict[str, str]
    source: str
    line: int
    text: str = ""
    end: int = 0
    children: list[Element] = field(default_factory=list)

    def error(self, message: str) -> XhsttError:
        """An error that names this element's place."""
        return XhsttError(f"{self.source}:{self.line}: {message}")

    def only(self, *tags: str) -> None:
        """XhsttError for a child of another name: what is not understood is not passed over."""
        for child in self.children:
            if child.tag not in tags:
                raise child.error(
                    f"<{child.tag}> is not known in <{self.tag}>; remove it, or use {', '.join(tags) or 'nothing'}"
                )

    def find(self, tag: str) -> Element | None:
        """The first child of that name, if there is one."""
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, *path: str) -> Iterator[Element]:
        """Every descendant at the end of `path`, in the order of the file."""
        if not path:
            yield self
            return
        for child in self.children:
            if child.tag == path[0]:
                yield from child.all(*path[1:])

    def need(self, tag: str) -> Element:
        """The first child of that name; XhsttError without it."""
        child = self.find(tag)
        if child is None:
            raise self.error(f"<{self.tag}> has no <{tag}>; add it")
        return child

    def attribute(self, name: str) -> str:
        """An attribute that has to be there."""
        try:
            return self.attributes[name]
        except KeyError:
            raise self.error(f'<{self.tag}> has no attribute {name}="..."; add it') from None

    def string(self, tag: str) -> str:
        """The text of the child of that name."""
        return self.need(tag).text

    def number(self, tag: str, default: int | None = None) -> int:
        """The text of the child of that name, as a whole number of at least 0; without it, `default` if given."""
        child = self.find(tag)
        if child is None and default is not None:
            return default
        child = self.need(tag)
        if not (child.text.isascii() and child.text.isdigit() and len(child.text) <= MOST_DIGITS):
            raise child.error(f"<{tag}> is {child.text[:40]!r}; write a whole number from 0 to {'9' * MOST_DIGITS}")
        return int(child.text)


def parse(data: bytes, source: str) -> Element:
    """The root element of `data`; XhsttError for what is not well-formed UTF-8, too large, or has a document type."""
    if len(data) > MOST_BYTES:
        raise XhsttError(f"{source}:1: {len(data)} bytes; split the archive, at most {MOST_BYTES} are read")
    builder = _Builder(source)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        problem = expat.ErrorString(error.code)
        raise XhsttError(f"{source}:{error.lineno}: {problem}; the file has to be well-formed XML in UTF-8") from None
    return builder.top.children[0]


class _Builder:
    """What expat calls back."""

    def __init__(self, source: str) -> None:
        self.top = Element("", {}, source, 0)
        self.stack = [self.top]
        self.texts: list[list[str]] = [[]]
        self.elements = 0
        # Everything here handles text as UTF-8, so a declaration of something else is not followed.
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.doctype

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, self.top.source, self.parser.CurrentLineNumber)
        self.elements += 1
        if self.elements > MOST_ELEMENTS:
            raise element.error(f"more than {MOST_ELEMENTS} elements; split the archive")
        self.stack[-1].children.append(element)
        self.stack.append(element)
        self.texts.append([])

    def end(self, _: str) -> None:
        element = self.stack.pop()
        element.text = "".join(self.texts.pop()).strip()
        element.end = self.parser.CurrentByteIndex

    def characters(self, text: str) -> None:
        self.texts[-1].append(text)

    def doctype(self, *_: object) -> None:
        # Entities are how a small file becomes a large one, and the format has no use for them.
        line = self.parser.CurrentLineNumber
        raise XhsttError(f"{self.top.source}:{line}: a document type is not allowed; remove <!DOCTYPE>")
