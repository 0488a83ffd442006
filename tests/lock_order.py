"""Checks in which order transactions lock rows: what :data:`sso.platform.db.locks.LOCK_ORDER` says.

:func:`watch` listens to every statement of a database. It reads from the SQL text which tables a statement locks, and
collects what is out of order. This needs no luck: a transaction that is wrong is found by running it once, alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import event

from sso.platform.db import Database
from sso.platform.db.locks import LOCK_ORDER, OF_A_PERSON, WITHOUT_ORDER

RANK = {name: number for number, name in enumerate(LOCK_ORDER)}
_FOR = re.compile(r"\bFOR (NO KEY UPDATE|KEY SHARE|UPDATE|SHARE)\b(?: OF (\w+(?:, \w+)*))?")
_SKIPS = re.compile(r"\bSKIP LOCKED\b")
_FROM = re.compile(r"\bFROM (\w+)(?: AS (\w+))?")
_WITHIN = re.compile(r"\bAS \((UPDATE|DELETE FROM|INSERT INTO) (\w+)")
_WRITES = re.compile(r"^\s*(?:WITH .*?\)\s*)?(UPDATE|DELETE FROM|INSERT INTO) (\w+)", re.DOTALL)


@dataclass
class Locks:
    """What one transaction has locked: each table in the order of its first lock, and how strongly."""

    order: list[str] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    inserted: set[str] = field(default_factory=set)


@cache
def locks_of(statement: str) -> tuple[tuple[str, str], ...]:
    """Return which tables a statement locks, in the order in which it does, and how: ``share``, ``lock``, ``write``,
    ``insert``, or ``skip``: rows that are passed over when somebody else holds them (SKIP LOCKED)."""
    locks: list[tuple[int, str, str]] = []
    text = " ".join(statement.split())
    for match in _WITHIN.finditer(text):
        locks.append((match.start(), match.group(2), _kind(match.group(1), text[match.start() :])))
    for match in _FOR.finditer(text):
        tables = _FROM.findall(text[: match.start()])
        names = [name.strip() for name in match.group(2).split(",")] if match.group(2) else [tables[-1][0]]
        kind = "share" if match.group(1).endswith("SHARE") else "lock"
        locks += [(match.start(), name, "skip" if _SKIPS.search(text) else kind) for name in names]
    if written := _WRITES.match(text):
        locks.append((written.start(1), written.group(2), _kind(written.group(1), text[written.start(1) :])))
    return tuple((table, kind) for _, table, kind in sorted(locks, key=lambda lock: lock[0]))


def _kind(verb: str, text: str) -> str:
    """Return what a verb does with rows that are there already: ``text`` begins with it, and others may follow."""
    mine = text.partition(" RETURNING ")[0]
    return "insert" if verb == "INSERT INTO" and "ON CONFLICT" not in mine else "write"


class Watch:
    """Follows the transactions of databases; ``wrong`` holds what was out of order, each once."""

    def __init__(self) -> None:
        self.wrong: dict[str, str] = {}
        self._open: dict[int, Locks] = {}

    def listen(self, database: Database) -> None:
        """Listen to the statements of a database: of PostgreSQL, because SQLite locks no rows."""
        if database.is_sqlite:
            return
        engine = database.engine.sync_engine
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "commit", self._end)
        event.listen(engine, "rollback", self._end)
        event.listen(engine, "before_cursor_execute", self._statement)

    def _begin(self, connection: Any) -> None:
        self._open[id(connection)] = Locks()

    def _end(self, connection: Any) -> None:
        self._open.pop(id(connection), None)

    def _statement(self, connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        mine = self._open.get(id(connection))
        if mine is not None:
            self.add(mine, statement)

    def add(self, mine: Locks, statement: str) -> None:
        """Note what a statement of a transaction locks."""
        for table, kind in locks_of(statement):
            if table in WITHOUT_ORDER:
                continue
            if kind == "insert":
                mine.inserted.add(table)
                continue
            if table in mine.inserted:
                continue  # rows of its own, which nobody else sees
            if kind != "share" and table in mine.shared and table not in mine.written:
                self._report(f"{table} is held FOR SHARE and then changed", mine, statement)
            if table not in mine.order:
                late = [held for held in mine.order if _rank(held) > _rank(table)]
                if "users" in mine.order and table in OF_A_PERSON:
                    late = [held for held in late if held not in OF_A_PERSON]
                if late and kind != "skip":  # whoever passes over does not wait
                    self._report(f"{table} after {', '.join(late)}", mine, statement)
                mine.order.append(table)
            (mine.shared if kind == "share" else mine.written).add(table)

    def _report(self, what: str, mine: Locks, statement: str) -> None:
        self.wrong.setdefault(what, f"{what}: {' '.join(mine.order)} | {' '.join(statement.split())[:200]}")


def _rank(table: str) -> int:
    return RANK.get(table, len(RANK))


def in_words(wrong: Iterable[str]) -> str:
    """Return what was out of order, a line each."""
    return "\n".join(["transactions lock rows out of order (docs/contributing/architecture.md):", *wrong])
