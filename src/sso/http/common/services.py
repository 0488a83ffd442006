"""The services of the process, as dependencies of routes: each route names those that it uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request

from sso.accounts.services import AccountActions, AccountServices
from sso.accounts.sign_in.services import SignInServices
from sso.clients.services import LiveClients
from sso.http.common.images import Logos
from sso.http.common.state import RateLimits, site_of
from sso.identity.authn.passwords import Passwords
from sso.oidc.services import CallerServices, ChangeServices, HasIdle, RegistrationServices, SigningServices
from sso.platform.db import Database
from sso.platform.outbox import Worker
from sso.platform.security.encryption import SecretBox
from sso.platform.services import HasBox, HasDatabase, HasKeys, HasSettings
from sso.portal.services import CheckServices, PlaygroundServices
from sso.settings import Settings
from sso.ssf.events import EventServices
from sso.ssf.streams import NewStreamServices, StreamSubjectServices

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound
else:
    Outbound = Any  # FastAPI reads annotations; the HTTP client is imported where a request is sent


@dataclass(frozen=True, slots=True)
class RegistrationChange:
    """What a change of a registered application needs besides the database.

    Args:
        changes: how users and applications are told.
        clients: the registered applications of this process.
        worker: sends what is in the outbox.
    """

    changes: AccountActions
    clients: LiveClients
    worker: Worker

    async def follow(self) -> None:
        """After the change: know of it in this process, and send what is in the outbox."""
        await self.clients.refresh()
        self.worker.nudge()


class SignOutServices(EventServices, HasDatabase, HasSettings, HasBox, HasKeys, HasIdle, ChangeServices, Protocol):
    """What signing out needs: the request, the accounts of the browser, and the end of their sessions."""

    def browser_state(self, session_id: UUID) -> str:
        """Return what the browser's cookie says of a session (Session Management section 3.2)."""


class StreamServices(CallerServices, SigningServices, StreamSubjectServices, NewStreamServices, Protocol):
    """What the endpoints of Shared Signals need."""

    def url(self, path: str) -> str:
        """Return the URL of a path of this provider."""


class RegistrationEndpointServices(RegistrationServices, EventServices, Protocol):
    """What the registration endpoint needs: the registration, and the end of what a deleted application has."""


async def _database(request: Request) -> Database:
    return site_of(request).provider.db


async def _settings(request: Request) -> Settings:
    return site_of(request).settings


async def _box(request: Request) -> SecretBox:
    return site_of(request).provider.box


async def _clients(request: Request) -> LiveClients:
    return site_of(request).provider


async def _outbound(request: Request) -> Outbound:
    return site_of(request).provider.outbound


async def _outbox(request: Request) -> Worker:
    return site_of(request).worker


async def _limits(request: Request) -> RateLimits:
    return site_of(request).limits


async def _passwords(request: Request) -> Passwords:
    return site_of(request).passwords


async def _logos(request: Request) -> Logos:
    return site_of(request).logos


async def _accounts(request: Request) -> AccountServices:
    return site_of(request).accounts


def sign_in_services(request: Request) -> SignInServices:
    """Return what signing in needs, for a route that is called with the request alone."""
    return site_of(request)


async def _sign_in(request: Request) -> SignInServices:
    return sign_in_services(request)


async def _sign_out(request: Request) -> SignOutServices:
    return site_of(request).provider


async def _account_actions(request: Request) -> AccountActions:
    return site_of(request).provider


async def _registration(request: Request) -> RegistrationChange:
    site = site_of(request)
    return RegistrationChange(site.provider, site.provider, site.worker)


async def _streams(request: Request) -> StreamServices:
    return site_of(request).provider


async def _registration_endpoint(request: Request) -> RegistrationEndpointServices:
    return site_of(request).provider


async def _process_id(request: Request) -> UUID:
    return site_of(request).provider.process_id


async def _playground(request: Request) -> PlaygroundServices:
    return site_of(request).provider


async def _check_services(request: Request) -> CheckServices:
    return site_of(request).provider


Db = Annotated[Database, Depends(_database)]
"""The database."""
CurrentSettings = Annotated[Settings, Depends(_settings)]
"""Every setting."""
Box = Annotated[SecretBox, Depends(_box)]
"""Encrypts what is stored."""
Clients = Annotated[LiveClients, Depends(_clients)]
"""The registered applications."""
OutboundHttp = Annotated[Outbound, Depends(_outbound)]
"""Sends requests to applications."""
Outbox = Annotated[Worker, Depends(_outbox)]
"""Sends what is in the outbox; ``nudge`` after a change that put something into it."""
Limits = Annotated[RateLimits, Depends(_limits)]
"""Every rate limit."""
PasswordService = Annotated[Passwords, Depends(_passwords)]
"""Hashes and judges passwords."""
LogoService = Annotated[Logos, Depends(_logos)]
"""The logos of applications."""
Accounts = Annotated[AccountServices, Depends(_accounts)]
"""What use cases about the own account need."""
SignIn = Annotated[SignInServices, Depends(_sign_in)]
"""What use cases of the sign-in need."""
SignOut = Annotated[SignOutServices, Depends(_sign_out)]
"""What signing out needs."""
AccountActor = Annotated[AccountActions, Depends(_account_actions)]
"""What changes of accounts by administrators need."""
Registration = Annotated[RegistrationChange, Depends(_registration)]
"""What changes of registered applications need."""
ProcessId = Annotated[UUID, Depends(_process_id)]
"""The id of this process among those that share the database."""
Playground = Annotated[PlaygroundServices, Depends(_playground)]
"""What the playground needs."""
Checks = Annotated[CheckServices, Depends(_check_services)]
"""What the relying-party check needs."""
Streams = Annotated[StreamServices, Depends(_streams)]
"""What the endpoints of Shared Signals need."""
RegistrationEndpoint = Annotated[RegistrationEndpointServices, Depends(_registration_endpoint)]
"""What the registration endpoint needs."""
