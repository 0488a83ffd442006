"""Pages of administrators about people: finding them, and everything that may be done with an account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts import service as people
from sso.accounts.power import TooPowerful, check_power, check_power_over, invited_power
from sso.clients.metadata import GROUPS
from sso.http.account.profile import contacts_of
from sso.http.admin.audit_labels import ACT_TEXTS, EVENT_TEXTS
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.labels import DOCUMENTS, FACTOR_TEXTS, KIND_TEXTS, ROLE_NAMES, ROLE_TEXTS
from sso.http.common.pages import failure
from sso.http.common.state import site_of
from sso.http.console.access import (
    ADMIN,
    Here,
    Interrupted,
    Needs,
    admin_page,
    by,
    own_form,
    said,
    to_sign_in_again,
    token_for,
)
from sso.identity.authn import recovery_requests as recoveries
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.schemas import UserChange
from sso.identity.users.service import UserError, find, find_all
from sso.logout.bulk import begin
from sso.oidc.store import store as tokens
from sso.platform.audit import record
from sso.platform.audit.service import AuditFilter, page_of_events
from sso.platform.permissions import PERMISSIONS, ROLES, power_of
from sso.platform.security.encryption import SecretBox
from sso.settings import whole_minutes

router = APIRouter()

PEOPLE = ADMIN + "/people"
PAGE = 50
MIN_CHARS = 3
MAX_SESSIONS, MAX_EVENTS = 20, 30
TOO_SHORT = N_("Type at least three letters.")
NOBODY = N_("Nobody has that name or identifier.")
NOTE_MISSING = N_("Say why: it is kept in the audit log.")
CANNOT = N_("That cannot be done: %(detail)s.")
NOT_LIKE_THIS = N_("This cannot be kept: %(detail)s.")

Sees = Annotated[Here, Depends(Needs("users:read"))]


@router.get(PEOPLE)
async def list_page(request: Request, here: Sees) -> Response:
    """Find people: by anything they sign in with, by the beginning of any part of their name, or the newest."""
    query, provider = request.query_params, site_of(request).provider
    asked, before = query.get("q", "").strip()[:254], read_id(query.get("before", ""))
    problem = ""
    async with provider.db.read() as session:
        found: list[User] = []
        try:
            if asked:
                found = await find_all(session, asked, provider.box)
        except UserError:
            pass  # nobody has verified it; perhaps it is a name
        if not found:
            if asked and len(asked) < MIN_CHARS:
                problem = TOO_SHORT
            else:
                found = await users.page_of_names(session, asked, before, PAGE + 1)
                problem = "" if found or not asked else NOBODY
        ids = [one.id for one in found[:PAGE]]
        roles, identifiers = await users.roles_of_many(session, ids), await users.identifiers_of_many(session, ids)
    following = {**({"q": asked} if asked else {}), "before": str(ids[-1])} if len(found) > PAGE else {}
    return admin_page(
        request,
        here,
        "people",
        "admin_people.html",
        asked=asked,
        rows=[(one, roles[one.id], identifiers[one.id]) for one in found[:PAGE]],
        problem=problem,
        following=f"{PEOPLE}?{urlencode(following)}" if following else "",
        may_merge=here.may("users:merge"),
        role_names=ROLE_NAMES,
    )


@router.get(PEOPLE + "/{user_id}")
async def person_page(request: Request, user_id: str, here: Sees) -> Response:
    """Everything about one person that administrators may see."""
    return await _person_page(request, user_id, here)


async def _person_page(
    request: Request,
    user_id: str,
    here: Here,
    problem: str = "",
    status: int = 200,
    *,
    field: str = "",
    code: str = "",
    acted: str = "",
    typed: dict[str, str] | None = None,
    **values: str,
) -> Response:
    """Return the page of a person.

    Args:
        request: what is answered.
        user_id: the id of the person.
        here: who is here.
        problem: why an act was refused.
        status: the HTTP status.
        field: the field that the mistake is about.
        code: a recovery code that was just made.
        acted: the act that was refused: its form is open, and holds what was typed.
        typed: the fields of that form.
        values: what the text of the problem names.
    """
    provider, chosen, now = site_of(request).provider, read_id(user_id), clock.now()
    async with provider.db.read() as session:
        user = await session.get(User, chosen) if chosen is not None else None
        if user is None or chosen is None:
            return failure(request, "not_found", 404)
        credentials = await users.credentials_of(session, chosen)
        wanted = SessionFilter(user_id=chosen)
        active = await sessions.page_of(session, wanted, "living", now, now - provider.idle, None, MAX_SESSIONS + 1)
        events = await page_of_events(session, AuditFilter(person=str(chosen)), None, MAX_EVENTS)
        consents, groups = await tokens.consents_of(session, chosen), await users.groups_of(session, chosen)
        shown = {
            "contacts": await contacts_of(session, chosen),
            "roles": await users.roles_of(session, chosen),
            "checks": await users.checks_of(session, chosen),
            "picture": await users.picture_of(session, chosen),
        }
    registry = provider.registry
    return admin_page(
        request,
        here,
        "people",
        "admin_person.html",
        status,
        user=user,
        their_groups=groups,
        **shown,
        factors=[(kind, [one for one in credentials if one.kind == kind]) for kind in FACTOR_TEXTS],
        active=[one for one, _ in active[:MAX_SESSIONS]],
        more_sessions=len(active) > MAX_SESSIONS,
        applications=[(one, registry.known(one.client_id)) for one in consents],
        events=events if here.may("audit:read") else [],
        may_see_sessions=here.may("sessions:read"),
        may_see_grants=here.may("grants:read"),
        event_texts=EVENT_TEXTS,
        act_texts=ACT_TEXTS,
        role_names=ROLE_NAMES,
        role_texts=ROLE_TEXTS,
        kind_texts=KIND_TEXTS,
        factor_texts=FACTOR_TEXTS,
        documents=DOCUMENTS,
        all_groups=sorted({*GROUPS, *(one.meta.group for one in registry.listed() if one.meta.group), *groups}),
        is_me=chosen == here.visit.user.id,
        problem=problem,
        field=field,
        values=values,
        acted=acted,
        typed={name: text[:500] for name, text in (typed or {}).items()},
        code=code,
        minutes=whole_minutes(site_of(request).settings.helpdesk_code_lifetime),
        csrf_token=token_for(request, f"person {chosen}"),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """An act that was asked for."""

    request: Request
    here: Here
    user: User
    fields: dict[str, str]
    note: str

    @property
    def about(self) -> dict[str, Any]:
        """Who asks, for log and audit."""
        return by(self.request, self.here)


Act = Callable[[AsyncSession, Asked], Awaitable[str | None]]


async def _disable(session: AsyncSession, asked: Asked) -> None:
    await people.disable_user(session, site_of(asked.request).provider, asked.user, **asked.about)


async def _enable(session: AsyncSession, asked: Asked) -> None:
    await people.enable_user(session, site_of(asked.request).provider, asked.user, **asked.about)


async def _end_sessions(session: AsyncSession, asked: Asked) -> None:
    wanted = SessionFilter(user_id=asked.user.id)
    await begin(session, wanted, EndReason.ADMINISTRATOR, actor=asked.here.actor, note=asked.note)


async def _recovery_code(session: AsyncSession, asked: Asked) -> str:
    return await people.start_recovery(session, site_of(asked.request).provider, asked.user, **asked.about)


async def _new_password(session: AsyncSession, asked: Asked) -> None:
    await people.require_new_password(session, site_of(asked.request).provider, asked.user, **asked.about)


async def _reset_factors(session: AsyncSession, asked: Asked) -> None:
    await people.reset_factors(session, site_of(asked.request).provider, asked.user, **asked.about)


async def _unlock(_: AsyncSession, asked: Asked) -> None:
    asked.user.locked_until = None


async def _stop_recovery(session: AsyncSession, asked: Asked) -> None:
    await recoveries.delete_of_user(session, asked.user.id)


async def _roles(session: AsyncSession, asked: Asked) -> None:
    wanted = [name for name in ROLES if asked.fields.get(f"role {name}") == "1"]
    check_power(asked.here.rights, power_of(wanted, ()))
    groups = [
        name.removeprefix("group ") for name, value in asked.fields.items() if name.startswith("group ") and value
    ]
    if "group_admin" not in wanted:
        groups = []
    await people.give_roles(session, site_of(asked.request).provider, asked.user, wanted, groups=groups, **asked.about)


async def _edit(session: AsyncSession, asked: Asked) -> None:
    fields = asked.fields
    said_of: dict[str, Any] = {"name": " ".join(fields.get("name", "").split())}
    known = {one.kind: one for one in await users.identifiers_of(session, asked.user.id) if one.is_primary}
    for field, kind in (("username", "username"), ("email", "email"), ("phone_number", "phone")):
        typed, present = fields.get(field, "").strip(), known.get(kind)
        if typed != (present.value if present is not None else ""):
            said_of[field] = typed or None
        if kind != "username":
            verified = fields.get(f"{field}_verified") == "1"
            if field in said_of or verified != (present is not None and present.verified_at is not None):
                said_of[f"{field}_verified"] = verified
    if said_of["name"] == asked.user.name:
        del said_of["name"]
    if said_of:
        change, provider = UserChange.model_validate(said_of), site_of(asked.request).provider
        lookups = [one for one in (change.username, change.email, change.phone_number) if one]
        check_power(asked.here.rights, await invited_power(session, provider, lookups))
        await people.change_person(session, provider, asked.user, change, **asked.about)


async def _check(session: AsyncSession, asked: Asked) -> None:
    if asked.user.id == asked.here.visit.user.id:
        raise UserError("nobody checks their own identity")
    fields = asked.fields
    seen = people.read_check(fields.get("document", ""), fields.get("number", ""), fields.get("place", ""))
    await people.check_identity(session, site_of(asked.request).provider, asked.user, seen, **asked.about)


async def _uncheck(session: AsyncSession, asked: Asked) -> None:
    await people.revoke_identity_check(session, site_of(asked.request).provider, asked.user, **asked.about)


async def _delete(session: AsyncSession, asked: Asked) -> None:
    if asked.fields.get("sure") != "1":
        raise UserError("tick the box if you are sure")
    await people.delete_user(session, site_of(asked.request).provider, asked.user, **asked.about)


async def _other(session: AsyncSession, fields: dict[str, str], box: SecretBox) -> User:
    """Return the person whose account is to be merged into another."""
    return await find(session, fields.get("other", "").strip()[:254], box)


async def _merge(session: AsyncSession, asked: Asked) -> None:
    other = await _other(session, asked.fields, site_of(asked.request).provider.box)
    await check_power_over(session, site_of(asked.request).provider, [other.id], asked.here.rights)
    await people.merge_users(session, site_of(asked.request).provider, asked.user, other, **asked.about)


ACTS: dict[str, tuple[str, Act]] = {
    "edit": ("users:write", _edit),
    "disable": ("users:write", _disable),
    "enable": ("users:write", _enable),
    "new_password": ("users:write", _new_password),
    "reset_factors": ("users:write", _reset_factors),
    "unlock": ("users:write", _unlock),
    "roles": ("users:roles", _roles),
    "end_sessions": ("sessions:end_many", _end_sessions),
    "recovery": ("users:recover", _recovery_code),
    "stop_recovery": ("users:recover", _stop_recovery),
    "check": ("users:check_identity", _check),
    "uncheck": ("users:check_identity", _uncheck),
    "merge": ("users:merge", _merge),
    "delete": ("users:delete", _delete),
}
"""What may be done with a person: the permission that it takes, and how."""


EDITED = ("name", "username", "email", "phone_number")
"""The fields of the form that changes name and identifiers."""


async def _held(session: AsyncSession, act: str, user_id: UUID, fields: dict[str, str], box: SecretBox) -> User | None:
    """Return a person, held until the transaction ends; with whom they are merged with, where that is the act."""
    if act != "merge":
        return await users.lock_user(session, user_id)
    other = await _other(session, fields, box)
    return (await people.lock_to_merge(session, user_id, other.id))[0]


@router.post(PEOPLE + "/{user_id}/{act}")
async def do(request: Request, user_id: str, act: str, here: Sees) -> Response:
    """Do one of these, with a reason, which the audit log keeps."""
    found, chosen = ACTS.get(act), read_id(user_id)
    if found is None or chosen is None:
        return failure(request, "not_found", 404)
    permission, work = found
    if not here.may(permission):
        return failure(request, "no_permission", 403)
    if PERMISSIONS[permission].dangerous and not here.recent:
        raise Interrupted(to_sign_in_again(request, f"{PEOPLE}/{chosen}"))
    fields = await own_form(request, f"person {chosen}")
    note = said(fields)
    if not note:
        return await _person_page(
            request, user_id, here, NOTE_MISSING, 400, field=f"{act}-note", acted=act, typed=fields
        )
    site = site_of(request)
    try:
        async with site.provider.db.write() as session:
            user = await _held(session, act, chosen, fields, site.provider.box)
            if user is None:
                return failure(request, "not_found", 404)
            await check_power_over(session, site.provider, [chosen], here.rights)
            asked = Asked(request, here, user, fields, note)
            code = await work(session, asked)
            data = {"act": act, "note": note}
            record(session, "user.administered", subject=str(chosen), data=data, **asked.about)
    except (TooPowerful, UserError) as error:
        status = 403 if isinstance(error, TooPowerful) else 409
        return await _person_page(
            request, user_id, here, CANNOT, status, field=f"act-{act}", acted=act, typed=fields, detail=str(error)
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        field = name if name in EDITED else f"act-{act}"
        detail = f"{name}: {str(first['msg']).removeprefix('Value error, ')}"
        return await _person_page(
            request, user_id, here, NOT_LIKE_THIS, 400, field=field, acted=act, typed=fields, detail=detail
        )
    site.worker.nudge()
    if code:
        return await _person_page(request, user_id, here, code=code)
    return RedirectResponse(PEOPLE if act == "delete" else f"{PEOPLE}/{chosen}", 303)
