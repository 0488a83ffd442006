"""Authlib's authorization server on our requests, answers and tables; the one place where grants are registered."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from authlib.oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import BaseGrant, InvalidRequestError, OAuth2Error

from sso.clients.registry import Client
from sso.oidc.authorize.authorization_request import AuthorizationRequest
from sso.oidc.device.service import DeviceAuthorizationEndpoint
from sso.oidc.grants.authorization_code import AuthorizationCodeGrant, S256Challenge
from sso.oidc.grants.client_credentials import ClientCredentialsGrant
from sso.oidc.grants.device_code import DeviceCodeGrant
from sso.oidc.grants.implicit import HybridGrant, ImplicitGrant
from sso.oidc.grants.jwt_bearer import JwtBearerGrant, prepare_assertion
from sso.oidc.grants.refresh_token import RefreshTokenGrant
from sso.oidc.parameters import check_supported, repeated
from sso.oidc.provider import Provider
from sso.oidc.requests import NO_STORE, Answer, NeedsTransaction, Outdated, ProtocolRequest, description
from sso.oidc.token.client_auth import authenticate_client, prepare
from sso.oidc.token.introspection import IntrospectionEndpoint
from sso.oidc.token.revocation import RevocationEndpoint
from sso.platform.db import Work

# Authlib logs issued tokens at DEBUG. They never belong in a log, whatever its level.
logging.getLogger("authlib").setLevel(logging.WARNING)

Result = TypeVar("Result")
Extension = Callable[[BaseGrant], object]
"""Adds a check to a grant."""
CheckCasRequest = Callable[["ProviderServer", Client, str, list[tuple[str, str]]], AuthorizationRequest]
"""Reads an authorization request that speaks the CAS protocol."""
_USED_BY_ONE_STATEMENT = frozenset({RefreshTokenGrant.GRANT_TYPE, AuthorizationCodeGrant.GRANT_TYPE})
_OF_REGISTRATION = frozenset({"invalid_client", "unauthorized_client", "invalid_scope", "invalid_target"})
"""Errors that say what an application has not registered: at these nothing was consumed that must stay so."""


class ProviderServer(AuthorizationServer):
    """The authorization server of one process."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider
        self.check_cas_request: CheckCasRequest = _no_cas
        """Checks a request of the CAS protocol, which this package does not know."""
        self._grants: dict[str, tuple[type[BaseGrant], Sequence[Extension] | None]] = {}
        self._front_grants: list[type[BaseGrant]] = []
        self.register_grant(AuthorizationCodeGrant, [S256Challenge(required=True)])
        self.register_grant(HybridGrant, [S256Challenge(required=True)])
        self.register_grant(ImplicitGrant)
        self.register_grant(RefreshTokenGrant)
        self.register_grant(ClientCredentialsGrant)
        self.register_grant(DeviceCodeGrant)
        self.register_grant(JwtBearerGrant)
        self.register_endpoint(DeviceAuthorizationEndpoint)
        self.register_endpoint(IntrospectionEndpoint)
        self.register_endpoint(RevocationEndpoint)

    def register_grant(self, grant_cls: type[BaseGrant], extensions: Sequence[Extension] | None = None) -> None:
        """Register a grant, with Authlib and for the lists that discovery shows."""
        super().register_grant(grant_cls, extensions)
        if hasattr(grant_cls, "check_token_endpoint"):
            self._grants[grant_cls.GRANT_TYPE] = (grant_cls, extensions)
        if hasattr(grant_cls, "check_authorization_endpoint"):
            self._front_grants.append(grant_cls)

    def grant_types(self) -> list[str]:
        """Return the grant types that are registered."""
        front = ["implicit"] if len(self.response_types()) > 1 else []
        return self.token_grant_types() + front

    def token_grant_types(self) -> list[str]:
        """Return the grant types of the token endpoint."""
        return list(self._grants)

    def response_types(self) -> list[str]:
        """Return the response types that are registered."""
        return sorted({kind for grant in self._front_grants for kind in grant.RESPONSE_TYPES})

    async def respond(
        self, request: ProtocolRequest, call: Callable[[ProtocolRequest], Answer], *, reads: bool = False
    ) -> Answer:
        """Run Authlib's synchronous ``call`` in one transaction over the bridge.

        The transaction is committed although the answer is an error: a consumed code or a revoked family stays so.

        Args:
            request: the request.
            call: what answers it.
            reads: it only reads, without a transaction.

        Raises:
            Outdated: when the answer depends on what is registered, which may have changed a moment ago.
            DatabaseUnavailable: when there is no database now.
        """

        def run(work: Work) -> Answer:
            return self._answer(request, call, work)

        db = self.provider.db
        return await (db.run_read(run) if reads else db.run_write(run))

    def _answer(self, request: ProtocolRequest, call: Callable[[ProtocolRequest], Answer], work: Work | None) -> Answer:
        """Run ``call``; errors as at :meth:`respond`. ``work``: its transaction, where it runs statements."""
        request._session = work
        answer = call(request)
        error = answer.body.get("error") if isinstance(answer.body, dict) else None
        if error in _OF_REGISTRATION and not request.looked:
            raise Outdated
        if error is not None and request.unused_code is not None:
            raise NeedsTransaction  # which consumes the code, and keeps it consumed
        return answer

    async def token(self, request: ProtocolRequest) -> Answer:
        """Answer a token request (RFC 6749 section 3.2)."""
        return await self._checked(request, self.create_token_response)

    async def introspect(self, request: ProtocolRequest) -> Answer:
        """Answer an introspection request (RFC 7662). Only the use of a client assertion is recorded."""

        def call(again: ProtocolRequest) -> Answer:
            answer: Answer = self.create_endpoint_response("introspection", again)
            return answer

        return await self._checked(request, call, reads="client_assertion" not in request.form)

    async def authorize_device(self, request: ProtocolRequest) -> Answer:
        """Answer a device authorization request (RFC 8628 section 3.1)."""
        return await self._checked(
            request, lambda oauth_request: self.create_endpoint_response("device_authorization", oauth_request)
        )

    async def authenticated_client(self, request: ProtocolRequest) -> Client:
        """Return the application that sent a request to an endpoint that is not Authlib's.

        Raises:
            OAuth2Error: when it does not prove who it is.
        """

        async def once() -> Client:
            await prepare(request)

            def run(work: Work) -> Client:
                request._session = work
                try:
                    return self.authenticate_client(request, None)
                except OAuth2Error as error:
                    if not request.looked and error.error in _OF_REGISTRATION:
                        raise Outdated from None
                    raise

            return await self.provider.db.run_write(run)

        return await self._with_news(request, once)

    async def revoke(self, request: ProtocolRequest) -> Answer:
        """Answer a revocation request (RFC 7009)."""
        return await self._checked(
            request, lambda oauth_request: self.create_endpoint_response("revocation", oauth_request)
        )

    async def _checked(
        self, request: ProtocolRequest, call: Callable[[ProtocolRequest], Answer], *, reads: bool = False
    ) -> Answer:
        name = repeated(request)
        if name:
            error = InvalidRequestError(description(f"{name} must not be repeated."))
            return self.handle_response(*error())
        if call == self.create_token_response and "grant_type" not in request.form:
            return self.handle_response(*InvalidRequestError("grant_type is required.")())

        async def once() -> Answer:
            client = await prepare(request)
            if client is not None and request.form.get("grant_type") == JwtBearerGrant.GRANT_TYPE:
                await prepare_assertion(request, client)
            if client is not None and _is_answered_from_memory(request, client):
                return self._answer(request, call, None)
            if client is not None and self._needs_no_transaction(request, client):
                try:
                    return await self.provider.db.run_apart(lambda work: self._answer(request, call, work))
                except NeedsTransaction:
                    request.unsaved.clear()
                    request.unused_code = None
            return await self.respond(request, call, reads=reads)

        return await self._with_news(request, once)

    def _needs_no_transaction(self, request: ProtocolRequest, client: Client) -> bool:
        """Tell whether a request can be answered without a transaction: a refresh or the exchange of a code, where one
        statement can use a token or code and store another token. Such an answer stores nothing else."""
        form = request.form
        once = form.get("grant_type") in _USED_BY_ONE_STATEMENT and "client_assertion" not in form
        return once and client.meta.access_token_format == "jwt" and not self.provider.db.is_sqlite

    async def _with_news(self, request: ProtocolRequest, once: Callable[[], Awaitable[Result]]) -> Result:
        """Return what ``once`` returns. Where it fails because of what this process knows of applications and keys, its
        transaction is rolled back, the process looks for changes, and it is done once more."""
        try:
            return await once()
        except Outdated:
            await self.provider.look()
            request.looked = True
        return await once()

    def query_client(self, client_id: str) -> Client | None:
        return self.provider.registry.enabled(client_id)

    def authenticate_client(self, request: ProtocolRequest, methods: object, endpoint: str = "token") -> Client:
        client = authenticate_client(request)
        check_supported(request, client)
        return client

    def get_token_grant(self, request: ProtocolRequest) -> BaseGrant:
        """Return the grant of a token request by one look-up; Authlib asks each."""
        grant, extensions = self._grants.get(request.form.get("grant_type", ""), (None, None))
        if grant is None:
            return super().get_token_grant(request)
        instance = grant(request, self)
        for extend in extensions or ():
            extend(instance)
        return instance

    def create_oauth2_request(self, request: ProtocolRequest) -> ProtocolRequest:
        return request

    def handle_response(
        self,
        status: int,
        body: Mapping[str, object] | list[tuple[str, object]] | str,
        headers: Iterable[tuple[str, str]],
    ) -> Answer:
        if isinstance(body, list):
            body = dict(body)
        other_headers = [(name, value) for name, value in headers if name.lower() not in ("cache-control", "pragma")]
        return Answer(status, body, [*other_headers, *NO_STORE])

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Send nothing: nobody subscribes. Audit events and counters are part of the transaction (decision 0048)."""

    def save_token(self, token: dict[str, object], request: ProtocolRequest) -> None:
        """Store the tokens that were issued for ``request``, in its transaction. Authlib calls this before it
        answers."""
        for insert, row in request.unsaved:
            insert(request.session, row)
        request.unsaved.clear()

    def handle_error_response(self, request: object, error: OAuth2Error) -> Answer:
        status, body, headers = error(None)
        return self.handle_response(status, {**dict(body), **self._in_words(error)}, headers)

    def _in_words(self, error: OAuth2Error) -> dict[str, str]:
        """Return a description for the errors to which Authlib gives none."""
        if error.description:
            return {}
        words = {
            "unsupported_grant_type": f"grant_type must be one of {', '.join(self.token_grant_types())}.",
            "invalid_grant": "The code or token is not valid, not valid any more, or not this client's.",
            "unauthorized_client": "The client has not registered this grant type.",
        }
        return {"error_description": words.get(error.error, "The request is not right.")}


def _no_cas(*_: object) -> AuthorizationRequest:
    raise NotImplementedError("the CAS protocol is connected by app.py")


def _is_answered_from_memory(request: ProtocolRequest, client: Client) -> bool:
    """Tell whether a token request runs no statement, so that it needs neither a transaction nor the bridge: client
    credentials for a token that is not stored. Only the use of a client assertion is recorded."""
    form = request.form
    of_program = form.get("grant_type") == ClientCredentialsGrant.GRANT_TYPE
    return of_program and "client_assertion" not in form and client.meta.access_token_format == "jwt"
