"""XML as a tree that remembers lines, so that every complaint about a file can name one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

# The largest instance of the public archive has 3 MB.
LARGEST = 20_000_000


class XhsttError(ValueError):
    """A file that cannot be used; the text is `SOURCE:LINE: what is wrong`."""


@dataclass
class Element:
    """One element: its children and text, and where in which file it starts."""

    tag: str
    attributes: dict[str, str]
    source: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def error(self, message: str) -> XhsttError:
        """An error that names this element's place."""
        return XhsttError(f"{self.source}:{self.line}: {message}")

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
            raise self.error(f"<{self.tag}> has no <{tag}>")
        return child

    def attribute(self, name: str) -> str:
        """An attribute that has to be there."""
        try:
            return self.attributes[name]
        except KeyError:
            raise self.error(f'<{self.tag}> has no attribute {name}="..."') from None

    def string(self, tag: str) -> str:
        """The text of the child of that name."""
        return self.need(tag).text.strip()

    def number(self, tag: str) -> int:
        """The text of the child of that name, as a whole number of at least 0."""
        child = self.need(tag)
        if not (child.text.strip().isascii() and child.text.strip().isdigit()) or len(child.text) > 18:
            raise child.error(f"<{tag}> is {child.text.strip()[:40]!r}; it must be a whole number")
        return int(child.text)


def parse(data: bytes, source: str) -> Element:
    """The root element of `data`; XhsttError for what is not well-formed, too large, or has a document type."""
    if len(data) > LARGEST:
        raise XhsttError(f"{source}:1: {len(data)} bytes; at most {LARGEST} are read")
    top = Element("", {}, source, 0)
    stack = [top]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, source, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def characters(text: str) -> None:
        stack[-1].text += text

    def doctype(*_: object) -> None:
        # Entities are how a small file becomes a large one, and the format has no use for them.
        raise XhsttError(f"{source}:{parser.CurrentLineNumber}: a document type is not allowed; remove <!DOCTYPE>")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise XhsttError(f"{source}:{error.lineno}: not well-formed XML: {expat.ErrorString(error.code)}") from None
    return top.children[0]
