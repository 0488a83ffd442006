"""The answers of a person on the pages of an authorization request: consent, and the way back to the application."""

from __future__ import annotations

from starlette.responses import Response

from sso.accounts.sign_in.consent import give_consent
from sso.http.common.late_routes import new_router
from sso.http.sign_in.finish import refuse, show_next_step
from sso.http.sign_in.form_of_request import read_form
from sso.http.sign_in.page_request import CurrentPage
from sso.http.sign_in.pages import NOT_INVITED_LEVEL, consent_purpose
from sso.oidc.authorize.decision import NOT_ALLOWED, NOT_INVITED

router = new_router()


@router.post("/consent")
async def consent(page: CurrentPage) -> Response:
    """Allow an application what it asks for, or refuse."""
    form = await read_form(page, consent_purpose)
    if isinstance(form, Response):
        return form
    pending, current = form
    if page.fields.get("choice") != "allow":
        return await refuse(page, pending, "access_denied", "The person refused.")
    return show_next_step(page, await give_consent(page.services, page.visitor, pending, current))


@router.post("/identity")
async def back_to_application(page: CurrentPage) -> Response:
    """Tell the application why the person cannot use it."""
    form = await read_form(page, "identity")
    if isinstance(form, Response):
        return form
    pending, _ = form
    texts = {NOT_INVITED_LEVEL: NOT_INVITED, **{str(why): text for why, text in NOT_ALLOWED.items()}}
    why = page.fields.get("why", "")
    if why in texts:
        return await refuse(page, pending, "access_denied", texts[why])
    description = "It is not known surely enough who the person is."
    return await refuse(page, pending, "unmet_authentication_requirements", description)
