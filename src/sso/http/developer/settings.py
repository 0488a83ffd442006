"""The page on which a team requests the settings of its application."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients import store as clients
from sso.clients.registry import Registry, stored_metadata
from sso.clients.secrets import ClientError
from sso.http.common.forms import read_revision
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.http.common.state import site_of
from sso.http.console.access import Here, There, developer_page, own_form, token_for
from sso.http.developer.application_page import APPS, CANNOT, STATES, Member, Reader, present
from sso.http.developer.form import Typed, read_typed, requested_from, typed_from
from sso.http.developer.form_advice import advise_codes, advise_typed, impersonates
from sso.http.developer.form_context import chosen_kind, form_context
from sso.http.developer.requested_data import offered_by
from sso.portal import applications as apps
from sso.portal.applications import RequestedSettings, Stale, Unfinished, requested_settings_of
from sso.portal.approval import missing_for_production, missing_for_sandbox
from sso.portal.sandbox import own_redirect_uri

router = new_router()

CHANGED_MEANWHILE = N_(
    "Another team member changed these settings while you were editing. Your entries are still here. Compare them "
    "with the current settings, then save again."
)

TEAM_GIVES = "team_gives_roles"


@router.get(APPS + "/{application_id}/settings")
async def settings_page(request: Request, there: Reader, db: Db, settings: CurrentSettings, known: Clients) -> Response:
    """What is requested of an application."""
    application = there.application
    requested = requested_settings_of(application)
    async with db.read() as session:
        row = await clients.get_client(session, application.application_id) if there.kept_by else None
    if row is not None:
        requested = apps.registered_as(application, stored_metadata(row.metadata_))
    offered = offered_by(known.registry.city)
    typed = typed_from(requested.kind, requested, application.application_id, offered)
    if request.query_params.get("check"):
        advise_typed(typed, requested, application.application_id, known.registry, settings)
        typed.refuse(missing_for_production(application, allow_http_loopback=settings.loopback))
        if application.state == "draft":
            typed.refuse(missing_for_sandbox(requested, application.granted, own_redirect_uri(settings)))
        typed.saved = request.query_params.get("done", "") != ""
    return await form_page(request, there.here, known.registry, typed, there)


@router.post(APPS + "/{application_id}/settings")
async def change(request: Request, there: Member, db: Db, settings: CurrentSettings, known: Clients) -> Response:
    """Write what is requested. The sandbox follows at once, production when it is approved."""
    application_id = there.application_id
    fields = await own_form(request, f"settings {application_id}")
    before = requested_settings_of(there.application)
    kind = chosen_kind(fields.get("kind", "")) or before.kind
    typed = read_typed(kind, fields, offered_by(known.registry.city))
    requested = requested_from(typed, before)
    if there.role != "owner":
        requested = _with_rule_of_owner(requested, before)
    advise_typed(typed, requested, application_id, known.registry, settings)
    revision = fields.get("revision", "")
    draft = there.application.state == "draft"
    if not requested.document.get("client_name"):
        typed.refuse({"client_name": "is missing"})
    sandbox_wrong = any(typed.advice_of(name) for name in typed.advice if name.startswith("sandbox."))
    if not draft and (typed.mistakes or sandbox_wrong or impersonates(typed)):
        return await form_page(request, there.here, known.registry, typed, there, 400)
    try:
        async with db.write() as session:
            application = await present(request, session, application_id)
            await apps.change_application(
                session,
                application,
                requested,
                revision=read_revision(revision),
                own_uri=own_redirect_uri(settings),
                actor=there.here.as_actor,
            )
    except Stale:
        typed.mistakes[""] = (CHANGED_MEANWHILE, {})
        return await form_page(request, there.here, known.registry, typed, there, 409)
    except Unfinished as error:
        typed.refuse(error.problems)
        return await form_page(request, there.here, known.registry, typed, there, 400)
    except ClientError as error:
        typed.mistakes[""] = (CANNOT, {"detail": str(error)})
        return await form_page(request, there.here, known.registry, typed, there, 409)
    await known.refresh()
    return RedirectResponse(f"{APPS}/{application_id}/settings?check=1&done=1", 303)


def _with_rule_of_owner(requested: RequestedSettings, before: RequestedSettings) -> RequestedSettings:
    """Return the settings with what only an owner decides as it was: whether the team gives the roles."""
    document = {name: value for name, value in requested.document.items() if name != TEAM_GIVES}
    if TEAM_GIVES in before.document:
        document[TEAM_GIVES] = before.document[TEAM_GIVES]
    return RequestedSettings(requested.kind, document, requested.sandbox)


async def form_page(
    request: Request, here: Here, registry: Registry, typed: Typed, there: There | None, status: int = 200
) -> Response:
    """Return the page with the settings form; ``there``: the application; None: it is not begun yet."""
    async with site_of(request).provider.db.read() as session:
        await advise_codes(session, typed)
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
        **form_context(request, registry, typed),
        admin=False,
        kept_by=kept_by,
        may_change=may_change,
        revision=application.revision if application is not None else 0,
        open_now=application is None or application.state in ("draft", "sandbox", "approved"),
        done=request.query_params.get("done", "") if status == 200 else "",
        csrf_token=token_for(request, f"settings {name}"),
    )
