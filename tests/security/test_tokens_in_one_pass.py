"""A token of ours is read in one pass, as strictly as PyJWT reads it, and remembered until it expires."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.support import SECRET_KEY

from sso import clock
from sso.platform.keys.claims_cache import CachedClaims, ClaimsCache
from sso.platform.keys.ring import MAX_TOKEN_CHARS, InvalidToken, Key, KeyRing, UnknownKey
from sso.platform.security.encryption import SecretBox
from sso.platform.security.jwe import is_type

ISSUER = "https://masuk.example"
TYP = "at+jwt"
PRIVATE: dict[str, Any] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "RS256": rsa.generate_private_key(65537, 2048),
}
PRIVATE["PS256"] = PRIVATE["RS256"]
NOW = 1_790_000_000
CLAIMS = {"iss": ISSUER, "sub": "s", "aud": ["a", ISSUER], "iat": NOW, "exp": NOW + 600, "jti": "j", "scope": "openid"}


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "timestamp", lambda: NOW)


@pytest.fixture
def ring() -> KeyRing:
    key_ring = KeyRing(SecretBox([SECRET_KEY.encode()]), timedelta(hours=1))
    key_ring._by_kid = {
        alg: Key(alg, alg, "active", private, private.public_key(), {}, None) for alg, private in PRIVATE.items()
    }
    old = clock.now() - timedelta(days=2)
    key_ring._by_kid["old"] = Key("old", "ES256", "retired", None, PRIVATE["ES256"].public_key(), {}, old)
    key_ring._by_kid["enc"] = Key("enc", "RSA-OAEP-256", "active", PRIVATE["RS256"], None, {}, None)
    return key_ring


def by_pyjwt(ring: KeyRing, token: str, *, audience: str | None = None, expired: bool = False) -> dict[str, Any]:
    """Verify a token as the key ring did before it read tokens itself."""
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidToken("too long")
    try:
        header = jwt.get_unverified_header(token.partition(".")[0] + "..")
        key = ring._by_kid.get(header.get("kid") or "")
        if key is None:
            raise UnknownKey("unknown key")
        if key.public is None or not is_type(header.get("typ"), TYP) or header.get("alg") != key.alg:
            raise InvalidToken("another type")
        if not expired and key.kid == "old":
            raise InvalidToken("retired")
        options: Any = {
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "verify_aud": audience is not None,
            "require": ["iss", "exp", "iat"],
        }
        claims: dict[str, Any] = jwt.decode(
            token, key.public, algorithms=[key.alg], issuer=ISSUER, audience=audience, options=options
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise InvalidToken(str(error)) from error
    if (not expired and claims["exp"] <= NOW) or claims["iat"] > NOW + 10:
        raise InvalidToken("not now")
    return claims


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(alg: str, header: Any = None, claims: Any = None, *, key: str = "") -> str:
    """Return a token with a right signature, whatever stands in it: text is signed as it is."""
    header = {"typ": TYP, "alg": alg, "kid": alg} if header is None else header
    claims = CLAIMS if claims is None else claims
    parts = [part if isinstance(part, str) else json.dumps(part, separators=(",", ":")) for part in (header, claims)]
    signing_input = ".".join(encoded(part.encode()) for part in parts)
    algorithm = jwt.get_algorithm_by_name(key or alg)
    return f"{signing_input}.{encoded(algorithm.sign(signing_input.encode(), PRIVATE[key or alg]))}"


def headers(alg: str) -> Iterator[Any]:
    usual = {"typ": TYP, "alg": alg, "kid": alg}
    yield usual
    changed: dict[str, list[Any]] = {
        "typ": ["JWT", "AT+JWT", "application/at+jwt", "at+jwt ", None, 1, []],
        "alg": ["none", "None", "HS256", "ES256", "ES384", "RS256", "PS256", "EdDSA", "", None, 1],
        "kid": ["", "nobody", "old", "enc", *PRIVATE, None, 1, [], {}],
        "crit": [[], ["exp"], ["b64"], "b64", None, [1]],
        "b64": [False],
        "jwk": [{"kty": "oct", "k": "AA"}],
        "x5u": ["https://evil.example"],
    }
    for name, values in changed.items():
        for value in values:
            yield {**usual, name: value}
    for name in usual:
        yield {key: value for key, value in usual.items() if key != name}
    yield from ("", "{", "[]", "null", '"x"', "NaN", "[" * 5000, json.dumps(usual) + " x")
    yield f'{{"typ":"{TYP}","alg":"none","alg":"{alg}","kid":"{alg}"}}'
    yield f'{{"typ":"{TYP}","alg":"{alg}","kid":"nobody","kid":"{alg}"}}'


def claim_sets() -> Iterator[Any]:
    changed: dict[str, list[Any]] = {
        "iss": [None, "", "https://evil.example", ISSUER + "/", [ISSUER], 1],
        "exp": [None, 0, NOW - 1, NOW, NOW + 1, NOW + 0.5],
        "iat": [None, 0, NOW + 10, NOW + 11],
        "nbf": [NOW + 1000, None],
        "aud": [None, "", [], "x", ["x"], [1, ISSUER], {"a": 1}, ISSUER],
        "sub": [None, 1, [], "é"],
        "jti": [None, 1, [], ""],
    }
    for name, values in changed.items():
        for value in values:
            yield {**CLAIMS, name: value}
    for name in CLAIMS:
        yield {key: value for key, value in CLAIMS.items() if key != name}
    yield from ("", "{", "[]", "null", "1", '"x"', "[" * 5000)


def spoiled(token: str) -> Iterator[str]:
    """Yield a token with one thing wrong in its text."""
    first, second, third = token.split(".")
    for position in range(0, len(token), 3):
        for char in ("A", "_", "-", "=", "+", "/", ".", " ", "\n", "\x00", "é", "\ud800"):
            yield token[:position] + char + token[position:]
            yield token[:position] + char + token[position + 1 :]
        yield token[:position]
        yield token[:position] + token[position + 1 :]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    yield from (token[:-1] + char for char in alphabet)
    yield from ("", ".", "..", "...", first, f"{first}.", f"{first}..", f".{second}.{third}", f"{first}.{second}.")
    yield from (f"{first}.{third}.{second}", f"{second}.{first}.{third}", f"{token}.", f".{token}", f"{token}.{third}")
    yield from (f"{first}=.{second}.{third}", f"{first}.{second}=.{third}", f"{first}..{third}", f"{token}.A.B")
    yield from (token + "A" * MAX_TOKEN_CHARS, " " + token, token + " ", token.swapcase(), token * 2)
    hmac = jwt.get_algorithm_by_name("HS256")
    public = PRIVATE["RS256"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name in PRIVATE:
        forged = f"{encoded(json.dumps({'typ': TYP, 'alg': 'HS256', 'kid': name}).encode())}.{second}"
        yield f"{forged}.{encoded(hmac.sign(forged.encode(), pem))}"


def verdict(verify: Any, *args: Any, **named: Any) -> Any:
    try:
        return verify(*args, **named)
    except InvalidToken as error:
        return type(error)


@pytest.mark.parametrize("alg", list(PRIVATE))
def test_the_verdict_is_that_of_pyjwt_for_every_changed_text(ring: KeyRing, alg: str) -> None:
    token = signed(alg)
    assert ring.verify(token, typ=TYP, issuer=ISSUER) == CLAIMS
    cases = list(spoiled(token))
    assert len(cases) > 1500
    for case in cases:
        ours = verdict(ring.verify, case, typ=TYP, issuer=ISSUER)
        theirs = verdict(by_pyjwt, ring, case)
        if case.rstrip("=") == token and theirs == CLAIMS:
            theirs = CLAIMS if case == token else InvalidToken  # padding is refused here (RFC 7515 section 2)
        assert ours == theirs, case
    assert len(ring._kept) == 1


@pytest.mark.parametrize("alg", list(PRIVATE))
@pytest.mark.parametrize("named", [{}, {"audience": ISSUER}, {"audience": "a", "expired": True}], ids=str)
def test_the_verdict_is_that_of_pyjwt_for_what_is_signed(ring: KeyRing, alg: str, named: dict[str, Any]) -> None:
    tokens = [signed(alg, header) for header in headers(alg)]
    tokens += [signed(alg, header, key=other) for header in headers(alg) for other in PRIVATE if other != alg]
    tokens += [signed(alg, claims=claims) for claims in claim_sets()]
    for token in tokens:
        for _ in range(2):  # what was remembered of it changes nothing
            ours = verdict(ring.verify, token, typ=TYP, issuer=ISSUER, **named)
            assert ours == verdict(by_pyjwt, ring, token, **named), token


def test_a_header_with_a_byte_order_mark_is_no_header(ring: KeyRing) -> None:
    """PyJWT reads it as one that names no key, which this process would look for in the database."""
    token = signed("ES256", "\ufeff{}")
    assert verdict(by_pyjwt, ring, token) is UnknownKey
    assert verdict(ring.verify, token, typ=TYP, issuer=ISSUER) is InvalidToken


def test_what_is_no_time_is_refused(ring: KeyRing) -> None:
    for claims in ({"exp": "9999999999"}, {"iat": "1"}, {"exp": True}, {"exp": [1]}, {"iat": -1}):
        with pytest.raises(InvalidToken):
            ring.verify(signed("ES256", claims={**CLAIMS, **claims}), typ=TYP, issuer=ISSUER)


def test_a_remembered_token_is_that_one_only(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    token = signed("ES256")
    ring.verify(token, typ=TYP, issuer=ISSUER)["scope"] = "changed by the caller"
    monkeypatch.setattr("sso.platform.keys.ring.payload_of", lambda *_: pytest.fail("verified again"))
    assert ring.verify(token, typ=TYP, issuer=ISSUER) == CLAIMS
    monkeypatch.undo()
    for typ, issuer in (("JWT", ISSUER), (TYP, "https://other.example")):
        with pytest.raises(InvalidToken):
            ring.verify(token, typ=typ, issuer=issuer)
    with pytest.raises(InvalidToken):
        ring.verify(token, typ=TYP, issuer=ISSUER, audience="x")


def test_a_remembered_token_ends_with_its_time_and_its_key(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    token = signed("ES256")
    ring.verify(token, typ=TYP, issuer=ISSUER)
    key = ring._by_kid.pop("ES256")
    with pytest.raises(UnknownKey):
        ring.verify(token, typ=TYP, issuer=ISSUER)
    retired = clock.now() - timedelta(hours=2)
    ring._by_kid["ES256"] = Key(key.kid, key.alg, "retired", None, key.public, {}, retired)
    with pytest.raises(InvalidToken, match="retired"):
        ring.verify(token, typ=TYP, issuer=ISSUER)
    ring._by_kid["ES256"] = key
    assert ring.verify(token, typ=TYP, issuer=ISSUER) == CLAIMS
    monkeypatch.setattr(clock, "timestamp", lambda: NOW - 100)
    with pytest.raises(InvalidToken, match="future"):
        ring.verify(token, typ=TYP, issuer=ISSUER)
    monkeypatch.setattr(clock, "timestamp", lambda: NOW + 600)
    with pytest.raises(InvalidToken, match="expired"):
        ring.verify(token, typ=TYP, issuer=ISSUER)
    assert len(ring._kept) == 0


def test_nothing_is_remembered_of_tokens_that_are_refused(ring: KeyRing) -> None:
    token = signed("ES256")
    for number in range(50):
        verdict(ring.verify, token[:-10] + f"{number:010}", typ=TYP, issuer=ISSUER)
        verdict(ring.verify, signed("ES256", claims={**CLAIMS, "exp": NOW}), typ=TYP, issuer=ISSUER)
    assert len(ring._kept) == 0


def test_the_memory_is_bounded_in_tokens_and_bytes() -> None:
    cache = ClaimsCache(max_tokens=3, max_bytes=10_000)
    names = [ClaimsCache.name(str(number), TYP, ISSUER) for number in range(8)]
    for name in names[:3]:
        cache.keep(name, CachedClaims("k", b"x" * 100, NOW + 1))
    assert cache.find(names[0], NOW)  # used last, so the second goes first
    cache.keep(names[3], CachedClaims("k", b"x" * 4000, NOW + 1))
    assert [bool(cache.find(name, NOW)) for name in names[:4]] == [True, False, True, True]
    cache.keep(names[4], CachedClaims("k", b"x" * 4000, NOW + 1))
    cache.keep(names[5], CachedClaims("k", b"x" * 4000, NOW + 1))
    assert [bool(cache.find(name, NOW)) for name in names[3:6]] == [False, True, True]
    cache.keep(names[6], CachedClaims("k", b"x" * 5000, NOW + 1))
    assert cache.find(names[6], NOW) is None
    assert cache.find(names[5], NOW + 1) is None
    cache.clear()
    assert len(cache) == 0
    assert cache._bytes == 0


@pytest.mark.parametrize("alg", [*PRIVATE, "none"])
def test_pyjwt_reads_a_token_that_the_ring_signs(ring: KeyRing, alg: str) -> None:
    ring._active = dict(ring._by_kid)
    token = ring.sign(CLAIMS, alg, TYP)
    header = {"typ": TYP, "alg": alg} if alg == "none" else {"typ": TYP, "alg": alg, "kid": alg}
    assert jwt.get_unverified_header(token) == header
    if alg == "none":
        assert token.endswith(".")
        assert jwt.decode(token, options={"verify_signature": False}) == CLAIMS
    else:
        assert jwt.decode(token, PRIVATE[alg].public_key(), [alg], {"verify_exp": False}, audience="a") == CLAIMS
        assert ring.verify(token, typ=TYP, issuer=ISSUER) == CLAIMS
