"""The pages of the sign-in, and what they show."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response

from sso.accounts.sign_in.current_account import Account, CurrentAccount
from sso.accounts.sign_in.destination import Destination, named_application
from sso.accounts.sign_in.pending_request import PendingRequest
from sso.accounts.sign_in.results import AccessRefused, AccountChooser, ConsentNeeded, IdentityCheckNeeded
from sso.accounts.sign_in.session_end import SessionEnd
from sso.clients.registry import Client
from sso.http.common.field_errors import FieldError, field_error
from sso.http.common.responses import to_wait
from sso.http.sign_in.allowed_users import needed_for
from sso.http.sign_in.page_request import PageRequest
from sso.http.sign_in.requested_data import permissions_digest, requested_items
from sso.http.sign_in.texts import NOT_ALLOWED_TEXTS, SESSION_END_TEXTS, WAIT
from sso.identity.users.store import Person
from sso.oidc.authorize.authorization_request import AuthorizationRequest
from sso.oidc.demands import Demand

MAX_TYPED_CHARS = 254
NOT_INVITED_LEVEL = "not_invited"
"""What the page of a sandbox names as the reason."""


def request_address(pending: PendingRequest) -> str:
    """Return the URL at which the page of an authorization request can be had again."""
    return f"/login?{urlencode({'i': pending.token})}"


def destination_of(page: PageRequest, pending: PendingRequest | None) -> Destination:
    """Return where a person wants to go who is asked to sign in."""
    if pending is not None:
        return Destination(i=pending.token, client_id=pending.request.client.client_id)
    return page.destination


def _alone_address(page: PageRequest, destination: Destination, *, adding: bool) -> str:
    """Return the URL of the sign-in page without an application."""
    fields = {
        "add": "1" if adding else "",
        "user_code": destination.user_code,
        "then": destination.then,
        "again": "1" if page.query.get("again") == "1" else "",
    }
    parameters = {name: value for name, value in fields.items() if value}
    return f"/login?{urlencode(parameters)}" if parameters else "/login"


def _of_request(authorization: AuthorizationRequest | None) -> dict[str, object]:
    """Return what the page of an authorization request takes from it."""
    if authorization is None:
        return {"ui_locales": "", "form_target": "", "display": "page"}
    return {
        "ui_locales": authorization.ui_locales,
        "form_target": authorization.redirect_uri,
        "display": authorization.display,
    }


def _services_context(page: PageRequest) -> dict[str, object]:
    """Return what the sign-in page offers besides a password."""
    settings, provider = page.services.settings, page.services.provider
    return {
        "can_remember": bool(settings.remembered_session_lifetime),
        "passkey": provider.passkeys.request_options(page.visitor.browser_id),
        "can_sign_up": bool(settings.sign_up_kinds),
        "can_recover": any(map(settings.can_send, ("email", "phone"))),
    }


def sign_in_form(
    page: PageRequest,
    pending: PendingRequest | None,
    again: CurrentAccount | None = None,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    *,
    adding: bool = False,
    ended: SessionEnd | None = None,
) -> Response:
    """Return the sign-in page; what was typed stays, but for the password.

    Args:
        page: the request.
        pending: the authorization request; None: no application asked.
        again: the account that must sign in once more.
        errors: what is wrong with the form that was sent.
        status: the HTTP status.
        adding: an account is added to those of this browser.
        ended: when and why the session of this browser ended; the page says so once.
    """
    destination, fields = destination_of(page, pending), page.fields
    adding = adding or fields.get("add") == "1"
    authorization = pending.request if pending is not None else None
    client = authorization.client if authorization else named_application(page.services.provider.registry, destination)
    hint = authorization.login_hint if authorization else ""
    return page.page(
        "sign_in.html",
        status=status,
        here=request_address(pending) if pending is not None else _alone_address(page, destination, adding=adding),
        user_code=destination.user_code,
        then=destination.then,
        client=client,
        i=destination.i,
        recover_at=destination.address("/recover"),
        sign_up_at=destination.address("/signup"),
        csrf_token=page.csrf_token("login"),
        username=(fields.get("username") or hint)[:MAX_TYPED_CHARS],
        again=again.signed_in.user.name if again is not None and not adding else "",
        adding=adding,
        remember=fields.get("remember") == "1",
        ended=ended,
        ended_text=SESSION_END_TEXTS[ended.cause] if ended is not None else "",
        errors=errors,
        by_nip=takes_nip(page, client),
        **_of_request(authorization),
        **_services_context(page),
    )


def takes_nip(page: PageRequest, client: Client | None) -> bool:
    """Tell whether the page names the NIP: at an application for employees, and where no application asked, if there
    is one. A NIP is accepted everywhere; citizens are not asked for a number that they do not have."""
    asking = [client] if client is not None else page.services.provider.registry
    return any(
        "employee" in application.scopes or "employee" in application.meta.allowed_roles for application in asking
    )


def wait_form(
    page: PageRequest, pending: PendingRequest | None, again: CurrentAccount | None, retry_after: int, minutes: int
) -> Response:
    """Return the sign-in page where there were too many wrong attempts: it says how long to wait."""
    return to_wait(sign_in_form(page, pending, again, field_error("username", WAIT, minutes=minutes), 429), retry_after)


def _request_page(
    page: PageRequest, template: str, pending: PendingRequest, current: CurrentAccount, purpose: str, **context: object
) -> Response:
    """Return a page of an authorization request, for a person who is signed in."""
    client = pending.request.client
    return page.page(
        template,
        here=request_address(pending),
        header=page.header(current.signed_in.user.name),
        client=client,
        person=current.signed_in.user.name,
        i=pending.token,
        csrf_token=page.csrf_token(purpose, current.token),
        **_of_request(pending.request),
        **context,
    )


def consent_purpose(pending: PendingRequest) -> str:
    """Return what the form of a consent page is for: this request, and exactly what is asked on the page. Where the
    application was changed since, so that it would receive something else, the page is shown again."""
    authorization = pending.request
    digest = permissions_digest(authorization.client, authorization.permissions, authorization.redirect_uri)
    return f"consent {pending.token} {digest}"


def consent_page(page: PageRequest, needed: ConsentNeeded) -> Response:
    """Return the page that asks for consent."""
    pending, authorization = needed.pending, needed.pending.request
    permissions = requested_items(authorization.client, authorization.permissions)
    purpose = consent_purpose(pending)
    return _request_page(page, "consent.html", pending, needed.current, purpose, requested=permissions, new=needed.new)


def account_page(page: PageRequest, chooser: AccountChooser) -> Response:
    """Return the page on which the account is chosen."""
    others: Sequence[Account] = chooser.others
    return _request_page(page, "select.html", chooser.pending, chooser.current, "select", others=others)


def refused_page(page: PageRequest, refused: AccessRefused) -> Response:
    """Return the page that says why a person may not use the application."""
    pending, current = refused.pending, refused.current
    invited = refused.why is not Demand.INVITATION
    return _request_page(
        page,
        "not_allowed.html",
        pending,
        current,
        "identity",
        level=refused.why if invited else NOT_INVITED_LEVEL,
        text=NOT_ALLOWED_TEXTS.get(refused.why, "") if invited else "",
        needed=needed_for(pending.request.client, refused.groups) if refused.why is Demand.ROLE else [],
        recover_at=destination_of(page, pending).address("/recover"),
        select_token=page.csrf_token("select", current.token),
    )


def identity_page(page: PageRequest, needed: IdentityCheckNeeded) -> Response:
    """Return the page that says which identity assurance level is needed."""
    return _request_page(page, "identity_needed.html", needed.pending, needed.current, "identity", level=needed.level)


def locked_page(page: PageRequest, person: Person, destination: Destination) -> Response:
    """Return the page that says that the account is locked, and what to do.

    Args:
        page: the request.
        person: whose account is locked.
        destination: where they want to go; a recovery leads there.
    """
    return page.page(
        "locked.html",
        status=403,
        here="/",
        person=person.name,
        until=person.locked_until,
        recover_at=destination.address("/recover"),
    )
