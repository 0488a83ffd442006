"""The request log of an application: each request to an endpoint of ours, with its outcome and reference."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.http.common.forms import read_id
from sso.http.common.late_routes import new_router
from sso.http.common.services import Db
from sso.http.common.typed_forms import FormModel, Sent, one_of
from sso.http.console.access import OwnForm
from sso.http.developer.application_page import APPS, Member, Reader, application_page, present
from sso.platform.metrics.request_log import KEEP, MAX_STORED, requests_of
from sso.portal.request_log import HOURS, log_production

router = new_router()

PAGE = 50
MAX_TYPED = 64


class LogForm(FormModel):
    """For how many hours failed requests of production are logged; 0: not."""

    hours: Annotated[str, one_of([str(hours) for hours in HOURS], "0")] = "0"


Logging = Annotated[Sent[LogForm], Depends(OwnForm(LogForm, "requests {application_id}"))]


@router.get(APPS + "/{application_id}/requests")
async def log_page(request: Request, there: Reader, db: Db) -> Response:
    """Show the log, or the entries with an outcome or a reference."""
    query = request.query_params
    outcome, reference = query.get("outcome", "")[:MAX_TYPED].strip(), query.get("q", "")[:MAX_TYPED].strip()
    ids = [there.sandbox_id, there.application_id]
    async with db.read() as session:
        entries = await requests_of(
            session,
            ids,
            outcome=outcome,
            request_id=reference,
            before=read_id(query.get("before", "")),
            limit=PAGE + 1,
        )
    rows, until = entries[:PAGE], there.application.request_log_until
    return await application_page(
        request,
        there,
        "requests",
        "developer_requests.html",
        purpose="requests",
        rows=rows,
        sandbox_id=there.sandbox_id,
        further=rows[-1].id if len(entries) > PAGE else None,
        outcome=outcome,
        reference=reference,
        until=until if until is not None and until > clock.now() else None,
        hours=HOURS,
        days=KEEP.days,
        most=MAX_STORED,
        production=there.application.approved_at is not None,
    )


@router.post(APPS + "/{application_id}/requests")
async def switch_log(request: Request, there: Member, sent: Logging, db: Db) -> Response:
    """Log failed requests of production for some hours, or no longer."""
    async with db.write() as session:
        application = await present(request, session, there.application_id)
        await log_production(session, application, int(sent.form.hours), actor=there.here.as_actor)
    return RedirectResponse(f"{APPS}/{there.application_id}/requests", 303)
