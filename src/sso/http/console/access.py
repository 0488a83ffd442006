"""Who may see and do what on the pages of developers and administrators: a rule at each route, and nowhere else.

A route names its rule as a dependency, :class:`Needs` or :class:`Team`; a test reads them from the routing table, so
that a route without one fails.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.services import AccountServices
from sso.accounts.sign_in.current_account import is_recent
from sso.clients.models import Application
from sso.clients.privileges import Authority
from sso.clients.registry import Client
from sso.http.account.access import Visit, visit
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.errors import Interrupted
from sso.http.common.forms import form_fields
from sso.http.common.pages import failure, page
from sso.http.common.services import Accounts, Clients
from sso.http.common.state import kept_address_of, request_id_of, site_of
from sso.http.common.typed_forms import Form, Sent, read_form
from sso.http.console.entries import ADMIN as ADMIN
from sso.http.console.entries import ADMIN_PAGES, DEVELOPER_ENTRY, PAGE_TEXTS, Entry
from sso.http.console.entries import DEVELOPER as DEVELOPER
from sso.http.console.entries import GROUPS as GROUPS
from sso.http.sign_in.after_sign_in import MAX_QUERY_CHARS
from sso.identity.groups.tree import administered_by
from sso.identity.users.store import groups_of
from sso.platform.actor import Actor
from sso.platform.permissions import GROUP_PERMISSIONS, PERMISSIONS, effective_permissions, permissions_of
from sso.portal.access import RequiredRole, access_to, team_application
from sso.portal.applications import sandbox_id
from sso.portal.teams import teams_with


@dataclass(frozen=True, slots=True)
class Here:
    """Somebody on these pages.

    Args:
        visit: who it is.
        permissions: everything that they may do.
        groups: the groups of applications that they may do it for; None: every one.
        recent: whether they signed in recently, as dangerous acts need.
        request_id: the reference of the request in the log.
        stored_ip_address: the IP address in the form in which it may be stored.
        units: on pages of the console, the units that they look after, where they may not change every unit.
    """

    visit: Visit
    permissions: frozenset[str]
    groups: frozenset[str] | None
    recent: bool
    request_id: str
    stored_ip_address: str | None
    units: frozenset[UUID] = frozenset()

    @property
    def units_seen(self) -> frozenset[UUID] | None:
        """The units that they may see with all below; None: every unit and group."""
        return None if self.may("groups:read") else self.units

    @property
    def actor(self) -> str:
        """Their name in the audit log."""
        return str(self.visit.user.id)

    @property
    def as_actor(self) -> Actor:
        """Who acts, as use cases take it."""
        return Actor(self.actor, self.permissions, self.groups, self.stored_ip_address, self.request_id)

    @property
    def rights(self) -> frozenset[str]:
        """What they may do everywhere, without what they may do for their groups of applications alone: what is
        compared with the power over an account."""
        return effective_permissions(self.visit.roles, None)

    @property
    def authority(self) -> Authority:
        """What they may do with applications: of the permissions that hold for their groups alone, none."""
        everywhere = self.groups is None
        return Authority(permissions_of(self.visit.roles), everywhere=everywhere)

    def may(self, permission: str) -> bool:
        """Tell whether they may do something."""
        return permission in self.permissions

    @property
    def administers(self) -> bool:
        """Whether the console has a page for them."""
        return any(self.may(permission) for _, _, _, permission in ADMIN_PAGES if permission)

    def opens(self, address: str) -> str:
        """Return the address of a page of the console where they may open it, and nothing where they may not."""
        path = address.partition("?")[0]
        needed = [
            permission
            for _, page_path, _, permission in ADMIN_PAGES
            if page_path != ADMIN and (path == page_path or path.startswith(page_path + "/"))
        ]
        return address if not needed or self.may(needed[0]) else ""

    def may_with(self, permission: str, client: Client | None) -> bool:
        """Tell whether they may do something with an application."""
        if not self.may(permission):
            return False
        return self.groups is None or (client is not None and client.meta.group in self.groups)


async def here_of(request: Request, services: AccountServices) -> Here:
    """Return who is here.

    Raises:
        Interrupted: with the way to the sign-in page where nobody is.
    """
    signed_in = await visit(request, services, _here(request))
    if isinstance(signed_in, Response):
        raise Interrupted(signed_in)
    permissions, groups = permissions_of(signed_in.roles), None
    if "group_admin" in signed_in.roles and "clients:read" not in permissions:
        permissions |= GROUP_PERMISSIONS
        async with services.db.read() as session:
            groups = frozenset(await groups_of(session, signed_in.user.id))
    units: frozenset[UUID] = frozenset()
    if "groups:write" not in permissions and request.url.path.startswith(ADMIN):
        async with services.db.read() as session:
            units = await administered_by(session, signed_in.user.id)
    recent = is_recent(services.settings, signed_in.who)
    return Here(signed_in, permissions, groups, recent, request_id_of(request), kept_address_of(request), units)


class Needs:
    """That somebody has a permission. A dangerous one is only used soon after signing in: who signed in long ago sees
    the page, and signs in again to change anything.

    Args:
        permission: one of ``PERMISSIONS``; None: to be signed in is enough.
        others: permissions any of which is enough too. None of them is dangerous to have: such a page shows only.
    """

    def __init__(self, permission: str | None, *others: str) -> None:
        self.permission = permission
        self.permissions: tuple[str, ...] = () if permission is None else (permission, *others)

    def allows(self, permissions: Collection[str]) -> bool:
        """Tell whether somebody with these permissions may use the route."""
        return not self.permissions or any(permission in permissions for permission in self.permissions)

    async def __call__(self, request: Request, services: Accounts) -> Here:
        here = await here_of(request, services)
        if self.permission is None:
            return here
        if not self.allows(here.permissions):
            if here.units and request.url.path == ADMIN:
                raise Interrupted(RedirectResponse(GROUPS, 303, {"Cache-Control": "no-store"}))
            raise Interrupted(failure(request, "no_permission", 403, header=here.visit.header(request)))
        if request.method != "GET" and PERMISSIONS[self.permission].dangerous and not here.recent:
            raise Interrupted(to_sign_in_again(request))
        return here


@dataclass(frozen=True, slots=True)
class There:
    """A user at one application.

    Args:
        here: the user.
        application: the application.
        role: their role in its team; None: an administrator who may see it.
        kept_by: the catalogue file that manages its configuration; empty: its team does.
    """

    here: Here
    application: Application
    role: str | None
    kept_by: str

    @property
    def application_id(self) -> str:
        return self.application.application_id

    @property
    def sandbox_id(self) -> str:
        """The client_id of its sandbox."""
        return sandbox_id(self.application.application_id)


class Team:
    """The dependency of a page of one application: the user has a role in its team.

    Args:
        role: the role that the page needs.
        recent: whether a change needs a recent sign-in.
    """

    def __init__(self, role: RequiredRole, *, recent: bool = False) -> None:
        self.role = role
        self.recent = recent

    async def __call__(self, request: Request, application_id: str, services: Accounts, clients: Clients) -> There:
        here = await here_of(request, services)
        async with services.db.read() as session:
            seen = await team_application(session, application_id, here.visit.user.id)
        access = access_to(self.role, seen, sees_applications=here.may("clients:read"), groups=here.groups)
        if access == "hidden" or seen is None:
            raise Interrupted(failure(request, "not_found", 404, header=here.visit.header(request)))
        if access == "forbidden":
            raise Interrupted(failure(request, "no_permission", 403, header=here.visit.header(request)))
        if access == "viewer":
            return There(here, seen.application, None, seen.catalogue)
        if seen.application.state != "draft" and clients.registry.get(sandbox_id(application_id)) is None:
            await clients.refresh()  # another process may have opened its sandbox a moment ago
        if self.recent and request.method != "GET" and not here.recent:
            raise Interrupted(to_sign_in_again(request))
        return There(here, seen.application, seen.role, seen.catalogue)


def to_sign_in_again(request: Request, path: str = "") -> Response:
    """Return the way to the sign-in page and back: to this page, or to another."""
    return RedirectResponse(sign_in_again(request, path), 303, {"Cache-Control": "no-store"})


def sign_in_again(request: Request, path: str = "") -> str:
    """Return the address where somebody signs in again, and then comes back to this page, or to another. What only
    takes forms is part of the page above it."""
    here = path or _here(request)
    above, _, last = here.rpartition("/")
    back = above if last in PARTS or above == ADMIN + "/setup" else here
    return f"/login?{urlencode({'then': back, 'again': '1'})}"


def _here(request: Request) -> str:
    """Return the address of this page, with what is searched for on it, as :func:`address_after` knows it."""
    query = urlencode(request.query_params.multi_items()) if request.method == "GET" else ""
    return f"{request.url.path}?{query}" if query and len(query) <= MAX_QUERY_CHARS else request.url.path


PARTS = (
    "review",
    "status",
    "owner",
    "policies",
    "privileges",
    "leave",
    "test-person",
    "selected",
    "confirm",
    "download",
    "download-files",
    "download-endings",
    "logo",
    "change",
    "members",
)
"""Addresses that take forms of the page above them, and are no page themselves."""


class OwnForm(Generic[Form]):
    """The dependency of a route that reads one of our own forms: made by us, for this browser and this session.

    Args:
        model: the model of the form.
        purpose: what the form does; ``{name}`` stands for a parameter of the path.
    """

    def __init__(self, model: type[Form], purpose: str) -> None:
        self.model = model
        self.purpose = purpose

    async def __call__(self, request: Request) -> Sent[Form]:
        return read_form(self.model, await own_form(request, self.purpose.format(**request.path_params)))


async def own_form(request: Request, purpose: str) -> dict[str, str]:
    """Return the fields of one of our own forms.

    Raises:
        Interrupted: when it was not made by us, for this browser and this session.
    """
    fields = await form_fields(request)
    if not has_valid_csrf_token(request, fields, purpose, own_cookies(request).session_token):
        raise Interrupted(failure(request, "stale_form", 400, fields=fields))
    return fields


def token_for(request: Request, purpose: str) -> str:
    """Return the token of a form of ours."""
    return csrf_token(request, purpose, own_cookies(request).session_token)


def tasks_of(here: Here) -> list[Entry]:
    """Return the pages, besides the first, where somebody may do something."""
    return [entry for entry in (*ADMIN_PAGES, DEVELOPER_ENTRY) if entry[0] in PAGE_TEXTS and here.may(entry[3])]


def admin_page(
    request: Request, here: Here, current: str, template: str, status: int = 200, **context: Any
) -> Response:
    """Return one of the pages of administrators, with the way to the others."""
    entries: Sequence[Entry] = [
        (name, path, title, needed)
        for name, path, title, needed in ADMIN_PAGES
        if (here.may(needed) if needed else here.permissions) or (name == "groups" and here.units)
    ]
    return page(
        request,
        template,
        status=status,
        display="broad",
        header=here.visit.header(request),
        entries=entries,
        current=current,
        here_is=here,
        again_at=sign_in_again(request),
        action=request.url.path,
        **context,
    )


async def developer_page(
    request: Request, here: Here, current: str, template: str, status: int = 200, **context: Any
) -> Response:
    """Return one of the pages of developers."""
    async with site_of(request).provider.db.read() as session:
        mine = await teams_with(session, here.visit.user.id)
    return page(
        request,
        template,
        status=status,
        display="broad",
        header=here.visit.header(request, develops=True),
        current=current,
        mine=sorted(mine),
        here_is=here,
        again_at=sign_in_again(request),
        action=request.url.path,
        **context,
    )
