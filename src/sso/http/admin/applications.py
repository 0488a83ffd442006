"""Pages of administrators about applications: what waits for them, what would change, and what they decide."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.notifications import notify
from sso.clients import store as clients
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE, REMOVED, SANDBOX, SANDBOX_END, Application, ClientPrivilege, ClientRow
from sso.clients.privileges import PRIVILEGES, grant_privilege, revoke_privilege, shown
from sso.clients.profiles import RELAXATIONS
from sso.clients.registry import Client, stored_metadata
from sso.clients.secrets import ClientError, replace_client
from sso.clients.sectors import SubjectChange, SubjectsWouldChange
from sso.http.common.forms import read_revision
from sso.http.common.i18n import N_
from sso.http.common.labels import ROLE_TEXTS
from sso.http.common.pages import failure, locale_of
from sso.http.common.state import request_id_of, site_of
from sso.http.console.access import ADMIN, Here, Interrupted, Needs, admin_page, by, own_form, said, token_for
from sso.http.developer.applications import CANNOT, NOTES, STATES, own_uri, present
from sso.http.developer.form import IDENTITIES, KEEP_SECTOR, LABELS, LEVELS, NEW_SUBJECTS, subjects_shown
from sso.identity.sessions import store as sessions
from sso.identity.users.models import User
from sso.identity.users.service import UserError, find
from sso.identity.users.store import names_of
from sso.oidc.subjects import check_subjects
from sso.platform.audit import record
from sso.platform.permissions import GRANTING, ROLES
from sso.portal import applications as apps
from sso.portal import teams
from sso.portal.applications import Stale, Unfinished, catalogue_of, wanted_of
from sso.portal.lifecycle import (
    approve_application,
    check_sector_of,
    pending_subject_change,
    remove_client,
    resume_client,
    suspend_client,
)

router = APIRouter()

APPLICATIONS = ADMIN + "/applications"
PAGE = 50
COUNTED = 5000
"""How far sessions are counted while somebody waits."""
SHOWN = ("registered", "waiting", "building", "suspended", "relaxed")
SHOWN_TEXTS = {
    "registered": N_("in production"),
    "waiting": N_("wait for approval"),
    "building": N_("being built"),
    "suspended": N_("suspended"),
    "relaxed": N_("with a relaxed rule"),
}
MEANINGS = {
    "require_pkce: false": N_("It may send no code_challenge: a stolen code is worth more."),
    "response_types: id_token, token": N_("Tokens travel through the browser's address."),
    "scope_claims_in_id_token: true": N_("What the scopes allow stands in the ID token, which is kept and passed on."),
    "id_token_signed_response_alg: none": N_("Only TLS proves where its ID tokens come from."),
    "request_object_signing_alg: none": N_("Anybody can make its request objects."),
}
TYPED_POLICIES = (
    "allowed_networks", "allowed_hours", "access_token_seconds", "refresh_token_seconds", "default_max_age",
    "minimum_acr", "minimum_identity",
)  # fmt: skip
NOT_LIKE_THIS = N_("This cannot be kept: %(detail)s.")
NOTE_MISSING = N_("Say why: it is kept in the audit log, and its team reads it.")
NOT_ACCEPTED = N_(
    "Users would get new identifiers. Type the client ID to accept new identifiers, or send the application back."
)
TEAM_CHANGED = N_("The team changed it meanwhile. Look at what it wants now, and decide again.")
NOBODY = N_("Nobody signs in with that.")

Sees = Annotated[Here, Depends(Needs("clients:read"))]
Reviews = Annotated[Here, Depends(Needs("applications:review"))]
Changes = Annotated[Here, Depends(Needs("clients:write"))]
Grants = Annotated[Here, Depends(Needs(GRANTING))]


ORDERS: dict[str, Any] = {
    "id": lambda row: row["id"],
    "name": lambda row: (row["name"].casefold(), row["id"]),
    "group": lambda row: (row["group"] or "\uffff", row["name"].casefold(), row["id"]),
}
"""By what registered applications can be put in order."""


@router.get(APPLICATIONS)
async def list_page(request: Request, here: Sees) -> Response:
    """Applications, by what they are at and by words in their names."""
    query = request.query_params
    shown = query.get("shown", "") if query.get("shown", "") in SHOWN else "registered"
    words, group, after = query.get("q", "").strip()[:60], query.get("group", "")[:60], query.get("after", "")[:100]
    order = query.get("order", "") if query.get("order", "") in ORDERS else "id"
    groups = sorted(here.groups) if here.groups is not None else None
    async with site_of(request).provider.db.read() as session:
        waiting = await apps.count_waiting(session, groups)
        if shown in ("waiting", "building"):
            states = ("submitted",) if shown == "waiting" else ("draft", "sandbox")
            found = await apps.page_of_applications(session, states=states, groups=groups, after=after, limit=PAGE + 1)
            rows = [_begun(one) for one in found]
        else:
            fitting = _registered(request, here, shown, words, group)
            rows = _page_of(sorted(fitting, key=ORDERS[order]), after)
    kept = {"shown": shown, **({"q": words} if words else {}), **({"group": group} if group else {})}
    orders = {one: f"{APPLICATIONS}?{urlencode({**kept, 'order': one})}" for one in ORDERS}
    kept |= {"order": order} if order != "id" else {}
    following = {**kept, "after": rows[PAGE - 1]["id"]} if len(rows) > PAGE else {}
    return admin_page(
        request,
        here,
        "applications",
        "admin_applications.html",
        rows=rows[:PAGE],
        waiting=waiting,
        shown=shown,
        shown_texts=SHOWN_TEXTS,
        asked={"q": words, "group": group},
        order=order,
        orders=orders if shown not in ("waiting", "building") else {},
        groups=groups or sorted({one.meta.group for one in site_of(request).provider.registry if one.meta.group}),
        following=f"{APPLICATIONS}?{urlencode(following)}" if following else "",
        states=STATES,
    )


def _privilege(grant: ClientPrivilege, client: Client | None, names: dict[str, str]) -> dict[str, Any]:
    """Return a grant as the page shows it."""
    return {
        **shown(grant),
        "who": names.get(grant.granted_by, grant.granted_by),
        "revoked_who": names.get(grant.revoked_by or "", grant.revoked_by or ""),
        "used": client is not None and grant.privilege in client.scopes,
    }


def _begun(one: Application) -> dict[str, Any]:
    return {"id": one.application_id, "name": one.name, "group": one.group, "state": one.state, "at": one.updated_at}


def _registered(request: Request, here: Here, shown: str, words: str, group: str) -> list[dict[str, Any]]:
    locale, wanted = locale_of(request), words.casefold().split()
    rows = []
    for one in site_of(request).provider.registry:
        text = f"{one.client_id} {one.meta.client_name} {one.meta.client_name_en or ''}".casefold()
        fits = (
            not one.client_id.endswith(SANDBOX_END)
            and here.may_with("clients:read", one)
            and one.enabled == (shown != "suspended")
            and (shown != "relaxed" or any(rule.used(one.meta) for rule in RELAXATIONS))
            and (not group or one.meta.group == group)
            and all(word in text for word in wanted)
        )
        if fits:
            state = "approved" if one.enabled else "suspended"
            rows.append({"id": one.client_id, "name": one.name(locale), "group": one.meta.group, "state": state})
    return rows


def _page_of(rows: list[dict[str, Any]], after: str) -> list[dict[str, Any]]:
    """Return the rows after the one with the id ``after``: one more than a page has, where there are further ones."""
    begin = next((at + 1 for at, row in enumerate(rows) if row["id"] == after), 0)
    return rows[begin : begin + PAGE + 1]


@router.get(APPLICATIONS + "/{client_id}")
async def application_page(request: Request, client_id: str, here: Sees) -> Response:
    """One application: what is registered, what would change, who looks after it, what happened."""
    return await _page(request, client_id, here)


async def _page(
    request: Request,
    client_id: str,
    here: Here,
    problem: str = "",
    status: int = 200,
    field: str = "",
    typed: dict[str, str] | str = "",
    subjects: SubjectChange | None = None,
    acted: str = "",
    fields: dict[str, str] | None = None,
    **values: str,
) -> Response:
    """Return the page of an application.

    Args:
        request: what is answered.
        client_id: of the application.
        here: who is here.
        problem: why an act was refused.
        status: the HTTP status.
        field: the field that the mistake is about.
        typed: the policies, or the new owner, as they were typed.
        subjects: how the identifiers of users would change, when that was why the act was refused.
        acted: the act that was refused: its form is open, and holds what was typed.
        fields: the fields of that form.
        values: what the text of the problem names.
    """
    sent = fields or {}
    site = site_of(request)
    if client_id.endswith(SANDBOX_END):
        return RedirectResponse(f"{APPLICATIONS}/{client_id.removesuffix(SANDBOX_END)}", 303)
    async with site.provider.db.read() as session:
        row, application = await looked_up(request, session, client_id, here)
        wanted, changes, unfinished = await _wanted(request, session, application)
        change = subjects or await _subjects(request, session, application)
        notes = await apps.notes_of(session, client_id)
        team = await teams.team_of(session, client_id)
        names = await names_of(session, [*(one.actor for one in notes), *(str(one.user_id) for one in team)])
        parts = await sessions.count_client_sessions_up_to(session, client_id, COUNTED + 1)
        granted = await clients.privileges_of(session, client_id) if row is not None else []
        givers = [one for grant in granted for one in (grant.granted_by, grant.revoked_by) if one]
        names |= await names_of(session, givers)
    client = site.provider.registry.get(client_id)
    return admin_page(
        request,
        here,
        "applications",
        "admin_application.html",
        status,
        client_id=client_id,
        name=application.name if application is not None else client.name(locale_of(request)) if client else client_id,
        app=application,
        row=row,
        state=_state(row, application),
        states=STATES,
        kept_by=catalogue_of(row),
        registered=_lines(stored_metadata(row.metadata_).stored()) if row is not None else [],
        changes=[(name, _text(before), _text(after)) for name, (before, after) in changes.items()],
        wanted=wanted,
        unfinished=unfinished,
        relaxed=[(rule.name, MEANINGS[rule.name]) for rule in RELAXATIONS if client and rule.used(client.meta)],
        labels=LABELS,
        subjects=subjects_shown(change) if change is not None and change.users else None,
        subject_texts=(NEW_SUBJECTS, KEEP_SECTOR),
        notes=[
            {"kind": one.kind, "who": names.get(one.actor, one.actor), "text": one.text, "at": one.created_at}
            for one in notes
        ],
        note_texts=NOTES,
        team=[(one, names.get(str(one.user_id), "")) for one in team],
        parts=min(parts, COUNTED),
        more_parts=parts > COUNTED,
        policies=_policies(row, typed),
        roles=ROLE_TEXTS,
        chosen_roles=[name for name in ROLES if sent.get(f"role {name}") == "1"]
        if acted == "policies"
        else stored_metadata(row.metadata_).allowed_roles
        if row is not None
        else [],
        acted=acted,
        sent={name: text[: apps.MAX_NOTE_CHARS] for name, text in sent.items()},
        levels=LEVELS,
        identities=IDENTITIES,
        typed=typed if isinstance(typed, str) else "",
        privileges=[_privilege(one, client, names) for one in reversed(granted)],
        holding=sorted(one.privilege for one in granted if one.revoked_at is None),
        grantable=PRIVILEGES,
        may_grant=here.may(GRANTING) and row is not None,
        may_review=here.may("applications:review"),
        may_change=here.may("clients:write"),
        may_delete=here.may("clients:delete"),
        problem=problem,
        field=field,
        values=values,
        csrf_token=token_for(request, f"admin app {client_id}"),
    )


async def looked_up(
    request: Request, session: AsyncSession, client_id: str, here: Here
) -> tuple[ClientRow | None, Application | None]:
    """Return what is registered of an application, and what its team looks after; either may not be there.

    Raises:
        Interrupted: when there is neither, or it is not theirs to see.
    """
    row, application = await clients.get_client(session, client_id), await session.get(Application, client_id)
    row = row if row is not None and row.status != REMOVED else None
    _allowed(request, here, row, application)
    return row, application


async def locked_both(session: AsyncSession, client_id: str) -> tuple[ClientRow | None, Application | None]:
    """Return the same, which nobody else changes until the transaction ends. In the order of an approval, so that
    neither waits for the other."""
    application = await apps.lock_application(session, client_id)
    return await clients.lock_client(session, client_id), application


async def register_at_once(
    request: Request,
    session: AsyncSession,
    here: Here,
    row: ClientRow,
    application: Application | None,
    metadata: ClientMetadata,
    event: str,
    note: str,
    accepted: str = "",
) -> None:
    """Register what an administrator wants, without approval; its sandbox and what its team wants follow, and its team
    is told why. ``accepted``: the client_id, where it is accepted that every ``sub`` changes.

    Raises:
        SubjectsWouldChange: when every ``sub`` would change, and that was not accepted.
        ClientError: when a catalogue file looks after it, or the sandbox cannot follow.
    """
    before, who = stored_metadata(row.metadata_), by(request, here)
    await check_subjects(session, row.client_id, before, metadata, accepted=accepted, **who)
    await replace_client(session, row, metadata, catalogue=HERE, authority=here.authority, **who)
    if application is not None:
        await apps.follow_client(session, application, before, metadata, own_uri=own_uri(request))
        apps.mark_changed(session, application, here.actor, note)
        await _tell_team(request, session, application)
    record(session, event, client_id=row.client_id, data={"note": note}, **who)


def _allowed(request: Request, here: Here, row: ClientRow | None, application: Application | None) -> None:
    if row is None and application is None:
        raise Interrupted(failure(request, "not_found", 404))
    if here.groups is not None:
        group = stored_metadata(row.metadata_).group if row is not None else None
        theirs = {one for one in (group, application.group if application is not None else None) if one}
        if not theirs or not theirs <= here.groups:  # a change of group is for who looks after both
            raise Interrupted(failure(request, "not_found", 404))


async def _wanted(
    request: Request, session: AsyncSession, application: Application | None
) -> tuple[list[tuple[str, str]], dict[str, tuple[Any, Any]], dict[str, str]]:
    """Return what its team wants, what would change in production, and what is still wrong with it."""
    if application is None or not application.document:
        return [], {}, {}
    wanted = wanted_of(application)
    try:
        metadata = apps.production_metadata(
            wanted, application.granted, allow_http_loopback=site_of(request).settings.loopback
        )
    except Unfinished as error:
        return _lines(application.document), {}, error.problems
    return _lines(metadata.stored()), await apps.difference(session, application, metadata), {}


async def _subjects(request: Request, session: AsyncSession, application: Application | None) -> SubjectChange | None:
    """Return the change of every ``sub`` that an approval would bring."""
    if application is None or application.state != "submitted":
        return None
    loopback = site_of(request).settings.loopback
    return await pending_subject_change(session, application, allow_http_loopback=loopback)


def _state(row: ClientRow | None, application: Application | None) -> str:
    if application is not None:
        return application.state
    return "approved" if row is not None and row.status in ("active", SANDBOX) else "suspended"


def _policies(row: ClientRow | None, typed: dict[str, str] | str) -> dict[str, str]:
    """Return the policies as the form shows them: as they were typed, or as they are."""
    if isinstance(typed, dict):
        return typed
    if row is None:
        return dict.fromkeys(TYPED_POLICIES, "")
    stored = stored_metadata(row.metadata_).model_dump(mode="json")
    return {name: _text(stored[name]) for name in TYPED_POLICIES}


def _lines(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _text(value)) for name, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    if isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
        return "\n".join(f"{name}: {one}" for name, one in value.items())
    return (
        value
        if isinstance(value, str)
        else str(value)
        if isinstance(value, int)
        else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    )


@router.post(APPLICATIONS + "/{client_id}/review")
async def review(request: Request, client_id: str, here: Reviews) -> Response:
    """Approve what a team submitted, send it back, or say something."""
    fields = await own_form(request, f"admin app {client_id}")
    site, choice, text = site_of(request), fields.get("choice", ""), fields.get("text", "")[: apps.MAX_NOTE_CHARS]
    who = by(request, here)
    revision = fields.get("revision", "")
    # Whether it is the city's own, an administrator of a group does not decide: it stays as it is.
    granted: dict[str, Any] = {"first_party": fields.get("first_party") == "1"} if here.groups is None else {}
    try:
        if choice == "approve":
            await check_sector_of(site.provider, client_id, read_revision(revision))
        async with site.provider.db.write() as session:
            application = await present(request, session, client_id)
            _allowed(request, here, await clients.get_client(session, client_id), application)
            if choice == "approve":
                await approve_application(
                    session,
                    site.provider,
                    application,
                    text,
                    granted,
                    revision=read_revision(revision),
                    authority=here.authority,
                    accepted=fields.get("accept_new_subjects", "").strip(),
                    **who,
                )
            elif choice == "send_back":
                if read_revision(revision) != application.revision:
                    raise Stale("somebody else changed it meanwhile")
                await apps.send_back(session, application, text, **who)
            else:
                await apps.comment(session, application, text, **who)
            await _tell_team(request, session, application)
    except Stale:
        return await _page(request, client_id, here, TEAM_CHANGED, 409, acted="review", fields=fields)
    except SubjectsWouldChange as error:
        shown: dict[str, Any] = {"subjects": error.changes[0], "acted": "review", "fields": fields}
        return await _page(request, client_id, here, NOT_ACCEPTED, 409, "accept_new_subjects", **shown)
    except ClientError as error:
        return await _page(
            request, client_id, here, CANNOT, 409, "text", acted="review", fields=fields, detail=str(error)
        )
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)


async def _tell_team(request: Request, session: AsyncSession, application: Application) -> None:
    """Let everybody in a team know that something was decided."""
    for one in await teams.team_of(session, application.application_id):
        user = await session.get(User, one.user_id)
        if user is not None and user.disabled_at is None:
            notify(session, site_of(request).provider, user, "application_decided", what=application.name)


@router.post(APPLICATIONS + "/{client_id}/status")
async def change_status(request: Request, client_id: str, here: Changes) -> Response:
    """Suspend an application, let it work again, or take it out of service: with a reason."""
    fields = await own_form(request, f"admin app {client_id}")
    site, choice, note = site_of(request), fields.get("choice", ""), said(fields)
    which = "remove" if choice == "remove" else "status"
    if not note:
        return await _page(request, client_id, here, NOTE_MISSING, 400, f"{which}-note", acted=which, fields=fields)
    who = {**by(request, here), "note": note}
    try:
        async with site.provider.db.write() as session:
            application = await session.get(Application, client_id)
            _allowed(request, here, await clients.get_client(session, client_id), application)
            if choice == "suspend":
                everything = fields.get("end_sessions") == "1" and here.may("sessions:end_many")
                await suspend_client(session, site.provider, client_id, end_sessions=everything, **who)
            elif choice == "resume":
                await resume_client(session, client_id, authority=here.authority, **who)
            elif choice == "remove" and here.may("clients:delete"):
                await remove_client(session, site.provider, client_id, **who)
            if application is not None:
                await _tell_team(request, session, application)
    except ClientError as error:
        return await _page(
            request, client_id, here, CANNOT, 409, f"{which}-note", acted=which, fields=fields, detail=str(error)
        )
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(APPLICATIONS if choice == "remove" else f"{APPLICATIONS}/{client_id}", 303)


@router.post(APPLICATIONS + "/{client_id}/policies")
async def set_policies(request: Request, client_id: str, here: Changes) -> Response:
    """Decide who may use an application, from where and when, how surely, and how long its tokens are valid."""
    fields, site = await own_form(request, f"admin app {client_id}"), site_of(request)
    note, typed = said(fields), {name: fields.get(name, "").strip()[:4000] for name in TYPED_POLICIES}
    shown: dict[str, Any] = {"typed": typed, "acted": "policies", "fields": fields}
    if not note:
        return await _page(request, client_id, here, NOTE_MISSING, 400, "policies-note", **shown)
    values: dict[str, Any] = {
        **{name: typed[name].split("\n") for name in ("allowed_networks", "allowed_hours")},
        **{name: typed[name] for name in TYPED_POLICIES if name not in ("allowed_networks", "allowed_hours")},
        "allowed_roles": [name for name in ROLES if fields.get(f"role {name}") == "1"],
    }
    values = {name: _cleaned(value) for name, value in values.items()}
    try:
        async with site.provider.db.write() as session:
            row, application = await locked_both(session, client_id)
            _allowed(request, here, row, application)
            if row is None or row.status == REMOVED:
                raise Interrupted(failure(request, "not_found", 404))
            metadata = _with_policies(stored_metadata(row.metadata_), values)
            await register_at_once(request, session, here, row, application, metadata, "client.policies_set", note)
    except ValidationError as error:
        first = error.errors()[0]
        name, text = str(first["loc"][0]) if first["loc"] else "", str(first["msg"]).removeprefix("Value error, ")
        if not name and text.partition(": ")[0] in TYPED_POLICIES:
            name, _, text = text.partition(": ")
        field = name if name in TYPED_POLICIES else "policies-note"
        return await _page(
            request, client_id, here, NOT_LIKE_THIS, 400, field, detail=f"{name}: {text}" if name else text, **shown
        )
    except ClientError as error:
        return await _page(request, client_id, here, CANNOT, 409, "policies-note", detail=str(error), **shown)
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [one.strip() for one in value if one.strip()] or None
    return value or None


def _with_policies(before: ClientMetadata, values: dict[str, Any]) -> ClientMetadata:
    kept = {name: value for name, value in before.stored().items() if name not in values}
    chosen = {name: value for name, value in values.items() if value is not None}
    context = {"allow_http_loopback": True, "own_secret": before.has_shared_secret}
    return ClientMetadata.model_validate({**kept, **chosen}, context=context)


@router.post(APPLICATIONS + "/{client_id}/privileges")
async def change_privileges(request: Request, client_id: str, here: Grants) -> Response:
    """Grant an application an administration permission or restricted data, or revoke it: with a reason."""
    fields, site = await own_form(request, f"admin app {client_id}"), site_of(request)
    choice, note, privilege = fields.get("choice", ""), said(fields), fields.get("privilege", "")[:60]
    if not note:
        which = "revoke" if choice == "revoke" else "grant"
        return await _page(request, client_id, here, NOTE_MISSING, 400, f"{which}-note", acted=which, fields=fields)
    who = {**here.acts, "reason": note, "request_id": request_id_of(request)}
    async with site.provider.db.write() as session:
        await looked_up(request, session, client_id, here)
        if choice == "revoke":
            await revoke_privilege(session, client_id, privilege, **who)
        elif choice == "grant":
            alone = fields.get("without_person") == "1"
            await grant_privilege(session, client_id, privilege, without_person=alone, **who)
    await site.provider.refresh()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}#privileges", 303)


@router.post(APPLICATIONS + "/{client_id}/owner")
async def set_owner(request: Request, client_id: str, here: Changes) -> Response:
    """Make somebody an owner of an application: of one that a catalogue file looks after too, whose team then sees its
    mistakes and makes its secrets."""
    fields = await own_form(request, f"admin app {client_id}")
    site, typed = site_of(request), fields.get("who", "").strip()[:254]
    async with site.provider.db.write() as session:
        row, application = await clients.get_client(session, client_id), await session.get(Application, client_id)
        _allowed(request, here, row, application)
        try:
            user = await find(session, typed, site.provider.box)
        except UserError:
            return await _page(request, client_id, here, NOBODY, 400, "who", typed=typed)
        try:
            if application is None:
                assert row is not None
                await apps.adopt(session, row, **here.acts)
            await teams.add_member(session, client_id, user.id, "owner", **here.acts)
        except ClientError as error:
            return await _page(request, client_id, here, CANNOT, 409, "who", typed=typed, detail=str(error))
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)
