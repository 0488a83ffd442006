"""After a sign-in: the attributes that the city requires and of which the user has none. The page leads on to where the
user wants to go. The user can also answer later, because the account was made before the city asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from sso.accounts.attributes import OWN, ValuesInvalid, change_values, lacking, why_not_registered
from sso.accounts.own_account import OwnSession, lock_own_account
from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.pending_request import account_at
from sso.clients.registry import Client
from sso.http.common.attribute_fields import required_errors, required_fields, sent_attributes
from sso.http.common.destination import find_destination, read_destination, sign_in_address
from sso.http.common.field_errors import FieldError, field_error
from sso.http.common.late_routes import new_router
from sso.http.common.services import Accounts
from sso.http.sign_in.finish import MORE_DATA
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.texts import STALE

router = new_router()
PURPOSE = "more data"


@dataclass(frozen=True, slots=True)
class _Guest:
    """A user who is asked.

    Args:
        page: the request.
        current: the account.
        names: the attributes that are missing.
        destination: where the user wants to go, as far as it is still valid.
        client: the application; None: it is not known.
        form_target: the redirect URI to which the form leads in the end; empty: a page of ours.
    """

    page: PageRequest
    current: CurrentAccount
    names: Sequence[str]
    destination: Destination
    client: Client | None
    form_target: str

    @property
    def onward(self) -> str:
        """The URL that leads to where the user wants to go."""
        return sign_in_address(self.destination, self.client)


@router.get(MORE_DATA)
async def more_data_page(page: CurrentPage) -> Response:
    """Ask for what is missing."""
    missing = await _read_guest(page, page.query)
    return missing if isinstance(missing, Response) else _page(missing)


@router.post(MORE_DATA)
async def save_more_data(page: CurrentPage, accounts: Accounts) -> Response:
    """Store what was missing, all or nothing, and go on."""
    missing = await _read_guest(page, page.fields)
    if isinstance(missing, Response):
        return missing
    if not page.has_valid_csrf_token(PURPOSE, missing.current.token):
        return _page(missing, field_error("", STALE), 400)
    city, locale = page.services.provider.registry.city, page.visitor.locale
    sent = sent_attributes(page.fields, city, OWN)
    values = {name: sent.get(name) for name in missing.names}
    if wrong := why_not_registered(city, values, missing.names):
        return _page(missing, required_errors(wrong, city, locale), 400)
    own = _own_session(missing)
    try:
        async with accounts.db.write() as session:
            user = await lock_own_account(session, own)
            actor = page.visitor.as_actor(user.id)
            await change_values(session, accounts.box, user.id, values, who=OWN, actor=actor)
    except ValuesInvalid as error:  # the declaration was changed this very moment
        return _page(missing, required_errors(error.wrong, city, locale), 400)
    return _to(missing.onward)


def _own_session(missing: _Guest) -> OwnSession:
    signed_in = missing.current.signed_in
    return OwnSession(signed_in.user.id, signed_in.session.id, missing.page.services.settings.session_idle_timeout)


async def _read_guest(page: PageRequest, fields: Mapping[str, str]) -> _Guest | Response:
    """Return who is asked; or the way on where nobody is signed in, or nothing is missing."""
    current = await account_at(page.services, page.visitor)
    destination, authorization, client = await find_destination(page.request, read_destination(fields))
    names: list[str] = []
    if current is not None:
        async with page.services.provider.db.read() as session:
            names = await lacking(session, page.services.provider.registry.city, current.signed_in.user.id)
    if current is None or not names:
        return _to(sign_in_address(destination, client))
    target = authorization.redirect_uri if authorization is not None else ""
    return _Guest(page, current, names, destination, client, target)


def _to(address: str) -> Response:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _page(missing: _Guest, errors: Sequence[FieldError] = (), status: int = 200) -> Response:
    page = missing.page
    city = page.services.provider.registry.city
    return page.page(
        "more_data.html",
        status=status,
        here=missing.destination.address(MORE_DATA),
        header=page.header(missing.current.signed_in.user.name),
        client=missing.client,
        onward=missing.onward,
        form_target=missing.form_target,
        fields_onward=missing.destination.fields,
        attributes=required_fields(city, missing.names, page.visitor.locale, page.fields),
        errors=errors,
        csrf_token=page.csrf_token(PURPOSE, missing.current.token),
    )
