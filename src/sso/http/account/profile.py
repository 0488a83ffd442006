"""A person's own pages: who is here, the profile, connected applications, activity, notifications, and their data."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.data_export import everything_about, withdraw
from sso.accounts.notifications import notify
from sso.accounts.service import OnlyOwner, plan_deletion
from sso.clients.claims import allowed_by, permissions
from sso.http.common.cookies import read_cookie
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields, upload
from sso.http.common.i18n import LOCALES, N_, page_language
from sso.http.common.images import made_small
from sso.http.common.pages import failure, page
from sso.http.common.state import kept_address_of, request_id_of, site_of
from sso.http.sign_in.account_chooser import present_account, with_accounts
from sso.http.sign_in.authorize import STALE, is_recent
from sso.http.sign_in.consent import asked_for
from sso.identity.sessions import store as sessions
from sso.identity.test_users import is_test
from sso.identity.users import store as users
from sso.identity.users.models import Identifier, Picture, User
from sso.identity.users.schemas import Address, Profile
from sso.identity.users.service import UserError
from sso.oidc.authorize.request import SignedIn
from sso.oidc.store import store as tokens
from sso.platform.audit import record
from sso.platform.audit.service import AuditFilter, page_of_events
from sso.platform.permissions import GROUP_PERMISSIONS, permissions_of
from sso.platform.security.numbers import read_uuid
from sso.platform.security.tokens import random_token
from sso.settings import whole_days

router = APIRouter()

PAGES = (
    ("account", "/account", N_("Overview")),
    ("profile", "/account/profile", N_("Profile")),
    ("contacts", "/account/contacts", N_("Contacts and names to sign in")),
    ("security", "/account/security", N_("Password and second steps")),
    ("sessions", "/account/sessions", N_("Active sessions and devices")),
    ("applications", "/account/applications", N_("Connected applications")),
    ("activity", "/account/activity", N_("Activity")),
    ("notifications", "/account/notifications", N_("Notifications and language")),
    ("data", "/account/data", N_("My data")),
)
"""The pages: the name by which signing in leads there, the address, the title."""
EVENTS_SHOWN = 50
PICTURE_PIXELS = 256
PROFILE_FIELDS = (
    "given_name", "middle_name", "family_name", "nickname", "gender", "birthdate", "website", "zoneinfo",
)  # fmt: skip
ADDRESS_FIELDS = ("street_address", "locality", "region", "postal_code", "country")
EVENTS = {
    "session.started": N_("Signed in"),
    "session.renewed": N_("Signed in again"),
    "session.ended": N_("Signed out"),
    "sign_in.failed": N_("A sign-in failed"),
    "consent.given": N_("An application was allowed to receive data"),
    "consent.withdrawn": N_("The permission of an application was withdrawn"),
    "grant.revoked": N_("What an application was given was taken back"),
    "user.registered": N_("The account was made"),
    "user.created": N_("The account was made"),
    "user.imported": N_("The account was taken over from another application"),
    "user.changed": N_("The profile was changed"),
    "user.password_changed": N_("The password was changed"),
    "user.recovered": N_("The account was recovered"),
    "user.locked": N_("A sign-in was said to be somebody else's"),
    "user.identity_checked": N_("A document was checked at a counter"),
    "user.exported": N_("The data were exported"),
    "user.deletion_planned": N_("The account is to be deleted"),
    "user.deletion_cancelled": N_("The account stays"),
    "user.roles_changed": N_("The roles were changed"),
    "factor.added": N_("A way to sign in was added"),
    "factor.removed": N_("A way to sign in was removed"),
    "factor.recovery_codes_made": N_("Recovery codes were made"),
    "factor.recovery_code_used": N_("A recovery code was used"),
    "contact.added": N_("An address or number was added"),
    "contact.verified": N_("An address or number was proven"),
    "contact.removed": N_("An address or number was removed"),
    "recovery.begun": N_("A recovery of the account was begun"),
    "recovery.delayed": N_("A recovery of the account waits"),
    "recovery.stopped": N_("A recovery of the account was stopped"),
}
NOTICES = (
    ("new_device", N_("When I sign in at a device that is new")),
    ("application_connected", N_("When I allow an application to receive data")),
)
NOT_ME = N_("Type your name.")
NOT_A_PICTURE = N_("We cannot read this picture. Choose a PNG, JPEG, GIF or WebP of at most %(megabytes)d MB.")
ONLY_OWNER = N_("Nobody else owns %(what)s. Make somebody else an owner in the developers' portal first.")
LAST_ADMINISTRATOR = N_("You are the last administrator. Make somebody else an administrator first.")


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody on their own pages."""

    who: SignedIn
    user: User
    roles: list[str]


async def visit(request: Request, then: str, *, recent: bool = False) -> Visit | Response:
    """Return who is here, or the way to the sign-in page and back.

    Args:
        request: what is answered.
        then: the name of the page.
        recent: they must have signed in a moment ago.
    """
    async with site_of(request).provider.db.read() as session:
        who = await present_account(request, session)
        user = await session.get(User, who.user.id) if who is not None else None
        roles = await users.roles_of(session, who.user.id) if who is not None else []
    if who is None or user is None:
        return _sign_in(then)
    if is_test(who.session):  # nobody's account has nothing to be changed: a password would open it
        return failure(request, "no_permission", 403)
    if recent and not is_recent(request, who):
        return _sign_in(then, again="1")
    return Visit(who, user, roles)


class VisitOver(Exception):
    """The session of a person's own page ended while the page was being answered. ``then`` names the page."""

    def __init__(self, then: str) -> None:
        super().__init__(then)
        self.then = then


def on_visit_over(_: Request, error: Exception) -> Response:
    """Answer :class:`VisitOver` with the way to the sign-in page and back."""
    assert isinstance(error, VisitOver)
    return _sign_in(error.then)


async def lock_visitor(request: Request, session: AsyncSession, here: Visit, then: str) -> User:
    """Lock the person of a page of their own, and look once more whether the session lives. Every transaction that
    changes something begins with it: between :func:`visit` and the change, the owner may have ended the session,
    changed the password, or recovered the account.

    Raises:
        VisitOver: when it does not live any more.
    """
    user, now = await users.lock_user(session, here.user.id), clock.now()
    idle = site_of(request).provider.idle
    if user is None or not await sessions.lives(session, here.who.session.id, now, now - idle):
        raise VisitOver(then)
    return user


def _sign_in(then: str, **more: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({'then': then, **more})}", 303, {"Cache-Control": "no-store"})


def own_page(request: Request, here: Visit, name: str, template: str, status: int = 200, **context: Any) -> Response:
    """Return one of a person's own pages, with the way to the others."""
    address = next(address for one, address, _ in PAGES if one == name)
    return page(
        request,
        template,
        status=status,
        display="wide",
        here=address,
        pages=PAGES,
        current=name,
        person=here.user.name,
        csrf_token=own_token(request, name),
        **context,
    )


def own_token(request: Request, name: str) -> str:
    """Return the token of the forms of one of a person's own pages."""
    return csrf_token(request, f"own {name}", read_cookie(request, "session"))


def is_own_form(request: Request, fields: dict[str, str], name: str) -> bool:
    """Tell whether a form is one of a person's own pages."""
    return has_valid_csrf_token(request, fields, f"own {name}", read_cookie(request, "session"))


@router.get("/account")
async def overview(request: Request) -> Response:
    """What there is, and what should be done."""
    here = await visit(request, "account")
    if isinstance(here, Response):
        return here
    async with site_of(request).provider.db.read() as session:
        credentials = await users.credentials_of(session, here.user.id)
        identifiers = await users.identifiers_of(session, here.user.id)
        picture = await users.picture_of(session, here.user.id)
    kinds = {one.kind for one in credentials}
    return own_page(
        request,
        here,
        "account",
        "account.html",
        kinds=kinds,
        reached=[one for one in identifiers if one.kind in ("email", "phone") and one.verified_at],
        checked=here.user.identity_checked_at,
        picture=picture.id if picture else "",
        may_administer=first_admin_page(here.roles),
        may_develop="applications:create" in permissions_of(here.roles),
    )


@router.get("/account/profile")
async def profile_page(request: Request) -> Response:
    """The standard claims (OpenID Connect Core section 5.1)."""
    here = await visit(request, "profile")
    return here if isinstance(here, Response) else await _profile_page(request, here, _profile_values(here.user))


@router.post("/account/profile")
async def change_profile(request: Request) -> Response:
    """Change the profile; what is wrong is said, and nothing that was typed is lost."""
    here, fields = await visit(request, "profile"), await form_fields(request)
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "profile"):
        return await _profile_page(request, here, fields, {"": STALE}, 400)
    name, mistakes = " ".join(fields.get("name", "").split())[:200], {}
    if not name or any(char in "<>" or not char.isprintable() for char in name):
        mistakes["name"] = NOT_ME
    made = _read_profile(here.user, fields, mistakes)
    if made is None or mistakes:
        return await _profile_page(request, here, fields, mistakes, 400)
    provider = site_of(request).provider
    async with provider.db.write() as session:
        user = await lock_visitor(request, session, here, "profile")
        user.name, user.profile, user.updated_at = name, made.model_dump(exclude_none=True), clock.now()
        who = str(user.id)
        record(session, "user.changed", actor=who, subject=who, request_id=request_id_of(request))
    return RedirectResponse("/account/profile?done=1", 303)


def _read_profile(user: User, fields: dict[str, str], mistakes: dict[str, str]) -> Profile | None:
    """Return the profile that was typed; what is wrong goes into ``mistakes``, by the name of the field."""
    kept = {name: value for name, value in user.profile.items() if name not in (*PROFILE_FIELDS, "address")}
    said: dict[str, Any] = {name: fields.get(name, "").strip() or None for name in PROFILE_FIELDS}
    address = {name: fields.get(f"address_{name}", "").strip() or None for name in ADDRESS_FIELDS}
    lines = [address["street_address"], " ".join(filter(None, (address["locality"], address["postal_code"])))]
    lines += [address["region"], address["country"]]
    if any(address.values()):
        said["address"] = Address.model_construct(
            None, **address, formatted="\n".join(filter(None, lines))
        ).model_dump()
    try:
        return Profile.model_validate({**kept, **said})
    except ValidationError as error:
        for problem in error.errors():
            place = "_".join(str(part) for part in problem["loc"])
            mistakes[place] = WRONG_FIELDS.get(
                place, N_("This cannot be kept. Write it shorter, without special signs.")
            )
        return None


WRONG_FIELDS = {
    "birthdate": N_("Write the date of birth as year, month and day: 1990-04-21."),
    "website": N_("Write the whole address, beginning with https://."),
}


def _profile_values(user: User) -> dict[str, str]:
    address = user.profile.get("address") or {}
    values = {name: str(user.profile.get(name) or "") for name in PROFILE_FIELDS}
    return {"name": user.name, **values, **{f"address_{name}": str(address.get(name) or "") for name in ADDRESS_FIELDS}}


async def _profile_page(
    request: Request,
    here: Visit,
    values: dict[str, str],
    mistakes: dict[str, str] | None = None,
    status: int = 200,
    **more: int,
) -> Response:
    async with site_of(request).provider.db.read() as session:
        picture = await users.picture_of(session, here.user.id)
    every = ["name", *PROFILE_FIELDS, *(f"address_{name}" for name in ADDRESS_FIELDS)]
    return own_page(
        request,
        here,
        "profile",
        "account_profile.html",
        status,
        typed={name: values.get(name, "")[:500] for name in every},
        mistakes=mistakes or {},
        picture=picture.id if picture else "",
        megabytes=site_of(request).settings.max_picture_size // (1024 * 1024),
        done=request.query_params.get("done", ""),
        values=more,
    )


@router.post("/account/picture")
async def change_picture(request: Request) -> Response:
    """Keep a picture, made small and anew from its pixels; or take it away."""
    here = await visit(request, "profile")
    fields, body = await upload(request, "picture")
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "profile"):
        return await _profile_page(request, here, _profile_values(here.user), {"": STALE}, 400)
    provider, now = site_of(request).provider, clock.now()
    image = b""
    if fields.get("choice") != "remove":
        try:
            image = await asyncio.to_thread(made_small, body, PICTURE_PIXELS)
        except ValueError:
            megabytes = site_of(request).settings.max_picture_size // (1024 * 1024)
            mistakes = {"picture": NOT_A_PICTURE}
            return await _profile_page(request, here, _profile_values(here.user), mistakes, 400, megabytes=megabytes)
    async with provider.db.write() as session:
        await lock_visitor(request, session, here, "profile")
        present = await users.picture_of(session, here.user.id)
        if present is not None:
            await session.delete(present)
            await session.flush()
        if image:
            session.add(Picture(user_id=here.user.id, id=random_token(), image=image, updated_at=now))
        await users.mark_changed(session, here.user.id, now)
        who, about = str(here.user.id), {"changed": ["picture"]}
        record(session, "user.changed", actor=who, subject=who, request_id=request_id_of(request), data=about)
    return RedirectResponse("/account/profile?done=1", 303)


@router.get("/picture/{picture_id}")
async def picture_file(request: Request, picture_id: str) -> Response:
    """A person's picture, for those who know its address: applications that may have the claim ``picture``."""
    async with site_of(request).provider.db.read() as session:
        image = await users.picture_with_id(session, picture_id)
    if image is None:
        return Response(status_code=404, headers={"Cache-Control": "no-store"})
    return Response(image, headers={"Cache-Control": "private, max-age=3600"}, media_type="image/png")


@router.get("/account/applications")
async def applications_page(request: Request) -> Response:
    """Which applications know the person: what each may have, and when it was used last."""
    here = await visit(request, "applications")
    if isinstance(here, Response):
        return here
    provider = site_of(request).provider
    async with provider.db.read() as session:
        consents = {one.client_id: one for one in await tokens.consents_of(session, here.user.id)}
        granted = await tokens.granted_scopes(session, here.user.id)
        used = await sessions.last_used_clients(session, here.user.id)
        local: dict[str, list[str]] = {}
        for one in await users.local_accounts_of(session, here.user.id):
            local.setdefault(one.client_id, []).append(one.local_user_id)
    rows = []
    for client_id in sorted({*consents, *granted, *used, *local}):
        client = provider.registry.known(client_id)
        if client is None:
            continue
        consent = consents.get(client_id)
        said = set(consent.scopes) if consent is not None else set()
        permitted = said | (granted.get(client_id, set()) - {one.partition(" ")[0] for one in said})
        scopes = {one.partition(" ")[0] for one in permitted} & client.scopes
        shown = permissions(scopes, client.meta.claim_reasons) & allowed_by(permitted)
        rows.append(
            {
                "client": client,
                "asked": asked_for(client, shown),
                "since": consent.created_at if consent is not None else None,
                "used": used.get(client_id),
                "local": ", ".join(local.get(client_id, [])),
                "may_withdraw": consent is not None or client_id in granted,
            }
        )
    rows.sort(key=lambda one: str(one["used"] or ""), reverse=True)
    done = request.query_params.get("done", "")
    return own_page(request, here, "applications", "account_applications.html", rows=rows, done=done)


@router.post("/account/applications")
async def withdraw_consent(request: Request) -> Response:
    """Withdraw what an application was allowed: its tokens are over, and it is told that the session with it is."""
    here, fields = await visit(request, "applications"), await form_fields(request)
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "applications"):
        return RedirectResponse("/account/applications", 303)
    site = site_of(request)
    async with site.provider.db.write() as session:
        address, reference = kept_address_of(request), request_id_of(request)
        await withdraw(
            session, site.provider, here.user.id, fields.get("client", "")[:100], address=address, request_id=reference
        )
    site.worker.nudge()
    return RedirectResponse("/account/applications?done=1", 303)


@router.get("/account/activity")
async def activity(request: Request) -> Response:
    """What happened in the account, the newest first."""
    here = await visit(request, "activity")
    if isinstance(here, Response):
        return here
    try:
        before = read_uuid(request.query_params.get("before", ""))
    except ValueError:
        before = None
    async with site_of(request).provider.db.read() as session:
        wanted = AuditFilter(person=str(here.user.id))
        found = await page_of_events(session, wanted, before, EVENTS_SHOWN + 1)
    shown = [one for one in found[:EVENTS_SHOWN] if one.type in EVENTS]
    registry = site_of(request).provider.registry
    rows = [(one, registry.known(one.client_id) if one.client_id else None) for one in shown]
    following = f"/account/activity?before={found[EVENTS_SHOWN - 1].id}" if len(found) > EVENTS_SHOWN else ""
    return own_page(request, here, "activity", "account_activity.html", rows=rows, names=EVENTS, following=following)


@router.get("/account/notifications")
async def notifications_page(request: Request) -> Response:
    """Which notices are sent, and the language."""
    here = await visit(request, "notifications")
    if isinstance(here, Response):
        return here
    return own_page(
        request,
        here,
        "notifications",
        "account_notifications.html",
        notices=NOTICES,
        wanted={name: here.user.preferences.get(name) is not False for name, _ in NOTICES},
        language=page_language(here.user.locale, ""),
        done=request.query_params.get("done", ""),
    )


@router.post("/account/notifications")
async def change_notifications(request: Request) -> Response:
    """Choose which notices are sent, and the language."""
    here, fields = await visit(request, "notifications"), await form_fields(request)
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "notifications"):
        return RedirectResponse("/account/notifications", 303)
    async with site_of(request).provider.db.write() as session:
        user = await lock_visitor(request, session, here, "notifications")
        user.preferences = {**user.preferences, **{name: fields.get(name) == "1" for name, _ in NOTICES}}
        language = fields.get("language", "") if fields.get("language") in LOCALES else ""
        if language != page_language(user.locale, ""):  # the page names the language; the region stays
            user.locale = language or None
        user.updated_at = clock.now()
    chosen = {"done": "1", **({"lang": language} if language else {})}
    return RedirectResponse(f"/account/notifications?{urlencode(chosen)}", 303)


@router.get("/account/data")
async def data_page(request: Request) -> Response:
    """Taking one's data along, and being deleted."""
    here = await visit(request, "data")
    return here if isinstance(here, Response) else _data_page(request, here)


def _data_page(request: Request, here: Visit, problem: str = "", status: int = 200, **values: str) -> Response:
    days = whole_days(site_of(request).settings.deletion_grace_period)
    return own_page(request, here, "data", "account_data.html", status, problem=problem, days=days, values=values)


@router.post("/account/export")
async def export(request: Request) -> Response:
    """Everything that is known of the person, as JSON (UU PDP 27/2022 article 6; GDPR article 20)."""
    here, fields = await visit(request, "data", recent=True), await form_fields(request)
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "data"):
        return _data_page(request, here, STALE, 400)
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await lock_visitor(request, session, here, "data")
        made = await everything_about(session, provider, here.user.id)
        who, address = str(here.user.id), kept_address_of(request)
        record(session, "user.exported", actor=who, subject=who, address=address, request_id=request_id_of(request))
        notify(session, provider, here.user, "exported")
    site_of(request).worker.nudge()
    name = f"data-{clock.now():%Y-%m-%d}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    body = orjson.dumps(made, option=orjson.OPT_INDENT_2, default=str)
    return Response(body, headers=headers, media_type="application/json")


@router.post("/account/delete")
async def delete(request: Request) -> Response:
    """Ask to be deleted: signed out everywhere at once, deleted after the grace period."""
    here, fields = await visit(request, "data", recent=True), await form_fields(request)
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "data"):
        return _data_page(request, here, STALE, 400)
    if fields.get("sure") != "1":
        return _data_page(request, here, N_("Tick the box if you are sure."), 400)
    site = site_of(request)
    try:
        async with site.provider.db.write() as session:
            user = await lock_visitor(request, session, here, "data")
            await plan_deletion(session, site.provider, user, actor=str(user.id), request_id=request_id_of(request))
            until = user.delete_at
    except OnlyOwner as error:
        return _data_page(request, here, ONLY_OWNER, 409, what=error.applications)
    except UserError:
        return _data_page(request, here, LAST_ADMINISTRATOR, 409)
    site.worker.nudge()
    made = page(request, "account_leaving.html", here="/", until=until)
    with_accounts(request, made, [])
    return made


async def contacts_of(session: AsyncSession, user_id: uuid.UUID) -> list[Identifier]:
    """Return what a person signs in with, those that come first before the others."""
    known = await users.identifiers_of(session, user_id)
    return sorted(known, key=lambda one: (one.kind, not one.is_primary))


def first_admin_page(roles: Collection[str]) -> str:
    """Return where somebody with these roles begins to administer; nothing where they do not."""
    may = permissions_of(roles) | (GROUP_PERMISSIONS if "group_admin" in roles else frozenset())
    return "/admin" if may - NOT_OF_THE_CONSOLE else ""


NOT_OF_THE_CONSOLE = frozenset({"applications:create"})
"""Permissions for which the console has no page: the developers' portal has."""
