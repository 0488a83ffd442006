"""The page of one user, for administrators: the account, the messages to the user, and the actions on the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, TypedDict
from uuid import UUID

from fastapi import Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.attributes import AttributeView, Staff, ValuesInvalid, attribute_views, staff_of
from sso.accounts.contacts import contacts_of
from sso.accounts.employees import EmploymentView, employments_of
from sso.accounts.message_log import (
    CodeLimits,
    ContactState,
    SentMessage,
    code_limits,
    contact_states,
    messages_to,
    recipient_of,
)
from sso.accounts.power import TooPowerful
from sso.accounts.refusal_texts import Words, refusal_text
from sso.accounts.services import AccountActions
from sso.accounts.user_actions import ACTIONS, EDITED_FIELDS, MAX_IDENTIFIER_CHARS, ActionRequest, ActionValues, perform
from sso.clients.metadata import GROUPS
from sso.clients.registry import Client
from sso.errors import validation_field, validation_message
from sso.http.admin.audit_labels import ACT_TEXTS, EVENT_TEXTS
from sso.http.admin.groups import SOURCES
from sso.http.admin.mails import SENT_FOR
from sso.http.admin.refused import NOT_REFUSED, RefusedAction
from sso.http.common.attribute_fields import attribute_errors, attribute_fields, id_of, sent_attributes
from sso.http.common.errors import Interrupted
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import (
    DOCUMENTS,
    EMPLOYMENT_SOURCE_TEXTS,
    EMPLOYMENT_STATE_TEXTS,
    EMPLOYMENT_STATUS_TEXTS,
    FACTOR_TEXTS,
    KIND_TEXTS,
    ROLE_NAMES,
    ROLE_TEXTS,
)
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, Ticked, cut, read_form, required, ticked
from sso.http.common.user_roles import RoleOfUser, roles_of_user
from sso.http.console.access import (
    ADMIN,
    Here,
    Needs,
    admin_page,
    own_form,
    to_sign_in_again,
    token_for,
)
from sso.http.console.delivery_texts import CHANNELS, RECEIPTS, STATUS, reason_text
from sso.http.console.texts import CANNOT, NOTE_MISSING
from sso.identity.groups import members, tree
from sso.identity.groups.models import Group, Membership
from sso.identity.sessions import store as sessions
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import Credential, Identifier, IdentityCheck, Picture, User
from sso.identity.users.nip import printed_nip
from sso.identity.users.service import UserError
from sso.oidc.store import store as tokens
from sso.oidc.store.models import Consent
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, page_of_events
from sso.platform.permissions import PERMISSIONS
from sso.settings import whole_minutes

router = new_router()

PEOPLE = ADMIN + "/people"
MAX_FIELD_CHARS = 1000
MAX_SESSIONS, MAX_EVENTS = 20, 30
NOT_LIKE_THIS = N_("The value was not saved. %(detail)s")

Sees = Annotated[Here, Depends(Needs("users:read"))]


class ActionForm(FormModel):
    """The forms of all actions on an account; each action has some of the fields, and every one the reason."""

    note: Annotated[Note, required(NOTE_MISSING)] = ""
    name: str = ""
    username: Annotated[str, cut(MAX_FIELD_CHARS)] = ""
    email: Annotated[str, cut(MAX_FIELD_CHARS)] = ""
    phone_number: Annotated[str, cut(MAX_FIELD_CHARS)] = ""
    email_verified: Ticked = False
    phone_number_verified: Ticked = False
    document: str = ""
    number: str = ""
    place: str = ""
    other: Annotated[str, cut(MAX_IDENTIFIER_CHARS)] = ""
    sure: Ticked = False
    nip: Annotated[str, cut(40)] = ""
    old_nip: Annotated[str, cut(40)] = ""
    employment_status: Annotated[str, cut(40)] = ""
    grade: Annotated[str, cut(40)] = ""
    unit: Annotated[str, cut(64)] = ""
    position: Annotated[str, cut(200)] = ""
    since: Annotated[str, cut(40)] = ""
    until: Annotated[str, cut(40)] = ""


def _values(sent: Sent[ActionForm], attributes: Mapping[str, object] | None) -> ActionValues:
    """Return what was typed, as the action takes it."""
    form = sent.form
    return ActionValues(
        name=form.name,
        username=form.username,
        email=form.email,
        phone_number=form.phone_number,
        email_verified=form.email_verified,
        phone_number_verified=form.phone_number_verified,
        roles=frozenset(ticked(sent.typed, "role ")),
        groups=tuple(ticked(sent.typed, "group ")),
        document=form.document,
        document_number=form.number,
        place=form.place,
        other=form.other,
        sure=form.sure,
        nip=form.nip,
        old_nip=form.old_nip,
        status=form.employment_status,
        grade=form.grade,
        unit=form.unit,
        position=form.position,
        since=form.since,
        until=form.until,
        attributes=attributes,
    )


class AccountView(TypedDict):
    """What the page shows of an account. ``active``: its sessions."""

    user: User
    their_groups: list[str]
    contacts: list[Identifier]
    roles: list[str]
    checks: list[IdentityCheck]
    picture: Picture | None
    events: Sequence[AuditEvent]
    factors: list[tuple[str, list[Credential]]]
    active: list[SsoSession]
    more_sessions: bool
    applications: list[tuple[Consent, Client | None]]
    messages: list[SentMessage]
    contact_states: list[ContactState]
    limits: CodeLimits
    memberships: list[tuple[Membership, Group]]
    administered: list[Group]
    held_roles: list[RoleOfUser]
    employments: list[EmploymentView]
    attributes: list[AttributeView]


@router.get(PEOPLE + "/{user_id}")
async def user_page(request: Request, user_id: str, here: Sees, accounts: AccountActor) -> Response:
    """Show everything about a user that administrators may see."""
    chosen = read_id(user_id)
    return failure(request, "not_found", 404) if chosen is None else await _user_page(request, accounts, chosen, here)


async def _user_page(
    request: Request,
    accounts: AccountActions,
    user_id: UUID,
    here: Here,
    status: int = 200,
    refused: RefusedAction = NOT_REFUSED,
    code: str = "",
) -> Response:
    """Return the page of a user.

    Args:
        request: the request that is answered.
        accounts: the database, the settings and the registered applications.
        user_id: the id of the user.
        here: the administrator.
        status: the HTTP status.
        refused: the action that was refused.
        code: a recovery code that was just made.
    """
    account = await _read_account(accounts, user_id, staff_of(here.rights))
    if account is None:
        return failure(request, "not_found", 404)
    groups = account["their_groups"]
    listed = accounts.registry.listed()
    return admin_page(
        request,
        here,
        "people",
        "admin_person.html",
        status,
        **_permitted(account, here),
        failure_text=partial(reason_text, words=translations(locale_of(request)).gettext),
        now=clock.now(),
        **TEXTS,
        printed_nip=printed_nip,
        attribute_fields=attribute_fields(
            account["attributes"], locale_of(request), refused.fields if refused.name == "attributes" else {}
        ),
        attribute_errors=attribute_errors(refused.attributes, accounts.registry.city),
        all_groups=sorted({*GROUPS, *(client.meta.group for client in listed if client.meta.group), *groups}),
        is_me=user_id == here.visit.user.id,
        **refused.context,
        code=code,
        minutes=whole_minutes(accounts.settings.helpdesk_code_lifetime),
        csrf_token=token_for(request, f"person {user_id}"),
    )


def _permitted(account: AccountView, here: Here) -> dict[str, object]:
    """Return what the page shows of an account to an administrator, and which parts of it they may see."""
    return {
        **account,
        "events": account["events"] if here.may("audit:read") else [],
        "held_roles": account["held_roles"] if here.may("assignments:read") else None,
        "may_see_messages": here.may("deliveries:read"),
        "may_see_sessions": here.may("sessions:read"),
        "may_see_grants": here.may("grants:read"),
        "may_see_groups": here.may("groups:read"),
    }


CONTACT_PROBLEMS = {
    "unverified": N_("not verified: codes for signing in and recovery are not sent there"),
    "no_channel": N_("no codes are sent there: this channel is not set up"),
    "no_codes": N_("this number cannot receive SMS"),
}
"""Why a contact receives no codes."""
TEXTS: dict[str, Mapping[str, str]] = {
    "event_texts": EVENT_TEXTS,
    "act_texts": ACT_TEXTS,
    "role_names": ROLE_NAMES,
    "role_texts": ROLE_TEXTS,
    "kind_texts": KIND_TEXTS,
    "factor_texts": FACTOR_TEXTS,
    "documents": DOCUMENTS,
    "channels": CHANNELS,
    "receipts": RECEIPTS,
    "statuses": STATUS,
    "message_texts": SENT_FOR,
    "contact_problems": CONTACT_PROBLEMS,
    "membership_sources": SOURCES,
    "employment_statuses": EMPLOYMENT_STATUS_TEXTS,
    "employment_states": EMPLOYMENT_STATE_TEXTS,
    "employment_sources": EMPLOYMENT_SOURCE_TEXTS,
}
"""The texts that the page looks names up in."""


async def _read_account(accounts: AccountActions, user_id: UUID, staff: Staff) -> AccountView | None:
    """Return what the page shows of an account to ``staff``; None: it does not exist."""
    now = clock.now()
    async with accounts.db.read() as session:
        user = await session.get(User, user_id)
        if user is None:
            return None
        of_user, idle = SessionFilter(user_id=user_id), now - accounts.settings.session_idle_timeout
        active = await sessions.page_of(session, of_user, "active", now, idle, None, MAX_SESSIONS + 1)
        credentials = await users.credentials_of(session, user_id)
        contacts = await contacts_of(session, user_id)
        recipient = recipient_of(accounts, user_id, contacts)
        messages = await messages_to(session, accounts, recipient)
        consents = await tokens.consents_of(session, user_id)
        return {
            "user": user,
            "their_groups": await users.groups_of(session, user_id),
            "contacts": contacts,
            "messages": messages,
            "contact_states": contact_states(accounts.settings, contacts),
            "limits": await code_limits(session, accounts, recipient, accounts.settings),
            "memberships": await members.memberships_of(session, user_id),
            "administered": await tree.units_recorded_for(session, user_id),
            "roles": await users.roles_of(session, user_id),
            "checks": await users.checks_of(session, user_id),
            "employments": await employments_of(session, user_id),
            "picture": await users.picture_of(session, user_id),
            "events": await page_of_events(session, AuditFilter(person=str(user_id)), None, MAX_EVENTS),
            "factors": [(kind, [factor for factor in credentials if factor.kind == kind]) for kind in FACTOR_TEXTS],
            "active": [sso_session for sso_session, _ in active[:MAX_SESSIONS]],
            "more_sessions": len(active) > MAX_SESSIONS,
            "held_roles": await roles_of_user(session, accounts.registry, user_id),
            "attributes": await attribute_views(session, accounts.box, accounts.registry.city, user_id, staff),
            "applications": [(consent, accounts.registry.known(consent.client_id)) for consent in consents],
        }


@router.post(PEOPLE + "/{user_id}/{act}")
async def act_on_user(
    request: Request, user_id: str, act: str, here: Sees, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Carry out one of ``ACTIONS``, with a reason."""
    chosen = read_id(user_id)
    if act not in ACTIONS or chosen is None:
        return failure(request, "not_found", 404)
    permission, _ = ACTIONS[act]
    if not here.may(permission):
        return failure(request, "no_permission", 403)
    if PERMISSIONS[permission].dangerous and not here.recent:
        raise Interrupted(to_sign_in_again(request, f"{PEOPLE}/{chosen}"))
    sent = read_form(ActionForm, await own_form(request, f"person {chosen}"))
    if sent.mistakes:
        refused = RefusedAction(act, sent.typed, sent.mistakes["note"], f"{act}-note")
        return await _user_page(request, accounts, chosen, here, 400, refused)
    values = sent_attributes(sent.typed, accounts.registry.city, staff_of(here.rights)) if act == "attributes" else None
    action = ActionRequest(act, chosen, _values(sent, values), sent.form.note, here.as_actor, here.rights)
    try:
        done = await perform(accounts, action)
    except ValuesInvalid as error:
        first = attribute_errors(error.wrong, accounts.registry.city)[0]
        refused = RefusedAction(act, sent.typed, first.text, id_of(first.field), first.values, error.wrong)
        return await _user_page(request, accounts, chosen, here, 400, refused)
    except (TooPowerful, UserError) as error:
        detail = refusal_text(str(error), translations(locale_of(request)).gettext)
        refused = RefusedAction(act, sent.typed, CANNOT, f"act-{act}", {"detail": detail})
        return await _user_page(request, accounts, chosen, here, error.status, refused)
    except ValidationError as error:
        words = translations(locale_of(request)).gettext
        return await _user_page(request, accounts, chosen, here, 400, _invalid(act, sent.typed, error, words))
    if done is None:
        return failure(request, "not_found", 404)
    outbox.nudge()
    if done.code:
        return await _user_page(request, accounts, chosen, here, code=done.code)
    return RedirectResponse(PEOPLE if act == "delete" else f"{PEOPLE}/{chosen}", 303)


def _invalid(act: str, fields: Mapping[str, str], error: ValidationError, words: Words) -> RefusedAction:
    """Return the refusal of a form with a value that is not valid."""
    problem = error.errors()[0]
    name = validation_field(problem)
    field = name if name in EDITED_FIELDS else f"act-{act}"
    detail = refusal_text(validation_message(problem), words)
    return RefusedAction(act, fields, NOT_LIKE_THIS, field, {"detail": detail})
