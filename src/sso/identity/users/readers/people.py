"""From the record of another system to a row under our column names: what every such reader does the same way.

A row names nobody's rights: no column of ours grants a role, and whatever a file says about roles, groups and
permissions becomes a note. An account that is disabled in the other system is rejected, never enabled in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sso.identity.users.records import Record

MAX_NOTE = 300
MAX_ID = 200
_IDS = (
    "id", "user_id", "_id", "localId", "pk", "uuid", "entryuuid", "nsuniqueid", "ipauniqueid", "objectguid",
    "uidnumber", "uid", "username", "user_login", "email", "dn",
)  # fmt: skip
"""Columns and members that name a user in other systems, the surest first."""
Row = dict[str, object]
_YES = frozenset({"1", "true", "t", "yes", "y", "ya", "\x01"})
_NO = frozenset({"", "0", "false", "f", "no", "n", "tidak", "null", "\x00"})
"""The last ones are a BIT(1) of MySQL in a dump."""


class NotTaken(ValueError):
    """The record is of a person who is not taken over; the message says why."""


class NotAPerson(Exception):
    """The record is of something else: it is passed over."""


def people(records: Iterable[Record], change: Callable[[Any, list[str]], Row]) -> Iterator[Record]:
    """Yield records under our column names.

    Args:
        records: what the file holds.
        change: returns the row of one record, and adds to its second argument what it leaves out.
    """
    for record in records:
        if record.row is None:
            yield record
            continue
        notes: list[str] = []
        try:
            row = change(record.row, notes)
        except NotTaken as error:
            yield replace(record, row=None, reason=str(error), rejected_id=_id_of(record.row))
        except NotAPerson:
            continue
        except (TypeError, ValueError, AttributeError, KeyError):
            yield replace(record, row=None, reason="a value has another type than such an export has")
        else:
            yield replace(record, row=without_empty(row), notes=(*record.notes, *(note[:MAX_NOTE] for note in notes)))


def _id_of(given: object) -> str:
    """Return the id of a rejected record in the other system, or a name of the user; nothing where it has none."""
    inner = given.get("fields") if isinstance(given, Mapping) else None
    value = first(given, *_IDS) if isinstance(given, Mapping) else None
    if value is None and isinstance(inner, Mapping):
        value = first(inner, *_IDS)
    if isinstance(value, list):
        value = value[0]
    return str(value)[:MAX_ID] if isinstance(value, str | int) else ""


def without_empty(row: Row) -> Row:
    """Return a row without the columns that have no value. A boolean is written as yes/no columns are."""
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else value
        for name, value in row.items()
        if value not in (None, "", [], {})
    }


def first(given: Mapping[str, object], *names: str) -> object:
    """Return the first of some values that is there; None: none is. Capitals in the names make no difference."""
    by_name = {str(name).casefold(): value for name, value in given.items()}
    for name in names:
        value = by_name.get(name.casefold())
        if value not in (None, "", [], {}):
            return value
    return None


def flag(given: Mapping[str, object], *names: str) -> bool | None:
    """Return what a yes/no value says: the first of some that is there. None: none is there.

    Raises:
        NotTaken: when it is neither yes nor no.
    """
    value = first(given, *names)
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().casefold()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise NotTaken(f"{names[0]}: {str(value)[:40]!r} is not yes or no")


def refuse_disabled(disabled: bool | None, how: str) -> None:
    """Refuse an account that is disabled where it comes from.

    Raises:
        NotTaken: saying by which value.
    """
    if disabled:
        raise NotTaken(f"the account is disabled there ({how}); an imported account could be used at once")


def left_out(notes: list[str], column: str, named: object, why: str = "grants nothing here") -> None:
    """Add a note about values that have no place here."""
    values: Iterable[object] = [named]
    if isinstance(named, Mapping):
        values = [f"{name}: {value}" for name, value in named.items()]
    elif isinstance(named, Iterable) and not isinstance(named, str):
        values = named
    texts = [" ".join(str(value).split()) for value in values if value not in (None, "", [], {}, False, "0")]
    if texts:
        notes.append(f"{column}: {', '.join(texts)[:200]} {why}")


def full_name(*parts: object) -> str:
    """Return a name from its parts.

    Raises:
        NotTaken: when a part is not text.
    """
    if any(isinstance(part, dict | list | bool | float) for part in parts):
        raise NotTaken("name: is not text")
    return " ".join(" ".join(str(part).split()) for part in parts if part not in (None, ""))
