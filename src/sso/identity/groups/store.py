"""Every SQL statement about groups, memberships and role assignments."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    ScalarSelect,
    String,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.groups.models import Group, GroupAncestor, Membership, RoleAssignment, UnitAdministrator
from sso.platform.db import fetch, table_of, valid_at
from sso.platform.db.sql_types import SelectStatement, SqlColumn, SqlValue

_groups, _ancestors, _memberships, _assignments = map(table_of, (Group, GroupAncestor, Membership, RoleAssignment))
_n = _ancestors.c


@dataclass(frozen=True, slots=True)
class Access:
    """What a user has in an application now.

    Args:
        roles: each role, with the code of the unit that it is limited to.
        groups: each code that applies to the user, with the codes of the units above it.
        member_of: the codes of the groups that the user is a member of, without the units above them.
    """

    roles: tuple[tuple[str, str | None], ...] = ()
    groups: tuple[tuple[str, frozenset[str]], ...] = ()
    member_of: frozenset[str] = frozenset()


NO_ACCESS = Access()


def _access(roles: Iterable[tuple[str, str | None]], rows: Sequence[tuple[str, str, int]]) -> Access:
    return Access(tuple(roles), with_ancestors(rows), frozenset(own for own, _, _ in rows))


class _Renamed:
    """Columns of a table with names of their own. In RETURNING on SQLite no column has the name of its table."""

    def __init__(self, table: Table, name: str, *columns: str) -> None:
        self.source = select(*(table.c[column].label(f"{name}_{column}") for column in columns)).subquery(name)
        self._name = name

    def __getattr__(self, name: str) -> SqlColumn:
        return self.source.c[f"{self._name}_{name}"]


_TIMES = ("valid_from", "valid_until")
_OF_GROUP = ("id", "code", *_TIMES)
_given = _Renamed(
    _assignments, "given", "client_id", "role", "user_id", "group_id", "with_units_below", "unit_id", *_TIMES
)
_in = _Renamed(_memberships, "belongs", "user_id", "group_id", *_TIMES)
_up = _Renamed(_ancestors, "reaches", "group_id", "ancestor_id", "depth")
_at, _above, _only = (_Renamed(_groups, name, *_OF_GROUP) for name in ("at_group", "over_group", "only_unit"))
# Constants stand in the text: a parameter would cost each use, and a separator that is one cannot be prepared.
_AT, _SLASH, _EMPTY = (literal_column(f"'{text}'", String) for text in ("@", "/", ""))
_BLANK: Any = literal_column("' '", String)  # SQLAlchemy's type says text, and takes an expression
# A user reaches a group through a membership that is valid now, in a group that is valid now: the group itself at depth
# 0, and each unit above it.
_now: BindParameter[datetime] = bindparam("now")
_active_now = and_(valid_at(_given, _now), or_(_given.unit_id.is_(None), valid_at(_only, _now)))
_reaches_now = and_(valid_at(_in, _now), valid_at(_at, _now), valid_at(_above, _now))
_entry = _given.role + _AT + func.coalesce(_only.code, _EMPTY)
_reached = (
    _in.source.join(_at.source, _at.id == _in.group_id)
    .join(_up.source, _up.group_id == _in.group_id)
    .join(_above.source, _above.id == _up.ancestor_id)
)
_GIVEN_TO_USERS = _given.source.outerjoin(_only.source, _only.id == _given.unit_id)
_GIVEN_TO_GROUPS = _reached.join(_given.source, _given.group_id == _up.ancestor_id).outerjoin(
    _only.source, _only.id == _given.unit_id
)


def _selects(
    user_id: SqlValue | uuid.UUID, client: ColumnElement[bool], separate: bool = False
) -> tuple[SelectStatement, SelectStatement, SelectStatement]:
    """Return three statements: the roles given to a user, the roles given to the groups of the user, and the groups.

    Each returns one text, or with ``separate`` one for each row, for :func:`read_access`: ``role@CODE`` or ``role@``;
    ``own code/code above/distance``. Roles and codes have no blank, ``@`` or ``/``.
    """
    group = _at.code + _SLASH + _above.code + _SLASH + cast(_up.depth, String)
    below = or_(_up.depth == literal_column("0"), _given.with_units_below.is_(True))
    entry, own = (
        ((_given.client_id, _entry), (literal(None, String), group))
        if separate
        else (
            (func.aggregate_strings(_entry, _BLANK),),
            (func.aggregate_strings(group, _BLANK),),
        )
    )
    return (
        select(*entry).select_from(_GIVEN_TO_USERS).where(_given.user_id == user_id, client, _active_now),
        select(*entry)
        .select_from(_GIVEN_TO_GROUPS)
        .where(_in.user_id == user_id, client, below, _reaches_now, _active_now),
        select(*own).select_from(_reached).where(_in.user_id == user_id, _reaches_now),
    )


def access_columns(
    user_id: SqlValue, client_id: SqlValue, outer: FromClause | None
) -> tuple[ScalarSelect[str | None], ...]:
    """Return what a user has in an application as columns of another statement, for :func:`read_access`.

    The statement has a parameter ``now``.

    Args:
        user_id: the user: a column of ``outer``, or a parameter.
        client_id: the application: the same.
        outer: the table of the other statement; None: both are parameters, and the columns are read once.
    """
    selects = _selects(user_id, _given.client_id == client_id)
    return tuple((part if outer is None else part.correlate(outer)).scalar_subquery() for part in selects)


def read_access(columns: Sequence[str | None]) -> Access:
    """Return what the columns of :func:`access_columns` say."""
    to_user, to_groups, reached = columns
    if to_user is None and to_groups is None and reached is None:
        return NO_ACCESS
    entries = sorted({*(to_user or "").split(), *(to_groups or "").split()})
    roles = [(role, code or None) for role, _, code in (entry.partition("@") for entry in entries)]
    rows = [(own, upper, int(depth)) for own, upper, depth in (row.split("/") for row in (reached or "").split())]
    return _access(roles, rows)


async def access_in(
    session: AsyncSession, user_id: uuid.UUID, client_ids: Sequence[str], now: datetime
) -> dict[str, Access]:
    """Return what a user has in each of several applications. One statement."""
    selects = _selects(user_id, _given.client_id.in_(client_ids), separate=True)
    entries: dict[str | None, list[str]] = {}
    for client_id, entry in (await session.execute(union_all(*selects), {"now": now})).all():
        entries.setdefault(client_id, []).append(entry)
    groups = " ".join(entries.get(None, ()))
    return {
        client_id: read_access((" ".join(entries.get(client_id, ())), None, groups or None)) for client_id in client_ids
    }


def with_ancestors(rows: Sequence[tuple[str, str, int]]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return each code of ``rows`` with the codes above it.

    Args:
        rows: the code of a group of the user, the code of a unit above it or its own, and the distance.
    """
    chains: dict[str, list[str]] = {}
    for own, upper, _ in sorted(rows, key=lambda row: row[2]):
        chains.setdefault(own, []).append(upper)
    above = {code: frozenset(chain[at + 1 :]) for chain in chains.values() for at, code in enumerate(chain)}
    return tuple(sorted(above.items()))


_IS_BELOW = select(_n.depth).where(_n.group_id == bindparam("group_id"), _n.ancestor_id == bindparam("ancestor_id"))


async def is_below(session: AsyncSession, group_id: uuid.UUID, ancestor_id: uuid.UUID) -> bool:
    """Tell whether a unit is below another one, or is that unit."""
    return bool(await fetch(session, _IS_BELOW, {"group_id": group_id, "ancestor_id": ancestor_id}))


_NODE = bindparam("node", type_=_n.group_id.type)
_ADD_TO_TREE = insert(_ancestors).from_select(
    ["group_id", "ancestor_id", "depth"],
    select(_NODE, _NODE.label("itself"), literal_column("0")).union_all(
        select(_NODE, _n.ancestor_id, _n.depth + literal_column("1")).where(_n.group_id == bindparam("parent"))
    ),
)


async def add_group(session: AsyncSession, group: Group) -> None:
    """Insert a unit or group with its rows in the tree. Two statements."""
    session.add(group)
    await session.flush()
    await fetch(session, _ADD_TO_TREE, {"node": group.id, "parent": group.parent_id})


async def move_subtree(session: AsyncSession, root_id: uuid.UUID, parent_id: uuid.UUID | None) -> None:
    """Put a unit with all units below it under another one. Two statements, whatever its size."""
    subtree = select(_n.group_id).where(_n.ancestor_id == root_id)
    old = select(_n.ancestor_id).where(_n.group_id == root_id, _n.ancestor_id != root_id)
    await session.execute(delete(GroupAncestor).where(_n.group_id.in_(subtree), _n.ancestor_id.in_(old)))
    if parent_id is None:
        return
    above, below = _ancestors.alias("above"), _ancestors.alias("below")
    pairs = select(below.c.group_id, above.c.ancestor_id, above.c.depth + below.c.depth + 1).select_from(
        below.join(above, (below.c.ancestor_id == root_id) & (above.c.group_id == parent_id))
    )
    await session.execute(insert(GroupAncestor).from_select(["group_id", "ancestor_id", "depth"], pairs))


_DELETE_OF_USER = [
    delete(table).where(table.c.user_id == bindparam("user_id"))
    for table in (_memberships, _assignments, table_of(UnitAdministrator))
]


async def delete_of_user(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Delete the memberships of a user, the roles given to the user, and the units that the user looks after."""
    for statement in _DELETE_OF_USER:
        await fetch(session, statement, {"user_id": user_id})
