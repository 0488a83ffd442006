"""Files of units: reading CSV and YAML, comparing them with what is there, and applying the difference.

A file is applied whole or not at all. Every line with an error is told. The lines may stand in any order: a unit may
name a parent that stands further down. What the file does not name stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_changes import access_before_units_change, access_changed_since
from sso.accounts.groups import IN_TOKENS, NO_REASON, TOO_DEEP, GroupRefused
from sso.accounts.services import AccountChanges
from sso.errors import Refusal, validation_field, validation_message
from sso.identity.groups import store, tree
from sso.identity.groups.models import Group, GroupAncestor
from sso.identity.groups.schemas import Kind, NewGroup
from sso.identity.users.readers.tabular import read_csv
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import new_id
from sso.platform.messages import N_
from sso.platform.security.numbers import read_day

COLUMNS = ("code", "name_id", "name_en", "parent_code", "valid_from", "valid_until")
REQUIRED = ("code", "name_id")
MAX_UNITS = 20_000
MAX_BYTES = 3 * 1024 * 1024
"""Of a file that is sent to a page."""
BATCH = 500
MISSING = N_("The value is missing.")
NOT_READ = N_("The line cannot be read: %(detail)s")
TWICE = N_("The code is also on line %(line)s.")
UNKNOWN_PARENT = N_("No unit has the code %(code)s, in this file or before.")
IN_CYCLE = N_("The units are below one another in a circle: %(codes)s")
NO_DAY = N_("Write the day as 2026-01-31.")
TIME = N_("The last day is before the first day.")
KIND = N_("The code belongs to a group, not to a unit.")
GROUP_PARENT = N_("A group has no parent unit.")
UNDER_CLOSED = N_("%(below)s is open, but its parent unit %(code)s is closed.")
INVALID = N_("The value is not valid: %(detail)s")
UNKNOWN_COLUMN = N_("The column “%(detail)s” is unknown.")
NO_COLUMN = N_("The column “%(detail)s” is missing.")
TOO_MANY = N_("The file has more than %(detail)s units.")
NOT_YAML = N_("The file is not a YAML file of units and groups: %(detail)s")
EMPTY = N_("The file has no units.")


class UnitFileRefused(Refusal):
    """The file cannot be used at all. ``text``: why, as a message; ``detail``: what it names."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text % {"detail": detail})
        self.text, self.detail = text, detail


@dataclass(frozen=True, slots=True)
class Mistake:
    """An error in a line: the text is a message that names ``named``."""

    line: int
    column: str
    text: str
    named: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        column = f"{self.column}: " if self.column else ""
        return f"line {self.line}: {column}{self.text % self.named}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A unit of a file.

    Args:
        line: where it stands.
        given: the columns that the file has; of the others nothing is said.
        new: the values, without the parent.
        parent: the code of the parent; empty: it has none.
    """

    line: int
    given: frozenset[str]
    new: NewGroup
    parent: str


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one unit. ``before``: as it is now; ``fields``: those that change, with the parent's code."""

    entry: Entry
    before: Group | None
    fields: dict[str, tuple[object, object]]

    @property
    def action(self) -> str:
        """``create``, ``move`` or ``update``."""
        if self.before is None:
            return "create"
        return "move" if "parent_code" in self.fields else "update"


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """The difference between a file and what is there."""

    changes: list[Change]
    unchanged: int
    mistakes: list[Mistake]
    codes: Mapping[str, Group] = field(default_factory=dict)

    def counted(self) -> dict[str, int]:
        """Return how many units there are of each action."""
        counts = {"create": 0, "update": 0, "move": 0, "unchanged": self.unchanged}
        for change in self.changes:
            counts[change.action] += 1
        return counts


def read_units_csv(path: Path, zone: str, encoding: str | None = None) -> tuple[list[Entry], list[Mistake]]:
    """Return the units of a CSV file, and the errors of its lines.

    Args:
        path: the file. Columns are separated by comma, semicolon, tab or bar.
        zone: the city's time zone, in which days begin.
        encoding: the character encoding; None: what the byte order mark says, or UTF-8.

    Raises:
        Refusal: when it is no CSV file, is no text, or its encoding must be named.
        UnitFileRefused: when a column is unknown or missing, or there are no or too many units.
    """
    return _sorted_out(_csv_entries(path, zone, encoding))


def _sorted_out(lines: Iterable[Entry | Mistake]) -> tuple[list[Entry], list[Mistake]]:
    """Return the units of a file and the errors of its lines, apart.

    Raises:
        UnitFileRefused: when it has neither.
    """
    entries: list[Entry] = []
    mistakes: list[Mistake] = []
    for line in lines:
        if isinstance(line, Entry):
            entries.append(line)
        else:
            mistakes.append(line)
    if not entries and not mistakes:
        raise UnitFileRefused(EMPTY)
    return entries, mistakes


def _csv_entries(path: Path, zone: str, encoding: str | None) -> Iterator[Entry | Mistake]:
    checked = False
    for count, row in enumerate(read_csv(path, encoding)):
        if count >= MAX_UNITS:
            raise UnitFileRefused(TOO_MANY, str(MAX_UNITS))
        if row.row is None:
            yield Mistake(row.line, "", NOT_READ, {"detail": row.reason})
            continue
        values = {name.lower(): str(value).strip() for name, value in row.row.items()}
        if not checked:
            _check_columns(list(values))
            checked = True
        yield read_entry(row.line, values, zone)


def _check_columns(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise UnitFileRefused(UNKNOWN_COLUMN, unknown[0][:60])
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise UnitFileRefused(NO_COLUMN, missing[0])


def read_entry(line: int, values: Mapping[str, str], zone: str, kind: Kind = "unit") -> Entry | Mistake:
    """Return the unit that a line says, or its error. Empty values say that there is none."""
    given: dict[str, object] = {"kind": kind}
    for name in ("code", "name_id", "name_en"):
        if values.get(name):
            given[name] = values[name]
        elif name in REQUIRED:
            return Mistake(line, name, MISSING)
    for name in ("valid_from", "valid_until"):
        if values.get(name):
            try:
                given[name] = read_day(values[name], zone, end=name == "valid_until")
            except (ValueError, OverflowError):
                return Mistake(line, name, NO_DAY)
    try:
        new = NewGroup.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        return Mistake(line, validation_field(problem), INVALID, {"detail": validation_message(problem)})
    if new.valid_from is not None and new.valid_until is not None and new.valid_from >= new.valid_until:
        return Mistake(line, "valid_until", TIME)
    if kind == "group" and values.get("parent_code"):
        return Mistake(line, "parent_code", GROUP_PARENT)
    return Entry(line, frozenset(values), new, values.get("parent_code", ""))


def read_units_yaml(path: Path, zone: str) -> tuple[list[Entry], list[Mistake]]:
    """Return the units and groups of a YAML file (``units:`` and ``groups:``), and the errors of its entries.

    Raises:
        UnitFileRefused: when it is no such file.
    """
    return _sorted_out(_yaml_entries(path, zone))


def _yaml_entries(path: Path, zone: str) -> Iterator[Entry | Mistake]:
    import yaml

    from sso.clients.yaml_documents import read_yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        document, root = read_yaml(text), yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise UnitFileRefused(NOT_YAML, " ".join(str(error).split())[:300]) from None
    if not isinstance(document, dict) or not isinstance(root, yaml.MappingNode) or set(document) - {"units", "groups"}:
        raise UnitFileRefused(NOT_YAML, "units:, groups:")
    for key, node in root.value:
        kind: Kind = "unit" if key.value == "units" else "group"
        items = document[key.value] or []
        if not isinstance(items, list) or len(items) > MAX_UNITS:
            raise UnitFileRefused(NOT_YAML, f"{key.value}:")
        for item, place in zip(items, node.value, strict=False):
            yield _yaml_entry(place.start_mark.line + 1, item, zone, kind)


def _yaml_entry(line: int, item: object, zone: str, kind: Kind) -> Entry | Mistake:
    if not isinstance(item, dict):
        return Mistake(line, "", NOT_READ, {"detail": "code, name_id, …"})
    values = {("parent_code" if name == "parent" else name): value for name, value in item.items()}
    unknown = [name for name in values if name not in COLUMNS]
    if unknown:
        return Mistake(line, unknown[0][:60], UNKNOWN_COLUMN, {"detail": unknown[0][:60]})
    texts = {name: "" if value is None else str(getattr(value, "raw", value)) for name, value in values.items()}
    return read_entry(line, texts, zone, kind)


def as_yaml(groups: Sequence[Group], zone: str) -> str:
    """Return units and groups as :func:`read_units_yaml` reads them."""
    import yaml

    rows = {group.code: row for group, row in zip(groups, as_rows(groups, zone), strict=True)}
    kinds: tuple[tuple[str, str], ...] = (("units", "unit"), ("groups", "group"))
    document = {
        key: [
            {("parent" if name == "parent_code" else name): text for name, text in rows[group.code].items() if text}
            for group in groups
            if group.kind == kind
        ]
        for key, kind in kinds
    }
    return str(
        yaml.safe_dump({key: items for key, items in document.items() if items}, allow_unicode=True, sort_keys=False)
    )


async def make_plan(session: AsyncSession, entries: Sequence[Entry], mistakes: Sequence[Mistake]) -> UnitPlan:
    """Compare the units of a file with what is there. One statement.

    Args:
        session: a reading session, or the transaction that will apply the plan.
        entries: the units of the file.
        mistakes: the errors that were found before.
    """
    present = {group.code: group for group in await tree.all_groups(session)}
    by_id = {group.id: group for group in present.values()}
    errors = [*mistakes]
    named: dict[str, Entry] = {}
    for entry in entries:
        earlier = named.setdefault(entry.new.code, entry)
        if earlier is not entry:
            errors.append(Mistake(entry.line, "code", TWICE, {"line": earlier.line}))
    parents = {group.code: by_id[group.parent_id].code if group.parent_id else "" for group in present.values()}
    for code, entry in named.items():
        if "parent_code" in entry.given or code not in parents:
            parents[code] = entry.parent
        errors += _wrong_parent(entry, parents[code], named, present)
    errors += [*_under_closed(named, parents, present), *_cycles(named, parents)]
    if errors:
        return UnitPlan([], 0, sorted(errors, key=lambda mistake: mistake.line), present)
    changes = [_change(entry, present.get(code), parents, by_id) for code, entry in named.items()]
    real = [change for change in changes if change.before is None or change.fields]
    return UnitPlan(real, len(changes) - len(real), [], present)


def _wrong_parent(
    entry: Entry, parent: str, named: Mapping[str, Entry], present: Mapping[str, Group]
) -> Iterator[Mistake]:
    known = present.get(entry.new.code)
    if known is not None and known.kind != entry.new.kind:
        yield Mistake(entry.line, "code", KIND)
    if not parent:
        return
    above = named[parent].new if parent in named else None
    stored = present.get(parent)
    if above is None and stored is None:
        yield Mistake(entry.line, "parent_code", UNKNOWN_PARENT, {"code": parent[:64]})
        return
    kind = above.kind if above is not None else stored.kind if stored is not None else ""
    if kind != "unit":
        yield Mistake(entry.line, "parent_code", GROUP_PARENT)


def _under_closed(
    named: Mapping[str, Entry], parents: Mapping[str, str], present: Mapping[str, Group]
) -> Iterator[Mistake]:
    """Yield the error of each open unit whose parent is closed, at its line or at that of the parent."""
    now = clock.now()
    for code, parent in parents.items():
        entry = named.get(code) or named.get(parent)
        end = _end_of(parent, named, present.get(parent)) if parent else None
        if entry is None or end is None or end > now:
            continue
        own = _end_of(code, named, present.get(code))
        if own is None or own > now:
            yield Mistake(entry.line, "valid_until", UNDER_CLOSED, {"code": parent[:64], "below": code})


def _end_of(code: str, named: Mapping[str, Entry], stored: Group | None) -> datetime | None:
    entry = named.get(code)
    if entry is not None and ("valid_until" in entry.given or stored is None):
        return entry.new.valid_until
    return stored.valid_until if stored is not None else None


def _cycles(named: Mapping[str, Entry], parents: Mapping[str, str]) -> Iterator[Mistake]:
    """Yield the error of each unit of the file that is below itself, or too deep."""
    for code, entry in named.items():
        chain, at = [code], parents.get(code, "")
        while at and at not in chain and len(chain) <= tree.MAX_DEPTH:
            chain.append(at)
            at = parents.get(at, "")
        if at == code:
            yield Mistake(entry.line, "parent_code", IN_CYCLE, {"codes": " < ".join([*chain, code])[:300]})
        elif at and at not in chain:
            yield Mistake(entry.line, "parent_code", TOO_DEEP, {"count": tree.MAX_DEPTH})


def _change(entry: Entry, before: Group | None, parents: Mapping[str, str], by_id: Mapping[uuid.UUID, Group]) -> Change:
    if before is None:
        return Change(entry, None, {})
    fields: dict[str, tuple[object, object]] = {}
    for name in ("name_id", "name_en", "valid_from", "valid_until"):
        old, new = getattr(before, name), getattr(entry.new, name)
        if name in entry.given and old != new:
            fields[name] = (old, new)
    old_parent = by_id[before.parent_id].code if before.parent_id else ""
    if parents[before.code] != old_parent:
        fields["parent_code"] = (old_parent, parents[before.code])
    return Change(entry, before, fields)


async def apply_plan(
    session: AsyncSession, services: AccountChanges, plan: UnitPlan, *, name: str, actor: Actor, reason: str
) -> None:
    """Create, change and move the units of a plan, which was made in this transaction under the lock of the tree.

    Args:
        session: the transaction.
        services: how applications are told.
        plan: what to do; without errors.
        name: the name of the file, for the audit log.
        actor: who acts.
        reason: why.

    Raises:
        GroupRefused: when there is no reason.
    """
    if not reason.strip():
        raise GroupRefused(NO_REASON, "note")
    assert not plan.mistakes
    now = clock.now()
    ids = {code: group.id for code, group in plan.codes.items()}
    created = [change.entry for change in plan.changes if change.before is None]
    ids |= {entry.new.code: new_id() for entry in created}
    await _create(session, created, ids, now)
    changed = [(change, change.before) for change in plan.changes if change.before is not None]
    in_tokens = [group.id for change, group in changed if set(change.fields) & IN_TOKENS]
    access = await access_before_units_change(session, services, in_tokens)
    for change, group in changed:
        values = {column: new for column, (_, new) in change.fields.items() if column != "parent_code"}
        if "parent_code" in change.fields:
            values["parent_id"] = ids.get(str(change.fields["parent_code"][1]))
        statement = update(Group).where(Group.id == group.id).values(updated_at=now, **values)
        await session.execute(statement.execution_options(synchronize_session=False))
    await _move(session, changed, ids)
    if await tree.is_too_deep(session):
        raise GroupRefused(TOO_DEEP, count=tree.MAX_DEPTH)
    for change in plan.changes:
        _record(session, change, ids[change.entry.new.code], actor, reason)
    data = {"name": name[:200], "counts": plan.counted(), "note": reason}
    record_by(session, actor, "groups.imported", data=data)
    await access_changed_since(session, services, access, actor=actor)


async def _create(session: AsyncSession, created: Sequence[Entry], ids: Mapping[str, uuid.UUID], now: datetime) -> None:
    """Insert new units, the upper ones first, with their rows in the tree."""
    if not created:
        return
    by_code = {entry.new.code: entry for entry in created}
    levels: dict[str, list[str]] = {}
    for entry in created:  # the new units above each, from below
        chain, at = [entry.new.code], entry.parent
        while at in by_code:
            chain.append(at)
            at = by_code[at].parent
        levels[entry.new.code] = chain
    ordered = sorted(created, key=lambda entry: len(levels[entry.new.code]))
    rows = [
        {
            **entry.new.model_dump(exclude={"parent_id"}),
            "id": ids[entry.new.code],
            "parent_id": ids.get(entry.parent),
            "created_at": now,
            "updated_at": now,
        }
        for entry in ordered
    ]
    for start in range(0, len(rows), BATCH):
        await session.execute(insert(Group), rows[start : start + BATCH])
    outer = {by_code[levels[code][-1]].parent for code in levels} - {""}
    above = await tree.way_to(session, [ids[code] for code in outer]) if outer else {}
    pairs = []
    for code, chain in levels.items():
        uppers = [ids[name] for name in chain]
        last = by_code[chain[-1]].parent
        if last:
            uppers += [group.id for group in reversed(above[ids[last]])]
        pairs += [{"group_id": ids[code], "ancestor_id": upper, "depth": depth} for depth, upper in enumerate(uppers)]
    for start in range(0, len(pairs), BATCH):
        await session.execute(insert(GroupAncestor), pairs[start : start + BATCH])


async def _move(session: AsyncSession, changed: Sequence[tuple[Change, Group]], ids: Mapping[str, uuid.UUID]) -> None:
    """Move the units whose parent changes: first all of them to the top, so that no order makes a cycle."""
    moved = [(change, group) for change, group in changed if "parent_code" in change.fields]
    for _, group in moved:
        await store.move_subtree(session, group.id, None)
    for change, group in moved:
        parent = ids.get(str(change.fields["parent_code"][1]))
        if parent is not None:
            await store.move_subtree(session, group.id, parent)


def _record(session: AsyncSession, change: Change, group_id: uuid.UUID, actor: Actor, reason: str) -> None:
    new = change.entry.new
    data: dict[str, object] = {"unit": new.code, "note": reason}
    if change.before is None:
        type_, data = "group.created", data | {"kind": new.kind, "name": new.name_id, "parent": change.entry.parent}
    elif change.action == "move":
        old, parent = change.fields["parent_code"]
        type_, data = "group.moved", data | {"from": old, "to": parent}
    else:
        type_, data = "group.changed", data | {"changed": sorted(change.fields)}
    record_by(session, actor, type_, subject=str(group_id), data=data)


def day_text(moment: datetime | None, zone: str, *, end: bool = False) -> str:
    """Return the day of a moment as files and forms write it; of an end, the last day before it."""
    if moment is None:
        return ""
    return (moment - timedelta(microseconds=1 if end else 0)).astimezone(ZoneInfo(zone)).date().isoformat()


def as_rows(groups: Sequence[Group], zone: str) -> list[dict[str, str]]:
    """Return units as a file has them, each with the columns of :data:`COLUMNS`."""
    codes = {group.id: group.code for group in groups}
    return [
        {
            "code": group.code,
            "name_id": group.name_id,
            "name_en": group.name_en or "",
            "parent_code": codes.get(group.parent_id, "") if group.parent_id else "",
            "valid_from": day_text(group.valid_from, zone),
            "valid_until": day_text(group.valid_until, zone, end=True),
        }
        for group in groups
    ]
