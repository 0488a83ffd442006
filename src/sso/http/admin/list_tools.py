"""What every list of the console offers besides its rows: saved searches, and the list as a CSV file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.user_invitations import INVITES
from sso.http.admin.csv_download import Download, download_of
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.services import Db
from sso.http.common.state import site_of
from sso.http.common.typed_forms import FormModel, IdField, Note, Sent, cut
from sso.http.console.access import Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.entries import ADMIN, ADMIN_PAGES
from sso.identity.users import saved_searches
from sso.identity.users.models import SavedSearch
from sso.identity.users.saved_searches import MAX_NAME_CHARS, MAX_QUERY_CHARS
from sso.identity.users.service import UserError
from sso.platform.audit import record_by
from sso.platform.db import Database
from sso.platform.permissions import PERMISSIONS

router = new_router()

LISTS = ("people", "sessions", "groups", "applications", "deliveries", "audit", "invitations")
"""The lists whose searches can be saved."""
NOT_PERSONAL = ("applications", "groups")
INVITATIONS = ("invitations", ADMIN + "/invitations", "", INVITES)
"""The list of invitations, which has no entry of its own in the menu."""
POSITION = frozenset({"before", "after", "as", "lang"})
"""Parameters of a list that are no filters."""
NO_NAME = N_("Enter a name for the search.")
TOO_MANY = N_("You have saved 50 searches. Delete one of them first.")

Anybody = Annotated[Here, Depends(Needs("statistics:read", *(name for name in PERMISSIONS)))]


class SaveForm(FormModel):
    """A search that is saved."""

    list: Annotated[str, cut(32)] = ""
    query: Annotated[str, cut(MAX_QUERY_CHARS)] = ""
    name: Annotated[Note, cut(MAX_NAME_CHARS)] = ""


class RemoveForm(FormModel):
    """A search that is deleted."""

    id: IdField = None


SaveSent = Annotated[Sent[SaveForm], Depends(OwnForm(SaveForm, "searches"))]
RemoveSent = Annotated[Sent[RemoveForm], Depends(OwnForm(RemoveForm, "searches"))]


@dataclass(frozen=True, slots=True)
class ListTools:
    """What a list offers besides its rows.

    Args:
        name: of the list.
        path: its address.
        query: the filter in effect, as the part of the address after ``?``; empty: none.
        filters: the names of the filters in effect.
        download: the form with which the list is downloaded.
        searches: the saved searches of the administrator.
        csrf_token: of the forms.
        share: the address of this search, to be shared.
    """

    name: str
    path: str
    query: str
    filters: tuple[str, ...]
    download: Download
    searches: list[SavedSearch]
    csrf_token: str
    share: str


async def list_tools(
    request: Request, here: Here, db: Database, name: str, path: str, filters: Mapping[str, str]
) -> ListTools:
    """Return what a list offers besides its rows.

    Args:
        request: the request of the list.
        here: the administrator.
        db: the database.
        name: one of ``LISTS``.
        path: the address of the list.
        filters: the filters in effect, without those that are empty.
    """
    parameters = {key: value for key, value in filters.items() if value}
    async with db.read() as session:
        searches = await saved_searches.searches_of(session, here.visit.user.id, name)
    query = urlencode(parameters)
    issuer = site_of(request).settings.issuer  # not the Host of the request, which a stranger can choose
    return ListTools(
        name,
        path,
        query,
        tuple(parameters),
        download_of(request, here, path, parameters, personal=name not in NOT_PERSONAL),
        searches,
        token_for(request, "searches"),
        f"{issuer}{path}?{query}" if query else "",
    )


def _list_path(here: Here, name: str) -> str | None:
    """Return the address of a list; None: there is no such list, or the administrator may not see it."""
    if name not in LISTS:
        return None
    pages = (*ADMIN_PAGES, INVITATIONS)
    return next((path for key, path, _, permission in pages if key == name and here.may(permission)), None)


def filters_of(query: str) -> str:
    """Return the filters of a query, without the position in the list."""
    pairs = [(key, value) for key, value in parse_qsl(query) if key not in POSITION and value]
    return urlencode(pairs[:20])[:MAX_QUERY_CHARS]


@router.post(ADMIN + "/searches")
async def save_search(request: Request, here: Anybody, sent: SaveSent, db: Db) -> Response:
    """Save the filter of a list under a name."""
    path, query = _list_path(here, sent.form.list), filters_of(sent.form.query)
    if path is None:
        return failure(request, "not_found", 404)
    if not sent.form.name or not query:
        return _refused(request, here, sent, NO_NAME, path, 400)
    try:
        async with db.write() as session:
            await saved_searches.save(session, here.visit.user.id, sent.form.list, sent.form.name, query)
            data = {"list": sent.form.list, "name": sent.form.name}
            record_by(session, here.as_actor, "search.saved", data=data)
    except UserError:
        return _refused(request, here, sent, TOO_MANY, path, 409)
    return RedirectResponse(f"{path}?{query}", 303)


def _refused(request: Request, here: Here, sent: Sent[SaveForm], problem: str, path: str, status: int) -> Response:
    return admin_page(
        request,
        here,
        "people" if sent.form.list == "invitations" else sent.form.list,
        "admin_search.html",
        status,
        problem=problem,
        typed=sent.form,
        path=path,
        csrf_token=token_for(request, "searches"),
    )


@router.post(ADMIN + "/searches/remove")
async def remove_search(request: Request, here: Anybody, sent: RemoveSent, db: Db) -> Response:
    """Delete a search of the administrator."""
    page = None
    if sent.form.id is not None:
        async with db.write() as session:
            page = await saved_searches.remove(session, here.visit.user.id, sent.form.id)
    path = _list_path(here, page or "")
    return RedirectResponse(path, 303) if path is not None else failure(request, "not_found", 404)
