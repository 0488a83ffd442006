"""A provider that does not play by the rules, to find out whether an application notices.

For one application at a time, under an issuer of its own (``/check/ID``) and with keys of its own: nothing that is
signed here is worth anything anywhere else. ``CASES`` is the list of what it does wrong.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sso import clock
from sso.clients.registry import Client
from sso.logout.end_sessions import LOGOUT_EVENT, LOGOUT_TOKEN_TYP
from sso.platform.security.tokens import base64url

Case = Literal[
    "honest", "wrong_nonce", "wrong_audience", "wrong_issuer", "expired", "alg_none", "foreign_key",
    "tampered_signature", "missing_state", "foreign_state", "mixed_up_issuer", "replayed_code", "forged_logout_token",
    "honest_again",
]  # fmt: skip
CASES: tuple[Case, ...] = get_args(Case)
WRONG: tuple[Case, ...] = tuple(case for case in CASES if case not in ("honest", "honest_again"))
"""What must be refused."""
IN_THE_TOKEN: frozenset[Case] = frozenset(
    {"wrong_nonce", "wrong_audience", "wrong_issuer", "expired", "alg_none", "foreign_key", "tampered_signature"}
)
"""What is wrong with the ID token: the application has refused it only when it has fetched it."""
PATH = "/check/"
MINUTES = 20
"""How long a check may take: after that its issuer is gone."""


@dataclass(slots=True)
class Play:
    """What is being played: one case, for one application.

    Args:
        case: what is done wrong.
        code: the code of this round.
        nonce: what the application sent.
        challenge: the code_challenge that it sent.
        key: the private key, as PEM.
        subject: who signs in: nobody real.
        asked: which of our endpoints the application has called.
        redirect_uri: where the application wants the answer.
        alg: the algorithm of the key.
        redeemed: whether it fetched the tokens of this round: with its registered authentication, the redirect URI and
            the code_verifier of its request.
    """

    case: Case
    code: str
    nonce: str
    challenge: str
    key: str
    subject: str
    asked: list[str] = field(default_factory=list)
    redirect_uri: str = ""
    redeemed: bool = False
    alg: str = ""

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Play:
        return cls(**json.loads(data))


def issuer_of(issuer: str, application_id: str) -> str:
    """Return the issuer that an application is checked against."""
    return issuer + PATH + application_id


def new_key(alg: str) -> str:
    """Return a private key for an algorithm, as PEM."""
    key: RSAKey | ECKey | OKPKey
    if alg in ("RS256", "PS256"):
        key = RSAKey.generate_key(2048)
    elif alg == "EdDSA":
        key = OKPKey.generate_key("Ed25519")
    else:
        key = ECKey.generate_key("P-256")
    return key.as_pem(private=True).decode()


def public_jwks(play: Play, alg: str) -> dict[str, object]:
    """Return the key set that the application fetches."""
    key = _key(play, alg)
    return {"keys": [key.as_dict(kid=key.thumbprint(), alg=alg, use="sig")]}


def key_id(play: Play, alg: str) -> str:
    """Return the key id of the key: another for each key, as applications know keys by it (OpenID Connect Core
    section 10.1.1)."""
    return _key(play, alg).thumbprint()


def _key(play: Play, alg: str) -> RSAKey | ECKey | OKPKey:
    return _read_key(play.key, alg)


@lru_cache(maxsize=16)
def _read_key(pem: str, alg: str) -> RSAKey | ECKey | OKPKey:
    """Read a private key. Of RSA it takes 36 ms, and a check signs dozens of tokens with the same key."""
    if alg == "ES256":
        return ECKey.import_key(pem)
    return OKPKey.import_key(pem) if alg == "EdDSA" else RSAKey.import_key(pem)


def metadata(issuer: str, client: Client, alg: str) -> dict[str, object]:
    """Return what discovery says (OpenID Connect Discovery section 3)."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": [client.meta.subject_type],
        "id_token_signing_alg_values_supported": [alg],
        "scopes_supported": sorted(client.scopes),
        "token_endpoint_auth_methods_supported": [client.meta.token_endpoint_auth_method],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


def answer_parameters(play: Play, issuer: str, state: str) -> dict[str, str]:
    """Return what the browser brings back to the application in this case."""
    parameters = {"code": play.code, "state": state, "iss": issuer}
    if play.case == "missing_state":
        del parameters["state"]
    elif play.case == "foreign_state":
        parameters["state"] = secrets.token_urlsafe(16)
    elif play.case == "mixed_up_issuer":
        parameters["iss"] = "https://another-issuer.example"
    return {name: value for name, value in parameters.items() if value}


def is_redemption(play: Play, form: Mapping[str, str]) -> bool:
    """Tell whether a token request fits the authorization request of this round (RFC 6749 section 4.1.3, RFC 7636
    section 4.6). Who sends it is looked at elsewhere."""
    verifier = form.get("code_verifier", "")
    challenge = base64url(hashlib.sha256(verifier.encode()).digest())
    return (
        form.get("grant_type") == "authorization_code"
        and form.get("code") == play.code
        and form.get("redirect_uri") == play.redirect_uri
        and (not play.challenge or challenge == play.challenge)
    )


def token_answer(play: Play, issuer: str, client: Client, alg: str) -> dict[str, object]:
    """Return what the token endpoint answers in this case."""
    return {
        "access_token": f"check-{play.code}",
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "openid profile email",
        "id_token": id_token(play, issuer, client, alg),
    }


def id_token(play: Play, issuer: str, client: Client, alg: str) -> str:
    """Return the ID token of this case: each is right but for one thing."""
    now = clock.timestamp()
    claims: dict[str, object] = {
        "iss": issuer,
        "sub": play.subject,
        "aud": client.client_id,
        "iat": now,
        "exp": now + 300,
        "auth_time": now,
        "sid": f"check-{play.code[:16]}",
        "name": play.subject,
    }
    if play.nonce:
        claims["nonce"] = play.nonce
    wrong: dict[str, dict[str, object]] = {
        "wrong_nonce": {"nonce": secrets.token_urlsafe(16)},
        "wrong_audience": {"aud": "another-application"},
        "wrong_issuer": {"iss": "https://another-issuer.example"},
        "expired": {"iat": now - 7200, "exp": now - 3600, "auth_time": now - 7200},
    }
    claims |= wrong.get(play.case, {})
    return signed(play, claims, alg, {"kid": key_id(play, alg)})


def signed(play: Play, claims: Mapping[str, object], alg: str, headers: dict[str, object]) -> str:
    """Return a JWT, signed as this case has it."""
    if play.case == "alg_none":
        return jwt.encode(dict(claims), "", "none", {key: value for key, value in headers.items() if key != "kid"})
    foreign = play.case in ("foreign_key", "forged_logout_token")
    key = new_key(alg) if foreign else _key(play, alg).private_key
    assert isinstance(key, (str, RSAPrivateKey, EllipticCurvePrivateKey, Ed25519PrivateKey))
    token = jwt.encode(dict(claims), key, alg, headers)
    if play.case != "tampered_signature":
        return token
    head, _, tail = token.split(".")
    altered = json.dumps({**claims, "sub": f"{claims['sub']}-altered"}).encode()
    return f"{head}.{base64url(altered)}.{tail}"


def logout_token(play: Play, issuer: str, client: Client, alg: str) -> str:
    """Return a logout token that somebody else has signed (Back-Channel Logout section 2.4)."""
    now = clock.timestamp()
    claims = {
        "iss": issuer,
        "sub": play.subject,
        "aud": client.client_id,
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_urlsafe(16),
        "sid": f"check-{play.code[:16]}",
        "events": {LOGOUT_EVENT: {}},
    }
    return signed(play, claims, alg, {"kid": key_id(play, alg), "typ": LOGOUT_TOKEN_TYP})


def userinfo(play: Play) -> dict[str, object]:
    """Return what the userinfo endpoint answers."""
    return {"sub": play.subject, "name": play.subject, "email": f"{play.subject}@check.example"}
