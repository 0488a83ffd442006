"""The header of pages: who is signed in, and where the menu of the account leads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from starlette.requests import Request

from sso import __version__
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import csrf_token
from sso.platform.permissions import GROUP_PERMISSIONS, permissions_of

NOT_OF_THE_CONSOLE = frozenset({"applications:create"})
"""Permissions for which the console has no page: the developer portal has."""


@dataclass(frozen=True, slots=True)
class HeaderUser:
    """The user in the header of a page.

    Args:
        name: the name of the user.
        sign_out_token: the CSRF token of the form that signs out.
        several: whether the browser may hold other accounts too.
        develops: whether the menu has the developer portal.
        console: the address of the console; empty: the user has no page there.
        version: the version of the service, for administrators; empty for everybody else.
    """

    name: str
    sign_out_token: str
    several: bool = False
    develops: bool = False
    console: str = ""
    version: str = ""


def header_user(request: Request, name: str, roles: Collection[str] = (), *, develops: bool = False) -> HeaderUser:
    """Return the user for the header of a page. Nothing is read from the database.

    Args:
        request: what is answered.
        name: the name of the user whose session the page has read.
        roles: the roles of the user, where the page has read them.
        develops: the user is in a team, whatever the roles.
    """
    return HeaderUser(
        name,
        csrf_token(request, "logout", own_cookies(request).session_token),
        several=len(own_cookies(request).session_tokens) > 1,
        develops=develops or "applications:create" in permissions_of(roles),
        console=first_admin_page(roles),
        version=__version__ if "settings:read" in permissions_of(roles) else "",
    )


def remember_user(request: Request, name: str, roles: Collection[str]) -> None:
    """Keep with the request whose session it has read, so that an error page has the header too."""
    request.state.header_user = (name, tuple(roles))


def remembered_user(request: Request) -> HeaderUser | None:
    """Return the user for the header of an error page; None: the request has read no session."""
    remembered: tuple[str, tuple[str, ...]] | None = getattr(request.state, "header_user", None)
    return header_user(request, *remembered) if remembered is not None else None


def first_admin_page(roles: Collection[str]) -> str:
    """Return where a user with these roles begins to administer; empty: the user administers nothing."""
    may = permissions_of(roles) | (GROUP_PERMISSIONS if "group_admin" in roles else frozenset())
    return "/admin" if may - NOT_OF_THE_CONSOLE else ""
