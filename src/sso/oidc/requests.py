"""Requests and answers as Authlib and the routes exchange them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlsplit, urlunsplit

from authlib.oauth2.rfc6749 import InvalidScopeError, OAuth2Payload, OAuth2Request

from sso.clients.validation_errors import KNOWN_SCOPES, nearest_name
from sso.platform.db import Executor, Work
from sso.platform.metrics import Usage

if TYPE_CHECKING:
    from sso.clients.registry import Client
    from sso.identity.sessions.store import ActiveSession
    from sso.oidc.provider import Provider
    from sso.oidc.store.store import LiveGrant
    from sso.oidc.store.types import GrantDetails
    from sso.platform.security.rate_limits import ReservedHere

_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")


class Outdated(Exception):
    """A request fails because of what this process knows of applications and keys. Another process, or a command, may
    have changed that a moment ago: look (:meth:`sso.oidc.provider.Provider.look`), then try the request once more."""


class NeedsTransaction(Exception):
    """A request was to be answered without a transaction, and something about it is not as usual: it is answered within
    one instead. Nothing was stored."""


NO_STORE = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]
"""Headers of every answer with a token or a person's data in it (RFC 6749 section 5.1)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a protocol endpoint answers: a mapping is sent as JSON."""

    status: int
    body: Mapping[str, object] | str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)

    def location(self) -> str:
        """Return where it redirects to."""
        return dict(self.headers).get("Location", "")


def oauth_error(status: int, error: str, text: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """Return an error (RFC 6749 section 5.2).

    Args:
        status: the HTTP status.
        error: the code.
        text: the description; empty: it is left out with the code.
        headers: besides those of every answer of the endpoint.
    """
    body = {"error": error, "error_description": text} if error else {}
    return Answer(status, body, [*headers, *NO_STORE])


class Payload(OAuth2Payload):
    """Parameters of a request, in their order, with repetitions."""

    data: dict[str, str] = {}
    datalist: defaultdict[str, list[str]] = defaultdict(list)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.datalist, self.data = defaultdict(list), {}
        for name, value in pairs:
            if value and name not in self.datalist:
                # RFC 6749 section 3.1: a parameter without a value is treated as if it were left out.
                self.data[name] = value
            self.datalist[name].append(value)

    def repeated(self, known: Collection[str]) -> str | None:
        """Return one of the ``known`` parameters that stands more than once (RFC 6749 section 3.1), or None. Another
        parameter is ignored, however often it stands."""
        for name, values in self.datalist.items():
            if len(values) > 1 and name in known:
                return name
        return None


class ProtocolRequest(OAuth2Request):
    """One request at a protocol endpoint.

    Args:
        provider: the provider.
        method: the HTTP method.
        path: the path of the endpoint.
        parameters: of the form (POST) or of the query (GET).
        headers: with names in small letters.
        query: of the address of a POST, which must hold no credentials.
        session: the transaction, within the bridge.

    ``address`` is the network address of the caller in the form in which it is kept, ``caller`` the whole of it, which
    is never kept. ``recorded`` is what a new grant records for its renewal: see ``enforcement.py``.
    """

    form: dict[str, str] = {}

    def __init__(
        self,
        provider: Provider,
        method: str,
        path: str,
        parameters: list[tuple[str, str]],
        headers: Mapping[str, str] | None = None,
        query: list[tuple[str, str]] | None = None,
        session: Executor | None = None,
    ) -> None:
        super().__init__(method, _uri(provider.settings.issuer, path))
        self.headers = headers or {}
        self.provider = provider
        self.path = path
        self.payload: Payload = Payload(parameters)
        self.query = Payload(query or [])
        self.form = self.payload.data if method == "POST" else {}
        self._session = session
        self.sso_session: ActiveSession | None = None
        self.grant: LiveGrant | None = None
        self.knows_errors = True
        """Whether errors can be sent to the application: OAuth knows them, the CAS protocol does not."""
        self.by_consent = False
        """Whether what is granted is granted because the person allowed it, and ends when they withdraw that."""
        self.asked_claims: GrantDetails = {}
        self.refresh_token_string: str | None = None
        self.address: str | None = None
        self.caller: str | None = None
        self.recorded: GrantDetails = {}
        self.request_id = ""
        self.looked = False
        """Whether this process has looked for changes of applications and keys since the request came."""
        self.unsaved: list[tuple[Callable[[Executor, dict[str, object]], None], dict[str, object]]] = []
        """Rows of issued tokens, each with the function that inserts it: ``ProviderServer.save_token`` stores them."""
        self.unused_code: bytes | None = None
        """The hash of a code that was found and is not consumed yet: an error answers within a transaction instead."""
        self.basic: tuple[str, str] | None = None
        """The client_id and the secret of the Authorization header, once they were read."""
        self.attempt: ReservedHere | None = None
        """The place that this request has taken in the limit of failed client authentication, until it succeeds."""

    @property
    def session(self) -> Executor:
        """The transaction of this request."""
        assert self._session is not None
        return self._session

    @property
    def in_transaction(self) -> bool:
        """Whether the statements of this request are one transaction, so that what is done can be rolled back."""
        return not isinstance(self._session, Work) or self._session.is_transaction

    @property
    def args(self) -> dict[str, str]:
        return self.query.data if self.method == "POST" else self.payload.data


@lru_cache(maxsize=200)
def _uri(issuer: str, path: str) -> str:
    """Return the address of an endpoint as Authlib checks it: https, or http on this machine. The settings allow http
    for loopback issuers alone; Authlib knows fewer names of the loopback interface, so one that it knows stands
    here."""
    parts = urlsplit(issuer)
    return f"https://{parts.netloc}{path}" if parts.scheme == "https" else f"http://localhost{path}"


def no_such_scope(client: Client, scopes: str, text: str) -> InvalidScopeError:
    """Return the error for scopes that an application cannot have, with what was probably meant.

    Args:
        client: the application.
        scopes: the parameter ``scope`` as it came.
        text: what is wrong, in general.
    """
    hints = _meant(client, scopes)
    if "," in scopes:
        hints = ["Scopes are separated by spaces, not by commas (RFC 6749 section 3.3)."]
    return InvalidScopeError(description(" ".join([text, *hints])))


def note_ignored_scopes(usage: Usage, client: Client, scopes: str, at: str) -> None:
    """Remember for the team of an application that it asked for scopes that it does not have. The request goes on
    without them (RFC 6749 section 3.3).

    Args:
        usage: the counters.
        client: the application.
        scopes: the parameter ``scope`` as it came.
        at: the path of the endpoint.
    """
    ignored = [name for name in scopes.split() if name not in client.scopes]
    if ignored:
        message = " ".join([f"Not registered, so left out: {' '.join(ignored[:10])}.", *_meant(client, scopes)])
        if any("," in name for name in ignored):
            message += " Scopes are separated by spaces, not by commas (RFC 6749 section 3.3)."
        usage.mistake(client.client_id, "ignored_scope", {"at": at, "said": description(message), "scope": scopes})


def _meant(client: Client, scopes: str) -> list[str]:
    known = sorted({*client.scopes, *KNOWN_SCOPES})
    pairs = [(name, nearest_name(name, known)) for name in scopes.split()[:10] if name not in known and "," not in name]
    return [f"{name}: {near} is probably meant." for name, near in pairs if near]


def check_granted(client: Client, scopes: Iterable[str], *, alone: bool = False) -> None:
    """Check that an application was granted the privileges that it asks for.

    Args:
        client: the application.
        scopes: scopes.
        alone: whether no person is behind the request.

    Raises:
        InvalidScopeError: when it was not (RFC 6749 sections 4.1.2.1 and 5.2).
    """
    missing = client.not_granted(scopes, alone=alone)
    if missing:
        text = f"{' '.join(missing[:5])}: this application has not been granted this scope."
        raise InvalidScopeError(description(text))


def description(text: str) -> str:
    """Return ``text`` with only the characters that error_description may have (RFC 6749 section 5.2)."""
    plain = text.replace('"', "'").replace("\\", "/")
    return "".join(char if " " <= char <= "~" else "?" for char in plain)[:400]


def with_parameters(uri: str, parameters: list[tuple[str, str]]) -> str:
    """Return ``uri`` with parameters added to its query, which is kept as it is (RFC 6749 section 3.1.2)."""
    parts = urlsplit(uri)
    query = "&".join([part for part in (parts.query, _encoded(parameters)) if part])
    url = urlunsplit(parts._replace(query=query))
    # A private-use address such as app:/path must keep its single slash.
    return url if parts.netloc or not url.startswith(f"{parts.scheme}:///") else url.replace(":///", ":/", 1)


def _encoded(parameters: list[tuple[str, str]]) -> str:
    """Return what ``urlencode`` returns, without its four calls for each text that needs no encoding."""
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in parameters])


def _quoted(text: str) -> str:
    if _UNRESERVED.fullmatch(text):
        return text
    return _quoted_url(text) if text.startswith("http") else quote_plus(text)


_quoted_url = lru_cache(maxsize=64)(quote_plus)
"""Of the issuer, in each answer."""
