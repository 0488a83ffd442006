"""What administrators do with units, groups and memberships.

Every change has a reason, is recorded in the audit log, and is told to the applications in the same transaction.
Changes of the tree follow one another: each holds one lock until its transaction ends, so that two moves make no cycle.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_changes import (
    INSTANT,
    access_before,
    access_before_units_change,
    access_changed,
    access_changed_since,
)
from sso.accounts.guards import refuse_test_user
from sso.accounts.services import AccountChanges
from sso.errors import Refusal
from sso.identity.groups import members, store, tree
from sso.identity.groups.models import Group, Membership
from sso.identity.groups.schemas import GroupChange, NewGroup, Source
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import new_id
from sso.platform.messages import N_

MAX_ADMINISTRATORS = 50
IN_TOKENS = frozenset({"code", "parent_code", "valid_from", "valid_until"})
"""What of a unit changes roles and groups in tokens."""
READS, WRITES = "groups:read", "groups:write"


class GroupRefused(Refusal):
    """A change of a unit, a group or a membership that is refused.

    Args:
        text: why, as a message that is translated; it names ``named``.
        field: the field that is wrong.
        named: what the text names.
    """

    status = 409

    def __init__(self, text: str, field: str = "", **named: object) -> None:
        super().__init__(text % named)
        self.text, self.field, self.named = text, field, named


NO_REASON = N_("Write the reason. It is recorded in the audit log.")
CODE_TAKEN = N_("Another unit or group has the code %(code)s.")
NO_PARENT = N_("The parent unit does not exist.")
GROUP_IN_TREE = N_("A group has no parent unit and no units below it.")
CLOSED_PARENT = N_("The parent unit %(code)s is closed.")
CYCLE = N_("%(code)s cannot be moved below itself or below one of its own units.")
TOO_DEEP = N_("Units can have at most %(count)s levels.")
WRONG_TIME = N_("The end must be after the beginning.")
CLOSED = N_("%(code)s is closed.")
NOT_CLOSED = N_("%(code)s is not closed.")
OPEN_BELOW = N_("%(count)s units below %(code)s are still open. Close or move them first, or close them together.")
NOT_EMPTY = N_("%(code)s is not empty: it has or had members, units below it, or roles. Close it instead.")
NOT_THERE = N_("The unit or group does not exist.")
NO_USER = N_("The user does not exist.")
ALREADY_MEMBER = N_("The user already has a membership in %(code)s at that time.")
NO_MEMBERSHIP = N_("The membership does not exist.")
ENDED = N_("The membership has already ended, or ends before that day.")
TOO_MANY = N_("A unit has at most %(count)s administrators.")
NO_TREE = N_("Only units have administrators.")


async def create_group(session: AsyncSession, new: NewGroup, *, actor: Actor, reason: str) -> Group:
    """Create a unit or group.

    Raises:
        GroupRefused: when the code is used, or the parent is not there, is closed or too deep.
    """
    _check_reason(reason)
    _check_time(new.valid_from, new.valid_until)
    await tree.lock_tree(session)
    if await tree.of_code(session, new.code) is not None:
        raise GroupRefused(CODE_TAKEN, "code", code=new.code)
    parent = await _parent_for(session, new.kind, new.parent_id)
    now = clock.now()
    group = Group(id=new_id(), created_at=now, updated_at=now, **new.model_dump())
    await store.add_group(session, group)
    data = {"kind": group.kind, "name": group.name_id, "parent": parent.code if parent else None}
    _record(session, "group.created", group, actor, reason, data)
    return group


async def change_group(
    session: AsyncSession,
    services: AccountChanges,
    group_id: uuid.UUID,
    change: GroupChange,
    *,
    actor: Actor,
    reason: str,
) -> Group:
    """Change the members of a unit or group that ``change`` names. A new code changes tokens: applications are told.

    Raises:
        GroupRefused: when the code is used, or the time is wrong.
    """
    group = await _group_to_change(session, group_id, reason)
    values = {name: getattr(change, name) for name in change.model_fields_set}
    needed = {"name_id", "code"}
    changed = {
        name: value
        for name, value in values.items()
        if getattr(group, name) != value and (value is not None or name not in needed)
    }
    if not changed:
        return group
    code = changed.get("code")
    if code is not None and await tree.of_code(session, code) is not None:
        raise GroupRefused(CODE_TAKEN, "code", code=code)
    _check_time(changed.get("valid_from", group.valid_from), group.valid_until)
    data: dict[str, object] = {"changed": sorted(changed)}
    if code is not None:
        data |= {"from": group.code, "to": code}
    access = await access_before_units_change(session, services, [group.id] if set(changed) & IN_TOKENS else [])
    for name, value in changed.items():
        setattr(group, name, value)
    group.updated_at = clock.now()
    await session.flush()
    _record(session, "group.changed", group, actor, reason, data)
    await access_changed_since(session, services, access, actor=actor)
    return group


async def move_group(
    session: AsyncSession,
    services: AccountChanges,
    group_id: uuid.UUID,
    parent_id: uuid.UUID | None,
    *,
    actor: Actor,
    reason: str,
) -> Group:
    """Put a unit with every unit below it under another one, or at the top. Two statements move a tree of any size.

    Raises:
        GroupRefused: when the new parent is the unit or below it, is closed, or the tree would be too deep.
    """
    group = await _group_to_change(session, group_id, reason)
    if group.parent_id == parent_id:
        return group
    if parent_id is not None and await store.is_below(session, parent_id, group_id):
        raise GroupRefused(CYCLE, "parent_id", code=group.code)
    parent = await _parent_for(session, group.kind, parent_id, height=await tree.height_of(session, group_id))
    before = await tree.get(session, group.parent_id) if group.parent_id is not None else None
    access = await access_before_units_change(session, services, [group_id])
    await tree.set_parent(session, group, parent_id, clock.now())
    await store.move_subtree(session, group_id, parent_id)
    data = {"from": before.code if before else None, "to": parent.code if parent else None}
    _record(session, "group.moved", group, actor, reason, data)
    await access_changed_since(session, services, access, actor=actor)
    return group


async def close_group(
    session: AsyncSession,
    services: AccountChanges,
    group_id: uuid.UUID,
    *,
    at: datetime | None = None,
    with_units_below: bool = False,
    actor: Actor,
    reason: str,
) -> Group:
    """Close a unit or group from a moment on: nobody counts as its member any more. Nothing is deleted.

    Args:
        session: the transaction.
        services: how applications are told.
        group_id: the unit or group.
        at: from when on; None: now.
        with_units_below: close the units below it too.
        actor: who acts.
        reason: why.

    Raises:
        GroupRefused: when it is closed already, or units below it are open.
    """
    group, now = await _group_to_change(session, group_id, reason), clock.now()
    end = at or now
    if group.valid_until is not None and group.valid_until <= now:
        raise GroupRefused(CLOSED, code=group.code)
    _check_time(group.valid_from, end)
    access = await access_before_units_change(session, services, [group_id])
    if with_units_below:
        await tree.close_with_below(session, group_id, end, now)
    elif count := await tree.open_below(session, group_id, end):
        raise GroupRefused(OPEN_BELOW, count=count, code=group.code)
    group.valid_until, group.updated_at = end, now
    await session.flush()
    data = {"until": end.isoformat(timespec="seconds"), "with_units_below": with_units_below}
    _record(session, "group.closed", group, actor, reason, data)
    await access_changed_since(session, services, access, actor=actor)
    return group


async def reopen_group(
    session: AsyncSession, services: AccountChanges, group_id: uuid.UUID, *, actor: Actor, reason: str
) -> Group:
    """Take back the end of a unit or group. Units below it that were closed with it stay closed.

    Raises:
        GroupRefused: when it has no end, or its parent is closed.
    """
    group = await _group_to_change(session, group_id, reason)
    if group.valid_until is None:
        raise GroupRefused(NOT_CLOSED, code=group.code)
    await _parent_for(session, group.kind, group.parent_id)
    access = await access_before_units_change(session, services, [group_id])
    group.valid_until, group.updated_at = None, clock.now()
    await session.flush()
    _record(session, "group.reopened", group, actor, reason, {})
    await access_changed_since(session, services, access, actor=actor)
    return group


async def delete_group(session: AsyncSession, group_id: uuid.UUID, *, actor: Actor, reason: str) -> None:
    """Delete a unit or group that has and had no members, no units below it and no roles.

    Raises:
        GroupRefused: when it is not empty.
    """
    _check_reason(reason)
    await tree.lock_tree(session)
    await tree.lock_for_deletion(session, group_id)
    group = await _present(session, group_id)
    if not await tree.is_empty(session, group_id):
        raise GroupRefused(NOT_EMPTY, code=group.code)
    _record(session, "group.deleted", group, actor, reason, {"kind": group.kind, "name": group.name_id})
    session.expunge(group)
    await tree.delete_group(session, group_id)


async def set_unit_administrators(
    session: AsyncSession, group_id: uuid.UUID, user_ids: Collection[uuid.UUID], *, actor: Actor, reason: str
) -> None:
    """Let these users, and no others, look after a unit and every unit below it.

    Raises:
        GroupRefused: when there are too many, or one of them is not there.
    """
    _check_reason(reason)
    if len(set(user_ids)) > MAX_ADMINISTRATORS:
        raise GroupRefused(TOO_MANY, count=MAX_ADMINISTRATORS)
    group = await _present(session, group_id)
    if group.kind != "unit":
        raise GroupRefused(NO_TREE)
    for user_id in sorted(set(user_ids)):
        refuse_test_user(await _lock_person(session, user_id))
    added, removed = await tree.replace_administrators(session, group_id, user_ids, clock.now(), actor.name or "")
    if added or removed:
        data = {"added": [str(user) for user in added], "removed": [str(user) for user in removed]}
        _record(session, "group.administrators_set", group, actor, reason, data)


@dataclass(frozen=True, slots=True)
class NewMembership:
    """A membership that is to begin.

    Args:
        group_id: the unit or group.
        position: what the user is there.
        valid_from: from when on; None: from now on.
        valid_until: until when; None: no end is known.
        source: where the membership comes from.
    """

    group_id: uuid.UUID
    position: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    source: Source = "manual"


async def add_member(
    session: AsyncSession,
    services: AccountChanges,
    *,
    user_id: uuid.UUID,
    group_id: uuid.UUID,
    position: str | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    source: Source = "manual",
    actor: Actor,
    reason: str,
) -> Membership:
    """Make a user a member of a unit or group: see :class:`NewMembership`.

    Raises:
        GroupRefused: when the user is a member of it at that time already, or the unit is closed.
    """
    now = clock.now()
    new = NewMembership(group_id, position, valid_from, valid_until, source)
    membership = await write_membership(session, user_id, new, now=now, actor=actor, reason=reason)
    since = now - INSTANT
    await access_changed(session, services, user_ids=[user_id], client_ids=None, actor=actor, since=since)
    return membership


async def write_membership(
    session: AsyncSession, user_id: uuid.UUID, new: NewMembership, *, now: datetime, actor: Actor, reason: str
) -> Membership:
    """Do what :func:`add_member` does, as a part of a larger change that tells applications itself."""
    _check_reason(reason)
    begin = new.valid_from or now
    _check_time(begin, new.valid_until)
    group = await _present(session, new.group_id)
    if group.valid_until is not None and group.valid_until <= max(begin, now):
        raise GroupRefused(CLOSED, code=group.code)
    refuse_test_user(await _lock_person(session, user_id))
    if await members.overlapping(session, user_id, new.group_id, begin, new.valid_until) is not None:
        raise GroupRefused(ALREADY_MEMBER, "user", code=group.code)
    membership = Membership(
        id=new_id(),
        user_id=user_id,
        group_id=new.group_id,
        position=new.position,
        source=new.source,
        valid_from=begin,
        valid_until=new.valid_until,
        created_at=now,
        created_by=actor.name,
    )
    session.add(membership)
    await session.flush()
    _record_member(session, "membership.added", membership, group, actor, reason)
    return membership


async def end_membership(
    session: AsyncSession,
    services: AccountChanges,
    *,
    membership_id: uuid.UUID,
    at: datetime | None = None,
    actor: Actor,
    reason: str,
) -> Membership:
    """End a membership. The row stays, as history. One that has not begun ends as it begins, and never counts.

    Args:
        session: the transaction.
        services: how applications are told.
        membership_id: the membership.
        at: the end; None: now. An end in the past is told now.
        actor: who acts.
        reason: why.

    Raises:
        GroupRefused: when it has ended, or ends before that.
    """
    now = clock.now()
    membership = await _locked_membership(session, membership_id)
    if at is not None and at < now:
        access = await access_before(session, services, [membership.user_id])
        await write_end(session, membership_id, at=at, now=now, actor=actor, reason=reason)
        await access_changed_since(session, services, access, actor=actor)
        return membership
    await write_end(session, membership_id, at=at, now=now, actor=actor, reason=reason)
    since = now - INSTANT
    await access_changed(session, services, user_ids=[membership.user_id], client_ids=None, actor=actor, since=since)
    return membership


async def write_end(
    session: AsyncSession,
    membership_id: uuid.UUID,
    *,
    at: datetime | None = None,
    now: datetime,
    actor: Actor,
    reason: str,
) -> Membership:
    """Do what :func:`end_membership` does, as a part of a larger change that tells applications itself."""
    _check_reason(reason)
    membership = await _locked_membership(session, membership_id)
    end = max(at or now, membership.valid_from or membership.created_at)
    if membership.valid_until is not None and membership.valid_until <= max(end, now):
        raise GroupRefused(ENDED)
    membership.valid_until = end
    await session.flush()
    group = await _present(session, membership.group_id)
    _record_member(session, "membership.ended", membership, group, actor, reason)
    return membership


async def _locked_membership(session: AsyncSession, membership_id: uuid.UUID) -> Membership:
    """Return a membership whose user is locked, as it is then."""
    membership = await members.get(session, membership_id)
    if membership is None:
        raise GroupRefused(NO_MEMBERSHIP)
    await _lock_person(session, membership.user_id)
    membership = await members.get(session, membership_id)
    if membership is None:
        raise GroupRefused(NO_MEMBERSHIP)
    return membership


async def remove_administrator(session: AsyncSession, user_id: uuid.UUID, *, actor: Actor, reason: str) -> None:
    """Let a user, who is locked, manage no unit any more."""
    for group in await tree.remove_administrator(session, user_id):
        data = {"added": [], "removed": [str(user_id)]}
        _record(session, "group.administrators_set", group, actor, reason, data)


async def may_manage(session: AsyncSession, user_id: uuid.UUID, group_id: uuid.UUID) -> bool:
    """Tell whether a user looks after a unit, as an administrator of it or of a unit above it. Two statements."""
    roots = await tree.administered_by(session, user_id)
    return bool(roots) and await tree.is_within(session, group_id, roots)


async def _group_to_change(session: AsyncSession, group_id: uuid.UUID, reason: str) -> Group:
    """Return a unit or group whose place in the tree may change, under the lock of the tree.

    Raises:
        GroupRefused: when there is no reason, or no such unit or group.
    """
    _check_reason(reason)
    await tree.lock_tree(session)
    return await _present(session, group_id)


async def _present(session: AsyncSession, group_id: uuid.UUID) -> Group:
    group = await tree.get(session, group_id)
    if group is None:
        raise GroupRefused(NOT_THERE)
    return group


async def _lock_person(session: AsyncSession, user_id: uuid.UUID) -> User:
    user = await users.lock_user(session, user_id)
    if user is None or user.deleted_at is not None:
        raise GroupRefused(NO_USER, "user")
    return user


async def _parent_for(
    session: AsyncSession, kind: str, parent_id: uuid.UUID | None, *, height: int = 0
) -> Group | None:
    """Return the parent that a unit may have. ``height``: the levels below the unit."""
    if parent_id is None:
        return None
    parent = await tree.get(session, parent_id)
    if parent is None:
        raise GroupRefused(NO_PARENT, "parent_id")
    if kind != "unit" or parent.kind != "unit":
        raise GroupRefused(GROUP_IN_TREE, "parent_id")
    if parent.valid_until is not None and parent.valid_until <= clock.now():
        raise GroupRefused(CLOSED_PARENT, "parent_id", code=parent.code)
    if await tree.depth_of(session, parent_id) + 2 + height > tree.MAX_DEPTH:
        raise GroupRefused(TOO_DEEP, "parent_id", count=tree.MAX_DEPTH)
    return parent


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise GroupRefused(NO_REASON, "note")


def _check_time(valid_from: datetime | None, valid_until: datetime | None) -> None:
    if valid_from is not None and valid_until is not None and valid_from >= valid_until:
        raise GroupRefused(WRONG_TIME, "valid_until")


def _record(
    session: AsyncSession, type_: str, group: Group, actor: Actor, reason: str, data: Mapping[str, object]
) -> None:
    record_by(
        session,
        actor,
        type_,
        subject=str(group.id),
        address=actor.stored_ip_address,
        data={"unit": group.code, **{name: value for name, value in data.items() if value is not None}, "note": reason},
    )


def _record_member(
    session: AsyncSession, type_: str, membership: Membership, group: Group, actor: Actor, reason: str
) -> None:
    until = membership.valid_until
    about = {
        "unit": group.code,
        "position": membership.position,
        "source": membership.source,
        "since": membership.valid_from.isoformat(timespec="seconds") if membership.valid_from else None,
        "until": until.isoformat(timespec="seconds") if until else None,
        "note": reason,
    }
    record_by(
        session,
        actor,
        type_,
        subject=str(membership.user_id),
        address=actor.stored_ip_address,
        data={name: value for name, value in about.items() if value is not None},
    )
