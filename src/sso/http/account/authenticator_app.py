"""Setting up an authenticator app for the own account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.flows import FlowEnded, FlowRefused, Problem
from sso.accounts.second_factors import begin_app, confirm_app, recall_app
from sso.http.account.access import OwnPage, OwnVisit, done
from sso.http.account.security import SECURITY, codes_page
from sso.http.common import qr
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.responses import to_wait
from sso.http.common.typed_forms import FormModel, Sent, SentForm
from sso.http.sign_in.flow_texts import OWN_ACCOUNT_TEXTS, WRONG_APP_CODE
from sso.http.sign_in.texts import STALE
from sso.identity.authn import factors
from sso.identity.authn.pending_flows import RunningFlow

router = new_router()

TEXTS = {**OWN_ACCOUNT_TEXTS, Problem.WRONG_CODE: (WRONG_APP_CODE, 400)}
HereRecently = Annotated[OwnVisit, Depends(OwnPage("security", recent=True))]


class AppCodeForm(FormModel):
    """The first code of an authenticator app. ``c``: the token of the pending flow."""

    c: str = ""
    code: str = ""


AppCode = Annotated[Sent[AppCodeForm], Depends(SentForm(AppCodeForm))]


@router.get(SECURITY + "/app")
async def app_page(here: HereRecently) -> Response:
    """Set up an authenticator app."""
    return _page(here, await begin_app(here.services, here.visitor, here.own))


@router.post(SECURITY + "/app")
async def add_app(request: Request, here: HereRecently, sent: AppCode) -> Response:
    """Check the first code of an authenticator app, and store the app."""
    flow = await recall_app(here.services, here.visitor, here.own, sent.form.c)
    if flow is None:
        return failure(request, "stale_form", 400, fields=sent.typed)
    if not here.sent_by_us(sent.typed):
        return _page(here, flow, STALE, 400)
    try:
        codes = await confirm_app(here.services, here.visitor, here.own, flow, sent.form.code, here.actor)
    except FlowEnded:
        return failure(request, "stale_form", 400, fields=sent.typed)
    except FlowRefused as error:
        text, status = TEXTS[error.problem]
        response = _page(here, flow, text, status, minutes=error.minutes)
        return to_wait(response, error.retry_after)
    here.services.worker.nudge()
    return codes_page(here, codes) if codes else done(SECURITY, "totp")


def _page(here: OwnVisit, flow: RunningFlow, problem: str = "", status: int = 200, **values: int) -> Response:
    seed = str(flow.data["seed"])
    uri = factors.totp_uri(here.services.settings, seed, here.user.name)
    return here.page(
        "account_app.html",
        status,
        c=flow.token,
        seed=" ".join(seed[at : at + 4] for at in range(0, len(seed), 4)),
        uri=uri,
        qr=qr.as_image(uri),
        problem=problem,
        field="code",
        values=values,
    )
