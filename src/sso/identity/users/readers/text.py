"""Lines of a text file whose encoding and line lengths are not trusted."""

from __future__ import annotations

import codecs
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from sso.errors import Refusal
from sso.identity.users.records import MAX_RECORD_BYTES

BLOCK = 256 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, the longer ones first: that of UTF-32 begins with that of UTF-16."""
_BINARY = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook: save the sheet as CSV UTF-8, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook: save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first, for example with gunzip"),
    (b"BZh", "compressed with bzip2: unpack it first, for example with bunzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz: unpack it first, for example with unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first, for example with unzstd"),
    (b"PGDMP", "a binary dump of PostgreSQL: convert it first, for example pg_restore -f dump.sql -t users FILE"),
    (b"SQLite format 3\x00", "an SQLite database: export the table first, for example sqlite3 FILE .dump > dump.sql"),
)
"""How files begin that hold no text, and what to do with them."""
_WIDE = re.compile(r"utf-(16|32)(-[lb]e)?")
_STATEFUL = re.compile(r"utf_?7|iso_?2022.*|hz|punycode|idna|.*escape.*|undefined", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line: its number, where it begins and how many bytes it has with its end, and its text without the end. None:
    the line is refused for ``reason``. ``loose`` is the text even where it is not of the encoding, with U+FFFD, to
    tell its structure; None: the line is too long."""

    number: int
    offset: int
    size: int
    text: str | None
    reason: str
    loose: str | None


class TextFile:
    """A file that is read line by line. UTF-16 and UTF-32 are turned into UTF-8 in a temporary file first, so that
    every byte position can be read again."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        """Open a file.

        Args:
            path: the file.
            encoding: its encoding; None: what the byte order mark says, or UTF-8.

        Raises:
            Refusal: when the encoding is not known or must be named.
        """
        self.path = path
        self.file: IO[bytes] = path.open("rb")
        try:
            self._open(encoding)
        except BaseException:
            self.file.close()
            raise

    def _open(self, encoding: str | None) -> None:
        start = self.file.read(BLOCK)
        for begin, advice in _BINARY:
            if start.startswith(begin) and (begin != b"BZh" or start[4:10] == b"1AY&SY"):
                raise Refusal(f"{self.path} is {advice}")
        mark, marked = next(((mark, name) for mark, name in _MARKS if start.startswith(mark)), (b"", ""))
        self.encoding = known_encoding(encoding) if encoding else marked
        if marked and encoding and not marked.startswith(self.encoding):
            raise Refusal(f"--encoding {encoding}: the file begins with the mark of {marked}; leave --encoding out")
        if marked:
            self.encoding = marked
        self.begin = len(mark)
        if not self.encoding:
            self._check_not_wide(start)
            self.encoding = "utf-8"
            self._check_utf8()
        if _WIDE.fullmatch(self.encoding):
            self._narrow()
        head = self._head()
        self.newline = b"\r" if b"\r" in head and b"\n" not in head else b"\n"

    def __enter__(self) -> TextFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def start(self) -> str:
        """Return the first characters."""
        return self._head().decode(self.encoding, "replace")

    def lines(self) -> Iterator[TextLine]:
        """Yield every line. A line that is too long or not of the encoding has no text."""
        offset = self.begin
        for number, (data, size) in enumerate(self._raw_lines(), start=1):
            if data is None:
                reason = f"the line has more than {MAX_RECORD_BYTES // 1024} KB"
                yield TextLine(number, offset, size, None, reason, None)
            else:
                text, reason = self.decoded(data)
                text = text.removesuffix("\r")
                yield TextLine(number, offset, size, None if reason else text, reason, text)
            offset += size

    def decoded(self, data: bytes) -> tuple[str, str]:
        """Return text, and why it is refused; empty where it is of the encoding."""
        try:
            return data.decode(self.encoding), ""
        except UnicodeDecodeError as error:
            reason = f"is not {self.encoding} (byte 0x{data[error.start]:02x} in {excerpt(data, error.start)})"
            return data.decode(self.encoding, "replace"), reason

    def blocks(self) -> Iterator[str]:
        """Yield the text in blocks. What is not of the encoding becomes lone surrogates."""
        self.file.seek(self.begin)
        errors = "surrogateescape"
        decoder = codecs.getincrementaldecoder(self.encoding)(errors)
        while block := self.file.read(BLOCK):
            yield decoder.decode(block)
        yield decoder.decode(b"", True)

    def quoted_until(self, offset: int, delimiter: str) -> int | None:
        """Return the byte position after the quotation mark that closes a quoted value (RFC 4180 section 2.5 to 2.7)
        which is open at ``offset``. None: the next mark that is not doubled does not close one, or there is none."""
        ends = {delimiter.encode(), b"\r", b"\n", b""}
        with self.path.open("rb") as file:
            file.seek(offset)
            base, block = offset, file.read(BLOCK)
            at = 0
            while True:
                position = block.find(b'"', at)
                if position < 0 or position + 1 == len(block):
                    more = file.read(BLOCK)
                    if not more:
                        return base + len(block) if position >= 0 else None
                    rest = block[position:] if position >= 0 else b""
                    base += len(block) - len(rest)
                    block, at = rest + more, 0
                    continue
                after = block[position + 1 : position + 2]
                if after == b'"':
                    at = position + 2
                    continue
                return base + position + 1 if after in ends else None

    def bytes_between(self, begin: int, end: int) -> bytes:
        """Return what stands between two places."""
        with self.path.open("rb") as file:
            file.seek(begin)
            return file.read(end - begin)

    def count_marks(self, begin: int, end: int) -> int:
        """Return how many quotation marks stand between two places."""
        count = 0
        with self.path.open("rb") as file:
            file.seek(begin)
            while begin < end and (block := file.read(min(BLOCK, end - begin))):
                count += block.count(b'"')
                begin += len(block)
        return count

    def line_end(self, offset: int) -> int:
        """Return the place after the end of the line in which ``offset`` is."""
        with self.path.open("rb") as file:
            file.seek(offset)
            while block := file.read(BLOCK):
                position = block.find(self.newline)
                if position >= 0:
                    return offset + position + 1
                offset += len(block)
        return offset

    def _head(self) -> bytes:
        self.file.seek(self.begin)
        return self.file.read(BLOCK)

    def _raw_lines(self) -> Iterator[tuple[bytes | None, int]]:
        """Yield each line without its end, None where it is too long, and its size with the end."""
        self.file.seek(self.begin)
        held, skipped = b"", 0
        while block := self.file.read(BLOCK):
            parts = (held + block).split(self.newline)
            held = parts.pop()
            for part in parts:
                size = skipped + len(part) + 1
                yield (None if size > MAX_RECORD_BYTES else part), size
                skipped = 0
            if len(held) > MAX_RECORD_BYTES:
                skipped, held = skipped + len(held), b""
        if held or skipped:
            size = skipped + len(held)
            yield (None if size > MAX_RECORD_BYTES else held), size

    def _check_not_wide(self, start: bytes) -> None:
        head = start[:4096]
        if head.count(0) * 4 >= len(head) > 0:
            end = "le" if head[1::2].count(0) >= head[0::2].count(0) else "be"
            raise Refusal(f"{self.path} seems to be UTF-16 without a byte order mark: give --encoding utf-16-{end}")

    def _check_utf8(self) -> None:
        """Refuse a file that is not UTF-8 and says nothing of its encoding: nothing is guessed, nothing replaced."""
        self.file.seek(0)
        decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
        while True:
            block = self.file.read(BLOCK)
            state = decoder.getstate()[0]
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                data = state + block
                line += data[: error.start].count(b"\n")
                there = excerpt(data, error.start)
                begin = max(data.rfind(b"\n", 0, error.start) + 1, error.start - 20)
                as_1252 = data[begin : error.start + 10].partition(b"\n")[0].decode("cp1252", "replace")
                raise Refusal(
                    f"{self.path} is not UTF-8: line {line} has byte 0x{data[error.start]:02x} in {there}. Name its "
                    f"encoding, for example --encoding windows-1252 if this is right: {' '.join(as_1252.split())!r}. "
                    "With --encoding utf-8 the rows that are not UTF-8 are rejected"
                ) from None
            if not block:
                return
            line += block.count(b"\n")

    def _narrow(self) -> None:
        """Turn the file into UTF-8; half a character stays half a character, which no line with it is decoded from."""
        decoder = codecs.getincrementaldecoder(self.encoding)("surrogatepass")
        copy = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed, and deleted, with the file
        self.file.seek(self.begin)
        try:
            while block := self.file.read(BLOCK):
                copy.write(decoder.decode(block).encode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise Refusal(f"{self.path} is not {self.encoding}: {error.reason}") from None
        if decoder.getstate()[0]:
            copy.write(b"\xff")
        copy.flush()
        self.file.close()
        self.file, self.path, self.begin, self.encoding = copy, Path(copy.name), 0, "utf-8"


def known_encoding(name: str) -> str:
    """Return the Python name of an encoding in which every ASCII character is itself, or of UTF-16 or UTF-32.

    Raises:
        Refusal: when it is another, or none.
    """
    try:
        codec = codecs.lookup(name)
    except LookupError:
        raise Refusal(f"--encoding {name}: is not known; for example utf-8, windows-1252, utf-16") from None
    if _WIDE.fullmatch(codec.name):
        return codec.name
    ascii_text = bytes(range(128))
    try:
        plain = not _STATEFUL.fullmatch(codec.name.replace("-", "_")) and ascii_text.decode(name) == ascii_text.decode()
    except (UnicodeError, LookupError, AssertionError):
        plain = False
    if not plain:
        raise Refusal(f"--encoding {name}: cannot be read; convert the file to UTF-8 first, for example with iconv")
    return codec.name.removesuffix("-sig")


def excerpt(data: bytes, at: int) -> str:
    """Return the bytes around a place, as a person can read them."""
    begin = max(data.rfind(b"\n", 0, at) + 1, at - 12)
    around = data[begin : at + 8].partition(b"\n")[0]
    return "'" + "".join(chr(code) if 32 <= code < 127 else f"\\x{code:02x}" for code in around) + "'"
