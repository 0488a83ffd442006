"""Files of role assignments (YAML): what a file asks for, the plan that brings the provider there, and the export."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_changes import INSTANT, access_changed
from sso.accounts.role_assignments import (
    MAX_AT_ONCE,
    NewAssignment,
    RoleError,
    check_times,
    checked_reason,
    users_reached,
    write_ends,
    write_roles,
    write_times,
)
from sso.accounts.role_rules import Giver
from sso.accounts.services import AccountChanges
from sso.clients import store as clients
from sso.clients.models import SANDBOX_END
from sso.clients.roles import BELOW
from sso.clients.yaml_documents import read_yaml
from sso.errors import Refusal, validation_line
from sso.identity.groups import assignments as store
from sso.identity.groups.assignments import AssignmentFilter, Listed
from sso.identity.groups.models import Group, RoleAssignment
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.service import find_each
from sso.platform.actor import Actor
from sso.platform.security.numbers import checked_moment, is_day, read_day

MAX_ROWS = 10_000
PAGE = 500
EVERYTHING = Giver(None, gives_all=True)


class RoleFileError(Refusal):
    """The file cannot be used; each of ``mistakes`` says why."""

    status = 422

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self._mistakes = list(mistakes)

    @property
    def mistakes(self) -> list[str]:
        """One line for each mistake."""
        return self._mistakes


class FileRow(BaseModel):
    """One assignment in a file: ``user`` is an identifier or a user id, ``group`` and ``unit`` are codes.

    ``valid_from`` and ``valid_until``: the first and the last day, or moments. Days, and moments without a time zone,
    are in the time zone of the city.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    client_id: str = Field(min_length=1, max_length=100)
    role: str = Field(min_length=1, max_length=64)
    user: str | None = Field(None, max_length=254)
    group: str | None = Field(None, max_length=64)
    with_units_below: bool = False
    unit: str | None = Field(None, max_length=64)
    valid_from: datetime | date | None = None
    valid_until: datetime | date | None = None
    reason: str = Field(min_length=1, max_length=500)

    @field_validator("user", "group", "unit", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        """Take a number as it was written: a code or a phone number can have digits only."""
        return getattr(value, "raw", str(value)) if isinstance(value, (int, float)) else value

    @field_validator("valid_from", "valid_until", mode="before")
    @classmethod
    def _a_day(cls, value: object) -> object:
        """Take a day that is text as a day, and not as its first moment."""
        return date.fromisoformat(value.strip()) if isinstance(value, str) and is_day(value.strip()) else value


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a plan.

    Args:
        act: ``give`` the ``new`` assignment, ``change`` the times of the ``old`` one to those of ``new``, or ``end``
            the ``old`` one.
        client_id: the application.
        role: with the unit that it is limited to, as tokens have it: ``operator@PKM-1``.
        receiver: the user as the file names them, or the code of the group; with ``/*``: with the units below.
        to_group: whether the receiver is a group.
        new: as the file has it.
        old: as it is stored.
    """

    act: Literal["give", "change", "end"]
    client_id: str
    role: str
    receiver: str
    to_group: bool
    new: NewAssignment | None = None
    old: Listed | None = None


@dataclass(frozen=True, slots=True)
class _Names:
    """What the names in a file mean: users by the text, which can mean several, and units and groups by the code."""

    users: Mapping[str, list[User]]
    groups: Mapping[str, Group]


Key = tuple[str, str, uuid.UUID | None, uuid.UUID | None, bool, uuid.UUID | None]
"""What makes an assignment the same: application, role, user, group, with units below, and the unit of the limit."""


def read_file(text: str) -> list[FileRow]:
    """Return the rows of a file: a list, or a mapping with ``assignments``.

    Raises:
        RoleFileError: when it cannot be read.
    """
    try:
        document = read_yaml(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RoleFileError([f"the file is not YAML: {' '.join(str(error).split())}"]) from None
    rows = document.get("assignments") if isinstance(document, dict) else document
    if not isinstance(rows, list) or len(rows) > MAX_ROWS:
        raise RoleFileError([f"the file must be a list of at most {MAX_ROWS} assignments"])
    mistakes: list[str] = []
    read: list[FileRow] = []
    for number, row in enumerate(rows, 1):
        try:
            read.append(FileRow.model_validate(row))
        except ValidationError as error:
            mistakes += [f"assignment {number}: {validation_line(problem)}" for problem in error.errors()]
    if mistakes:
        raise RoleFileError(mistakes)
    return read


async def plan_file(
    session: AsyncSession, services: AccountChanges, rows: Sequence[FileRow], *, end_others: bool
) -> list[Step]:
    """Return what has to be done. What is there already, or is written twice, is left out.

    Args:
        session: for reading.
        services: the registered applications, and the encryption of NIKs.
        rows: of the file.
        end_others: end the assignments of the applications of the file that it does not have.

    Raises:
        RoleFileError: naming each row that cannot be given.
    """
    steps: list[Step] = []
    mistakes: list[str] = []
    in_file: dict[Key, NewAssignment] = {}
    client_ids = sorted({row.client_id for row in rows})
    present = {_key_of(listed): listed for client_id in client_ids for listed in await _all(session, client_id)}
    names = await _names(session, services, rows)
    now = clock.now()
    for number, row in enumerate(rows, 1):
        try:
            new = _resolved(services, names, row)
            key = (row.client_id, new.role, new.user_id, new.group_id, new.with_units_below, new.unit_id)
            if key in in_file and not _same_times(new, in_file[key], now):
                raise RoleFileError(["the file has this assignment twice, with different times"])
            step = _step(row, new, present.get(key), now) if key not in in_file else None
        except (RoleError, RoleFileError) as error:
            mistakes += [f"assignment {number}: {text}" for text in error.mistakes]
            continue
        in_file[key] = new
        if step is not None:
            steps.append(step)
    if mistakes:
        raise RoleFileError(mistakes)
    if end_others:
        steps += [_end_of(listed) for key, listed in present.items() if key not in in_file]
    return steps


def _step(row: FileRow, new: NewAssignment, old: Listed | None, now: datetime) -> Step | None:
    """Return what has to be done for a row; None: nothing.

    Raises:
        RoleError: when its times are wrong.
    """
    if old is not None and _same_times(new, old.assignment, now):
        return None
    check_times(new)
    role = f"{row.role}@{row.unit}" if row.unit else row.role
    receiver = row.user or f"{row.group}{BELOW if row.with_units_below else ''}"
    if old is None:
        return Step("give", row.client_id, role, receiver, row.group is not None, new=new)
    if _is_later(new.valid_from, now) and not _is_later(old.assignment.valid_from, now):
        raise RoleError("invalid_request", "valid_from: this role has begun already: end it, and give it again")
    return Step("change", row.client_id, role, receiver, row.group is not None, new=new, old=old)


def _end_of(listed: Listed) -> Step:
    given, unit, group = listed.assignment, listed.unit, listed.group
    role = f"{given.role}@{unit.code}" if unit is not None else given.role
    below = BELOW if given.with_units_below else ""
    receiver = f"{group.code}{below}" if group is not None else f"{listed.user_name} ({given.user_id})"
    return Step("end", given.client_id, role, receiver, group is not None, old=listed)


def _same_times(new: NewAssignment, old: NewAssignment | RoleAssignment, now: datetime) -> bool:
    """Tell whether two assignments have the same times. Beginnings in the past are not compared."""
    begun = not _is_later(new.valid_from, now) and not _is_later(old.valid_from, now)
    return new.valid_until == old.valid_until and (begun or new.valid_from == old.valid_from)


def _is_later(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment > now


async def carry_out(
    session: AsyncSession, services: AccountChanges, steps: Sequence[Step], *, actor: Actor, reason: str
) -> None:
    """Carry out a plan, all of it or nothing. ``reason``: why roles end that the file does not have.

    Everything is locked first, then all rows change, and then applications are told once: grants and sessions are
    locked after the rows of all applications and users.

    Raises:
        RoleError: when a role cannot be given, or has changed meanwhile.
    """
    if not steps:
        return
    stems = {step.client_id.removesuffix(SANDBOX_END) for step in steps}
    await clients.lock_clients(session, [name for stem in stems for name in (stem, stem + SANDBOX_END)])
    named = {step.new.user_id for step in steps if step.new is not None and step.new.user_id is not None}
    await users.lock_users(session, named)
    since, affected = clock.now() - INSTANT, set[uuid.UUID]()
    ordered = sorted(steps, key=lambda step: step.client_id)
    for client_id, of_client in groupby(ordered, lambda step: step.client_id):
        affected |= await _write(session, services, client_id, list(of_client), actor=actor, reason=reason)
    client_ids = {step.client_id for step in steps}
    await access_changed(session, services, user_ids=affected, client_ids=client_ids, actor=actor, since=since)


async def _write(
    session: AsyncSession,
    services: AccountChanges,
    client_id: str,
    steps: Sequence[Step],
    *,
    actor: Actor,
    reason: str,
) -> set[uuid.UUID]:
    """Write the rows of the steps of one application; return the users whom they reach."""
    ended = [step.old.assignment for step in steps if step.act == "end" and step.old is not None]
    for assignment in ended:
        await session.refresh(assignment)
        if assignment.valid_until is not None and assignment.valid_until <= clock.now():
            raise RoleError("already_ended", "a role of the plan has ended meanwhile")
    begun: list[RoleAssignment] = []
    for step in steps:
        if step.act != "change" or step.old is None or step.new is None:
            continue
        if await write_times(session, step.old.assignment, step.new, actor=actor):
            begun.append(step.old.assignment)
    now = clock.now()
    if ended:
        checked_reason(reason)
    affected = await users_reached(session, services, [*ended, *begun], now)
    await write_ends(session, ended, now=now, actor=actor, reason=reason)
    given = [step.new for step in steps if step.act == "give" and step.new is not None]
    for start in range(0, len(given), MAX_AT_ONCE):
        part = given[start : start + MAX_AT_ONCE]
        _, reached = await write_roles(session, services, client_id, part, giver=EVERYTHING, actor=actor)
        affected |= reached
    return affected


async def export_rows(session: AsyncSession, client_id: str | None) -> list[dict[str, object]]:
    """Return the assignments that have not ended, as rows of a file."""
    return [
        {
            name: value
            for name, value in {
                "client_id": row.assignment.client_id,
                "role": row.assignment.role,
                "user": str(row.assignment.user_id) if row.assignment.user_id is not None else None,
                "group": row.group.code if row.group is not None else None,
                "with_units_below": row.assignment.with_units_below or None,
                "unit": row.unit.code if row.unit is not None else None,
                "valid_from": row.assignment.valid_from.isoformat() if row.assignment.valid_from else None,
                "valid_until": row.assignment.valid_until.isoformat() if row.assignment.valid_until else None,
                "reason": row.assignment.reason,
            }.items()
            if value is not None
        }
        for row in await _all(session, client_id)
    ]


async def _all(session: AsyncSession, client_id: str | None) -> list[Listed]:
    rows: list[Listed] = []
    while True:
        before = rows[-1].assignment.id if rows else None
        page = await store.page_of(session, AssignmentFilter(client_id), before, clock.now(), PAGE)
        rows += page
        if len(page) < PAGE:
            return rows


def _key_of(row: Listed) -> Key:
    given = row.assignment
    return (given.client_id, given.role, given.user_id, given.group_id, given.with_units_below, given.unit_id)


async def _names(session: AsyncSession, services: AccountChanges, rows: Sequence[FileRow]) -> _Names:
    """Look up the names of a whole file, in batches."""
    named = await find_each(session, {row.user for row in rows if row.user is not None}, services.box)
    codes = {code for row in rows for code in (row.group, row.unit) if code is not None}
    return _Names(named, await _groups(session, codes))


async def _groups(session: AsyncSession, codes: Collection[str]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    ordered = sorted(codes)
    for start in range(0, len(ordered), PAGE):
        part = await session.execute(select(Group).where(Group.code.in_(ordered[start : start + PAGE])))
        groups |= {group.code: group for group in part.scalars()}
    return groups


def _resolved(services: AccountChanges, names: _Names, row: FileRow) -> NewAssignment:
    """Return the assignment that a row asks for.

    Raises:
        RoleFileError: when a name in it means nothing, or several users.
    """
    client = services.registry.get(row.client_id)
    if client is None:
        raise RoleFileError([f"there is no application {row.client_id}"])
    if row.role not in client.meta.application_roles:
        raise RoleFileError([f"{row.client_id} does not define the role {row.role}"])
    if (row.user is None) == (row.group is None):
        raise RoleFileError(["name either a user or a group"])
    zone = services.settings.time_zone
    return NewAssignment(
        role=row.role,
        reason=row.reason,
        user_id=_user_id(names, row.user) if row.user is not None else None,
        group_id=_group_id(names, row.group) if row.group is not None else None,
        with_units_below=row.with_units_below,
        unit_id=_group_id(names, row.unit) if row.unit is not None else None,
        valid_from=_moment("valid_from", row.valid_from, zone),
        valid_until=_moment("valid_until", row.valid_until, zone, end=True),
    )


def _user_id(names: _Names, text: str) -> uuid.UUID:
    possible = names.users.get(text, [])
    if not possible:
        raise RoleFileError([f"nobody has the verified identifier {text!r}"])
    if len(possible) > 1:
        ids = ", ".join(str(user.id) for user in possible)
        raise RoleFileError([f"{text!r} means several people: name one by the user id: {ids}"])
    return possible[0].id


def _group_id(names: _Names, code: str) -> uuid.UUID:
    if code not in names.groups:
        raise RoleFileError([f"there is no unit or group {code}"])
    return names.groups[code].id


def _moment(field: str, value: datetime | date | None, zone: str, *, end: bool = False) -> datetime | None:
    """Return the beginning or end of a day in the time zone of the city, or a moment."""
    if value is None:
        return None
    try:
        if not isinstance(value, datetime):
            return read_day(value.isoformat(), zone, end=end)
        return checked_moment(value if value.tzinfo is not None else value.replace(tzinfo=ZoneInfo(zone)))
    except ValueError as error:
        raise RoleFileError([f"{field}: {error}"]) from None
