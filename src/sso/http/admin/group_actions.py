"""The forms of the page of a unit: what each of them changes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts import groups
from sso.accounts.groups import NO_MEMBERSHIP, NO_PARENT, NO_REASON, GroupRefused
from sso.accounts.services import AccountActions
from sso.accounts.unit_members import check_new_member, find_new_member
from sso.http.admin.groups import check_not_named, read_form_day
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.typed_forms import FormModel, IdField, Note, Sent, Ticked, cut, required, ticked
from sso.http.console.access import OwnForm
from sso.identity.groups import members, tree
from sso.identity.groups.schemas import GroupChange, NewMember
from sso.identity.users.service import find
from sso.platform.actor import Actor

NOT_SURE = N_("Tick the box to confirm the deletion.")
NONE_SELECTED = N_("Select at least one membership.")
NO_PERSON = N_("Enter the user.")
CHANGES = {
    "names": "names",
    "code": "code",
    "move": "move",
    "close": "close",
    "reopen": "reopen",
    "delete": "",
    "appoint": "administrators",
    "dismiss": "administrators",
}
"""What a form changes about a unit, and what its page says after it."""
MEMBER_ACTS = {"add": "add", "end": "end"}
"""What a form changes about its members, and what its page says after it."""


class GroupForm(FormModel):
    """The forms of a unit; each action has some of the fields, and every one the reason."""

    act: Annotated[str, cut(20)] = ""
    note: Annotated[Note, required(NO_REASON)] = ""
    name_id: Annotated[str, cut(300)] = ""
    name_en: Annotated[str, cut(300)] = ""
    valid_from: Annotated[str, cut(20)] = ""
    valid_until: Annotated[str, cut(20)] = ""
    code: Annotated[str, cut(100)] = ""
    parent: Annotated[str, cut(100)] = ""
    below: Ticked = False
    sure: Ticked = False
    named: Ticked = False
    user: Annotated[str, cut(254)] = ""
    user_id: IdField = None
    position: Annotated[str, cut(300)] = ""


GroupSent = Annotated[Sent[GroupForm], Depends(OwnForm(GroupForm, "group {group_id}"))]


async def act_on_group(accounts: AccountActions, group_id: UUID, sent: Sent[GroupForm], actor: Actor) -> UUID | None:
    """Carry out one of ``CHANGES``. Return the unit whose page comes next; None: the tree comes next.

    Raises:
        GroupRefused, UserError, ValidationError: when it is refused.
    """
    form, zone = sent.form, accounts.settings.time_zone
    async with accounts.db.write() as session:
        if form.act == "names":
            change = GroupChange(
                name_id=form.name_id,
                name_en=form.name_en or None,
                valid_from=read_form_day(form.valid_from, zone, "valid_from"),
            )
            await groups.change_group(session, accounts, group_id, change, actor=actor, reason=form.note)
        elif form.act == "code":
            if not form.named:
                await check_not_named(session, accounts.registry, form.code)
            change = GroupChange(code=form.code)
            await groups.change_group(session, accounts, group_id, change, actor=actor, reason=form.note)
        elif form.act == "move":
            parent_id = await _parent(session, form.parent)
            await groups.move_group(session, accounts, group_id, parent_id, actor=actor, reason=form.note)
        elif form.act in ("close", "reopen"):
            await _close(session, accounts, group_id, form, actor)
        elif form.act == "delete":
            return await _delete(session, group_id, form, actor)
        else:
            await _set_administrators(session, accounts, group_id, form, actor)
    return group_id


async def _close(
    session: AsyncSession, accounts: AccountActions, group_id: UUID, form: GroupForm, actor: Actor
) -> None:
    if form.act == "reopen":
        await groups.reopen_group(session, accounts, group_id, actor=actor, reason=form.note)
        return
    await groups.close_group(
        session,
        accounts,
        group_id,
        at=read_form_day(form.valid_until, accounts.settings.time_zone, "valid_until", end=True),
        with_units_below=form.below,
        actor=actor,
        reason=form.note,
    )


async def _delete(session: AsyncSession, group_id: UUID, form: GroupForm, actor: Actor) -> UUID | None:
    if not form.sure:
        raise GroupRefused(NOT_SURE, "sure")
    group = await tree.get(session, group_id)
    parent_id = group.parent_id if group is not None else None
    await groups.delete_group(session, group_id, actor=actor, reason=form.note)
    return parent_id


async def _parent(session: AsyncSession, code: str) -> UUID | None:
    if not code:
        return None
    parent = await tree.of_code(session, code)
    if parent is None:
        raise GroupRefused(NO_PARENT, "parent")
    return parent.id


async def _set_administrators(
    session: AsyncSession, accounts: AccountActions, group_id: UUID, form: GroupForm, actor: Actor
) -> None:
    await tree.lock_tree(session)
    present = {row.user_id for row in await tree.administrators_of(session, group_id) if row.group.id == group_id}
    if form.act == "appoint":
        if not form.user:
            raise GroupRefused(NO_PERSON, "user")
        administrators = present | {(await find(session, form.user, accounts.box)).id}
    else:
        administrators = {user_id for user_id in present if user_id != form.user_id}
    await groups.set_unit_administrators(session, group_id, administrators, actor=actor, reason=form.note)


async def act_on_members(accounts: AccountActions, group_id: UUID, sent: Sent[GroupForm], actor: Actor) -> UUID:
    """Add a member, or end the memberships that are ticked.

    Raises:
        GroupRefused, UserError, ValidationError: when it is refused.
    """
    form, zone = sent.form, accounts.settings.time_zone
    async with accounts.db.write() as session:
        if form.act == "add":
            if not form.user:
                raise GroupRefused(NO_PERSON, "user")
            new = NewMember.model_validate({"position": form.position or None})
            user = await find_new_member(session, form.user, actor, accounts.box)
            await check_new_member(session, accounts, user.id, group_id, actor)
            await groups.add_member(
                session,
                accounts,
                user_id=user.id,
                group_id=group_id,
                position=new.position,
                valid_from=read_form_day(form.valid_from, zone, "valid_from"),
                valid_until=read_form_day(form.valid_until, zone, "valid_until", end=True),
                actor=actor,
                reason=form.note,
            )
        else:
            end = read_form_day(form.valid_until, zone, "valid_until", end=True)
            await _end(session, accounts, group_id, sent, end, actor)
    return group_id


async def _end(
    session: AsyncSession,
    accounts: AccountActions,
    group_id: UUID,
    sent: Sent[GroupForm],
    end: datetime | None,
    actor: Actor,
) -> None:
    """End the memberships that are ticked: of this unit, or of a unit below it, which the page lists too."""
    rows = []
    for text in ticked(sent.typed, "membership "):
        membership_id = read_id(text)
        membership = await members.get(session, membership_id) if membership_id is not None else None
        if membership is None or not await tree.is_within(session, membership.group_id, [group_id]):
            raise GroupRefused(NO_MEMBERSHIP)
        rows.append(membership)
    if not rows:
        raise GroupRefused(NONE_SELECTED)
    for row in sorted(rows, key=lambda row: row.user_id):  # the order of locks
        await groups.end_membership(session, accounts, membership_id=row.id, at=end, actor=actor, reason=sent.form.note)
