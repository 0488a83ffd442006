"""Pages of a team about itself, and about the secrets and keys of its application."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.notifications import notify, send
from sso.clients import store as clients
from sso.clients.metadata import checked_keys
from sso.clients.models import SANDBOX, ClientSecret
from sso.clients.secrets import MAX_SECRETS, ClientError, add_secret, revoke_secret, valid_secrets
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.responses import to_wait
from sso.http.common.state import site_of
from sso.http.console.access import DEVELOPER, There, by, developer_page, own_form, token_for
from sso.http.developer.applications import APPS, CANNOT, STATES, Member, Owner, Reader, secret_page
from sso.identity.users.identifiers import meanings, normalise_as
from sso.identity.users.store import names_of, proven_owner
from sso.platform.security.json_documents import read_json
from sso.platform.security.outbound_http import OutboundFailed, OutboundRefused, public_reason
from sso.platform.security.rate_limits import TooManyFailures
from sso.portal import invitations as joining
from sso.portal import teams
from sso.portal.applications import catalogue_of
from sso.portal.diagnosis import ENDS_SOON_DAYS, OLD_SECRET_DAYS

router = APIRouter()

MANY_INVITATIONS = N_("Too many invitations were sent today. Please try again in %(hours)s hours.")
NOT_A_PERSON = N_("Type an e-mail address or a user name.")
LAST_OWNER = N_("This is the last owner. Make somebody else an owner first: an application is never without one.")
VALIDITIES = {"90": N_("90 days"), "180": N_("half a year"), "365": N_("a year"), "0": N_("until it is revoked")}


@router.get(APPS + "/{application_id}/team")
async def team_page(request: Request, there: Reader) -> Response:
    """Who looks after an application."""
    return await _team_page(request, there)


async def _team_page(request: Request, there: There, problem: str = "", status: int = 200, **values: str) -> Response:
    async with site_of(request).provider.db.read() as session:
        team = await teams.team_of(session, there.application_id)
        invited = await teams.invitations_of(session, there.application_id)
        names = await names_of(session, [str(one.user_id) for one in team])
    return await developer_page(
        request,
        there.here,
        there.application_id,
        "developer_team.html",
        status,
        tab="team",
        there=there,
        app=there.application,
        states=STATES,
        team=[(one, names.get(str(one.user_id), "")) for one in team],
        invited=invited,
        me=there.here.visit.user.id,
        problem=problem,
        values=values,
        csrf_token=token_for(request, f"team {there.application_id}"),
    )


@router.post(APPS + "/{application_id}/team")
async def change_team(request: Request, there: Owner) -> Response:
    """Invite somebody, give another role, take somebody out, or take an invitation back."""
    fields = await own_form(request, f"team {there.application_id}")
    choice, _, which = fields.get("choice", "").partition(" ")
    site, role = site_of(request), ("owner" if fields.get("role") == "owner" else "member")
    if choice == "invite":
        return await _invite(request, there, fields.get("who", "").strip()[:254], role)
    try:
        async with site.provider.db.write() as session:
            if choice == "withdraw":
                await teams.withdraw_invitation(session, there.application_id, which)
            elif (chosen := read_id(which)) is not None:
                if choice == "remove":
                    await teams.remove_member(session, there.application_id, chosen, actor=there.here.actor)
                elif choice in ("owner", "member") and await teams.role_of(session, there.application_id, chosen):
                    wanted: Any = choice
                    await teams.add_member(session, there.application_id, chosen, wanted, **there.here.acts)
    except ClientError:
        return await _team_page(request, there, LAST_OWNER, 409)
    return RedirectResponse(f"{APPS}/{there.application_id}/team", 303)


@router.post(APPS + "/{application_id}/leave")
async def leave(request: Request, there: Member) -> Response:
    """Leave a team."""
    await own_form(request, f"team {there.application_id}")
    try:
        async with site_of(request).provider.db.write() as session:
            await teams.remove_member(session, there.application_id, there.here.visit.user.id, actor=there.here.actor)
    except ClientError:
        return await _team_page(request, there, LAST_OWNER, 409)
    return RedirectResponse(DEVELOPER, 303)


async def _invite(request: Request, there: There, typed: str, role: Any) -> Response:
    site = site_of(request)
    try:
        wanted = normalise_as("email" if "@" in typed else "username", typed)
    except ValueError:
        return await _team_page(request, there, NOT_A_PERSON, 400, typed=typed, role=str(role))
    # A NIK or a telephone number is not kept readable in an invitation, and not taken for a user name.
    if any(one.kind == "nik" or (one.kind == "phone" and one.provable) for one in meanings(typed)):
        return await _team_page(request, there, NOT_A_PERSON, 400, typed=typed, role=str(role))
    what = there.application.name
    try:
        declined = not await _count_invitation(request, there, wanted.value)
    except TooManyFailures as error:
        hours = -(-error.retry_after // 3600)
        made = await _team_page(request, there, MANY_INVITATIONS, 429, typed=typed, role=str(role), hours=str(hours))
        return to_wait(made, error.retry_after)
    if declined:  # the page looks the same
        return RedirectResponse(f"{APPS}/{there.application_id}/team", 303)
    try:
        async with site.provider.db.write() as session:
            user = await joining.invite(session, there.application_id, wanted.value, role, **there.here.acts)
            # Whether somebody has that name is not told: the page says the same for all.
            if user is not None:
                notify(session, site.provider, user, "team_invitation", what=what)
            elif wanted.kind == "email" and site.settings.can_send("email"):
                send(session, site.provider, "email", wanted.value, "team_invitation", None, what=what)
    except ClientError as error:
        return await _team_page(request, there, CANNOT, 409, typed=typed, role=str(role), detail=str(error))
    site.worker.nudge()
    return RedirectResponse(f"{APPS}/{there.application_id}/team", 303)


async def _count_invitation(request: Request, there: There, lookup: str) -> bool:
    """Count an invitation for who invites, the application and the recipient; tell whether it may be sent: the
    recipient has not declined one, by whichever identifier, and is not invited too often.

    Raises:
        TooManyFailures: when there were too many of one of them.
    """
    site, taken = site_of(request), []
    try:
        for limit, key in (
            (site.inviters, str(there.here.visit.user.id)),
            (site.invited_to, there.application_id),
            (site.invited, lookup),
            (site.invited_lately, lookup),
        ):
            taken.append(await limit.take(key))
    except TooManyFailures:
        for one in taken:
            await one.give_back()
        raise
    async with site.provider.db.read() as session:
        user = await proven_owner(session, lookup)
    names = [lookup, *([str(user.id)] if user is not None else [])]
    teams_of = (there.application_id, "*")
    blocked = [await site.declined.is_full(f"{team} {name}") for team in teams_of for name in names]
    if any(blocked):
        return False
    if user is not None:
        # All identifiers of an account together. This limit is silent: it must not tell whose they are.
        try:
            for limit in (site.invited, site.invited_lately):
                await limit.take(f"account {user.id}")
        except TooManyFailures:
            return False
    return True


@router.get(APPS + "/{application_id}/secrets")
async def secrets_page(request: Request, there: Reader) -> Response:
    """The secrets of an application, of its sandbox and in production: when each was used, until when it holds."""
    return await _secrets_page(request, there)


async def _secrets_page(
    request: Request,
    there: There,
    problem: str = "",
    status: int = 200,
    *,
    keys: dict[str, Any] | None = None,
    **values: str,
) -> Response:
    site = site_of(request)
    places = []
    async with site.provider.db.read() as session:
        for client_id in (there.sandbox_id, there.application_id):
            row = await clients.get_client(session, client_id)
            client = site.provider.registry.get(client_id)
            if row is None or client is None or row.status not in ("active", SANDBOX):
                continue
            valid = await valid_secrets(session, client_id)
            names = await names_of(session, [one.created_by or "" for one in valid])
            places.append(
                {
                    "client_id": client_id,
                    "sandbox": row.status == SANDBOX,
                    "client": client,
                    "secrets": [_secret(one, names) for one in valid],
                    "full": len(valid) >= MAX_SECRETS,
                    "kept_by": catalogue_of(row),
                }
            )
    return await developer_page(
        request,
        there.here,
        there.application_id,
        "developer_secrets.html",
        status,
        tab="secrets",
        there=there,
        app=there.application,
        states=STATES,
        places=places,
        validities=VALIDITIES,
        keys=keys,
        problem=problem,
        values=values,
        csrf_token=token_for(request, f"secrets {there.application_id}"),
    )


def _secret(one: ClientSecret, names: dict[str, str]) -> dict[str, Any]:
    now = clock.now()
    return {
        "id": one.id,
        "hint": one.hint or "",
        "by": names.get(one.created_by or "", one.created_by or ""),
        "created_at": one.created_at,
        "last_used_at": one.last_used_at,
        "expires_at": one.expires_at,
        "soon": one.expires_at is not None and one.expires_at - now < timedelta(days=ENDS_SOON_DAYS),
        "old": (now - one.created_at).days > OLD_SECRET_DAYS,
    }


@router.post(APPS + "/{application_id}/secrets")
async def change_secrets(request: Request, there: Owner) -> Response:
    """Make a secret, revoke one, or look at the keys that the application publishes."""
    fields = await own_form(request, f"secrets {there.application_id}")
    choice, _, which = fields.get("choice", "").partition(" ")
    client_id, _, secret_id = which.partition(" ")
    if client_id not in (there.application_id, there.sandbox_id):
        return await _secrets_page(request, there)
    site, who = site_of(request), by(request, there.here)
    if choice == "look":
        return await _secrets_page(request, there, keys=await look_at_keys(request, client_id))
    try:
        async with site.provider.db.write() as session:
            if choice == "revoke" and (chosen := read_id(secret_id)) is not None:
                await revoke_secret(session, client_id, chosen, **who)
            elif choice == "make":
                days = int(fields["valid"]) if fields.get("valid", "") in VALIDITIES else 365
                secret = await add_secret(
                    session,
                    site.provider.box,
                    client_id,
                    valid_days=days or None,
                    authority=there.here.authority,
                    **who,
                )
    except ClientError as error:
        return await _secrets_page(request, there, CANNOT, 409, detail=str(error))
    await site.provider.refresh()
    if choice == "make":
        return await secret_page(request, there.here, there.application_id, client_id, secret)
    return RedirectResponse(f"{APPS}/{there.application_id}/secrets", 303)


async def look_at_keys(request: Request, client_id: str) -> dict[str, Any]:
    """Fetch the keys that an application publishes, now, and return what is there or what is wrong."""
    provider = site_of(request).provider
    client = provider.registry.get(client_id)
    uri = client.meta.jwks_uri if client is not None else None
    if uri is None:
        return {"client_id": client_id, "uri": "", "keys": [], "problem": "no jwks_uri is registered"}
    try:
        found = read_json(await provider.outbound.get(uri))
        checked_keys(found if isinstance(found, dict) else {})
    except (OutboundRefused, OutboundFailed) as error:
        return {"client_id": client_id, "uri": uri, "keys": [], "problem": public_reason(uri, error)}
    except ValueError as error:
        return {"client_id": client_id, "uri": uri, "keys": [], "problem": f"it {error}"}
    shown = [{name: str(key.get(name, "")) for name in ("kid", "kty", "alg", "use")} for key in found["keys"]]
    return {"client_id": client_id, "uri": uri, "keys": shown, "problem": ""}
