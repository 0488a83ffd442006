"""An authorization request that passed every check, and the errors of one that did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sso.clients.registry import Client
from sso.errors import Refusal
from sso.identity.authn.assurance import IDENTITY_LEVELS
from sso.oidc.authorize.claims_parameter import NOTHING, ClaimsRequest
from sso.oidc.authorize.request_object import Source
from sso.oidc.authorize.response import AuthorizationResponse
from sso.oidc.enforcement import must_read
from sso.oidc.requests import ProtocolRequest

DISPLAYS = ("page", "popup", "touch")


class PageError(Refusal):
    """The request cannot be answered to an application, because its redirect URI is not verified: a page says why.

    ``code`` names a message; ``detail`` is what developers need: shown, never executed. ``client_id`` is the
    application, where it is a registered one and the mistake is counted as its own; ``named`` is the application that
    the page may lead back to.
    """

    status = 400

    def __init__(self, code: str, detail: str = "", client_id: str = "", *, named: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.client_id = client_id
        self.named = named


class RedirectError(Refusal):
    """The request failed after its redirect URI was verified."""

    status = 400

    def __init__(self, request: ProtocolRequest, error: str, text: str) -> None:
        super().__init__(f"{error}: {text}")
        self.request = request
        self.error = error
        self.text = text


class AnswersRequest(Protocol):
    """A grant, as far as answering an authorization request needs it."""

    def create_authorization_response(
        self, redirect_uri: str, grant_user: object
    ) -> tuple[int, AuthorizationResponse, list[tuple[str, str]]]:
        """Return the answer as the body."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that passed every check. ``grant`` is Authlib's, ready to answer."""

    protocol: ProtocolRequest
    client: Client
    redirect_uri: str
    scopes: frozenset[str]
    prompt: frozenset[str]
    max_age: int | None
    hint_sub: str | None
    grant: AnswersRequest
    claims: ClaimsRequest = NOTHING
    source: Source = "plain"
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def permissions(self) -> frozenset[str]:
        """What a person is asked to allow: the scopes, and those that hold the claims asked for by name; of a scope of
        which the application has only some claims, these."""
        return self.client.permissions(self.scopes | self.claims.scopes, self.claims.names)

    @property
    def named_sub(self) -> str | None:
        """The ``sub`` of the person that the application asks for (sections 3.1.2.1 and 5.5.1)."""
        return self.hint_sub or self.claims.sub

    @property
    def display(self) -> str:
        """How the pages are shown: ``page``, ``popup`` or ``touch`` (OpenID Connect Core section 3.1.2.1)."""
        display = self.parameters.get("display", "page")
        return display if display in DISPLAYS else "page"

    @property
    def wished_acr(self) -> tuple[str, ...]:
        """The levels that would be liked, the best first (``acr_values``, the claims parameter, or as registered)."""
        levels = self.parameters.get("acr_values", "").split() or self.claims.acr_values
        return tuple(levels or self.client.meta.default_acr_values)

    @property
    def minimum(self) -> frozenset[str]:
        """The levels that the application has registered as its least."""
        meta = self.client.meta
        return frozenset([level for level in (meta.minimum_acr, meta.minimum_identity) if level])

    @property
    def wants_identity(self) -> bool:
        """Whether anything depends on how surely it is known who the person is."""
        return not (self.minimum | (self.claims.acr or frozenset()) | set(self.wished_acr)).isdisjoint(IDENTITY_LEVELS)

    @property
    def wants_more(self) -> bool:
        """Whether more must be known of the person than their session says."""
        return self.wants_identity or must_read(self.client)

    @property
    def ui_locales(self) -> str:
        """The languages asked for (OpenID Connect Core section 3.1.2.1)."""
        return self.parameters.get("ui_locales", "")

    @property
    def login_hint(self) -> str:
        """What to fill in on the sign-in page."""
        return self.parameters.get("login_hint", "")[:254]
