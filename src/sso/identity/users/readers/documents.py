"""The people in a large JSON document, one at a time: an array at the top, or a member of the object at the top."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from sso.errors import Refusal
from sso.identity.users.readers.json_files import Array, read_json_lines
from sso.identity.users.readers.text import TextFile
from sso.identity.users.records import Record

_MARK = re.compile(r'["\[\]{}]')
_FIRST_MEMBER = re.compile(r'\{\s*"([^"]{0,100})"\s*:')
_STRING_END = re.compile(r'["\\]')


def read_elements(path: Path, encoding: str | None, member: str, others: Collection[str] = ()) -> Iterator[Record]:
    """Yield the elements of an array: the whole file, or the member of that name of the object that the file is.

    An element of ``others`` is yielded too, in the order of the file, each as ``{name: element}``. Other members are
    passed over without being kept.

    Raises:
        Refusal: when the file is no such document, or is broken: nobody can say where the next element begins.
    """
    with TextFile(path, encoding) as file:
        yield from _Document(path, file).elements(member, others)


def read_lines_or_elements(path: Path, encoding: str | None, member: str) -> Iterator[Record]:
    """Yield the objects of JSON lines, or the elements of an array as :func:`read_elements` does."""
    with TextFile(path, encoding) as file:
        start = file.start().lstrip()
    first = _FIRST_MEMBER.match(start)
    is_document = start.startswith("[") or (first is not None and first[1] == member)
    yield from read_elements(path, encoding, member) if is_document else read_json_lines(path, encoding)


class _Document(Array):
    inside = False

    def elements(self, member: str, others: Collection[str]) -> Iterator[Record]:
        """Yield the elements of the array at the top, or of its members of these names."""
        mark = self._next()
        if mark == "[":
            yield from self.records()
            return
        if mark != "{":
            raise self._refused("does not begin with { or [")
        exists = False
        for name in self._names():
            if name == member and self._next() == "[":
                exists = True
                yield from self._inside()
            elif name in others and self._next() == "[":
                for record in self._inside():
                    yield Record(record.line, {name: record.row}, record.reason, record.read, record.lines)
            else:
                self._pass_over()
        if not exists:
            raise Refusal(f"{self.path} has no list {member!r}: it is not such an export, or it was made without users")
        self._check_end()

    def _names(self) -> Iterator[str]:
        """Yield the names of the members of an object; after each, its value must be read or passed over."""
        self._go(self.at + 1)
        if self._next() == "}":
            self._go(self.at + 1)
            return
        while True:
            name, end, _ = self._value()
            if not isinstance(name, str):
                raise self._refused("a member has no name")
            self._go(end)
            if self._next() != ":":
                raise self._refused("a colon is missing")
            self._go(self.at + 1)
            yield name
            mark = self._next()
            self._go(self.at + 1)
            if mark == "}":
                return
            if mark != "," or self._next() != '"':
                raise self._refused("a comma or a member is missing")

    def _inside(self) -> Iterator[Record]:
        """Yield the elements of an array within the document."""
        self.inside = True
        yield from self.records()
        self.inside = False

    def _check_end(self) -> None:
        if not self.inside:
            super()._check_end()

    def _pass_over(self) -> None:
        """Go after a value, of any size, without keeping it."""
        if self._next() not in '{["':
            self._go(self._value()[1])
            return
        depth = 0
        while True:
            mark = self._find(_MARK)
            if mark == '"':
                self._after_string()
            else:
                depth += 1 if mark in "[{" else -1
            if depth <= 0:
                return

    def _after_string(self) -> None:
        while self._find(_STRING_END) == "\\":
            while len(self.text) <= self.at:
                if self.ended:
                    raise self._refused("a text does not end")
                self._more()
            self._go(self.at + 1)

    def _find(self, marks: re.Pattern[str]) -> str:
        """Go after the next of some characters, and return it."""
        while True:
            match = marks.search(self.text, self.at)
            if match is not None:
                self._go(match.end())
                return match[0]
            self._go(len(self.text))
            if self.ended:
                raise self._refused("a value does not end")
            self._more()
