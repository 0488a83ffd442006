"""The playground: what it sends as a sandbox, what it shows, and what it checks."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sso import clock
from sso.clients.metadata import ClientMetadata
from sso.clients.registry import Client
from sso.portal.playground.exchange import decoded_tokens, request_text, response_text
from sso.portal.playground.logout_notice import outcome_of
from sso.portal.playground.trial import (
    AuthorizationParameters,
    EndpointResponse,
    Trial,
    TrialEndpoints,
    authorization_request,
    obstacle,
)

ISSUER, TRY = "https://sso.example", "https://sso.example/developer/try"
KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def sandbox(**values: Any) -> Client:
    document = {"type": "web", "client_name": "Antrean", "redirect_uris": [TRY], **values}
    if document["type"] == "service":
        del document["redirect_uris"]
    return Client("antrean-uji", "sandbox", ClientMetadata.model_validate(document), ())


def jwks() -> dict[str, Any]:
    jwk = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(KEY.public_key()))
    return {"keys": [{**jwk, "kid": "satu"}]}


def id_token(key: ec.EllipticCurvePrivateKey = KEY, **claims: Any) -> str:
    now = clock.timestamp()
    right = {"iss": ISSUER, "aud": "antrean-uji", "sub": "siti", "iat": now, "exp": now + 60, "nonce": "n"}
    return jwt.encode({**right, **claims}, key, "ES256", {"kid": "satu"})


def checks_of(token: str, nonce: str = "n") -> dict[str, bool]:
    (decoded,) = decoded_tokens(
        {"id_token": token, "access_token": "opaque"}, issuer=ISSUER, client_id="antrean-uji", nonce=nonce, jwks=jwks()
    )
    return dict(decoded["checks"])


def test_a_right_id_token_passes_every_check() -> None:
    assert checks_of(id_token()) == {"signature": True, "iss": True, "aud": True, "exp": True, "nonce": True}
    assert "nonce" not in checks_of(id_token(), nonce=""), "after a refresh there is none"


@pytest.mark.parametrize(
    ("check", "key", "claims"),
    [
        ("signature", OTHER_KEY, {}),
        ("iss", KEY, {"iss": "https://lain.example"}),
        ("aud", KEY, {"aud": "lain"}),
        ("aud", KEY, {"aud": ["antrean-uji", "lain"]}),
        ("exp", KEY, {"exp": 1}),
        ("nonce", KEY, {"nonce": "lain"}),
        ("at_hash", KEY, {"at_hash": "lain"}),
    ],
)
def test_one_wrong_value_of_an_id_token_fails_its_own_check(
    check: str, key: ec.EllipticCurvePrivateKey, claims: dict[str, Any]
) -> None:
    checks = checks_of(id_token(key, **claims))
    assert [name for name, right in checks.items() if not right] == [check]


def test_what_is_secret_is_masked() -> None:
    text = request_text(
        "POST", "/token", {"Authorization": "Basic cmFoYXNpYQ=="}, {"client_secret": "rahasia-sekali", "code": "kode"}
    )
    assert text.splitlines() == [
        "POST /token",
        "Authorization: Basic …YQ==",
        "    client_secret=…kali",
        "    code=kode",
    ]
    response = response_text(
        200, {"set-cookie": "x", "cache-control": "no-store"}, {"access_token": "a" * 60, "sub": "siti"}
    )
    assert "set-cookie" not in response
    assert "a" * 25 not in response
    assert '"sub": "siti"' in response


def test_an_authorization_request_asks_for_what_was_chosen_and_is_registered() -> None:
    chosen = AuthorizationParameters(frozenset({"profile", "nik"}), prompt="login", max_age="0")
    parameters = authorization_request(sandbox(), TRY, chosen, nonce="n", verifier="v" * 43)
    assert parameters["scope"] == "openid profile"
    assert (parameters["prompt"], parameters["max_age"], parameters["code_challenge_method"]) == ("login", "0", "S256")
    assert "acr_values" not in parameters
    assert "claims" not in parameters


def test_a_sandbox_without_users_or_with_its_own_key_cannot_be_tried() -> None:
    assert obstacle(sandbox()) is None
    assert obstacle(sandbox(type="service")) == "no_people"
    keys = {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://antrean.example/jwks"}
    assert obstacle(sandbox(**keys)) == "own_key"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "accepted"),
        (204, "accepted"),
        (400, "refused"),
        (404, "no_endpoint"),
        (405, "no_endpoint"),
        (500, "refused"),
    ],
)
def test_the_response_to_a_logout_token_has_a_meaning(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome


class Sent:
    """Endpoints that answer as they are told, and keep what they received."""

    def __init__(self, **bodies: Any) -> None:
        self.bodies = bodies
        self.requests: list[tuple[str, Mapping[str, str], Mapping[str, str]]] = []

    async def __call__(
        self, method: str, path: str, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> EndpointResponse:
        self.requests.append((path, headers, form))
        body = self.bodies[path.strip("/")]
        return EndpointResponse(400 if "error" in body else 200, {}, body)


def trial() -> Trial:
    data: Any = {
        "application_id": "antrean", "asked": {"redirect_uri": TRY}, "verifier": "v" * 43, "nonce": "n",
        "secret": "rahasia", "steps": [],
    }  # fmt: skip
    return Trial(None, data)  # type: ignore[arg-type]


def endpoints(sent: Sent, **metadata: Any) -> TrialEndpoints:
    return TrialEndpoints(ISSUER, json.dumps(jwks()).encode(), sandbox(**metadata), sent)


async def test_a_code_is_exchanged_and_the_claims_are_compared() -> None:
    sent = Sent(token={"access_token": "a", "id_token": id_token()}, userinfo={"sub": "siti"})
    begun = trial()
    steps = await endpoints(sent).receive(begun, {"code": "kode", "iss": ISSUER})
    assert [step["name"] for step in steps] == ["answer", "token", "userinfo"]
    assert dict(steps[0]["checks"])["answer_iss"] is True
    assert steps[2]["checks"] == [("sub", True)]
    path, headers, form = sent.requests[0]
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"antrean-uji:rahasia"
    assert (path, form["code"], form["code_verifier"]) == ("/token", "kode", "v" * 43)
    assert begun.tokens["access_token"] == "a"


async def test_a_refused_code_ends_the_trial_and_an_error_exchanges_nothing() -> None:
    sent = Sent(token={"error": "invalid_grant"})
    begun = trial()
    steps = await endpoints(sent).receive(begun, {"code": "kode", "iss": "https://lain.example"})
    assert [step["name"] for step in steps] == ["answer", "token"]
    assert steps[1]["failed"]
    assert dict(steps[0]["checks"])["answer_iss"] is False
    assert begun.tokens == {}
    assert len(await endpoints(sent).receive(begun, {"error": "access_denied"})) == 1


async def test_tokens_are_refreshed_introspected_and_revoked_as_the_sandbox() -> None:
    sent = Sent(token={"access_token": "b", "id_token": id_token(), "refresh_token": "r2"}, introspect={}, revoke={})
    begun = trial()
    begun.data["tokens"] = {"access_token": "a", "refresh_token": "r1"}
    used = endpoints(sent, token_endpoint_auth_method="client_secret_post")
    await used.use_tokens(begun, "introspect")
    await used.use_tokens(begun, "refresh")
    await used.use_tokens(begun, "revoke")
    assert [form["client_secret"] for _, _, form in sent.requests] == ["rahasia"] * 3
    assert sent.requests[0][2]["token"] == "a"
    assert sent.requests[1][2]["refresh_token"] == "r1"
    assert sent.requests[2][2]["token"] == "r2", "the new refresh token"
