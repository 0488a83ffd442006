"""The headers that an application behind the gate receives, and the JWT that proves them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from sso import clock
from sso.clients.metadata.gate import HEADERS, GateSettings, HeaderName
from sso.clients.registry import Client
from sso.gate.services import GateServices
from sso.oidc.claims import access_claims, person_for, user_claims, withheld_from
from sso.oidc.store.store import LiveGrant
from sso.platform.db import Executor

Headers = tuple[tuple[bytes, bytes], ...]

PREFIX = "X-SSO-"
AUTHORIZATION = "Authorization"
"""The header of the Basic credentials."""
NAMES: Mapping[HeaderName, str] = {
    "sub": "X-SSO-Sub",
    "username": "X-SSO-Username",
    "name": "X-SSO-Name",
    "email": "X-SSO-Email",
    "phone": "X-SSO-Phone",
    "nip": "X-SSO-NIP",
    "local_user_id": "X-SSO-Local-User-Id",
    "roles": "X-SSO-Roles",
    "groups": "X-SSO-Groups",
    "acr": "X-SSO-ACR",
    "jwt": "X-SSO-JWT",
}
"""The header of each value."""
CLAIMS: Mapping[HeaderName, str] = {
    "username": "preferred_username",
    "name": "name",
    "email": "email",
    "phone": "phone_number",
    "nip": "nip",
    "local_user_id": "local_user_id",
    "roles": "roles",
    "groups": "groups",
}
"""The claim that each value comes from."""
_MUST_BE_VERIFIED: Mapping[HeaderName, str] = {"email": "email_verified", "phone": "phone_number_verified"}
JWT_TYP = "sso-gate+jwt"
JWT_SECONDS = 120
JWT_RENEWED_SECONDS = 30
"""After how many seconds of its life a JWT is replaced."""
MAX_LIST_BYTES = 4096


def values_of_user(services: GateServices, session: Executor, client: Client, grant: LiveGrant) -> dict[str, object]:
    """Return what an application receives of a user, without roles and groups. One statement; for the bridge.

    An e-mail address or a phone number that is not verified is left out: a header cannot say so.
    """
    gate = client.meta.gate
    assert gate is not None
    scopes = grant.scope.split()
    person = person_for(session, grant.user_id, client, scopes, ())
    if person is None:
        return {}
    hidden = withheld_from(client, grant.details, grant.granted_at)
    issuer = services.settings.issuer
    about = user_claims(person, scopes, withheld=hidden, issuer=issuer, box=services.box)
    known = {name: about.get(CLAIMS[name]) for name in gate.values if name in CLAIMS}
    for name, verified in _MUST_BE_VERIFIED.items():
        if not about.get(verified):
            known.pop(name, None)
    return {name: value for name, value in known.items() if value}


def values_of_grant(services: GateServices, client: Client, grant: LiveGrant) -> dict[str, object]:
    """Return what an application receives that every check reads: ``sub``, ``acr``, roles and groups."""
    gate = client.meta.gate
    assert gate is not None
    hidden = withheld_from(client, grant.details, grant.granted_at)
    access = access_claims(client, grant.access, grant.scope.split(), hidden)
    known = {"sub": services.subject(client, grant.user_id), "acr": grant.acr, **access}
    return {name: value for name, value in known.items() if name in gate.values}


def signed(services: GateServices, client: Client, host: str, grant: LiveGrant, values: Mapping[str, object]) -> str:
    """Return the JWT of a request: for one application and one host, with the same values as the headers."""
    now = clock.timestamp()
    gate = client.meta.gate
    assert gate is not None
    sent = {name: value for name, value in values.items() if name in gate.headers}
    claims: dict[str, object] = {CLAIMS.get(name, name): value for name, value in sent.items()}
    claims |= {
        "iss": services.settings.issuer,
        "aud": client.client_id,
        "host": host,
        "sub": services.subject(client, grant.user_id),
        "acr": grant.acr,
        "auth_time": int(grant.auth_time.timestamp()),
        "iat": now,
        "exp": now + JWT_SECONDS,
    }
    return services.keys.sign(claims, "ES256", JWT_TYP)


def basic_username(gate: GateSettings, values: Mapping[str, object]) -> str | None:
    """Return the username of the Basic credentials of a user; None: the user has none that can be sent (RFC 7617
    section 2: no colon, no control characters)."""
    assert gate.basic is not None
    if gate.basic.account is not None:
        return gate.basic.account
    name = str(values.get(gate.basic.username or "", ""))
    return name if name and ":" not in name and name.isprintable() else None


def basic_credentials(username: str, password: str) -> bytes:
    """Return the value of ``Authorization`` (RFC 7617 section 2), in UTF-8."""
    return b"Basic " + base64.b64encode(f"{username}:{password}".encode())


def encoded(gate: GateSettings, values: Mapping[str, object], authorization: bytes = b"") -> Headers:
    """Return the headers of an application for values, with names in small letters; with Basic credentials also
    ``authorization``.

    Text is UTF-8; lists are separated by commas, and entries that do not fit into 4096 bytes are left out. A header
    without a value is there, and empty: a proxy that copies headers writes it over whatever it has.
    """
    pairs = []
    for name in HEADERS:
        if name in gate.headers:
            value = values.get(name, "")
            text = _joined(value) if isinstance(value, (list, tuple)) else str(value)
            line = "".join(char for char in text if char.isprintable()).strip()
            pairs.append((NAMES[name].lower().encode(), line.encode("utf-8", "replace")))
    if gate.basic is not None:
        pairs.append((AUTHORIZATION.lower().encode(), authorization))
    return tuple(pairs)


def _joined(entries: Sequence[object]) -> str:
    chosen: list[str] = []
    size = 0
    for entry in entries:
        text = str(entry)
        size += len(text.encode()) + 1
        if "," in text or size > MAX_LIST_BYTES:
            continue
        chosen.append(text)
    return ",".join(chosen)
