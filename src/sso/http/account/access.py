"""Users on their own pages: who is here, the way to the sign-in page and back, and what these pages share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.own_account import OwnSession
from sso.accounts.services import AccountServices
from sso.accounts.sign_in.current_account import is_recent
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.errors import Interrupted
from sso.http.common.header import HeaderUser, header_user, remember_user
from sso.http.common.header import first_admin_page as first_admin_page
from sso.http.common.i18n import N_
from sso.http.common.pages import failure, page
from sso.http.common.services import Accounts
from sso.http.common.visitor import visitor_of
from sso.http.sign_in.account_chooser import present_account
from sso.identity.employees.store import roles_and_access
from sso.identity.test_users import is_test
from sso.identity.users.models import User
from sso.oidc.authorize.signed_in import SignedIn
from sso.platform.actor import Actor
from sso.platform.visitor import Visitor

PAGES = (
    ("account", "/account", N_("Overview")),
    ("profile", "/account/profile", N_("Profile")),
    ("contacts", "/account/contacts", N_("E-mail, phone and username")),
    ("security", "/account/security", N_("Password and two-step verification")),
    ("sessions", "/account/sessions", N_("Active sessions and devices")),
    ("applications", "/account/applications", N_("Connected applications")),
    ("access", "/account/access", N_("Roles and groups")),
    ("activity", "/account/activity", N_("Activity")),
    ("notifications", "/account/notifications", N_("Notifications and language")),
    ("data", "/account/data", N_("My data")),
)
"""The pages: the name by which signing in leads there, the address, the title."""
_PAGE_OF = {"/account/picture": "profile", "/account/export": "data", "/account/delete": "data"}
"""The pages of forms that have an address of their own."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A signed-in user with the roles. ``has_access``: the user has, or had, a unit, a group or a role of an
    application."""

    who: SignedIn
    user: User
    roles: list[str]
    has_access: bool = False

    def header(self, request: Request, *, develops: bool = False) -> HeaderUser:
        """Return the user for the header of a page."""
        return header_user(request, self.user.name, self.roles, develops=develops)


@dataclass(frozen=True, slots=True)
class OwnVisit:
    """A user on one of the own pages.

    Args:
        request: the request.
        name: the name of the page.
        visit: the user who is signed in.
        visitor: the browser.
        services: what use cases about the own account need.
    """

    request: Request
    name: str
    visit: Visit
    visitor: Visitor
    services: AccountServices

    @property
    def user(self) -> User:
        """The user, as read when the request arrived."""
        return self.visit.user

    @property
    def own(self) -> OwnSession:
        """The session in which the user is here."""
        return OwnSession(self.user.id, self.visit.who.session.id, self.services.settings.session_idle_timeout)

    @property
    def actor(self) -> Actor:
        """The user as the actor of a change."""
        return self.visitor.as_actor(self.user.id)

    def sent_by_us(self, fields: Mapping[str, str]) -> bool:
        """Tell whether a form is one of this page, for this browser and session."""
        session_cookie = own_cookies(self.request).session_token
        return has_valid_csrf_token(self.request, fields, f"own {self.name}", session_cookie)

    def page(self, template: str, status: int = 200, *, here: str = "", **context: Any) -> Response:
        """Return the page, with the way to the other own pages. ``here``: its address, where it is not that of the
        page of this name."""
        address = next(address for name, address, _ in PAGES if name == self.name)
        return page(
            self.request,
            template,
            status=status,
            display="wide",
            here=here or address,
            header=self.visit.header(self.request),
            pages=[page for page in PAGES if page[0] != "access" or self.visit.has_access or self.name == "access"],
            current=self.name,
            person=self.user.name,
            csrf_token=csrf_token(self.request, f"own {self.name}", own_cookies(self.request).session_token),
            **context,
        )


def on_session_ended(request: Request, _: Exception) -> Response:
    """Answer :class:`~sso.accounts.own_account.SessionEnded` with the way to the sign-in page and back."""
    return _to_sign_in(page_name(request.url.path))


class OwnPage:
    """The dependency of one of the own pages: a signed-in user.

    Args:
        name: the name of the page.
        recent: the user must have signed in a moment ago.
    """

    def __init__(self, name: str, *, recent: bool = False) -> None:
        self.name = name
        self.recent = recent

    async def __call__(self, request: Request, services: Accounts) -> OwnVisit:
        """Return the user.

        Raises:
            Interrupted: when nobody is signed in, or not recently enough.
        """
        signed_in = await visit(request, services, self.name, recent=self.recent)
        if isinstance(signed_in, Response):
            raise Interrupted(signed_in)
        return OwnVisit(request, self.name, signed_in, visitor_of(request), services)


async def visit(request: Request, services: AccountServices, then: str, *, recent: bool = False) -> Visit | Response:
    """Return who is signed in, or the way to the sign-in page and back.

    Args:
        request: what is answered.
        services: the database and the settings.
        then: the name of the page.
        recent: the user must have signed in a moment ago.
    """
    async with services.db.read() as session:
        who = await present_account(request, session)
        user = await session.get(User, who.user.id) if who is not None else None
        roles, has_access = list[str](), False
        if who is not None:
            roles, has_access = await roles_and_access(session, who.user.id, clock.now())
    if who is None or user is None:
        return _to_sign_in(then)
    if is_test(who.session):  # a test user has nothing to change: a password would open the account
        return failure(request, "no_permission", 403)
    remember_user(request, user.name, roles)
    if recent and not is_recent(services.settings, who):
        return _to_sign_in(then, again="1")
    return Visit(who, user, roles, has_access)


def page_name(path: str) -> str:
    """Return the name of the own page to which an address belongs."""
    if path in _PAGE_OF:
        return _PAGE_OF[path]
    matching = [(address, name) for name, address, _ in PAGES if path == address or path.startswith(f"{address}/")]
    return max(matching)[1] if matching else "account"


def done(address: str, what: str) -> Response:
    """Return the way to a page that says what was done."""
    return RedirectResponse(f"{address}?{urlencode({'done': what})}", 303, {"Cache-Control": "no-store"})


def _to_sign_in(then: str, **more: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({'then': then, **more})}", 303, {"Cache-Control": "no-store"})
