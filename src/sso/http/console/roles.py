"""What the pages about roles of an application share: who has which role, giving, ending, confirming, reviews, CSV.

The portal and the console have a page each, with the same template, and the same rule who may do what.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts import access_reviews as reviews
from sso.accounts.role_assignments import (
    NewAssignment,
    RoleError,
    confirm_role,
    end_roles,
    find_user_of,
    give_roles,
    giver_of,
)
from sso.accounts.role_refusal_texts import NO_DATE, NO_UNIT, NOT_FOUND, NOTHING_CHOSEN, ONE_OF_BOTH, OTHERWISE, TEXTS
from sso.accounts.role_rules import Giver
from sso.accounts.sandbox_users import users_of_sandbox
from sso.accounts.services import AccountActions
from sso.clients.registry import Client
from sso.http.common.field_errors import FieldError
from sso.http.common.forms import read_id
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Note, Ticked, cut, ticked
from sso.http.console.access import Here
from sso.http.console.role_lists import RoleQuery, filter_of
from sso.http.console.role_texts import REVIEW_STATES
from sso.http.console.texts import NOTE_MISSING
from sso.identity.groups import assignments as store
from sso.identity.groups import tree
from sso.identity.groups.assignments import HeldFrom, Listed
from sso.identity.groups.models import AccessReview, Group
from sso.identity.users.models import User
from sso.identity.users.service import UserError, find
from sso.identity.users.store import names_of
from sso.platform.audit import record_by
from sso.platform.db import Database
from sso.platform.security.numbers import read_day

SHOWN = 100
"""How many assignments a page shows."""
PART = 500
MAX_ROWS = 10_000
HEADER = ("role", "title", "user", "user_id", "from", "unit", "until", "given_by", "reason")


class RoleForm(FormModel):
    """The forms of the page: each uses some of the fields, and all of them the reason."""

    choice: ChoiceField = Choice()
    note: Note = ""
    role: Annotated[str, cut(64)] = ""
    user: Annotated[str, cut(254)] = ""
    group: Annotated[str, cut(64)] = ""
    below: Ticked = False
    unit: Annotated[str, cut(64)] = ""
    until: Annotated[str, cut(10)] = ""


class RoleFormRefused(Exception):
    """What was asked for is refused: ``error`` says it at its field.

    Args:
        error: why, and the field.
        status: of the answer.
        retry_after: seconds until it may be asked again; 0: nothing is said about it.
    """

    def __init__(self, error: FieldError, status: int = 400, retry_after: int = 0) -> None:
        super().__init__(error.text)
        self.error = error
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class RolesView:
    """What the page shows.

    Args:
        client: the application, or its sandbox.
        asked: which part of the list is shown.
        rows: who has which role.
        following: the next part of the list; None: this is the last one.
        confirmed: the rows that the running review has nothing to ask of.
        review: the running review.
        unconfirmed: how many assignments it has yet to confirm.
        past: reviews that are over.
        names: the names of the users who gave a role or started a review, by their id.
        may_give: whether the user gives and ends roles here.
        may_review: whether the user starts and cancels reviews.
    """

    client: Client
    search: RoleQuery
    rows: list[Listed]
    following: RoleQuery | None
    confirmed: frozenset[uuid.UUID]
    review: AccessReview | None
    unconfirmed: int
    past: list[AccessReview]
    names: dict[str, str]
    may_give: bool
    may_review: bool


async def view_of(
    session: AsyncSession, client: Client, here: Here, query: RoleQuery, team_role: str | None = None
) -> RolesView:
    """Return what the page of an application shows.

    Args:
        session: for reading.
        client: the application, or its sandbox.
        here: who sees the page.
        query: which part of the list the page shows.
        team_role: what they are in the team of the application; None: the page is not one of the team.
    """
    now = clock.now()
    giver = await giver_of(session, here.as_actor, client.client_id, here.visit.user.id)
    chosen = await filter_of(session, client.client_id, query)
    rows = await store.page_of(session, chosen, query.before, now, SHOWN + 1)
    review = await reviews.running_review(session, client.client_id)
    confirmed = {
        row.assignment.id for row in rows if review is not None and reviews.is_confirmed(row.assignment, review)
    }
    left = await store.count_unconfirmed(session, client.client_id, review.started_at, now) if review is not None else 0
    past = [
        review_row
        for review_row in await reviews.reviews_of(session, client.client_id, 6)
        if review_row.status != "running"
    ]
    actors = [row.assignment.given_by for row in rows[:SHOWN]] + [review_row.started_by for review_row in past]
    in_team = giver.in_team and (client.meta.team_gives_roles or client.sandbox)
    return RolesView(
        client=client,
        search=query,
        rows=rows[:SHOWN],
        following=query.older(rows[SHOWN - 1].assignment.id) if len(rows) > SHOWN else None,
        confirmed=frozenset(confirmed),
        review=review,
        unconfirmed=left,
        past=past,
        names=await names_of(session, actors),
        may_give=giver.gives_all or in_team,
        may_review=reviews.is_reviewer(giver, team_role) and not client.sandbox,
    )


async def carry_out(
    session: AsyncSession, services: AccountActions, client_id: str, here: Here, form: RoleForm, typed: dict[str, str]
) -> str:
    """Do what a form of the page asks for; return what was done, a key of ``DONE``.

    Raises:
        RoleFormRefused: when it is refused.
    """
    if not form.note and form.choice.act != "confirm":
        raise RoleFormRefused(FieldError(f"{form.choice.act}-note", NOTE_MISSING))
    giver = await giver_of(session, here.as_actor, client_id, here.visit.user.id)
    try:
        if form.choice.act == "give":
            new = await read_assignment(session, services, client_id, giver, form)
            await give_roles(session, services, client_id, [new], giver=giver, actor=here.as_actor)
        elif form.choice.act in ("end", "confirm"):
            await _each(session, services, client_id, giver, here, form, typed)
        elif form.choice.act == "review":
            until = _last_moment(form.until, services.settings.time_zone, "review-until")
            if until is None:
                raise RoleFormRefused(FieldError("review-until", NO_DATE))
            await reviews.start_review(
                session, services, client_id, ends_at=until, giver=giver, actor=here.as_actor, reason=form.note
            )
        elif form.choice.act == "cancel":
            review_id = read_id(form.choice.target) or uuid.UUID(int=0)
            review = await session.get(AccessReview, review_id)
            if review is None or review.client_id != client_id:
                raise RoleError("not_found", "this access review is over")
            await reviews.cancel_review(
                session, services, review_id, giver=giver, actor=here.as_actor, reason=form.note
            )
    except RoleError as error:
        raise RoleFormRefused(refusal(error, form.choice.act), error.status) from None
    return form.choice.act


async def _each(
    session: AsyncSession,
    services: AccountActions,
    client_id: str,
    giver: Giver,
    here: Here,
    form: RoleForm,
    typed: dict[str, str],
) -> None:
    chosen = [assignment_id for text in ticked(typed, "assignment ") if (assignment_id := read_id(text))]
    if form.choice.target and (alone := read_id(form.choice.target)):
        chosen = [alone]
    if not chosen:
        raise RoleFormRefused(FieldError(f"{form.choice.act}-note", NOTHING_CHOSEN))
    chosen, actor = chosen[:SHOWN], here.as_actor
    if form.choice.act == "end":
        await end_roles(session, services, chosen, giver=giver, actor=actor, reason=form.note, client_id=client_id)
        return
    for assignment_id in chosen:
        await confirm_role(session, services, assignment_id, giver=giver, actor=actor, client_id=client_id)


async def read_assignment(
    session: AsyncSession, services: AccountActions, client_id: str, giver: Giver, form: RoleForm
) -> NewAssignment:
    """Return the role that the form gives.

    Raises:
        RoleFormRefused: when it names nobody, or no unit.
    """
    if bool(form.user) == bool(form.group):
        raise RoleFormRefused(FieldError("user", ONE_OF_BOTH))
    user = await _user(session, services, client_id, giver, form.user) if form.user else None
    group = await _group(session, form.group, "group") if form.group else None
    unit = await _group(session, form.unit, "unit") if form.unit else None
    return NewAssignment(
        role=form.role,
        reason=form.note,
        user_id=user.id if user is not None else None,
        group_id=group.id if group is not None else None,
        with_units_below=form.below,
        unit_id=unit.id if unit is not None else None,
        valid_until=_last_moment(form.until, services.settings.time_zone, "until"),
    )


async def _user(session: AsyncSession, services: AccountActions, client_id: str, giver: Giver, text: str) -> User:
    try:
        # By NIK only who gives every role: twelve of its sixteen digits can be known from place and day of birth.
        account = await find(session, text, services.box if giver.gives_all else None)
    except UserError:
        account = None
    user = await find_user_of(session, giver, client_id, account)
    if user is None:
        raise RoleFormRefused(FieldError("user", NOT_FOUND))
    return user


async def _group(session: AsyncSession, code: str, field: str) -> Group:
    group = await tree.of_code(session, code)
    if group is None:
        raise RoleFormRefused(FieldError(field, NO_UNIT))
    return group


def _last_moment(text: str, time_zone: str, field: str) -> datetime | None:
    """Return the end of a day of the city, in UTC; None: none was typed."""
    if not text:
        return None
    try:
        end = read_day(text, time_zone, end=True)
    except (ValueError, OverflowError):
        raise RoleFormRefused(FieldError(field, NO_DATE)) from None
    if end <= clock.now():
        raise RoleFormRefused(FieldError(field, NO_DATE))
    return end


_FIELDS = {
    "user_id": "user",
    "group_id": "group",
    "unit_id": "unit",
    "valid_until": "until",
    "with_units_below": "below",
}


def refusal(error: RoleError, act: str) -> FieldError:
    """Return what a use case refused, at its field of the page."""
    field = _FIELDS.get(error.field, error.field) if act == "give" else ""
    field = "give-note" if field == "reason" else field
    text = TEXTS.get(str(error))
    return FieldError(field, text) if text is not None else FieldError(field, OTHERWISE, {"detail": str(error)})


def placed(errors: Sequence[FieldError], view: RolesView) -> list[FieldError]:
    """Return the errors of the page, without the field where the page does not show its form."""
    forms_shown = {
        "review": view.may_review and view.review is None,
        "cancel": view.may_review and view.review is not None,
    }
    gives = view.may_give and bool(view.client.meta.application_roles)
    ends = bool(view.rows) and (view.may_give or view.may_review)
    downloads = bool(view.rows) or view.search.filters
    forms_shown |= {"end": ends, "confirm": ends and view.review is not None, "download": downloads}
    return [
        error if forms_shown.get(error.field.partition("-")[0], gives) else FieldError("", error.text, error.values)
        for error in errors
    ]


def page_values(
    view: RolesView | None, locale: str, refused: RoleFormRefused | None, typed: Mapping[str, str] | None
) -> dict[str, object]:
    """Return what the templates of both pages need.

    Args:
        view: what the page shows; None: the application is not registered.
        locale: of the page.
        refused: why a form of the page was refused.
        typed: the fields of that form.
    """
    errors = [refused.error] if refused is not None else []
    return {
        "view": view,
        "errors": placed(errors, view) if view is not None else errors,
        "typed": typed or {},
        "now_at": clock.now(),
        "role_options": role_options(view.client, locale) if view is not None else [],
        "review_states": REVIEW_STATES,
    }


def role_options(client: Client, locale: str) -> list[tuple[str, str]]:
    """Return the roles of an application as the options of a select field."""
    roles = client.meta.application_roles
    return [(name, f"{role.title_in(locale)} ({name})") for name, role in roles.items()]


async def rows_of_file(db: Database, client: Client, locale: str) -> AsyncIterator[list[Sequence[object]]]:
    """Yield the rows of the file, in parts: each user with each role, and where it comes from."""
    after: tuple[uuid.UUID, uuid.UUID] | None = None
    left = MAX_ROWS
    while left > 0:
        async with db.read() as session:
            only, limit = await users_of_sandbox(session, client), min(PART, left)
            held = await store.held_from(
                session, clock.now(), client_id=client.client_id, only=only, after=after, limit=limit
            )
        yield [_line(client, row, locale) for row in held if row.assignment.role in client.meta.application_roles]
        left -= len(held)
        if len(held) < PART:
            return
        after = (held[-1].user_id, held[-1].assignment.id)


def _line(client: Client, row: HeldFrom, locale: str) -> Sequence[object]:
    assignment = row.assignment
    through = "" if row.group is None else row.group.code
    if row.member_of is not None and row.group is not None and row.member_of.id != row.group.id:
        through = f"{row.group.code} ({row.member_of.code})"
    return (
        assignment.role,
        client.meta.application_roles[assignment.role].title_in(locale),
        row.name,
        row.user_id,
        through,
        row.unit.code if row.unit is not None else "",
        assignment.valid_until,
        assignment.given_by,
        assignment.reason,
    )


def record_download(session: AsyncSession, client_id: str, here: Here, note: str) -> None:
    """Record that a list was downloaded."""
    data = {"list": "roles", "client_id": client_id, "note": note}
    record_by(session, here.as_actor, "list.exported", client_id=client_id, data=data)
