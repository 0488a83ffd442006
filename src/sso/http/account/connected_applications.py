"""The applications that know a user: what each may have, when it was used last, and withdrawing consent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import RedirectResponse, Response

from sso.accounts.data_export import withdraw
from sso.clients.claims import allowed_by
from sso.clients.registry import Client, Registry
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.typed_forms import FormModel, Sent, SentForm, first
from sso.http.sign_in.requested_data import RequestedItem, requested_items
from sso.identity.sessions import store as sessions
from sso.identity.users import store as users
from sso.oidc.store import store as tokens

router = new_router()

APPLICATIONS = "/account/applications"
MAX_CLIENT_ID_CHARS = 100
WITHDRAWN = N_("The permission is withdrawn. We are notifying the application.")
Here = Annotated[OwnVisit, Depends(OwnPage("applications"))]


class WithdrawalForm(FormModel):
    """The application whose consent is withdrawn."""

    client: Annotated[str, first(MAX_CLIENT_ID_CHARS)] = ""


Withdrawal = Annotated[Sent[WithdrawalForm], Depends(SentForm(WithdrawalForm))]


class ConnectedApplication(TypedDict):
    """An application as the page lists it. ``local``: the ids of the user in the application."""

    client: Client
    requested: list[RequestedItem]
    since: datetime | None
    used: datetime | None
    local: str
    may_withdraw: bool


@router.get(APPLICATIONS)
async def applications_page(here: Here) -> Response:
    """The applications that know the user."""
    async with here.services.db.read() as session:
        rows = await _connected(session, here.services.changes.registry, here)
    withdrawn = WITHDRAWN if here.request.query_params.get("done") else ""
    return here.page("account_applications.html", rows=rows, done=withdrawn)


async def _connected(session: AsyncSession, registry: Registry, here: OwnVisit) -> list[ConnectedApplication]:
    user_id = here.user.id
    consents = {consent.client_id: consent for consent in await tokens.consents_of(session, user_id)}
    granted = await tokens.granted_scopes(session, user_id)
    used = await sessions.last_used_clients(session, user_id)
    local: dict[str, list[str]] = {}
    for account in await users.local_accounts_of(session, user_id):
        local.setdefault(account.client_id, []).append(account.local_user_id)
    rows: list[ConnectedApplication] = []
    for client_id in sorted({*consents, *granted, *used, *local}):
        client, consent = registry.known(client_id), consents.get(client_id)
        if client is None:
            continue
        permitted = _permitted(set(consent.scopes) if consent is not None else set(), granted.get(client_id, set()))
        scopes = {scope.partition(" ")[0] for scope in permitted} & client.scopes
        permissions = client.permissions(scopes) & allowed_by(permitted)
        rows.append(
            {
                "client": client,
                "requested": requested_items(client, permissions),
                "since": consent.created_at if consent is not None else None,
                "used": used.get(client_id),
                "local": ", ".join(local.get(client_id, [])),
                "may_withdraw": consent is not None or client_id in granted,
            }
        )
    return sorted(rows, key=lambda row: str(row["used"] or ""), reverse=True)


def _permitted(consented: set[str], granted: set[str]) -> set[str]:
    """Return what an application may have: of a scope with a consent, only what the consent names."""
    return consented | (granted - {scope.partition(" ")[0] for scope in consented})


@router.post(APPLICATIONS)
async def withdraw_consent(here: Here, sent: Withdrawal) -> Response:
    """Withdraw the consent to an application: its tokens end, and it is notified."""
    if not here.sent_by_us(sent.typed):
        return RedirectResponse(APPLICATIONS, 303)
    async with here.services.db.write() as session:
        await withdraw(session, here.services.changes, here.user.id, sent.form.client, actor=here.actor)
    here.services.worker.nudge()
    return RedirectResponse(f"{APPLICATIONS}?done=1", 303)
