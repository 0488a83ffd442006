"""A request to a page of the sign-in, read once: the visitor, the form that was sent, and where the person wants to
go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest, account_at, recall_request
from sso.accounts.sign_in.services import SignInServices
from sso.clients.registry import Client
from sso.http.common import pages
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.header import HeaderUser, header_user
from sso.http.common.services import SignIn, sign_in_services
from sso.http.common.visitor import visitor_of
from sso.http.sign_in.after_sign_in import own_destination
from sso.platform.visitor import Visitor


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request to a page of the sign-in.

    Args:
        request: the HTTP request; only ``http`` uses it.
        visitor: the browser.
        fields: of the form that was sent; empty for GET.
        destination: where the sign-in leads when no application asked for it.
        services: what use cases of the sign-in need.
    """

    request: Request
    visitor: Visitor
    fields: Mapping[str, str]
    destination: Destination
    services: SignInServices

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the URL."""
        return self.request.query_params

    @property
    def has_browser(self) -> bool:
        """Whether the browser brought the cookie that identifies it: without cookies no form works."""
        return bool(own_cookies(self.request).browser)

    def without_input(self) -> PageRequest:
        """Return the request without what was typed: only the language of its form stays."""
        return replace(self, fields={"lang": self.fields.get("lang", "")})

    def page(self, template: str, **context: Any) -> Response:
        """Return a page, in the language of the form."""
        return pages.page(self.request, template, fields=self.fields, **context)

    def header(self, name: str) -> HeaderUser:
        """Return the user for the header of a page whose session was read."""
        return header_user(self.request, name)

    def failure(self, code: str, status: int, client: Client | None = None) -> Response:
        """Return the page that says what went wrong (``FAILURES`` in ``http/common/pages.py``)."""
        return pages.failure(self.request, code, status, fields=self.fields, client=client)

    def csrf_token(self, purpose: str, session_token: str = "") -> str:
        """Return the CSRF token of a form."""
        return csrf_token(self.request, purpose, session_token)

    def has_valid_csrf_token(self, purpose: str, session_token: str = "") -> bool:
        """Tell whether the form that was sent is ours, for this browser, this session and this purpose."""
        return has_valid_csrf_token(self.request, dict(self.fields), purpose, session_token)

    def options(self, pending: PendingRequest | None) -> SignInOptions:
        """Return what was chosen on the sign-in page."""
        alone = pending is None
        return SignInOptions(
            i="" if pending is None else pending.token,
            remember=self.fields.get("remember") == "1",
            add=self.fields.get("add") == "1",
            then=self.destination.then if alone else "",
            user_code=self.destination.user_code if alone else "",
        )

    async def pending_and_account(self) -> tuple[PendingRequest | None, CurrentAccount | None]:
        """Return the authorization request that the form names, and the account that is signed in.

        Raises:
            RequestExpired: when the request has expired.
            AccountLocked: when the account is locked.
        """
        token = self.fields.get("i", "")
        if token:
            return await recall_request(self.services, self.visitor, token)
        return None, await account_at(self.services, self.visitor)


async def page_request(request: Request, services: SignIn) -> PageRequest:
    """Return the request to a page of the sign-in.

    Raises:
        BadRequest: when the form cannot be read.
    """
    fields = await form_fields(request) if request.method == "POST" else {}
    sent = fields if request.method == "POST" else request.query_params
    return PageRequest(request, visitor_of(request, fields), fields, own_destination(sent), services)


def without_form(request: Request) -> PageRequest:
    """Return the request to an endpoint of the protocol, whose parameters are not of a form of ours."""
    return PageRequest(request, visitor_of(request), pages.NO_FIELDS, Destination(), sign_in_services(request))


CurrentPage = Annotated[PageRequest, Depends(page_request)]
"""The request, as a dependency of a route."""
