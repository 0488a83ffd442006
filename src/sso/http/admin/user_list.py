"""The list of users, for administrators: finding users by identifier or name, and the list as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.http.admin.csv_download import PART, DownloadForm, Downloads, DownloadSent, Row, csv_response
from sso.http.admin.list_tools import list_tools
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.labels import ROLE_NAMES
from sso.http.common.late_routes import new_router
from sso.http.common.services import Box, Db
from sso.http.common.typed_forms import Sent
from sso.http.console.access import ADMIN, Here, Needs, admin_page, token_for
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.service import UserError, find_all
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox

router = new_router()

PEOPLE = ADMIN + "/people"
PAGE = 50
MIN_CHARS = 3
TOO_SHORT = N_("Enter at least three letters.")
NOBODY = N_("No user has this name or identifier.")
STATES = {"active": N_("active"), "disabled": N_("disabled")}
COLUMNS = ("id", "name", "username", "email", "email_verified", "phone", "phone_verified", "roles", "state", "created")

Sees = Annotated[Here, Depends(Needs("users:read"))]
Exports = Annotated[Here, Depends(Downloads("users:read"))]


@dataclass(frozen=True, slots=True)
class UserQuery:
    """Which users: by what was typed, by role, and by state."""

    typed: str = ""
    role: str = ""
    state: str = ""

    @property
    def filters(self) -> dict[str, str]:
        """The filters in effect, as parameters of the address."""
        pairs = {"q": self.typed, "role": self.role, "state": self.state}
        return {name: value for name, value in pairs.items() if value}


@router.get(PEOPLE)
async def list_page(request: Request, here: Sees, db: Db, box: Box) -> Response:
    """Find users by identifier or by the beginning of a part of the name; without a search, the newest."""
    return await _list(request, here, db, box)


@router.post(PEOPLE + "/download")
async def download(request: Request, here: Exports, sent: DownloadSent, db: Db, box: Box) -> Response:
    """Download the users that the search finds."""
    return await _list(request, here, db, box, sent)


async def _list(
    request: Request, here: Here, db: Database, box: SecretBox, sent: Sent[DownloadForm] | None = None
) -> Response:
    query = request.query_params
    role, state = query.get("role", ""), query.get("state", "")
    chosen = UserQuery(
        query.get("q", "").strip()[:254], role if role in ROLE_NAMES else "", state if state in STATES else ""
    )
    if sent is not None:
        rows = _csv_rows(db, box, chosen)
        return await csv_response(request, db, here, "users", COLUMNS, rows, chosen.filters, sent)
    before, problem = read_id(query.get("before", "")), ""
    async with db.read() as session:
        matching = await _matching(session, box, chosen, before, PAGE + 1)
        if chosen.typed and not matching:
            problem = TOO_SHORT if len(chosen.typed) < MIN_CHARS else NOBODY
        ids = [user.id for user in matching[:PAGE]]
        roles, identifiers = await users.roles_of_many(session, ids), await users.identifiers_of_many(session, ids)
    following = {**chosen.filters, "before": str(ids[-1])} if len(matching) > PAGE else {}
    return admin_page(
        request,
        here,
        "people",
        "admin_people.html",
        search=chosen,
        rows=[(user, roles[user.id], identifiers[user.id]) for user in matching[:PAGE]],
        problem=problem,
        following=f"{PEOPLE}?{urlencode(following)}" if following else "",
        may_merge=here.may("users:merge"),
        may_invite=here.may("users:write"),
        may_end=here.may("sessions:end_many"),
        role_names=ROLE_NAMES,
        states=STATES,
        tools=await list_tools(request, here, db, "people", PEOPLE, chosen.filters),
        csrf_token=token_for(request, "people selected"),
    )


async def _matching(
    session: AsyncSession, box: SecretBox, chosen: UserQuery, before: UUID | None, limit: int
) -> list[User]:
    """Return the users that a query finds: who has the identifier, or else whose name begins like this."""
    if chosen.typed and before is None:
        try:
            by_identifier = await find_all(session, chosen.typed, box)
        except UserError:
            by_identifier = []  # no user has verified it; perhaps it is a name
        if by_identifier:
            return await _with_role_and_state(session, by_identifier, chosen)
    if chosen.typed and len(chosen.typed) < MIN_CHARS:
        return []
    return await users.page_of_names(
        session, chosen.typed, before, limit, role=chosen.role or None, status=chosen.state or None
    )


async def _with_role_and_state(session: AsyncSession, people: Sequence[User], chosen: UserQuery) -> list[User]:
    """Return those of some users that have the role and the state of a query."""
    roles = await users.roles_of_many(session, [user.id for user in people]) if chosen.role else {}
    return [
        user
        for user in people
        if (not chosen.role or chosen.role in roles[user.id])
        and (not chosen.state or (user.disabled_at is not None) == (chosen.state == "disabled"))
    ]


async def _csv_rows(db: Database, box: SecretBox, chosen: UserQuery) -> AsyncIterator[Sequence[Row]]:
    before: UUID | None = None
    while True:
        async with db.read() as session:
            page = await _matching(session, box, chosen, before, PART)
            ids = [user.id for user in page]
            roles, identifiers = await users.roles_of_many(session, ids), await users.identifiers_of_many(session, ids)
        rows = []
        for user in page:
            primary = {known.kind: known for known in identifiers[user.id] if known.is_primary}
            email, phone, username = primary.get("email"), primary.get("phone"), primary.get("username")
            rows.append(
                (
                    user.id,
                    user.name,
                    username.value if username else "",
                    email.value if email else "",
                    bool(email and email.verified_at),
                    phone.value if phone else "",
                    bool(phone and phone.verified_at),
                    roles[user.id],
                    "disabled" if user.disabled_at else "active",
                    user.created_at,
                )
            )
        yield rows
        if len(page) < PART:
            return
        before = ids[-1]
