"""Links in messages: stopping a recovery, continuing one whose delay has passed, and reporting a sign-in. Opening a
link changes nothing, because mail scanners open links too: each page has a button."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.flows import FlowEnded
from sso.accounts.locking import report_sign_in
from sso.accounts.recovery import continue_recovery, stop_recovery
from sso.accounts.sign_in.destination import Destination
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, page
from sso.http.common.services import Accounts, Clients, Outbox
from sso.http.common.visitor import CurrentVisitor
from sso.http.sign_in.recovery import HERE, continuation, to_recovery

router = new_router()

MAX_TOKEN_CHARS, MAX_REPORT_CHARS = 100, 120


@router.get(HERE + "/stop")
async def stop_page(request: Request) -> Response:
    """Ask whether to stop a recovery that waits."""
    token = request.query_params.get("t", "")[:MAX_TOKEN_CHARS]
    return page(request, "recover_stop.html", t=token, done=False, csrf_token=csrf_token(request, "recover-stop"))


@router.post(HERE + "/stop")
async def stop(request: Request, visitor: CurrentVisitor, accounts: Accounts, outbox: Outbox) -> Response:
    """Stop a recovery that waits."""
    fields = await form_fields(request)
    token = fields.get("t", "")[:MAX_TOKEN_CHARS]
    if not has_valid_csrf_token(request, fields, "recover-stop"):
        return RedirectResponse(f"{HERE}/stop?{urlencode({'t': token})}", 303)
    await stop_recovery(accounts, visitor, token)
    outbox.nudge()
    return page(request, "recover_stop.html", t="", done=True, csrf_token="")


@router.get(HERE + "/continue")
async def continue_page(request: Request) -> Response:
    """Ask whether to continue a recovery whose delay has passed."""
    token = request.query_params.get("t", "")[:MAX_TOKEN_CHARS]
    return page(request, "recover_continue.html", t=token, csrf_token=csrf_token(request, "recover-continue"))


@router.post(HERE + "/continue")
async def continue_form(request: Request, visitor: CurrentVisitor, accounts: Accounts, clients: Clients) -> Response:
    """Continue: the link is used up, and a new password is chosen."""
    fields = await form_fields(request)
    token = fields.get("t", "")[:MAX_TOKEN_CHARS]
    if not has_valid_csrf_token(request, fields, "recover-continue"):
        return RedirectResponse(f"{HERE}/continue?{urlencode({'t': token})}", 303)
    try:
        flow = await continue_recovery(
            accounts,
            visitor,
            token,
            lambda client_id: continuation(accounts.box, clients.registry, Destination(client_id=client_id)),
        )
    except FlowEnded:
        return failure(request, "expired_interaction", 400)
    return to_recovery(request, flow)


@router.get("/not-me")
async def not_me_page(request: Request) -> Response:
    """Ask whether a sign-in was not the user's."""
    token = request.query_params.get("t", "")[:MAX_REPORT_CHARS]
    return page(request, "not_me.html", t=token, done=False, csrf_token=csrf_token(request, "not-me"))


@router.post("/not-me")
async def not_me_form(request: Request, visitor: CurrentVisitor, accounts: Accounts, outbox: Outbox) -> Response:
    """Report a sign-in: every session ends, and the account is locked."""
    fields = await form_fields(request)
    token = fields.get("t", "")[:MAX_REPORT_CHARS]
    if not has_valid_csrf_token(request, fields, "not-me"):
        return RedirectResponse(f"/not-me?{urlencode({'t': token})}", 303)
    user = await report_sign_in(accounts, visitor, token)
    if user is None:
        return failure(request, "expired_interaction", 400)
    outbox.nudge()
    return page(request, "not_me.html", t="", done=True, until=user.locked_until, csrf_token="")
