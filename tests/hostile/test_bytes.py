"""Bytes, numbers and text from outside (issue 16 section 5): a clear 400 on both databases, never a 500."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import subprocess
import time
from base64 import b64encode
from html import unescape
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from sqlalchemy import select
from tests.api.conftest import PROGRAM_SCOPES
from tests.arranged import signed_in
from tests.fuzz.fuzzer import routes
from tests.support import ISSUER, KEY_OF_KUNCI, City, forms_in, query_of
from tests.web.test_developer import NEW, person, register

from sso.clients.catalogue import CatalogueError, read_catalogue
from sso.clients.models import Application
from sso.http.common.images import reduced_png
from sso.http.common.request_checks import SECRETS, SEVERAL_LINES, SIGNED_BODIES, Refused, check_fields
from sso.http.developer import literals
from sso.http.developer.literals import LANGUAGES
from sso.http.developer.quick_start import STACKS, filled
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.platform.security.numbers import MAX_TIME, is_time, read_day, read_int, read_uuid
from sso.platform.security.public_keys import check_key_set, is_usable
from sso.platform.security.text import check_line, check_lines, one_line

TEMPLATES = Path(literals.__file__).parents[1]
UNSEEN = (
    "\u202e",
    "\u2066",
    "\u200b",
    "\u200f",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\U000e0041",
    "\u061c",
    "\u2028",
    "\u0085",
)
NOBODY = "00000000-0000-7000-8000-000000000000"


def registration(**changes: Any) -> dict[str, Any]:
    return {"client_name": "Aplikasi", "redirect_uris": ["https://baru.example/cb"], **changes}


@pytest.mark.parametrize("overrides", [{"client_registration": "open"}])
async def test_the_gate_stands_before_every_route(city: City) -> None:
    """NUL in the path, half a character in the query, control characters in the body: 400 in the form of the place."""
    async with city.client() as http:
        for method, path in routes():
            real = re.sub(r"\{\w+(:path)?\}", NOBODY, path)
            tries: list[tuple[str, dict[str, Any]]] = [(f"{real}?x=%ED%A0%80", {}), (f"{real}?x%00=1", {})]
            if "{" in path:
                tries.append((re.sub(r"\{\w+(:path)?\}", "a%00b", path), {}))
            if method != "GET" and path not in SIGNED_BODIES:  # test_whatsapp.py sends signed ones
                tries.append((real, {"data": {"username": "a\x00b"}}))
                for body in ({"name": "a\ud800"}, {"name": {"a\x00": 1}}):
                    headers = {"Content-Type": "application/json"}
                    tries.append((real, {"content": json.dumps(body), "headers": headers}))
            for url, options in tries:
                answer = await http.request(method, url, **options)
                assert answer.status_code == 400, (method, url, options, answer.text)
                kind = answer.headers["content-type"]
                assert "Traceback" not in answer.text
                if path.startswith("/api/"):
                    assert (kind, answer.json()["status"]) == ("application/problem+json", 400)
                elif "json" in kind:
                    assert answer.json()["error"] in ("invalid_request", "invalid_client_metadata")
                else:
                    assert kind.startswith("text/html")
                    assert "karakter" in answer.text or "tidak dapat dibaca" in answer.text
        for name in ("User-Agent", "Accept-Language", "Idempotency-Key", "If-Match", "Cookie", "Authorization"):
            assert (await http.get("/login", headers=[(name.encode(), b"a\x00b")])).status_code == 400


async def test_bodies_and_addresses_are_bounded(city: City) -> None:
    async with city.client() as http:
        packed = await http.post("/token", content=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"})
        assert (packed.status_code, packed.headers["accept-encoding"]) == (415, "identity")
        assert (
            await http.post("/login", content=b"a=b", headers={"Content-Encoding": "GZIP, identity"})
        ).status_code == 415
        assert (await http.get("/" + "x" * 3000)).status_code == 414
        assert (await http.get("/login?" + "x" * 62_000)).status_code == 414
        assert (await http.get("/login", headers={"Cookie": "a=" + "b" * 66_000})).status_code == 431
        assert (await http.get("/login", headers=[(b"x-a", b"b")] * 200)).status_code == 431
        assert (await http.get("/login?" + "a&" * 300)).status_code == 400
        assert (
            await http.post(
                "/login", content=b"a&" * 300, headers={"Content-Type": "application/x-www-form-urlencoded"}
            )
        ).status_code == 400
        upload = {"picture": ("x\x00.png", b"x", "image/png")}
        assert (await http.post("/account/picture", files=upload, data={"a": "\x00"})).status_code < 500


@pytest.mark.parametrize("overrides", [{"client_registration": "open"}])
async def test_protocol_parameters_that_nobody_means(city: City) -> None:
    party = city.relying_party("warga")
    basic = b64encode(b"a\x00b:c").decode()
    known = city.provider.registry.get("kunci")
    assert known is not None
    weak = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    good = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    async with city.client() as http:
        for name, value in (
            ("max_age", "9" * 5000), ("max_age", "²"), ("max_age", "٣"), ("max_age", "-1"), ("max_age", "1_0"),
            ("claims", "[" * 4000), ("claims", '{"userinfo":{"name":NaN}}'), ("claims", '{"a":{},"a":{}}'),
            ("claims", json.dumps({"id_token": {"sub": {"value": "\ud800"}}})), ("claims", "9" * 5000),
        ):  # fmt: skip
            answer = await http.get(party.url(**{name: value}))
            assert query_of(answer.headers.get("location", "")).get("error") == "invalid_request", (name, value[:20])
        keys = {"jwks": known.meta.jwks, "request_object_signing_alg": "ES256"}
        client_id = (await http.post("/register", json=registration(**keys))).json()["client_id"]
        parameters = {
            "client_id": client_id,
            "response_type": "code",
            "scope": "openid",
            "redirect_uri": "https://baru.example/cb",
        }
        for state in ("\ud800", "a\x00b", "\u202e", "x"):
            inside = {
                **parameters,
                "aud": ISSUER,
                "iss": client_id,
                "state": state,
                "nonce": "n",
                "code_challenge": "x" * 43,
            }
            inside |= {"code_challenge_method": "S256"}
            signed = jwt.encode(inside, KEY_OF_KUNCI, "ES256", {"kid": "1"})
            answer = await http.get("/authorize", params={**parameters, "request": signed})
            error = query_of(answer.headers.get("location", "")).get("error")
            assert error == ("invalid_request_object" if state != "x" else None), (state, answer.text)
        for method, url in (("POST", "/token"), ("POST", "/introspect"), ("POST", "/revoke"), ("POST", "/par")):
            answer = await http.request(method, url, headers={"Authorization": f"Basic {basic}"}, data={"token": "x"})
            assert answer.status_code in (400, 401), (url, answer.text)
        key = city.relying_party("kunci")
        for claims in (
            {"exp": float("inf")}, {"exp": 10**400}, {"exp": float("nan")}, {"exp": True}, {"iat": float("nan")},
            {"nbf": float("-inf")}, {"iat": -1}, {"jti": "\ud800"}, {"jti": "a\x00b"}, {"sub": "kunci\x00"},
        ):  # fmt: skip
            answer = await http.post("/token", data={
                "grant_type": "client_credentials", "client_assertion": key.assertion(**claims),
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            })  # fmt: skip
            assert answer.status_code in (400, 401), (claims, answer.text)
        refused = [registration(client_name=f"Ba{character}nk") for character in UNSEEN]
        refused += [registration(client_name="Bank\r\nBcc: x@y.example"), registration(default_max_age=10**30)]
        refused += [registration(default_max_age=2**62)]
        refused += [registration(jwks={"keys": [weak]}), registration(jwks={"keys": [{**good, "d": "x"}]})]
        refused += [registration(jwks={"keys": [{**good, "kid": "1"}, {**good, "kid": "1"}]})]
        refused += [
            registration(jwks={"keys": [{"kty": "oct", "k": "AAAA"}]}),
            registration(jwks={"keys": [good] * 30}),
        ]
        for body in refused:
            answer = await http.post("/register", json=body)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata"), body
        description = (await http.post("/register", json=registration(jwks={"keys": [weak]}))).json()[
            "error_description"
        ]
        assert "1024 bits: make one of 2048" in description


async def test_pages_and_the_api_with_numbers_dates_and_names(city: City) -> None:
    await person(city, "dimas", "developer")
    developer = await signed_in(city, "dimas")
    await register(developer)
    administrator = await signed_in(city, "ratna")
    for url in (
        "/admin/audit?from=0001-01-01&to=9999-12-31", "/admin/audit?since=9999-12-31&until=9999-12-31",
        "/admin/people?before=" + "１" * 32, "/admin/deliveries?before={" + NOBODY + "}", "/admin?span=9999999999",
    ):  # fmt: skip
        assert (await administrator.open(url)).status_code == 200, url
    page = await developer.open("/developer/apps/antrean/settings")
    form = next(form for form in forms_in(page.text) if "client_name" in form.fields)
    for revision in ("²", "9" * 5000, "-1", "1_0", "٣"):
        answer = await developer.http.post(form.action, data={**form.fields, "revision": revision})
        assert answer.status_code < 500, revision
    for name in ("Antrean\r\nBcc: x@y.example", "Antre\u202ean", "Antre\x00an"):
        answer = await developer.http.post(form.action, data={**form.fields, "client_name": name})
        assert answer.status_code == 400, name
    tokens = await city.relying_party("petugas").token(grant_type="client_credentials", scope=PROGRAM_SCOPES)
    async with city.client() as http:
        http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        draft = {"revision": 1, "document": {"client_name": "Antrean\r\nBcc: x@y.example"}}
        assert (await http.put("/api/v1/applications/antrean", json=draft)).status_code == 400
        for body in (
            {"username": "baru", "name": "Ba\u202eru"}, {"username": "baru", "name": "B\u200baru"},
            {"username": "baru", "name": "Ba\nru"}, {"username": "ba\u2060ru", "name": "Baru"},
        ):  # fmt: skip
            assert (await http.post("/api/v1/users", json=body)).status_code == 400, body
        for content in (
            b'{"name":NaN}',
            b'{"a":1,"a":2}',
            b"9" * 5000,
            b"[" * 5000,
            b'{"a":1e400}',
            b'\xef\xbb\xbf{"a":1}',
        ):
            answer = await http.post("/api/v1/users", content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 422), content[:20]
        address = {
            "username": "baru",
            "name": "Bâru",
            "profile": {"address": {"formatted": "Jalan Satria 1\nTangerang"}},
        }
        assert (await http.post("/api/v1/users", json=address)).status_code == 201
    async with city.provider.db.read() as session:
        names = (await session.execute(select(Application.name))).scalars().all()
    assert list(names) == [NEW["client_name"]]
    await developer.http.aclose()
    await administrator.http.aclose()


# Rules


def test_fields_with_several_lines_are_those_of_the_templates() -> None:
    """A new textarea, or a new field for a password, is named in the gate."""
    text = "\n".join(template.read_text() for template in TEMPLATES.rglob("*.html"))
    areas = set(re.findall(r'<textarea[^>]* name="([a-z_.]+)"', text)) | set(
        re.findall(r'\blines\(typed, "([^"]+)"', text)
    )
    assert areas <= SEVERAL_LINES
    assert set(re.findall(r'<input[^>]* name="([a-z_]+)"[^>]* type="password"', text)) <= SECRETS
    assert set(re.findall(r'new_password\("([a-z_]+)"', text)) <= SECRETS
    check_fields([("password", "pass\u200d\u202eword"), ("text", "a\r\nb 👩\u200d💻"), ("q", "Nama Biasa é")])
    for name, value in [("password", "\x00"), ("text", "\u202e"), ("q", "a\nb"), ("a" * 300, "")]:
        with pytest.raises(Refused):
            check_fields([(name, value)])


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet=st.characters(), max_size=30))
def test_what_passes_as_a_line_is_seen_and_stays_one_line(text: str) -> None:
    cleaned = one_line(text)
    assert check_line(cleaned) == cleaned
    assert len(cleaned.splitlines()) <= 1
    try:
        check_lines(text)
    except ValueError:
        with pytest.raises(ValueError):
            check_line(text)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=40) | st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps(value).encode()))  # fmt: skip
def test_json_is_read_or_refused(data: bytes) -> None:
    try:
        value = read_json(data)
    except (NotJson, DocumentRefused):
        return
    assert value == json.loads(data)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet="0123456789²٣１_+- .eE", max_size=25) | st.integers().map(str))
def test_numbers_and_ids_are_read_or_refused(text: str) -> None:
    for read in (read_int, read_uuid, read_day):
        try:
            value = read(text)
        except ValueError:
            continue
        assert text.isascii()
        assert read is not read_int or str(int(text)) == str(value)
    assert not is_time(float("nan"))
    assert not is_time(MAX_TIME + 1)


# Values in quick starts


EVIL = (
    "https://a.example/';system('id');//", 'https://a.example/";x();//', "https://a.example/${x}$(id)`id`#{1}%{y}",
    "https://a.example/\\';//", "https://a.example/*/?>x<?php", "https://a.example/%0a[ab]{{php:scope}}\\",
    "a\nb\u2028c",
)  # fmt: skip


def php_literal(source: str) -> str:
    """Read a literal in single quotes as PHP does, to its end, which must be the end of ``source``."""
    assert source[0] == source[-1] == "'"
    inside, decoded, at = source[1:-1], "", 0
    while at < len(inside):
        if inside[at] == "\\" and inside[at + 1 : at + 2] in ("\\", "'"):
            at += 1
        else:
            assert inside[at] != "'", "the literal ends too early"
        decoded, at = decoded + inside[at], at + 1
    return decoded


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=40) | st.sampled_from(EVIL) | st.text(alphabet="'\"\\$`{}*/?><#%\n;", max_size=20))
def test_a_literal_is_the_value_and_nothing_else(text: str) -> None:
    assert php_literal(LANGUAGES["php"](text)) == text
    assert ast.literal_eval(LANGUAGES["python"](text)) == text
    assert json.loads(LANGUAGES["js"](text)) == text
    for name in ("js", "java", "csharp", "kotlin"):
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', LANGUAGES[name](text))
    assert not re.search(r"(?<!\\)(?:\\\\)*\$", LANGUAGES["kotlin"](text))
    for name in ("apache", "apache_path", "dotenv"):
        literal = LANGUAGES[name](text)
        assert len(literal.splitlines()) <= 1
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"|[A-Za-z0-9:/._~?&=%+@,\-]+', literal)
    assert "${" not in LANGUAGES["apache"](text).replace("${dollar}", " ")
    assert "${" not in LANGUAGES["spring"](text).replace("${dollar:$}", " ")


async def test_a_redirect_uri_is_data_in_every_quick_start(city: City, tmp_path: Path) -> None:
    await person(city, "dimas", "developer")
    developer = await signed_in(city, "dimas")
    evil = "https://antrean.example/';system('id');//$(id)"
    await register(developer, **{"sandbox.redirect_uris": evil, "redirect_uris": evil})
    client = city.provider.registry.get("antrean-sandbox")
    assert client is not None
    assert evil in client.meta.redirect_uris
    page = await developer.open("/developer/apps/antrean/quick-start?stack=php&client=antrean-sandbox")
    assert "\\';system(\\'id\\')" in unescape(page.text)
    for stack in STACKS:
        for name, text in filled(stack, ISSUER, client):
            if name.endswith(".php"):
                code = re.sub(r"'(?:[^'\\]|\\.)*'", "", text)
                written = stack in ("php", "phpcas")  # Laravel reads it from its .env file
                assert ("system" in text, "system" in code) == (written, False), text
            if name.endswith(".py"):
                compile(text, name, "exec")
    if shutil.which("node"):
        for name, text in filled("node", ISSUER, client):
            if name.endswith(("js", "mjs")):
                (tmp_path / "a.mjs").write_text(text)
                subprocess.run(["node", "--check", str(tmp_path / "a.mjs")], check=True, timeout=60)
    await developer.http.aclose()


# Keys, files


def test_keys_are_checked_for_size_and_form() -> None:
    strong = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key()))
    curve = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    assert check_key_set({"keys": [strong, curve]})
    bad: list[Any] = [
        {**strong, "e": "AQ"}, {**strong, "e": "AAAC"}, {**strong, "n": strong["n"][:100]},
        {**strong, "n": strong["n"] * 8},
        {**strong, "n": strong["n"][:-2] + "AA"}, {**strong, "n": 5}, {**strong, "p": "x"}, {**strong, "alg": "ES256"},
        {**strong, "use": "enc", "alg": "RS256"}, {**strong, "use": "both"}, {**strong, "kid": 5},
        {**strong, "kid": "a\u202eb"}, {**curve, "x": curve["y"]},
        {**curve, "crv": "secp256k1"}, {**curve, "crv": "P-384"},
        {**curve, "x": curve["x"][:-4]}, {**curve, "alg": "ES384"}, {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed448", "x": "A" * 43}, {"kty": "oct", "k": "AAAA"}, "x", None, {},
    ]  # fmt: skip
    for key in bad:
        assert not is_usable(key), key


def test_aliases_in_a_catalogue_do_not_grow(tmp_path: Path) -> None:
    lines = ["catalogue: lucu", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "lucu.yaml"
    path.write_text("\n".join([*lines, "applications: []"]))
    began = time.process_time()
    with pytest.raises(CatalogueError, match="its aliases"):
        read_catalogue(path)
    assert time.process_time() - began < 5


def test_of_a_picture_only_the_pixels_are_kept() -> None:
    from PIL import Image

    def png(width: int, height: int, **options: Any) -> bytes:
        buffer = io.BytesIO()
        Image.new("1", (width, height)).save(buffer, "PNG", **options)
        return buffer.getvalue()

    small = reduced_png(png(20, 20, icc_profile=b"profile" * 1000))
    assert b"iCCP" not in small
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for body in (png(20_000, 20_000), svg, b"", b"\x89PNG\r\n\x1a\n", b"BM" + b"\0" * 99):
        with pytest.raises(ValueError):
            reduced_png(body)
