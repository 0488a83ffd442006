"""More of what comes from outside (issue 16 section 5): charsets, keys, browser names, combining marks."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from tests.support import ISSUER, KEY_OF_KUNCI, City, query_of

from sso.identity.sessions.devices import device_of
from sso.platform.security.text import check_line, one_line

PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nxn--\\ud800\r\n--x--\r\n'


@pytest.mark.parametrize("overrides", [{"client_registration": "open"}])
async def test_charsets_keys_and_marks_are_refused_and_never_a_failure(city: City) -> None:
    async with city.browser() as own:
        await own.code(city.relying_party("warga"))
        for charset in ("undefined", "punycode", "idna", "unicode_escape", "utf-7", "utf-16", "hex"):
            kind = f"multipart/form-data; boundary=x; charset={charset}"
            answer = await own.http.post("/account/picture", content=PART, headers={"Content-Type": kind})
            assert answer.status_code == 400, (charset, answer.status_code)
    async with city.client() as http:
        kinds: tuple[Any, ...] = (["EC"], {}, None, 1, "oct")
        documents = [{"jwks": {"keys": [{"kty": kind}]}} for kind in kinds]
        documents += [{"client_name": name} for name in ("Bank" + "\u0338" * 40, "\u0301Bank", "Ba\U0001bca0nk")]
        for document in documents:
            body = {"client_name": "Aplikasi", "redirect_uris": ["https://baru.example/cb"], **document}
            answer = await http.post("/register", json=body)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata"), document
        for name in ("ꦱꦶꦠꦶꦫꦲ꧀ꦩꦮꦠꦶ", "عَبْدُ اللّٰه", "王小明", "D'Angelo Ó Súilleabháin", "Nguye\u0302\u0303n 👍🏽"):
            body = {"client_name": name, "redirect_uris": ["https://baru.example/cb"]}
            assert (await http.post("/register", json=body)).status_code == 201, name


@pytest.mark.parametrize("overrides", [{"client_registration": "open"}])
async def test_a_request_object_has_the_rules_of_a_query(city: City) -> None:
    known = city.provider.registry.get("kunci")
    assert known is not None
    async with city.client() as http:
        keys = {"jwks": known.meta.jwks, "request_object_signing_alg": "ES256"}
        document = {"client_name": "Aplikasi", "redirect_uris": ["https://baru.example/cb"], **keys}
        client_id = (await http.post("/register", json=document)).json()["client_id"]
        parameters = {"client_id": client_id, "response_type": "code", "scope": "openid"}
        parameters |= {"redirect_uri": "https://baru.example/cb"}
        inside = {
            **parameters,
            "aud": ISSUER,
            "iss": client_id,
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
        }
        for name, value in (("login_hint", "siti\u200b"), ("state", "a\r\nb"), ("nonce", "a\u2060b")):
            signed = jwt.encode({**inside, name: value}, KEY_OF_KUNCI, "ES256", {"kid": "1"})
            answer = await http.get("/authorize", params={**parameters, "request": signed})
            assert query_of(answer.headers.get("location", "")).get("error") == "invalid_request_object", name


def test_what_a_browser_says_of_itself_is_no_message() -> None:
    """It stands in the mail about a new device, which goes to the owner of the account."""
    for model in ("Buka http://evil.example", "Buka evil.example", "A\x85B\x9b", "W" * 300, "<b>x</b>"):
        device = device_of(f"Mozilla/5.0 (Linux; Android 14; {model} Build/X) AppleWebKit/537.36 Chrome/131.0")
        assert device.text == "Chrome 131, Android 14", model
    assert device_of("Mozilla/5.0 (Linux; Android 14; SM-A057F) Chrome/131.0").text.endswith("Samsung SM-A057F")
    assert len(device_of("Mozilla/5.0 (X11) Chrome/" + "9" * 300).text) < 60


def test_marks_stay_on_their_line() -> None:
    for text in ("a" + "\u0300" * 7, "\u20dd", "a\ufffc"):
        with pytest.raises(ValueError):
            check_line(text)
        assert check_line(one_line(text)) == one_line(text)
