"""Typing the code that was sent to a new contact of the own account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.contact_code import check_contact_code, data_of, recall_contact, resend_contact_code
from sso.accounts.flows import FlowEnded, FlowRefused, Problem
from sso.http.account.access import OwnPage, OwnVisit, done
from sso.http.account.contacts import CONTACTS, refused_page
from sso.http.common.channels import channel_texts
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.responses import to_wait
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, SentForm
from sso.http.sign_in.flow_texts import OWN_ACCOUNT_TEXTS
from sso.http.sign_in.texts import STALE
from sso.identity.authn.pending_flows import RunningFlow
from sso.settings import whole_minutes

router = new_router()

Here = Annotated[OwnVisit, Depends(OwnPage("contacts"))]


class ContactCodeForm(FormModel):
    """The code that was sent to a new contact. ``c``: the token of the pending flow."""

    c: str = ""
    choice: ChoiceField = Choice()
    code: str = ""


ContactCode = Annotated[Sent[ContactCodeForm], Depends(SentForm(ContactCodeForm))]


@router.get(CONTACTS + "/code")
async def contact_code_page(request: Request, here: Here) -> Response:
    """Where the code is typed."""
    flow = await recall_contact(here.services, here.visitor, here.own, request.query_params.get("c", ""))
    return _page(here, flow) if flow is not None else failure(request, "stale_form", 400)


@router.post(CONTACTS + "/code")
async def contact_code(request: Request, here: Here, sent: ContactCode) -> Response:
    """Check the code, and add the contact."""
    flow = await recall_contact(here.services, here.visitor, here.own, sent.form.c)
    if flow is None:
        return failure(request, "stale_form", 400, fields=sent.typed)
    if not here.sent_by_us(sent.typed):
        return _page(here, flow, STALE, 400)
    try:
        if sent.form.choice.act == "resend":
            return await _resend(here, flow, sent.form.choice.target)
        return await _check(here, flow, sent.form.code)
    except FlowEnded:
        return failure(request, "stale_form", 400, fields=sent.typed)
    except FlowRefused as error:
        text, status = OWN_ACCOUNT_TEXTS[error.problem]
        response = _page(here, flow, text, status, minutes=error.minutes)
        return to_wait(response, error.retry_after)


async def _resend(here: OwnVisit, flow: RunningFlow, channel: str) -> Response:
    try:
        await resend_contact_code(here.services, here.visitor, here.own, flow, channel)
    finally:
        here.services.worker.nudge()
    return _page(here, flow, sent_again=True)


async def _check(here: OwnVisit, flow: RunningFlow, typed: str) -> Response:
    added = await check_contact_code(here.services, here.visitor, here.own, flow, typed, here.actor)
    here.services.worker.nudge()
    return done(CONTACTS, "added") if added else await refused_page(here, Problem.TAKEN)


def _page(
    here: OwnVisit,
    flow: RunningFlow,
    problem: str = "",
    status: int = 200,
    *,
    sent_again: bool = False,
    **values: int,
) -> Response:
    return here.page(
        "account_contact_code.html",
        status,
        c=flow.token,
        recipient=data_of(flow)["value"],
        **channel_texts(here.services.settings, data_of(flow)["kind"], flow.channel),
        minutes=whole_minutes(here.services.settings.one_time_code_lifetime),
        problem=problem,
        field="code",
        values=values,
        sent_again=sent_again,
    )
