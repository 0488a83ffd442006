"""Pages of developers: their applications, from the first draft to production, and the teams that look after them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients import store as clients
from sso.clients.models import SANDBOX_END, Application, ApplicationNote
from sso.clients.registry import Registry, stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, SubjectsWouldChange
from sso.http.common.cookies import read_cookie
from sso.http.common.csrf import csrf_token
from sso.http.common.forms import read_revision
from sso.http.common.i18n import N_, translations
from sso.http.common.pages import failure, locale_of
from sso.http.common.state import site_of
from sso.http.console.access import (
    DEVELOPER,
    Here,
    Interrupted,
    Needs,
    Team,
    There,
    by,
    developer_page,
    own_form,
    said,
    token_for,
)
from sso.http.developer.form import (
    ADVICE,
    IDENTITIES,
    KEEP_SECTOR,
    KIND_TEXTS,
    LABELS,
    LEVELS,
    METHODS,
    NEW_SUBJECTS,
    Typed,
    advise_all,
    data_offered,
    groups_offered,
    hosts_of_others,
    read_typed,
    subjects_shown,
    typed_from,
    wanted_from,
)
from sso.identity.users.store import names_of
from sso.platform.metrics.store import mistakes_of
from sso.platform.security.rate_limits import TooManyFailures
from sso.portal import applications as apps
from sso.portal import invitations as joining
from sso.portal import teams
from sso.portal.applications import KINDS, Kind, Stale, Unfinished, Wanted, sandbox_id, suggested_id, wanted_of
from sso.portal.lifecycle import (
    NotChecked,
    own_redirect_uri,
    pending_subject_change,
    remove_client,
    submit_application,
)

router = APIRouter()

APPS = DEVELOPER + "/apps"
STATES = {
    "draft": N_("Draft"),
    "sandbox": N_("In the sandbox"),
    "submitted": N_("Waits for approval"),
    "approved": N_("In production"),
    "suspended": N_("Suspended"),
    "retired": N_("Over"),
}
NOTES = {
    "created": N_("begun"),
    "sandbox": N_("opened in the sandbox"),
    "submitted": N_("submitted for approval"),
    "withdrawn": N_("taken back"),
    "sent_back": N_("sent back"),
    "approved": N_("approved"),
    "suspended": N_("suspended"),
    "resumed": N_("works again"),
    "retired": N_("over"),
    "changed": N_("changed it in production"),
    "comment": N_("says"),
}
CHANGED_MEANWHILE = N_(
    "Somebody else in the team changed this meanwhile. What you typed is still here: compare it with theirs, and save "
    "again."
)
NOTHING_SAID = N_("Type what you want to say.")
CANNOT = N_("That cannot be done now: %(detail)s.")
NOT_CHECKED = N_("Let it pass the relying-party check first: see Check above.")
NOT_ACCEPTED = N_(
    "Users would get new identifiers. Enter the kept sector in the settings, or type the client ID to accept new "
    "identifiers."
)
NOT_SURE = N_("Type the name to confirm it.")

Anybody = Annotated[Here, Depends(Needs(None))]
Creator = Annotated[Here, Depends(Needs("applications:create"))]
Reader = Annotated[There, Depends(Team("reader"))]
Member = Annotated[There, Depends(Team("member"))]
Owner = Annotated[There, Depends(Team("owner", recent=True))]


def own_uri(request: Request) -> str:
    """Return our own redirect URI of every sandbox."""
    return own_redirect_uri(site_of(request).provider)


@router.get(DEVELOPER)
async def my_applications(request: Request, here: Anybody) -> Response:
    """The applications that somebody looks after, invitations, and the way to begin another."""
    async with site_of(request).provider.db.read() as session:
        roles = await teams.teams_with(session, here.visit.user.id)
        found = await apps.page_of_applications(session, ids=sorted(roles), limit=len(roles)) if roles else []
        invited = await joining.invitations_of_person(session, here.visit.user.id)
        names = {one.application_id: one for one in await named(session, [one.application_id for one in invited])}
        mistakes = await mistakes_by(session, found)
    return await developer_page(
        request,
        here,
        "developer",
        "developer.html",
        rows=[(one, roles[one.application_id], mistakes.get(one.application_id, 0)) for one in found],
        invited=[(one, names[one.application_id].name) for one in invited if one.application_id in names],
        states=STATES,
        kinds=KIND_TEXTS,
        may_create=here.may("applications:create"),
        csrf_token=token_for(request, "invitations"),
    )


async def named(session: AsyncSession, ids: list[str]) -> list[Application]:
    """Return applications by their ids."""
    return await apps.page_of_applications(session, ids=ids, limit=len(ids)) if ids else []


async def mistakes_by(session: AsyncSession, found: list[Application]) -> dict[str, int]:
    """Return how many different mistakes each application made lately."""
    ids = [name for one in found for name in (one.application_id, sandbox_id(one.application_id))]
    counted: dict[str, int] = {}
    for one in await mistakes_of(session, ids, 500) if ids else []:
        stem = one.client_id.removesuffix(SANDBOX_END)
        counted[stem] = counted.get(stem, 0) + 1
    return counted


@router.post(DEVELOPER + "/invitations")
async def answer_invitation(request: Request, here: Anybody) -> Response:
    """Join a team, decline, or decline all invitations."""
    fields = await own_form(request, "invitations")
    choice, _, application_id = fields.get("choice", "").partition(" ")
    async with site_of(request).provider.db.write() as session:
        if choice == "accept":
            try:
                await joining.join(session, application_id, here.visit.user.id)
            except ClientError:
                return failure(request, "not_found", 404)
            return RedirectResponse(f"{APPS}/{application_id}", 303)
        mine = await joining.invitations_of_person(session, here.visit.user.id)
        chosen = [one for one in mine if choice == "block" or one.application_id == application_id]
        for team in {one.application_id for one in chosen}:
            await joining.decline(session, team, here.visit.user.id)
    lookups = {one.lookup for one in mine if one.application_id == application_id}
    if lookups:
        lookups.add(str(here.visit.user.id))  # by none of their identifiers
    for lookup in lookups:  # this team, or every team, cannot invite them again for a while
        with suppress(TooManyFailures):
            await site_of(request).declined.take(f"{'*' if choice == 'block' else application_id} {lookup}")
    return RedirectResponse(DEVELOPER, 303)


@router.get(DEVELOPER + "/new")
async def new_page(request: Request, here: Creator) -> Response:
    """Choose a kind of application; with ``kind`` in the address, the form for it."""
    kind = _kind(request.query_params.get("kind", ""))
    if kind is None:
        return await developer_page(request, here, "new", "developer_kind.html", kinds=KIND_TEXTS)
    return await _form_page(request, here, typed_from(kind, Wanted(kind)), None)


@router.post(DEVELOPER + "/new")
async def begin(request: Request, here: Creator) -> Response:
    """Begin an application: with its sandbox at once, or as a draft."""
    fields = await own_form(request, "settings new")
    kind = _kind(fields.get("kind", ""))
    if kind is None:
        return RedirectResponse(DEVELOPER + "/new", 303)
    site, typed = site_of(request), read_typed(kind, fields)
    wanted = wanted_from(typed, Wanted(kind))
    client_id = typed.values["client_id"].strip() or suggested_id(typed.values["client_name"])
    advise_typed(request, typed, wanted, client_id)
    draft = fields.get("choice") == "draft"
    if (typed.wrong and not draft) or not wanted.document.get("client_name"):
        typed.refuse({} if wanted.document.get("client_name") else {"client_name": "is missing"})
        return await _form_page(request, here, typed, None, 400)
    secret = None
    try:
        async with site.provider.db.write() as session:
            made = await apps.create_application(session, client_id, wanted, **by(request, here))
            await teams.add_member(session, made.application_id, here.visit.user.id, "owner", **here.acts)
            if not draft:
                secret = await apps.open_sandbox(
                    session, site.provider.box, made, own_uri=own_uri(request), **by(request, here)
                )
    except Unfinished as error:
        typed.refuse(error.problems)
        return await _form_page(request, here, typed, None, 400)
    await site.provider.refresh()
    if secret is not None:
        return await secret_page(request, here, client_id, sandbox_id(client_id), secret)
    return RedirectResponse(f"{APPS}/{client_id}", 303)


async def secret_page(request: Request, here: Here, application_id: str, client_id: str, secret: str) -> Response:
    """Return the page that shows a secret, once."""
    return await developer_page(
        request,
        here,
        application_id,
        "developer_secret.html",
        application_id=application_id,
        client_id=client_id,
        secret=secret,
        issuer=site_of(request).settings.issuer,
    )


@router.get(APPS + "/{application_id}")
async def overview(request: Request, there: Reader) -> Response:
    """One application: how far it is, what to do next, what was said about it."""
    return await overview_page(request, there)


async def overview_page(
    request: Request,
    there: There,
    problem: str = "",
    status: int = 200,
    *,
    acted: str = "comment",
    field: str = "",
    sent: dict[str, str] | None = None,
    **values: str,
) -> Response:
    """Return the page of one application.

    Args:
        request: what is answered.
        there: who is here, and at which application.
        problem: why an act was refused.
        status: the HTTP status.
        acted: the act that was refused: its form holds what was typed.
        field: the id of the field that the mistake is about.
        sent: the fields of that form.
        values: what the text of the problem names.
    """
    site, typed = site_of(request), sent or {}
    async with site.provider.db.read() as session:
        change = await _subjects(request, session, there.application)
        notes = await apps.notes_of(session, there.application_id)
        names = await names_of(session, [one.actor for one in notes])
    return await developer_page(
        request,
        there.here,
        there.application_id,
        "developer_app.html",
        status,
        tab="overview",
        there=there,
        app=there.application,
        kept_by=there.kept_by,
        states=STATES,
        kinds=KIND_TEXTS,
        notes=[_shown(one, names) for one in notes],
        note_texts=NOTES,
        missing=_missing(request, there.application),
        issuer=site.settings.issuer,
        problem=problem,
        values=values,
        field=field,
        typed_note=typed.get("text", "") if acted == "comment" else "",
        typed_submission=typed.get("text", "") if acted == "submit" else "",
        typed_client_id=typed.get("accept_new_subjects", ""),
        subjects=subjects_shown(change) if change is not None and change.users else None,
        subject_texts=(NEW_SUBJECTS, KEEP_SECTOR),
        csrf_token=token_for(request, f"app {there.application_id}"),
    )


def _shown(note: ApplicationNote, names: dict[str, str]) -> dict[str, Any]:
    return {"kind": note.kind, "who": names.get(note.actor, note.actor), "text": note.text, "at": note.created_at}


def _missing(request: Request, application: Application) -> dict[str, str]:
    """Return what production still needs, by the name of the field."""
    if application.state not in ("draft", "sandbox", "approved"):
        return {}
    loopback = site_of(request).settings.loopback
    try:
        apps.production_metadata(wanted_of(application), application.granted, allow_http_loopback=loopback)
    except Unfinished as error:
        return error.problems
    return {} if application.document.get("contacts") else {"contacts": "name at least one"}


async def _subjects(request: Request, session: AsyncSession, application: Application) -> SubjectChange | None:
    """Return the change of every ``sub`` that what is wanted would bring in production."""
    if application.state not in ("sandbox", "approved") or application.approved_at is None:
        return None
    loopback = site_of(request).settings.loopback
    return await pending_subject_change(session, application, allow_http_loopback=loopback)


@router.post(APPS + "/{application_id}")
async def act(request: Request, there: Member) -> Response:
    """Submit it, take that back, open its sandbox, or say something about it."""
    fields = await own_form(request, f"app {there.application_id}")
    site, choice, text = site_of(request), fields.get("choice", ""), fields.get("text", "")[: apps.MAX_NOTE_CHARS]
    who, sent = by(request, there.here), {**fields, "text": text}
    secret = None
    try:
        async with site.provider.db.write() as session:
            application = await present(request, session, there.application_id)
            if choice == "submit":
                accepted = fields.get("accept_new_subjects", "").strip()
                await submit_application(session, site.provider, application, text, accepted=accepted, **who)
            elif choice == "withdraw":
                await apps.withdraw(session, application, **who)
            elif choice == "sandbox":
                secret = await apps.open_sandbox(
                    session, site.provider.box, application, own_uri=own_uri(request), **who
                )
            elif choice == "comment":
                await apps.comment(session, application, text, **who)
    except NotChecked:
        return await overview_page(request, there, NOT_CHECKED, 409, acted="submit", sent=sent)
    except Unfinished:
        return RedirectResponse(f"{APPS}/{there.application_id}/settings?check=1", 303)
    except SubjectsWouldChange:
        field = "accept_new_subjects"
        return await overview_page(request, there, NOT_ACCEPTED, 409, acted="submit", field=field, sent=sent)
    except ClientError as error:
        problem = NOTHING_SAID if choice == "comment" and not text.strip() else CANNOT
        field = {"comment": "text", "submit": "submit-text"}.get(choice, "")
        return await overview_page(
            request, there, problem, 409, acted=choice, field=field, sent=sent, detail=str(error)
        )
    await site.provider.refresh()
    if secret is not None:
        return await secret_page(request, there.here, there.application_id, there.sandbox_id, secret)
    return RedirectResponse(f"{APPS}/{there.application_id}", 303)


async def present(request: Request, session: AsyncSession, application_id: str) -> Application:
    """Return an application, locked until the transaction ends.

    Raises:
        Interrupted: when it is not there any more.
    """
    found = await apps.lock_application(session, application_id)
    if found is None:
        raise Interrupted(failure(request, "not_found", 404))
    return found


@router.get(APPS + "/{application_id}/settings")
async def settings_page(request: Request, there: Reader) -> Response:
    """What is wanted of an application."""
    application = there.application
    wanted = wanted_of(application)
    async with site_of(request).provider.db.read() as session:
        row = await clients.get_client(session, application.application_id) if there.kept_by else None
    if row is not None:
        wanted = apps.registered_as(application, stored_metadata(row.metadata_))
    typed = typed_from(wanted.kind, wanted, application.application_id)
    if request.query_params.get("check"):
        advise_typed(request, typed, wanted, application.application_id)
        typed.refuse(_missing(request, application))
        if application.state == "draft":
            typed.refuse(_sandbox_problems(request, application, wanted))
        typed.saved = request.query_params.get("done", "") != ""
    return await _form_page(request, there.here, typed, there)


@router.post(APPS + "/{application_id}/settings")
async def change(request: Request, there: Member) -> Response:
    """Write what is wanted. The sandbox follows at once, production when it is approved."""
    application_id = there.application_id
    fields = await own_form(request, f"settings {application_id}")
    before = wanted_of(there.application)
    kind = _kind(fields.get("kind", "")) or before.kind
    site, typed = site_of(request), read_typed(kind, fields)
    wanted = wanted_from(typed, before)
    advise_typed(request, typed, wanted, application_id)
    revision = fields.get("revision", "")
    draft = there.application.state == "draft"
    if not wanted.document.get("client_name"):
        typed.refuse({"client_name": "is missing"})
    sandbox_wrong = any(typed.advice_of(name) for name in typed.advice if name.startswith("sandbox."))
    if not draft and (typed.mistakes or sandbox_wrong or impersonates(typed)):
        return await _form_page(request, there.here, typed, there, 400)
    try:
        async with site.provider.db.write() as session:
            application = await present(request, session, application_id)
            await apps.change_application(
                session,
                application,
                wanted,
                revision=read_revision(revision),
                own_uri=own_uri(request),
                **by(request, there.here),
            )
    except Stale:
        typed.mistakes[""] = (CHANGED_MEANWHILE, {})
        return await _form_page(request, there.here, typed, there, 409)
    except Unfinished as error:
        typed.refuse(error.problems)
        return await _form_page(request, there.here, typed, there, 400)
    except ClientError as error:
        typed.mistakes[""] = (CANNOT, {"detail": str(error)})
        return await _form_page(request, there.here, typed, there, 409)
    await site.provider.refresh()
    return RedirectResponse(f"{APPS}/{application_id}/settings?check=1&done=1", 303)


def impersonates(typed: Typed) -> list[str]:
    """Return the fields with an address that can be taken for another application's."""
    return [name for name, found in typed.advice.items() if any(one.code == "look_alike" for one in found)]


def _sandbox_problems(request: Request, application: Application, wanted: Wanted) -> dict[str, str]:
    try:
        apps.sandbox_metadata(wanted, application.granted, own_uri(request))
    except Unfinished as error:
        return error.problems
    return {}


def advise_typed(request: Request, typed: Typed, wanted: Wanted, application_id: str) -> None:
    """Explain each address of a form that cannot be used."""
    site = site_of(request)
    others = hosts_of_others(site.provider.registry, (application_id, sandbox_id(application_id)))
    advise_all(typed, wanted, others, allow_http_loopback=site.settings.loopback)


async def _form_page(request: Request, here: Here, typed: Typed, there: There | None, status: int = 200) -> Response:
    application = there.application if there is not None else None
    kept_by = there.kept_by if there is not None else ""
    may_change = there is None or (there.role is not None and not kept_by)
    name = application.application_id if application is not None else "new"
    return await developer_page(
        request,
        here,
        name,
        "developer_settings.html",
        status,
        tab="settings",
        there=there,
        app=application,
        states=STATES,
        **form_context(request, typed),
        admin=False,
        kept_by=kept_by,
        may_change=may_change,
        revision=application.revision if application is not None else 0,
        open_now=application is None or application.state in ("draft", "sandbox", "approved"),
        done=request.query_params.get("done", "") if status == 200 else "",
        csrf_token=csrf_token(request, f"settings {name}", read_cookie(request, "session")),
    )


@router.get(APPS + "/{application_id}/end")
async def end_page(request: Request, there: Owner) -> Response:
    """Ask whether an application is really to be over."""
    return await _end_page(request, there)


@router.post(APPS + "/{application_id}/end")
async def end(request: Request, there: Owner) -> Response:
    """Let an application be over: what was granted to it ends, its sessions end, nobody signs in there any more."""
    fields = await own_form(request, f"end {there.application_id}")
    if fields.get("name", "").strip() != there.application_id:
        return await _end_page(request, there, NOT_SURE, 400, note=said(fields), name=fields.get("name", "")[:100])
    site = site_of(request)
    try:
        async with site.provider.db.write() as session:
            await remove_client(
                session,
                site.provider,
                there.application_id,
                note=said(fields),
                **by(request, there.here),
            )
    except ClientError as error:
        return await _end_page(request, there, CANNOT, 409, note=said(fields), detail=str(error))
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(DEVELOPER, 303)


async def _end_page(request: Request, there: There, problem: str = "", status: int = 200, **values: str) -> Response:
    return await developer_page(
        request,
        there.here,
        there.application_id,
        "developer_end.html",
        status,
        tab="overview",
        there=there,
        app=there.application,
        states=STATES,
        kept_by=there.kept_by,
        problem=problem,
        values=values,
        csrf_token=token_for(request, f"end {there.application_id}"),
    )


def form_context(request: Request, typed: Typed, groups: Collection[str] | None = None) -> dict[str, Any]:
    """Return what the form of an application needs: what was typed, and what can be chosen, in the language of the
    page: of ``groups``, where they are given, these alone. A way to authenticate that is not among them, such as of an
    older registration, stays one."""
    if groups is None:
        groups = groups_offered(_groups_in_use(site_of(request).provider.registry))
    words = translations(locale_of(request))
    method = typed.values["token_endpoint_auth_method"]
    known = METHODS if method in ("", *METHODS) else {**METHODS, method: method}
    chosen = {"methods": known, "levels": LEVELS, "identities": IDENTITIES}
    options = {name: [(value, words.gettext(text)) for value, text in one.items()] for name, one in chosen.items()}
    return {
        "typed": typed, "kinds": KIND_TEXTS, "asks": data_offered(), "labels": LABELS, "advice_texts": ADVICE,
        "groups": [(one, one) for one in groups], **options,
    }  # fmt: skip


def _groups_in_use(registry: Registry) -> set[str]:
    """Return the groups of the applications that people see."""
    return {one.meta.group for one in registry.listed() if one.meta.group}


def _kind(text: str) -> Kind | None:
    return next((one for one in KINDS if one == text), None)
