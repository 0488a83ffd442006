"""The way to a cookie of the gate: an authorization request, and the exchange of its code within the process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlencode
from uuid import UUID

import orjson

from sso import clock
from sso.clients.metadata.gate import callback_of
from sso.clients.registry import Client
from sso.errors import Refusal
from sso.gate import store
from sso.gate.decision import way_back
from sso.gate.services import GateServices
from sso.identity.sessions.store import open_client_session
from sso.oidc.demands import Way
from sso.oidc.enforcement import unmet_by_grant
from sso.oidc.services import IdTokenServices
from sso.oidc.store import store as grants
from sso.oidc.store.store import LiveGrant
from sso.oidc.token.issue import id_token
from sso.platform.db import Executor, Work
from sso.platform.security.encrypted_tokens import decrypt_token, encrypt_token
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import base64url, equal, keyed_token, random_token, token_hash

PURPOSE = "gate-sign-in"
SIGN_IN_SECONDS = 3600
"""How long a person may take to sign in."""


class GateSignInRefused(Refusal):
    """A sign-in at the gate cannot go on: it is too old, of another browser, or was answered with an error."""

    status = 400
    code = "gate_sign_in"


class SignOutServices(GateServices, IdTokenServices, Protocol):
    """What the sign-out at the gate needs."""


@dataclass(frozen=True, slots=True)
class Start:
    """A sign-in that begins. ``browser`` is the value of the cookie that it is bound to."""

    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class Done:
    """A sign-in that has succeeded. ``token`` is the cookie; ``sent``: a form was sent before, and is lost."""

    token: str
    way_back: str
    sent: bool


def begin(
    services: GateServices, client: Client, host: str, *, to: str, sent: bool, browser: str, language: str = ""
) -> Start:
    """Begin a sign-in. Nothing is stored: ``state`` carries what the callback needs.

    Args:
        services: what this needs of the process.
        client: the application.
        host: one of its hosts.
        to: path and query to go to afterwards.
        sent: a form was sent, and is lost.
        browser: the value of the cookie that binds sign-ins to the browser; empty: there is none yet.
        language: the language in which the person reads the application, if that is known.
    """
    browser = browser or random_token()
    once = random_token()
    carried = {
        "client": client.client_id,
        "host": host,
        "to": way_back(to),
        "sent": sent,
        "once": once,
        "until": clock.timestamp() + SIGN_IN_SECONDS,
    }
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": callback_of(host),
        "scope": client.meta.scope,
        "state": encrypt_token(services.box, PURPOSE, _context(browser), orjson.dumps(carried)),
        "code_challenge": _challenge(_verifier(services.box, browser, once)),
        "code_challenge_method": "S256",
        **({"ui_locales": language} if language else {}),
    }
    return Start(f"{services.settings.issuer}/authorize?{urlencode(parameters)}", browser)


async def finish(
    services: GateServices, client: Client, host: str, parameters: dict[str, str], *, browser: str, address: str
) -> Done:
    """Finish a sign-in with the answer of the authorization endpoint.

    Args:
        services: what this needs of the process.
        client: the application.
        host: one of its hosts.
        parameters: of the answer.
        browser: the value of the cookie that the sign-in is bound to.
        address: the network address of the browser.

    Raises:
        GateSignInRefused: when the sign-in cannot go on.
        DatabaseUnavailable: when there is no database now.
    """
    carried = _carried(services, client, host, parameters.get("state", ""), browser)
    if parameters.get("iss") != services.settings.issuer:  # RFC 9207
        raise GateSignInRefused("iss")
    if "error" in parameters or "code" not in parameters:
        raise GateSignInRefused(parameters.get("error", "code"))
    code, token = parameters["code"], random_token()

    def exchange(work: Work) -> bool:
        return _exchange(services, work, client, host, code, str(carried["once"]), browser, address, token)

    if not await services.db.run_write(exchange):
        raise GateSignInRefused("code")
    return Done(token, way_back(str(carried["to"])), bool(carried["sent"]))


def _carried(services: GateServices, client: Client, host: str, state: str, browser: str) -> dict[str, object]:
    opened = decrypt_token(services.box, PURPOSE, _context(browser), state) if browser and state else None
    if opened is None:
        raise GateSignInRefused("state")
    carried: dict[str, object] = orjson.loads(opened)
    until = carried["until"]
    if carried["client"] != client.client_id or carried["host"] != host:
        raise GateSignInRefused("state")
    if not isinstance(until, int) or until < clock.timestamp():
        raise GateSignInRefused("state")
    return carried


def _exchange(
    services: GateServices,
    work: Work,
    client: Client,
    host: str,
    code: str,
    once: str,
    browser: str,
    address: str,
    token: str,
) -> bool:
    """Exchange a code for a gate session, within one transaction, as the token endpoint does for tokens; tell whether
    it could be. What is consumed stays consumed."""
    now, hashed = clock.now(), token_hash(code)
    gate = client.meta.gate
    assert gate is not None
    until = now + timedelta(seconds=gate.session_seconds)
    grant = grants.use_code(work, hashed, client.client_id, now, until, access=client.receives_access)
    if grant is None:
        # RFC 6749 section 4.1.2: a code that is seen again ends what it gave.
        used = grants.find_used_code(work, hashed, client.client_id)
        if used is not None:
            grants.revoke_grant(work, used, now)
        return False
    if not _is_for(services.box, grant, host, browser, once) or grant.session_id is None:
        grants.revoke_grant(work, grant.id, now)
        return False
    if unmet_by_grant(services.settings, work, Way.CODE, client, grant, address) is not None:
        grants.revoke_grant(work, grant.id, now)
        return False
    return _store(services, work, client, host, grant, grant.session_id, token)


def _is_for(box: SecretBox, grant: LiveGrant, host: str, browser: str, once: str) -> bool:
    """Tell whether a grant was made for this host and this sign-in (RFC 6749 section 4.1.3, RFC 7636 section 4.6)."""
    if grant.redirect_uri != callback_of(host) or grant.code_challenge is None:
        return False
    return any(
        equal(grant.code_challenge, _challenge(keyed_token(key, browser, once))) for key in box.derived_keys(PURPOSE)
    )


def _store(
    services: GateServices,
    session: Executor,
    client: Client,
    host: str,
    grant: LiveGrant,
    session_id: UUID,
    token: str,
) -> bool:
    now = clock.now()
    if open_client_session(session, session_id, client.client_id, now, now - services.idle) is None:
        return False
    gate = client.meta.gate
    assert gate is not None
    store.insert(
        session,
        {
            "token_hash": token_hash(token),
            "client_id": client.client_id,
            "session_id": session_id,
            "grant_id": grant.id,
            "host": host,
            "created_at": now,
            "last_used_at": now,
            "expires_at": now + timedelta(seconds=gate.session_seconds),
        },
    )
    return True


async def sign_out(services: SignOutServices, client: Client, host: str, token: str, *, asked_here: bool) -> str:
    """Return the address of the provider's sign-out, and end the gate session where it was asked for on the host.

    Args:
        services: what this needs of the process.
        client: the application.
        host: one of its hosts.
        token: the cookie; empty: there is none.
        asked_here: the request came from a page of the application, or was typed. Then the provider signs out without
            asking again (RP-Initiated Logout section 2). Otherwise the provider asks first, and nothing has ended yet:
            what ends the session there closes the gate.

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    parameters = {"client_id": client.client_id}
    if token and asked_here:
        hashed, now = token_hash(token), clock.now()
        idle_since = now - services.idle
        gate_session = await services.db.run_read(
            lambda work: store.find(
                work, hashed, client.client_id, host, now, idle_since, access=client.receives_access
            )
        )
        if gate_session is not None and gate_session.grant is not None:
            parameters["id_token_hint"] = id_token(services, client, gate_session.grant, None)
        async with services.db.write() as session:
            await store.remove(session, hashed, client.client_id, host)
    return f"{services.settings.issuer}/logout?{urlencode(parameters)}"


def _context(browser: str) -> bytes:
    return token_hash(browser)


def _verifier(box: SecretBox, browser: str, once: str) -> str:
    """Return the verifier of a sign-in (RFC 7636 section 4.1). It is not in ``state``, which passes through URLs."""
    return keyed_token(box.derived_keys(PURPOSE)[0], browser, once)


def _challenge(verifier: str) -> str:
    return base64url(token_hash(verifier))
