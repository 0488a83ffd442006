"""The page of the secrets and keys of an application, in its sandbox and in production."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.clients import store as clients
from sso.clients.models import SANDBOX, ClientSecret
from sso.clients.registry import Registry
from sso.clients.secrets import MAX_SECRETS, ClientError, add_secret, revoke_secret, valid_secrets
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.services import Box, Clients, CurrentSettings, Db, OutboundHttp
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, one_of
from sso.http.console.access import Here, OwnForm, There
from sso.http.developer.application_page import APPS, CANNOT, Owner, Reader, application_page
from sso.http.developer.sample import NewSecret, secret_page
from sso.identity.users.store import names_of
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.portal.applications import catalogue_of
from sso.portal.diagnosis import ENDS_SOON_DAYS, OLD_SECRET_DAYS
from sso.portal.published_keys import PublishedKeys, fetch_published_keys

router = new_router()

VALIDITIES = {"90": N_("90 days"), "180": N_("6 months"), "365": N_("1 year"), "0": N_("No expiry")}
DEFAULT_VALIDITY = "365"


class SecretForm(FormModel):
    """A change of secrets: ``make``, ``revoke`` or ``look``, and the client. ``valid``: for how many days."""

    choice: ChoiceField = Choice()
    valid: Annotated[str, one_of(VALIDITIES, DEFAULT_VALIDITY)] = DEFAULT_VALIDITY

    @property
    def days(self) -> int:
        """For how many days a secret is valid; 0: until it is revoked."""
        return int(self.valid)


SecretChange = Annotated[Sent[SecretForm], Depends(OwnForm(SecretForm, "secrets {application_id}"))]


@router.get(APPS + "/{application_id}/secrets")
async def secrets_page(request: Request, there: Reader, db: Db, known: Clients) -> Response:
    """Show the secrets of an application: when each was used, until when it is valid."""
    return await _secrets_page(request, there, db, known.registry)


async def _secrets_page(
    request: Request,
    there: There,
    db: Database,
    registry: Registry,
    problem: str = "",
    status: int = 200,
    *,
    keys: PublishedKeys | None = None,
    **values: str,
) -> Response:
    async with db.read() as session:
        places = [await _place(session, registry, client_id) for client_id in (there.sandbox_id, there.application_id)]
    return await application_page(
        request,
        there,
        "secrets",
        "developer_secrets.html",
        status,
        purpose="secrets",
        places=[place for place in places if place is not None],
        validities=VALIDITIES,
        keys=keys,
        problem=problem,
        values=values,
    )


async def _place(session: AsyncSession, registry: Registry, client_id: str) -> dict[str, object] | None:
    """Return a client with its secrets; None: it is not registered, or suspended."""
    row, client = await clients.get_client(session, client_id), registry.get(client_id)
    if row is None or client is None or row.status not in ("active", SANDBOX):
        return None
    valid = await valid_secrets(session, client_id)
    names = await names_of(session, [secret.created_by or "" for secret in valid])
    return {
        "client_id": client_id,
        "sandbox": row.status == SANDBOX,
        "client": client,
        "secrets": [_secret_view(secret, names) for secret in valid],
        "full": len(valid) >= MAX_SECRETS,
        "kept_by": catalogue_of(row),
    }


def _secret_view(secret: ClientSecret, names: dict[str, str]) -> dict[str, object]:
    now = clock.now()
    return {
        "id": secret.id,
        "hint": secret.hint or "",
        "by": names.get(secret.created_by or "", secret.created_by or ""),
        "created_at": secret.created_at,
        "last_used_at": secret.last_used_at,
        "expires_at": secret.expires_at,
        "soon": secret.expires_at is not None and secret.expires_at - now < timedelta(days=ENDS_SOON_DAYS),
        "old": (now - secret.created_at).days > OLD_SECRET_DAYS,
    }


@router.post(APPS + "/{application_id}/secrets")
async def change_secrets(
    request: Request,
    there: Owner,
    sent: SecretChange,
    db: Db,
    settings: CurrentSettings,
    box: Box,
    known: Clients,
    outbound: OutboundHttp,
) -> Response:
    """Create a secret, revoke one, or look at the keys that the application publishes."""
    act, target = sent.form.choice
    client_id, _, secret_id = target.partition(" ")
    if client_id not in (there.application_id, there.sandbox_id):
        return await _secrets_page(request, there, db, known.registry)
    if act == "look":
        keys = await fetch_published_keys(known.registry, outbound, client_id)
        return await _secrets_page(request, there, db, known.registry, keys=keys)
    secret = None
    try:
        if act == "make":
            secret = await _create_secret(db, box, there.here, client_id, sent.form.days)
        elif act == "revoke" and (revoked := read_id(secret_id)) is not None:
            async with db.write() as session:
                await revoke_secret(session, client_id, revoked, actor=there.here.as_actor)
    except ClientError as error:
        return await _secrets_page(request, there, db, known.registry, CANNOT, 409, detail=str(error))
    await known.refresh()
    if secret is not None:
        new_secret = NewSecret(there.application_id, client_id, secret)
        return await secret_page(request, there.here, settings, known.registry, new_secret)
    return RedirectResponse(f"{APPS}/{there.application_id}/secrets", 303)


async def _create_secret(db: Database, box: SecretBox, here: Here, client_id: str, days: int) -> str:
    async with db.write() as session:
        return await add_secret(
            session, box, client_id, valid_days=days or None, authority=here.authority, actor=here.as_actor
        )
