"""JSON lines, and one JSON array of objects of any size."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from sso.errors import Refusal
from sso.identity.users.readers.text import TextFile
from sso.identity.users.records import MAX_RECORD_BYTES, Record
from sso.platform.security.json_documents import DocumentRefused, check_document

MAX_ELEMENT = 1024 * 1024
"""How many characters of an array are kept to find the end of one element."""
_SPACE = " \t\r\n"


class JsonText:
    """Reads values of JSON text. What RFC 8259 leaves open, such as a member that stands twice, is refused."""

    def __init__(self) -> None:
        self._wrong = ""
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._int,
            parse_float=self._float,
            parse_constant=lambda name: self._mark(f"has {name}"),
        )

    def at(self, text: str, start: int) -> tuple[object, int, str]:
        """Return the value that begins at a place, where it ends, and why it is refused, if it is.

        Raises:
            ValueError: when there is no whole value.
        """
        self._wrong = ""
        try:
            value, end = self._decoder.raw_decode(text, start)
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        if not self._wrong:
            try:
                check_document(value)
            except DocumentRefused as error:
                self._wrong = str(error)
        return value, end, self._wrong

    def _mark(self, reason: str) -> None:
        self._wrong = self._wrong or reason

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            names = [name for name, _ in pairs]
            self._mark(f"has the member {next(name for name in names if names.count(name) > 1)[:40]!r} twice")
        return members

    def _int(self, text: str) -> int:
        if len(text) > 20:
            self._mark("has a number that is too long")
            return 0
        return int(text)

    def _float(self, text: str) -> float:
        if len(text) > 400 or not math.isfinite(float(text)):
            self._mark("has a number that is too large")
            return 0.0
        return float(text)


def read_json_lines(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the records of a file with one JSON object in each line.

    Raises:
        Refusal: when the file is one object over several lines.
    """
    json_text = JsonText()
    with TextFile(path, encoding) as file:
        _check_lines(path, file.start())
        for line in file.lines():
            read = line.offset + line.size
            if line.text is None:
                yield Record(line.number, None, line.reason, read)
                continue
            text = line.text.strip(_SPACE + "\x1a")
            if not text:
                continue
            try:
                value, end, wrong = json_text.at(text, 0)
            except ValueError:
                yield Record(line.number, None, "is not JSON", read)
                continue
            if not wrong and isinstance(value, dict) and isinstance(value.get("users"), list):
                wrong = (
                    "is an object with a list of users, not a user: name its kind with --format, or take the list out "
                    f"of it: jq -c '.users[]' {path.name} > people.jsonl"
                )
            if end < len(text):
                yield Record(line.number, None, "has text after the JSON object", read)
            else:
                yield _record(line.number, value, wrong, read, 1)


def _check_lines(path: Path, start: str) -> None:
    """Refuse one object that is written over several lines."""
    lines = [line.strip() for line in start.splitlines() if line.strip()][:2]
    if len(lines) == 2 and lines[0].startswith("{") and not lines[1].startswith("{"):
        try:
            json.loads(lines[0])
        except ValueError:
            pass
        else:
            return
        if lines[0] == "{" or lines[1][0] in '"}':
            raise Refusal(
                f"{path} is one JSON object over several lines, not JSON lines. Name its kind with --format, or take "
                f"the list of people out of it: jq -c '.users[]' {path.name} > people.jsonl"
            )


def read_json_array(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the elements of a file that is one JSON array, in one line or many.

    Raises:
        Refusal: where the array is broken: nobody can say where the next element begins.
    """
    with TextFile(path, encoding) as file:
        yield from Array(path, file).records()


class Array:
    """An array that is read in blocks; as much is kept as one element needs."""

    def __init__(self, path: Path, file: TextFile) -> None:
        self.path, self.file, self.blocks = path, file, file.blocks()
        self.text, self.at, self.line, self.ended = "", 0, 1, False
        self.json_text = JsonText()

    def records(self) -> Iterator[Record]:
        """Yield every element."""
        if self._next() != "[":
            raise self._refused("does not begin with [")
        self._go(self.at + 1)
        if self._next() == "]":
            self._go(self.at + 1)
            self._check_end()
            return
        while True:
            if not self._next():
                raise self._refused("the array does not end")
            line = self.line
            value, end, wrong = self._value()
            size = end - self.at
            self._go(end)
            if size > MAX_RECORD_BYTES:
                wrong = f"has more than {MAX_RECORD_BYTES // 1024} KB"
            yield _record(line, value, wrong, self.file.file.tell(), self.line - line + 1)
            mark = self._next()
            self._go(self.at + 1)
            if mark == "]":
                self._check_end()
                return
            if mark != ",":
                raise self._refused("a comma is missing")

    def _value(self) -> tuple[object, int, str]:
        while True:
            try:
                value, end, wrong = self.json_text.at(self.text, self.at)
                if end < len(self.text) or self.ended:
                    return value, end, wrong
            except ValueError:
                if self.ended or len(self.text) - self.at > MAX_ELEMENT:
                    raise self._refused("an element is not JSON, or is longer than 1 MB") from None
            self._more()

    def _check_end(self) -> None:
        if self._next():
            raise self._refused("there is more text after the end of the array")

    def _next(self) -> str:
        """Go to the next character that is not space, and return it; empty at the end."""
        while True:
            at = self.at
            while at < len(self.text) and self.text[at] in _SPACE:
                at += 1
            self._go(at)
            if at < len(self.text):
                return self.text[at]
            if self.ended:
                return ""
            self._more()

    def _go(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def _more(self) -> None:
        block = next(self.blocks, None)
        if block is None:
            self.ended = True
        else:
            self.text, self.at = self.text[self.at :] + block, 0

    def _refused(self, reason: str) -> Refusal:
        return Refusal(
            f"{self.path} is not a JSON array: line {self.line}: {reason}. Correct the file, or export it as JSON "
            "lines (one object in each line), where a broken line costs only itself"
        )


def _record(line: int, value: object, wrong: str, read: int, lines: int) -> Record:
    if not isinstance(value, dict):
        return Record(line, None, wrong or "is not a JSON object", read, lines)
    return Record(line, None if wrong else value, wrong, read, lines)
