"""Rows of a table in an SQL dump: mysqldump, phpMyAdmin, pg_dump (COPY and INSERT), SQLite, SQL Server.

The dump is read, never run. It is read one value list at a time, in bounded memory. A statement that cannot be read
rejects what it holds from there on, and reading goes on at the next line that begins a statement. What stands inside
a text of a statement that can be read is never taken for a statement, whatever a user wrote there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sso.errors import Refusal
from sso.identity.users.readers.text import TextFile
from sso.identity.users.records import MAX_RECORD_BYTES, Record

MAX_TUPLE = 1024 * 1024
"""How many characters are kept to find the end of one list of values, or of a CREATE TABLE."""
MAX_TABLES = 2000
TableFilter = Callable[[str, Sequence[str]], bool]
"""Whether a table is read, by its name (lower case, without schema) and its columns."""
_NAME = r'(?:`(?:[^`]|``)+`|"(?:[^"]|"")+"|\[[^\]]+\]|[\w$]+)'
_TABLE = rf"(?:{_NAME}\s*\.\s*){{0,3}}({_NAME})"
_LIST = r"\(([^()]*)\)"
_INSERT = re.compile(
    rf"(?:INSERT|REPLACE)\s+(?:(?:LOW_PRIORITY|DELAYED|IGNORE)\s+){{0,3}}(?:OR\s+\w+\s+)?(?:INTO\s+)?(?:ONLY\s+)?{_TABLE}"
    rf"\s*(?:{_LIST})?\s*(?:OVERRIDING\s+\w+\s+VALUE\s+)?VALUES?\s*(?=\()",
    re.IGNORECASE,
)
_INTO = re.compile(
    rf"(?:INSERT|REPLACE)\s+(?:(?:LOW_PRIORITY|DELAYED|IGNORE)\s+){{0,3}}(?:OR\s+\w+\s+)?INTO\s+(?:ONLY\s+)?{_TABLE}",
    re.IGNORECASE,
)
_CREATE = re.compile(
    rf"CREATE\s+(?:UNLOGGED\s+|TEMPORARY\s+|TEMP\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_TABLE}\s*(?=\()", re.IGNORECASE
)
_COPY = re.compile(rf"COPY\s+{_TABLE}\s*(?:{_LIST})?\s+FROM\s+stdin[^;\n]*;[ \t]*\r?\n", re.IGNORECASE)
_BEGINS = re.compile(r"(INSERT|REPLACE|CREATE|COPY)\b", re.IGNORECASE)
_RESUME = re.compile(r"^(?:INSERT|REPLACE|CREATE|COPY|ALTER|DROP|LOCK|UNLOCK|SET|--|/\*!)", re.I | re.M)
_BLANK = re.compile(r"(?:\s++|--[^\n]*+(?:\n|$)|#[^\n]*+(?:\n|$))*+")
_BEGINS_A_DUMP = re.compile(
    r"\s*(?:--|/\*|\\\w|(?:INSERT|CREATE|COPY|PRAGMA|SET|DROP|USE|BEGIN|START|REPLACE)\b[^,\t|]*(?:\n|;|\())",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"^\s*(?:(?:INSERT|REPLACE)\s+INTO|CREATE\s+TABLE|COPY)\s+[`\"\[\w]", re.IGNORECASE | re.MULTILINE
)
_MYSQL = re.compile(r"(?:--|#).*(?:MySQL|MariaDB|phpMyAdmin|HeidiSQL|Adminer)|/\*!", re.IGNORECASE)
_FIRST = re.compile(r"\s*(?:INSERT|REPLACE|CREATE|DROP|COPY|ALTER)\b", re.IGNORECASE)
_QUOTED_END = {
    ("'", False): re.compile("'+"),
    ("'", True): re.compile(r"'+|[\\\n]"),
    ('"', False): re.compile('"'),
    ('"', True): re.compile(r'["\\\n]'),
    ("`", False): re.compile("`"),
}
_NAMES = re.compile(_NAME)
_SPACE = re.compile(r"\s*")
_STOP = re.compile(r"""['"`;]|--|/\*|\$[A-Za-z_]*\$""")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][\w.]*")
_HEX = re.compile(r"0x([0-9A-Fa-f]*)")
_TEXT = {
    True: re.compile(r"'([^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+)'", re.S),
    False: re.compile(r"'([^']*+(?:''[^']*+)*+)'", re.S),
}
"""A text in quotation marks, with backslashes as in MySQL or without as in standard SQL."""
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "v": "\v", "f": "\f"}
_CAST = re.compile(r"\s*::\s*[\w\s\"().\[\]]+?(?=\s*[,)])")
_NO_COLUMN = re.compile(
    r"(PRIMARY|UNIQUE|KEY|INDEX|CONSTRAINT|FOREIGN|CHECK|FULLTEXT|SPATIAL|EXCLUDE|PERIOD|LIKE)\b", re.IGNORECASE
)


class _More(Exception):
    """The text ends before the value does."""


class _Broken(Exception):
    """The statement cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A value that is not a literal, such as ``now()``."""

    text: str


def read_sql(path: Path, encoding: str | None, reads_table: TableFilter, what: str) -> Iterator[Record]:
    """Yield the rows of tables of a dump, each with the names of its columns.

    Args:
        path: the dump.
        encoding: its character encoding.
        reads_table: says which tables are read.
        what: what is looked for, for the message when there is none.

    Raises:
        Refusal: when no table is wanted.
    """
    with TextFile(path, encoding) as file:
        yield from _Dump(path, file, reads_table, what).records()


def _is_mysql(head: str) -> bool:
    """Tell whether backslashes escape in the texts of a dump: by its first comments, or by how its first statement
    writes the name of its table. What stands in texts further on has no say."""
    for line in head.splitlines():
        if _MYSQL.match(line):
            return True
        if _FIRST.match(line):
            return "`" in re.split(r"['\"(]", line, maxsplit=1)[0]
    return False


def is_dump(path: Path, encoding: str | None = None) -> bool:
    """Tell whether a file seems to be an SQL dump."""
    with TextFile(path, encoding) as file:
        start = file.start()
    return _BEGINS_A_DUMP.match(start) is not None


def looks_like_dump(start: str) -> bool:
    """Tell whether the beginning of a file, of which nobody said the kind, is that of an SQL dump."""
    return _BEGINS_A_DUMP.match(start) is not None and _STATEMENT.search(start) is not None


def table_named(name: str) -> TableFilter:
    """Return what says that a table has a name, whatever its schema and capitals are."""
    bare = name.rsplit(".", 1)[-1].strip('`"[]').casefold()
    return lambda table, _: table == bare


class _Dump:
    def __init__(self, path: Path, file: TextFile, reads_table: TableFilter, what: str) -> None:
        self.path, self.file, self.reads_table, self.what = path, file, reads_table, what
        self.blocks = file.blocks()
        self.text, self.at, self.line, self.ended = "", 0, 1, False
        self.columns: dict[str, list[str]] = {}
        self.seen: dict[str, None] = {}
        self.has_table = False
        self.wrong = ""
        """Why the statement that is passed over cannot be read."""
        self.begins_line = False
        head = file.start()
        self.batches = re.search(r"^GO\s*$", head, re.MULTILINE) is not None
        self.escapes = not self.batches and _is_mysql(head)

    def records(self) -> Iterator[Record]:
        """Yield every row of the tables that are wanted."""
        while self._to_statement():
            begun = self.line
            yield from self._statement()
            if self.wrong:
                reason = f"the statement cannot be read, to line {max(begun, self.line - 1)}: {self.wrong}"
                yield Record(begun, None, reason, self._read(), max(1, self.line - begun))
                self.wrong = ""
        if not self.has_table:
            tables = ", ".join(sorted(self.seen)[:30]) or "none"
            raise Refusal(f"{self.path} has no {self.what}; its tables with rows or columns: {tables}")

    # --- moving ---------------------------------------------------------------------------------------------------

    def _go(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to
        if self.at > MAX_TUPLE:
            self.text, self.at = self.text[self.at :], 0

    def _more(self) -> bool:
        block = next(self.blocks, None)
        if block is None:
            self.ended = True
            return False
        self.text, self.at = self.text[self.at :] + block, 0
        return True

    def _to_statement(self) -> bool:
        """Go to the first character of the next statement. False: the dump ends."""
        while True:
            match = _BLANK.match(self.text, self.at)
            end = match.end() if match else self.at
            if end == len(self.text) or self.text[end : end + 2] in ("-", "/", "/*"):
                if self.text.startswith("/*", end):
                    self._go(end)
                    self._after("*/")
                    continue
                if self._more():
                    continue
                self._go(len(self.text) if end == len(self.text) else end)
                return self.at < len(self.text)
            self._go(end)
            if self.text[self.at] == "\\":  # \connect, \restrict of psql, or a lost \.
                self._after("\n")
                continue
            while len(self.text) - self.at < 4096 and self._more():
                pass
            return True

    def _after(self, mark: str) -> None:
        """Go after a mark; to the end where there is none."""
        while (position := self.text.find(mark, self.at)) < 0:
            self._go(max(self.at, len(self.text) - len(mark) + 1))
            if not self._more():
                self._go(len(self.text))
                return
        self._go(position + len(mark))

    def _skip(self) -> None:
        """Go after the end of a statement, whatever it is. Texts, names and comments are passed over as a whole."""
        while True:
            match = _STOP.search(self.text, self.at)
            if match is None:
                self._go(max(self.at, len(self.text) - 64))
                if not self._more():
                    self._go(len(self.text))
                    return
                continue
            mark = match[0]
            if mark.startswith("$") and self.escapes:
                self._go(match.end())
                continue
            self._go(match.end())
            if mark == ";":
                return
            escaped = mark == "'" and self.text[max(0, match.start() - 1) : match.start()] in ("e", "E")
            self._after_quoted(mark, escaped)
            if self.wrong:
                self._to_resume(self.begins_line)
                self.begins_line = False
                return

    def _after_quoted(self, mark: str, escaped: bool) -> None:
        if mark == "--":
            self._after("\n")
        elif mark == "/*":
            self._after("*/")
        elif mark.startswith("$"):
            self._after(mark)
        else:
            self._after_text(mark, escaped)

    def _after_text(self, mark: str, escaped: bool) -> None:
        """Go after a quoted text or name that began before.

        A text that is not closed would take what follows it away: in MySQL's dumps no text has a line break before a
        statement, and in no SQL a text is followed by a letter.
        """
        begun, escapes = self.line, (self.escapes and mark != "`") or escaped
        stop = _QUOTED_END[mark, escapes]
        while True:
            match = stop.search(self.text, self.at)
            if match is None:
                self._go(len(self.text))
                if not self._more():
                    self.wrong = f"a text that begins in line {begun} does not end"
                    return
                continue
            if match.end() == len(self.text) and self._more():
                continue  # the run of marks may go on
            self._go(match.end())
            self._ahead(16)
            if match[0][0] == mark:
                if len(match[0]) % 2 == 0:
                    continue  # doubled marks stand for themselves
                after = self.text[self.at : self.at + 1]
                if mark == "'" and (after.isalnum() or after == "_"):
                    self.wrong = f"a text is followed by {self.text[self.at : self.at + 10]!r}"
                return
            if match[0] == "\\":
                self._go(min(self.at + 1, len(self.text)))
            elif self.escapes and _RESUME.match(self.text, self.at):
                self.wrong = f"a text that begins in line {begun} is not closed before line {self.line}"
                self.begins_line = True
                return

    def _ahead(self, size: int) -> None:
        """Read on until some characters can be looked at."""
        while len(self.text) - self.at < size and self._more():
            pass

    def _to_resume(self, at_line: bool) -> None:
        """Go to the next line that begins a statement. ``at_line``: a line begins here, which may be the one."""
        while not (at_line and _RESUME.match(self.text, self.at)):
            before = self.line
            self._after("\n")
            at_line = True
            self._ahead(16)
            if self.at >= len(self.text) or (self.ended and self.line == before):
                return

    # --- statements -----------------------------------------------------------------------------------------------

    def _statement(self) -> Iterator[Record]:
        if not _BEGINS.match(self.text, self.at):
            self._after("\n") if self.batches else self._skip()
            return
        for form, read in ((_INSERT, self._insert), (_COPY, self._copy), (_CREATE, self._create)):
            match = form.match(self.text, self.at)
            while match is None and self._may_go_on() and self._more():
                match = form.match(self.text, self.at)
            if match is not None:
                yield from read(match)
                return
        yield from self._other()

    def _other(self) -> Iterator[Record]:
        """Pass over a statement that is of no form that is read. Rows that it would write are not lost in silence."""
        match, begun = _INTO.match(self.text, self.at), self.line
        name = _bare(match[1]).casefold() if match is not None else ""
        self._skip()
        if name and self.reads_table(name, self.columns.get(name, [])):
            self.has_table = True
            reason = "an INSERT without VALUES (INSERT ... SET or SELECT) is not read"
            yield Record(begun, None, reason, self._read(), max(1, self.line - begun))

    def _may_go_on(self) -> bool:
        return len(self.text) - self.at < 16 * 1024

    def _table(self, match: re.Match[str]) -> tuple[str, list[str]]:
        name = _bare(match[1]).casefold()
        if len(self.seen) < MAX_TABLES:
            self.seen[name] = None
        listed = match[2] if match.re is not _CREATE else None
        return name, _names(listed) if listed is not None else self.columns.get(name, [])

    def _create(self, match: re.Match[str]) -> Iterator[Record]:
        name, _ = self._table(match)
        start = match.end()
        while True:
            try:
                body = _body(self.text, start)
                break
            except _More:
                if len(self.text) - self.at > MAX_TUPLE or not self._more():
                    self._skip()
                    return
                start = match.end() - match.start() + self.at
        if len(self.columns) < MAX_TABLES:
            self.columns[name] = _columns(body)
        self._go(start)
        if not self.batches:
            self._skip()
        yield from ()

    def _insert(self, match: re.Match[str]) -> Iterator[Record]:
        name, columns = self._table(match)
        is_read = self.reads_table(name, columns)
        if not is_read and not self.batches:
            self._skip()
            return
        self.has_table = self.has_table or is_read
        self._go(match.end())
        while True:
            begun = self.line
            try:
                if not columns and is_read:
                    raise _Broken(f"the dump does not say the columns of {name}: there is no CREATE TABLE before")
                values, size = self._tuple()
            except _Broken as error:
                yield self._rest_refused(begun, str(error))
                return
            if is_read:
                yield self._row(begun, columns, values, size)
            if not self._comma():
                self._end_of_insert()
                return

    def _end_of_insert(self) -> None:
        """Go after what may follow the last list: ON DUPLICATE KEY UPDATE, or nothing (SQL Server writes no mark)."""
        while len(self.text) - self.at < 64 and self._more():
            pass
        if re.match(r"\s*(?:ON\s|AS\s|RETURNING\s|;)", self.text[self.at : self.at + 64], re.IGNORECASE):
            self._skip()

    def _comma(self) -> bool:
        while True:
            match = _SPACE.match(self.text, self.at)
            end = match.end() if match else self.at
            if end < len(self.text):
                if self.text[end] == ",":
                    self._go(end + 1)
                    return True
                return False
            if not self._more():
                return False

    def _rest_refused(self, begun: int, reason: str) -> Record:
        """Reject the rest of a statement, and go on at the next line that begins one."""
        start = self.line
        self._after("\n")
        self._ahead(16)
        self._to_resume(True)
        lines = max(1, self.line - begun)
        return Record(
            begun, None, f"the statement cannot be read from here to line {max(start, self.line - 1)}: {reason}",
            self._read(), lines,
        )  # fmt: skip

    def _read(self) -> int:
        return self.file.file.tell()

    def _row(self, line: int, columns: Sequence[str], values: Sequence[object], size: int) -> Record:
        read, lines = self._read(), max(1, self.line - line + 1)
        if len(values) != len(columns):
            return Record(line, None, f"has {len(values)} values for {len(columns)} columns", read, lines)
        if size > MAX_RECORD_BYTES:
            return Record(line, None, f"has more than {MAX_RECORD_BYTES // 1024} KB", read, lines)
        row = dict(zip(columns, values, strict=True))
        notes = tuple(
            f"{name}: is the expression {value.text[:40]}"
            for name, value in row.items()
            if isinstance(value, Expression)
        )
        row = {name: None if isinstance(value, Expression) else value for name, value in row.items()}
        for name, value in row.items():
            if isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                return Record(line, None, f"{name}: is not {self.file.encoding}", read, lines)
        return Record(line, row, "", read, lines, notes)

    def _tuple(self) -> tuple[list[object], int]:
        """Return the values of one list, and how many characters it has."""
        while True:
            try:
                values, end = self._values()
                size = end - self.at
                self._go(end)
                return values, size
            except _More:
                if len(self.text) - self.at > MAX_TUPLE:
                    raise _Broken("a list of values does not end within 1 MB") from None
                if not self._more():
                    raise _Broken("the file ends within a list of values") from None

    def _values(self) -> tuple[list[object], int]:
        text, at = self.text, _blank(self.text, self.at)
        if text[at] != "(":
            raise _Broken(f"a list of values is expected, not {text[at : at + 20]!r}")
        values: list[object] = []
        at += 1
        while True:
            value, at = self._value(text, _blank(text, at))
            values.append(value)
            at = _blank(text, at)
            if text[at] == ")":
                return values, at + 1
            if text[at] != ",":
                raise _Broken(f"a comma is expected, not {text[at : at + 20]!r}")
            at += 1

    def _value(self, text: str, at: int) -> tuple[object, int]:
        char = text[at]
        if char == "'":
            return self._quoted(text, at, self.escapes)
        match = _HEX.match(text, at)
        if match is not None:
            _check_end(text, match.end())
            return _from_hex(match[1]), match.end()
        match = _NUMBER.match(text, at)
        if match is not None:
            _check_end(text, match.end())
            return match[0], match.end()
        match = _WORD.match(text, at)
        if match is not None:
            return self._word(text, at, match)
        raise _Broken(f"a value is expected, not {text[at : at + 20]!r}")

    def _quoted(self, text: str, at: int, escapes: bool) -> tuple[str, int]:
        match = _TEXT[escapes].match(text, at)
        if match is None or match.end() >= len(text):
            raise _More
        value = match[1].replace("''", "'") if not escapes else _unescaped(match[1])
        cast = _CAST.match(text, match.end()) if text.startswith(("::", " ::"), match.end()) else None
        if text.startswith("::", match.end()) and cast is None:
            raise _More
        return value, cast.end() if cast else match.end()

    def _word(self, text: str, at: int, match: re.Match[str]) -> tuple[object, int]:
        word, end = match[0].casefold(), match.end()
        _check_end(text, end)
        after = _blank(text, end)
        if text[after] == "'":
            if word in ("x", "b") and after == end:
                digits, end = self._quoted(text, end, False)
                return (_from_hex(digits) if word == "x" else digits), end
            if word == "e" or word == "n" or word.startswith("_"):
                return self._quoted(text, after, self.escapes or word == "e")
        if word.startswith("_") and (hexed := _HEX.match(text, after)) is not None:
            _check_end(text, hexed.end())
            return _from_hex(hexed[1]), hexed.end()
        if word in ("null", "default"):
            return None, end
        if word in ("true", "false"):
            return word == "true", end
        if text[after] == "(":
            end = self._after_call(text, after)
            return Expression(text[at:end]), end
        if word.startswith("current_"):
            return Expression(word), end
        raise _Broken(f"a value is expected, not {word[:20]!r}")

    def _after_call(self, text: str, at: int) -> int:
        depth = 0
        while True:
            if at >= len(text):
                raise _More
            if text[at] == "'":
                _, at = self._quoted(text, at, self.escapes)
                continue
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
            if depth == 0:
                return at

    def _copy(self, match: re.Match[str]) -> Iterator[Record]:
        """The lines of ``COPY ... FROM stdin`` of PostgreSQL, up to ``\\.``."""
        name, columns = self._table(match)
        is_read = self.reads_table(name, columns)
        self.has_table = self.has_table or is_read
        self._go(match.end())
        while True:
            line = self.line
            text = self._line()
            if text is None or text == "\\.":
                return
            if not is_read:
                continue
            cells = [_copied(cell) for cell in text.split("\t")]
            yield self._row(line, columns, cells, len(text))

    def _line(self) -> str | None:
        while (end := self.text.find("\n", self.at)) < 0:
            if len(self.text) - self.at > MAX_TUPLE:
                self._after("\n")
                return ""
            if not self._more():
                rest, self.at = self.text[self.at :], len(self.text)
                return rest or None
        line = self.text[self.at : end].removesuffix("\r")
        self._go(end + 1)
        return line


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    if at >= len(text):
        raise _More
    return at


def _check_end(text: str, at: int) -> None:
    if at >= len(text):
        raise _More


def _bare(name: str) -> str:
    name = name.strip()
    if name[:1] in '`"[':
        mark = name[0]
        inner = name[1:-1]
        return inner if mark == "[" else inner.replace(mark * 2, mark)
    return name


def _names(listed: str) -> list[str]:
    return [_bare(name) for name in _NAMES.findall(listed)]


def _body(text: str, at: int) -> str:
    """Return what stands between the brackets that open at a place."""
    depth, start = 0, at
    stop = re.compile(r"""[()'"`]""")
    while True:
        match = stop.search(text, at)
        if match is None:
            raise _More
        at = match.end()
        mark = match[0]
        if mark in "'\"`":
            end = text.find(mark, at)
            while mark == "'" and end > 0 and text[end - 1] == "\\":
                end = text.find(mark, end + 1)
            if end < 0:
                raise _More
            at = end + 1
            continue
        depth += 1 if mark == "(" else -1
        if depth == 0:
            return text[start + 1 : at - 1]


def _columns(body: str) -> list[str]:
    """Return the names of the columns of a CREATE TABLE."""
    names: list[str] = []
    depth, start, quoted = 0, 0, ""
    for at, char in enumerate(body + ","):
        if quoted:
            quoted = "" if char == quoted else quoted
        elif char in "'\"`":
            quoted = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "," and depth == 0:
            part = re.sub(r"^(?:\s++|--[^\n]*+\n)++", "", body[start:at])
            start = at + 1
            name = _NAMES.match(part)
            if name is not None and (part[:1] in '`"[' or not _NO_COLUMN.match(part)):
                names.append(_bare(name[0]))
    return names


def _from_hex(digits: str) -> str:
    """Return the text of binary digits, or the digits where they are no text."""
    try:
        return bytes.fromhex(digits).decode("utf-8")
    except ValueError:
        return f"0x{digits}"


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text.replace("''", "'")
    return re.sub(
        r"''|\\(.)", lambda escape: "'" if escape[0] == "''" else _ESCAPES.get(escape[1], escape[1]), text, flags=re.S
    )


def _copied(cell: str) -> str | None:
    if cell == "\\N":
        return None
    if "\\" not in cell:
        return cell
    return re.sub(
        r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))",
        lambda escape: (
            chr(int(escape[1], 16))
            if escape[1]
            else chr(int(escape[2], 8))
            if escape[2]
            else _COPY_ESCAPES.get(escape[3], escape[3])
        ),
        cell,
    )


_COPY_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
