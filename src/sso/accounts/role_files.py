"""Files of role assignments (YAML): what a file asks for, the plan that brings the provider there, and the export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.role_assignments import NewAssignment, end_role, give_roles
from sso.accounts.role_rules import Giver
from sso.accounts.services import AccountChanges
from sso.clients.yaml_documents import read_yaml
from sso.errors import Refusal, validation_message
from sso.identity.groups import assignments as store
from sso.identity.groups.assignments import AssignmentFilter, Listed
from sso.identity.groups.models import Group
from sso.identity.users.service import UserError, find
from sso.platform.actor import Actor

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
    """One assignment in a file: ``user`` is an identifier or a user id, ``group`` and ``unit`` are codes."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    client_id: str = Field(min_length=1, max_length=100)
    role: str = Field(min_length=1, max_length=64)
    user: str | None = Field(None, max_length=254)
    group: str | None = Field(None, max_length=64)
    with_units_below: bool = False
    unit: str | None = Field(None, max_length=64)
    valid_until: datetime | date | None = None
    reason: str = Field(min_length=1, max_length=500)

    @field_validator("valid_until", mode="before")
    @classmethod
    def _day(cls, value: object) -> object:
        """Take the text of a day as that day, not as its first moment."""
        is_day = isinstance(value, str) and len(value.strip()) == len("2027-12-31")
        return date.fromisoformat(value.strip()) if is_day and isinstance(value, str) else value

    @field_validator("user", "group", "unit", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        """Take a number as it was written: a code or a phone number can have digits only."""
        return getattr(value, "raw", str(value)) if isinstance(value, (int, float)) else value


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a plan: ``give`` with the new assignment, or ``end`` with the one that is there."""

    act: Literal["give", "end"]
    client_id: str
    text: str
    new: NewAssignment | None = None
    old: Listed | None = None


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
            for problem in error.errors():
                place = ".".join(str(part) for part in problem["loc"])
                mistakes.append(f"assignment {number}: {place}: {validation_message(problem)}")
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
    wanted: set[tuple[object, ...]] = set()
    present = {
        _key_of(row): row for client_id in {row.client_id for row in rows} for row in await _all(session, client_id)
    }
    for number, row in enumerate(rows, 1):
        try:
            new = await _resolved(session, services, row)
        except RoleFileError as error:
            mistakes += [f"assignment {number}: {text}" for text in error.mistakes]
            continue
        key = (row.client_id, new.role, new.user_id, new.group_id, new.with_units_below, new.unit_id)
        if key not in wanted and key not in present:
            steps.append(Step("give", row.client_id, _text(row), new=new))
        wanted.add(key)
    if mistakes:
        raise RoleFileError(mistakes)
    if end_others:
        steps += [
            Step("end", key_row.assignment.client_id, _text_of(key_row), old=key_row)
            for key, key_row in present.items()
            if key not in wanted
        ]
    return steps


async def carry_out(
    session: AsyncSession, services: AccountChanges, steps: Sequence[Step], *, actor: Actor, reason: str
) -> None:
    """Carry out a plan, all of it or nothing. ``reason``: why roles end that the file does not have.

    Raises:
        RoleError: when a role cannot be given, or has changed meanwhile.
    """
    for step in sorted(steps, key=lambda step: step.client_id):  # the order in which applications are locked
        if step.new is not None:
            await give_roles(session, services, step.client_id, [step.new], giver=EVERYTHING, actor=actor)
        elif step.old is not None:
            old = step.old.assignment
            await end_role(session, services, old.id, giver=EVERYTHING, actor=actor, reason=reason)


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


def _key_of(row: Listed) -> tuple[object, ...]:
    one = row.assignment
    return (one.client_id, one.role, one.user_id, one.group_id, one.with_units_below, one.unit_id)


async def _resolved(session: AsyncSession, services: AccountChanges, row: FileRow) -> NewAssignment:
    client = services.registry.get(row.client_id)
    if client is None:
        raise RoleFileError([f"there is no application {row.client_id}"])
    if row.role not in client.meta.application_roles:
        raise RoleFileError([f"{row.client_id} does not define the role {row.role}"])
    if (row.user is None) == (row.group is None):
        raise RoleFileError(["name either a user or a group"])
    try:
        user = await find(session, row.user, services.box) if row.user is not None else None
    except UserError as error:
        raise RoleFileError(error.mistakes) from None
    return NewAssignment(
        role=row.role,
        reason=row.reason,
        user_id=user.id if user is not None else None,
        group_id=(await _group(session, row.group)).id if row.group is not None else None,
        with_units_below=row.with_units_below,
        unit_id=(await _group(session, row.unit)).id if row.unit is not None else None,
        valid_until=moment_of(row.valid_until),
    )


async def _group(session: AsyncSession, code: str) -> Group:
    group = await store.group_by_code(session, code)
    if group is None:
        raise RoleFileError([f"there is no unit or group {code}"])
    return group


def moment_of(value: datetime | date | None) -> datetime | None:
    """Return the end of a day, or a moment; without a time zone it is in UTC."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return datetime.combine(value + timedelta(days=1), time(), UTC)


def _text(row: FileRow) -> str:
    whom = f"user {row.user}" if row.user is not None else f"group {row.group}"
    below = " with the units below" if row.with_units_below else ""
    return f"{row.client_id}: {row.role}{f'@{row.unit}' if row.unit else ''} for {whom}{below}"


def _text_of(row: Listed) -> str:
    one = row.assignment
    whom = f"user {one.user_id} ({row.user_name})" if one.user_id is not None else ""
    whom = whom or f"group {row.group.code if row.group is not None else one.group_id}"
    below = " with the units below" if one.with_units_below else ""
    return f"{one.client_id}: {one.role}{f'@{row.unit.code}' if row.unit is not None else ''} for {whom}{below}"
