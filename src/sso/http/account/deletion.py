"""Deleting the own account: what happens, and the password or passkey that confirms it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.flows import FlowRefused, Problem
from sso.accounts.guards import OnlyOwner
from sso.accounts.own_deletion import OwnerCredential, delete_own_account, deletion_credentials
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import page
from sso.http.common.responses import to_wait
from sso.http.common.typed_forms import FormModel, Sent, SentForm, Ticked, first, required
from sso.http.sign_in.account_chooser import with_accounts
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn.passwords import Busy
from sso.identity.users.service import UserError
from sso.platform.security.rate_limits import TooManyFailures
from sso.settings import whole_days

router = new_router()

DELETE = "/account/delete"
MAX_CREDENTIAL_CHARS = 20_000
NOT_SURE = N_("Confirm that you want to delete your account.")
NO_PASSWORD = N_("Enter your password.")
NO_CREDENTIAL = N_("Your account has no password and no passkey. Add one first, then delete the account.")
WRONG_PASSWORD = N_("The password is wrong. Try again.")
WRONG_PASSKEY = N_("The passkey was not accepted. Try again.")
WAIT = N_("Too many wrong attempts. Try again in %(minutes)d minutes.")
ONLY_OWNER = N_("You are the only owner of %(what)s. Add another owner in the developer portal first.")
LAST_ADMINISTRATOR = N_("You are the last administrator. Make another user an administrator first.")
_PROBLEMS = {
    Problem.NO_CREDENTIAL: ("", NO_CREDENTIAL),
    Problem.WRONG_PASSWORD: ("password", WRONG_PASSWORD),
    Problem.PASSKEY_FAILED: ("", WRONG_PASSKEY),
}
HereRecently = Annotated[OwnVisit, Depends(OwnPage("data", recent=True))]


class DeletionForm(FormModel):
    """The box that confirms a deletion, and the proof: the password, or the answer of a passkey."""

    sure: Annotated[Ticked, required(NOT_SURE)] = False
    password: str = ""
    credential: Annotated[str, first(MAX_CREDENTIAL_CHARS)] = ""


Deletion = Annotated[Sent[DeletionForm], Depends(SentForm(DeletionForm))]


@router.get(DELETE)
async def deletion_page(here: HereRecently) -> Response:
    """What the deletion does, and the form that confirms it."""
    return await _page(here)


@router.post(DELETE)
async def delete(request: Request, here: HereRecently, sent: Deletion) -> Response:
    """Plan the deletion of the account: signed out everywhere at once, deleted after the grace period."""
    if not here.sent_by_us(sent.typed):
        return await _page(here, field_error("", STALE), 400)
    form, mistakes = sent.form, dict(sent.mistakes)
    if not form.credential and not form.password:
        able = await deletion_credentials(here.services, here.visitor, here.own)
        mistakes |= {"password": NO_PASSWORD} if able.password or not able.passkey else {"": WRONG_PASSKEY}
    if mistakes:
        return await _page(here, errors_in_order(mistakes, ("sure", "password")), 400, sure=form.sure)
    credential = OwnerCredential(form.password, form.credential)
    try:
        until = await delete_own_account(here.services, here.visitor, here.own, credential, here.actor)
    except FlowRefused as error:
        return await _page(here, field_error(*_PROBLEMS[error.problem]), 400, sure=True)
    except TooManyFailures as error:
        text = field_error("password", WAIT, minutes=error.minutes)
        return to_wait(await _page(here, text, 429, sure=True), error.retry_after)
    except Busy as error:
        return to_wait(await _page(here, field_error("", BUSY), 503, sure=True), error.retry_after)
    except OnlyOwner as error:
        return await _page(here, field_error("", ONLY_OWNER, what=error.applications), 409)
    except UserError:
        return await _page(here, field_error("", LAST_ADMINISTRATOR), 409)
    here.services.worker.nudge()
    response = page(request, "account_leaving.html", here="/", until=until)
    with_accounts(request, response, [])
    return response


async def _page(
    here: OwnVisit, errors: Sequence[FieldError] = (), status: int = 200, *, sure: bool = False
) -> Response:
    return here.page(
        "account_delete.html",
        status,
        here=DELETE,
        errors=errors,
        sure=sure,
        able=await deletion_credentials(here.services, here.visitor, here.own),
        days=whole_days(here.services.settings.deletion_grace_period),
    )
