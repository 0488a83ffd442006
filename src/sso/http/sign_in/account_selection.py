"""Choosing among the accounts of a browser."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.consent import select_account
from sso.accounts.sign_in.current_account import account_with, accounts_of_browser
from sso.accounts.sign_in.pending_request import account_at, mark_done
from sso.http.common.cookies import with_browser_state
from sso.http.common.late_routes import new_router
from sso.http.sign_in.account_chooser import with_accounts
from sso.http.sign_in.finish import proceed, show_next_step
from sso.http.sign_in.form_of_request import read_form
from sso.http.sign_in.page_request import CurrentPage
from sso.http.sign_in.pages import sign_in_form

router = new_router()


@router.post("/select")
async def choose_account(page: CurrentPage) -> Response:
    """Continue an authorization request as one of the accounts of this browser, or as another one."""
    form = await read_form(page, "select")
    if isinstance(form, Response):
        return form
    pending, current = form
    choice = page.fields.get("choice", "")
    if choice == "continue":
        return await proceed(page, await mark_done(page.services, page.visitor, pending, "select_account"), current)
    selected = await select_account(page.services, page.visitor, pending, choice)
    if selected is None:
        return sign_in_form(page, pending, adding=True)
    response = show_next_step(page, selected.next_step)
    with_accounts(page.request, response, selected.tokens)
    return response


@router.post("/accounts")
async def switch_account(page: CurrentPage) -> Response:
    """Make another account of this browser the present one, without an application."""
    await account_at(page.services, page.visitor)  # refuses a locked account
    response = RedirectResponse("/", 303)
    if not page.has_valid_csrf_token("accounts", page.visitor.session_token):
        return response
    provider = page.services.provider
    async with provider.db.read() as session:
        accounts = await accounts_of_browser(provider.idle, session, page.visitor)
    chosen = account_with(accounts, page.fields.get("choice", ""))
    if chosen is not None:
        others = [account.token for account in accounts if account is not chosen]
        with_accounts(page.request, response, [chosen.token, *others])
        with_browser_state(page.request, response, provider.browser_state(chosen.session.id))
    return response
