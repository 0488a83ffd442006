"""How applications prove who they are (RFC 6749 section 2.3, RFC 7523 section 3, Core section 9), and cannot."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.demands import demand
from tests.elsewhere import change
from tests.support import ISSUER, City, RelyingParty, Statements, tampered

from sso import clock
from sso.clients.secrets import new_secret

GRANT = {"grant_type": "client_credentials"}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def test_each_method_works(city: City, subtests: pytest.Subtests) -> None:
    for client_id in ("mesin", "mesin-buram", "kunci", "rahasia-jwt", "surat"):
        with subtests.test(client_id):
            tokens = await city.relying_party(client_id).token(**GRANT)
            assert tokens.status == 200, tokens.body
            assert "refresh_token" not in tokens.body
            assert "id_token" not in tokens.body


async def test_client_credentials_cost_no_statement(city: City) -> None:
    party = city.relying_party("mesin")
    statements = Statements(city)
    tokens = await party.token(**GRANT, scope="kirim")
    assert (tokens.status, tokens["scope"]) == (200, "kirim")
    assert statements.take() == []
    assert tokens.claims("access_token")["sub"] == "mesin"


@demand("RFC 6749 4.4", "client credentials: the client's own scopes")
async def test_client_credentials_grant_only_registered_scopes(city: City) -> None:
    party = city.relying_party("mesin")
    assert (await party.token(**GRANT))["scope"] == "kirim terima"
    assert (await party.token(**GRANT, scope="kirim openid")).body["error"] == "invalid_scope"


@pytest.mark.parametrize("client_id", ["peta", "warga"])
async def test_client_credentials_are_refused_to_those_who_did_not_register_them(city: City, client_id: str) -> None:
    assert (await city.relying_party(client_id).token(**GRANT)).body["error"] == "unauthorized_client"


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


BAD_HEADERS = {
    "wrong secret": basic("mesin", "wrong"),
    "unknown client": basic("nobody", "wrong"),
    "empty": {"Authorization": "Basic "},
    "not base64": {"Authorization": "Basic %%%"},
    "no colon": {"Authorization": "Basic " + base64.b64encode(b"mesin").decode()},
    "not utf-8": {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
}


@demand("RFC 6749 5.2", "401 with WWW-Authenticate where Basic was used")
async def test_wrong_basic_credentials_are_401_with_a_challenge(city: City, subtests: pytest.Subtests) -> None:
    async with city.client() as http:
        for name, headers in BAD_HEADERS.items():
            with subtests.test(name):
                answer = await http.post("/token", data=GRANT, headers=headers)
                assert answer.status_code == 401
                assert answer.json()["error"] == "invalid_client"
                assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_an_unknown_client_and_a_wrong_secret_look_the_same(city: City) -> None:
    async with city.client() as http:
        answers = [await http.post("/token", data=GRANT, headers=basic(name, "x")) for name in ("mesin", "nobody")]
    assert answers[0].content == answers[1].content


@demand("RFC 6749 2.3.1", "Basic credentials are form-decoded")
async def test_basic_credentials_are_form_decoded(city: City) -> None:
    """RFC 6749 section 2.3.1."""
    quoted = "".join(f"%{ord(char):02X}" for char in city.secrets["mesin"])
    async with city.client() as http:
        answer = await http.post("/token", data=GRANT, headers=basic("%6Desin", quoted))
    assert answer.status_code == 200


async def test_the_method_must_be_the_registered_one(city: City) -> None:
    async with city.client() as http:
        secret = city.secrets["mesin"]
        posted = await http.post("/token", data={**GRANT, "client_id": "mesin", "client_secret": secret})
        named = await http.post("/token", data={**GRANT, "client_id": "mesin"})
        basic_for_post = await http.post("/token", data=GRANT, auth=("sehat", city.secrets["sehat"]))
        shared_as_secret = await http.post("/token", data=GRANT, auth=("rahasia-jwt", city.secrets["rahasia-jwt"]))
    for answer in (posted, named, basic_for_post, shared_as_secret):
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@demand("RFC 6749 2.3", "one authentication method only")
async def test_two_methods_at_once_are_refused(city: City) -> None:
    secret = city.secrets["mesin"]
    async with city.client() as http:
        answer = await http.post("/token", data={**GRANT, "client_secret": secret}, auth=("mesin", secret))
        other = await http.post("/token", data={**GRANT, "client_id": "sehat"}, auth=("mesin", secret))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (other.status_code, other.json()["error"]) == (400, "invalid_request")


@demand("RFC 6749 2.3.1", "no credentials in the address")
@pytest.mark.parametrize("before", ["", "client_secret=&"])
async def test_a_secret_in_the_address_is_refused(city: City, before: str) -> None:
    secret = city.secrets["mesin"]
    async with city.client() as http:
        address = f"/token?{before}client_secret={secret}"
        answer = await http.post(address, data=GRANT, auth=("mesin", secret))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_secret_is_replaced_with_an_overlap(city: City) -> None:
    party, old = city.relying_party("mesin"), city.secrets["mesin"]
    async with city.provider.db.write() as session:
        new = await new_secret(session, city.provider.box, "mesin", overlap_seconds=60)
    await city.provider.refresh()
    assert (await party.token(**GRANT)).status == 200
    city.secrets["mesin"] = new
    assert (await party.token(**GRANT)).status == 200
    clock.advance(61)
    assert (await party.token(**GRANT)).status == 200
    city.secrets["mesin"] = old
    try:
        assert (await party.token(**GRANT)).status == 401
    finally:
        city.secrets["mesin"] = old


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "mesin"},
    "another subject": {"sub": "mesin"},
    "no subject": {"sub": None},
    "another audience": {"aud": "https://evil.example"},
    "audience in a list": {"aud": [ISSUER]},
    "audience in a list with another": {"aud": [ISSUER, "https://evil.example"]},
    "audience with a slash": {"aud": ISSUER + "/"},
    "no audience": {"aud": None},
    "expired": {"exp": 1},
    "no expiry": {"exp": None},
    "expiry far away": {"exp": 4_000_000_000},
    "expiry in words": {"exp": "soon"},
    "expiry is true": {"exp": True},
    "issued in the future": {"iat": 4_000_000_000},
    "not yet valid": {"nbf": 4_000_000_000},
    "no jti": {"jti": None},
    "jti is a number": {"jti": 7},
}


async def test_a_wrong_assertion_is_refused(city: City, subtests: pytest.Subtests) -> None:
    for client_id in ("kunci", "rahasia-jwt"):
        party = city.relying_party(client_id)
        for name, claims in WRONG_CLAIMS.items():
            with subtests.test(f"{client_id} {name}"):
                answer = await _with_assertion(city, party.assertion(**claims))
                assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert (await _with_assertion(city, party.assertion())).status_code == 200, "nothing else was wrong"


async def test_the_token_endpoint_is_accepted_as_audience(city: City) -> None:
    assertion = city.relying_party("kunci").assertion(aud=f"{ISSUER}/token")
    assert (await _with_assertion(city, assertion)).status_code == 200


@demand("RFC 7523 3", "a jti is accepted once")
async def test_an_assertion_is_accepted_once(city: City) -> None:
    assertion = city.relying_party("kunci").assertion()
    assert (await _with_assertion(city, assertion)).status_code == 200
    assert (await _with_assertion(city, assertion)).status_code == 401


def _attacks(city: City) -> dict[str, str]:
    party = city.relying_party("kunci")
    own = ec.generate_private_key(ec.SECP256R1())
    own_pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    own_jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(own.public_key()))
    client = city.provider.registry.get("kunci")
    assert client is not None
    assert client.meta.jwks is not None
    registered = jwt.PyJWK(client.meta.jwks["keys"][0]).key
    public_pem = registered.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    rsa_pem = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    confused = _hmac_over(party.assertion(), public_pem)
    return {
        "foreign key": party.assertion(key=own_pem),
        "embedded jwk": party.assertion(key=own_pem, headers={"kid": "1", "jwk": own_jwk}),
        "jku": party.assertion(key=own_pem, headers={"kid": "x", "jku": "https://evil.example/jwks"}),
        "x5u": party.assertion(key=own_pem, headers={"x5u": "https://evil.example/cert"}),
        "kid with a path": party.assertion(key=own_pem, headers={"kid": "../../../dev/null"}),
        "critical header": party.assertion(headers={"kid": "1", "crit": ["exp"], "exp": 1}),
        "no algorithm": _unsigned(party.assertion()),
        "public key as shared secret": confused,
        "another algorithm": party.assertion(key=rsa_pem, alg="RS256"),
        "tampered": tampered(party.assertion()),
        "no signature": party.assertion().rpartition(".")[0] + ".",
        "two parts": party.assertion().rpartition(".")[0],
        "nonsense": "a.b.c",
        "empty": "",
        "deep": base64.urlsafe_b64encode(b"[" * 9000).decode() + ".x.y",
        "long": "a" * 9000,
    }


def _unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def _hmac_over(token: str, key: bytes) -> str:
    import hashlib
    import hmac

    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"1"}').rstrip(b"=").decode()
    signed = f"{header}.{token.split('.')[1]}"
    mac = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@demand("RFC 8725 3.1", "forged assertions: none, HS/RS confusion, embedded keys, crit")
async def test_forged_assertions_are_refused(city: City) -> None:
    for name, assertion in _attacks(city).items():
        answer = await _with_assertion(city, assertion)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), name


async def test_an_assertion_of_another_type_is_refused(city: City) -> None:
    form = {**GRANT, "client_assertion_type": "urn:x", "client_assertion": city.relying_party("kunci").assertion()}
    async with city.client() as http:
        answer = await http.post("/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def _with_assertion(city: City, assertion: str) -> Any:
    form = {**GRANT, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    async with city.client() as http:
        return await http.post("/token", data=form)


@demand("RFC 6749 5.2", "who authenticates with the right secret by another method learns which is registered")
async def test_the_right_secret_by_another_method(city: City) -> None:
    """Nobody else learns how an application is registered."""
    cases = [
        ("warga", "client_secret_post", "client_secret_basic"),
        ("sehat", "client_secret_basic", "client_secret_post"),
        ("rahasia-jwt", "client_secret_basic", "client_secret_jwt"),
    ]
    kunci = city.provider.registry.get("kunci")
    warga = city.provider.registry.get("warga")
    assert kunci is not None
    assert warga is not None
    await change(city, "warga", metadata_={**warga.meta.stored(), "jwks": kunci.meta.jwks})
    await city.provider.refresh()
    for client_id, method, registered in cases:
        party = RelyingParty(city, client_id, "", method)
        right = city.secrets[client_id]
        for secret, expected in ((right, f"The request came with {method}"), (right[:-1], "")):
            city.secrets[client_id] = secret
            answer = await party.post("/token", GRANT)
            description = answer.json()["error_description"]
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
            assert description.startswith("Client authentication failed.")
            assert expected in description
            assert (registered in description) == bool(expected), description
        city.secrets[client_id] = right
    signed = RelyingParty(city, "warga", "", "private_key_jwt")
    description = (await signed.post("/token", GRANT)).json()["error_description"]
    assert "private_key_jwt" in description
    assert "client_secret_basic" in description
    forged = signed.assertion(key=ec.generate_private_key(ec.SECP256R1()))
    assert (await _with_assertion(city, forged)).json()["error_description"] == "Client authentication failed."


@demand("RFC 9126 2", "an assertion may name the issuer, the token endpoint, or the endpoint that it comes to")
@demand(
    "RFC 7523 3", "aud is one string; of an application with the profile legacy a list of our own names is accepted"
)
async def test_whom_an_assertion_may_name(city: City) -> None:
    client = city.provider.registry.get("kunci")
    assert client is not None
    party, form = city.relying_party("kunci"), {"client_assertion_type": ASSERTION_TYPE, "token": "x"}
    elsewhere = "https://elsewhere.example"
    async with city.client() as http:

        async def answered(path: str, aud: Any) -> Any:
            body = {**form, "grant_type": "client_credentials", "client_assertion": party.assertion(aud=aud)}
            return (await http.post(path, data=body)).json() if path != "/revoke" else await http.post(path, data=body)

        for path in ("/token", "/par", "/introspect", "/device_authorization"):
            for aud in (ISSUER, f"{ISSUER}/token", f"{ISSUER}{path}"):
                assert (await answered(path, aud)).get("error") != "invalid_client", (path, aud)
            for wrong in (elsewhere, f"{ISSUER}/authorize", f"{ISSUER}/", [ISSUER], None, [], {"a": ISSUER}, 1):
                refused = await answered(path, wrong)
                assert refused["error"] == "invalid_client", (path, wrong)
            for name in (ISSUER, f"{ISSUER}/token", f"{ISSUER}{path}"):
                assert name in refused["error_description"]
        assert (await answered("/revoke", f"{ISSUER}/revoke")).status_code == 200
        assert (await answered("/token", f"{ISSUER}/par"))["error"] == "invalid_client", "another endpoint"
        await change(city, "kunci", metadata_={**client.meta.stored(), "profile": "legacy"})
        await city.provider.refresh()
        for good in ([ISSUER], [ISSUER, f"{ISSUER}/token"], f"{ISSUER}/token"):
            assert (await answered("/token", good)).get("error") is None, good
        for bad in ([], [ISSUER, elsewhere], [elsewhere], [ISSUER, 1], [[ISSUER]], {"aud": ISSUER}):
            assert (await answered("/token", bad))["error"] == "invalid_client", bad


async def test_a_wrong_assertion_says_nothing_of_the_client(city: City) -> None:
    """Whoever does not hold the key or the secret learns neither that there is a client nor how it authenticates."""
    mine = rsa.generate_private_key(65537, 2048)
    pem = mine.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    bodies = set()
    async with city.client() as http:
        for client_id in ("kunci", "rahasia-jwt", "warga", "padam", "nobody"):
            for key, alg in ((pem, "RS256"), ("x" * 64, "HS256"), ("x" * 64, "HS512"), ("", "none")):
                claims = {"iss": client_id, "sub": client_id, "aud": "https://evil.example", "exp": 1}
                assertion = jwt.encode(claims, key, alg)
                form = {**GRANT, "client_assertion": assertion, "client_assertion_type": ASSERTION_TYPE}
                answer = await http.post("/token", data=form)
                assert answer.status_code == 401
                bodies.add(answer.text)
    assert bodies == {'{"error":"invalid_client","error_description":"Client authentication failed."}'}
    party = city.relying_party("kunci")
    client = city.provider.registry.get("kunci")
    assert client is not None
    await change(city, "kunci", metadata_={**client.meta.stored(), "token_endpoint_auth_signing_alg": "RS256"})
    await city.provider.refresh()
    proven = await party.token(**GRANT)
    assert proven.body["error_description"] == "The client assertion must be signed with RS256."
