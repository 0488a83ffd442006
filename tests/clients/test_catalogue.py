"""Catalogues: exact messages for every mistake (file, line, application, field, what is allowed)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sso.clients.catalogue import CatalogueError, read_catalogue
from sso.clients.metadata import GROUPS

ROOT = Path(__file__).parents[2]

GOOD = """\
catalogue: kota
applications:
  - client_id: satu
    type: web
    client_name: Satu
    redirect_uris: [https://satu.example/cb]
"""


def mistakes(tmp_path: Path, text: str, **options: Any) -> list[str]:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(path, **options)
    return [line.replace(str(path), "c.yaml") for line in caught.value.mistakes]


def test_the_example_has_the_122_applications() -> None:
    applications = read_catalogue(ROOT / "clients.example.yaml").applications
    assert len(applications) == 122
    kinds = [application.type for application in applications.values()]
    assert kinds.count("android") == 6
    assert {application.group for application in applications.values()} == set(GROUPS)
    for client_id, application in applications.items():
        assert application.client_name, client_id
        assert application.client_name_en, client_id
        assert application.description, client_id
        assert application.description_en, client_id
        assert application.require_pkce, client_id
        for uri in application.redirect_uris:
            assert ".tangerang.example/" in uri or uri.startswith("example.tangerang."), uri
    android = [application for application in applications.values() if application.type == "android"]
    assert all(application.is_public and application.application_type == "native" for application in android)
    for application in android:
        assert {uri.partition(":")[0].partition(".")[0] for uri in application.redirect_uris} == {"https", "example"}
    assert "ILLUSTRATIVE" in (ROOT / "clients.example.yaml").read_text()


BAD = {
    "http": ("[http://satu.example/cb]", "must use https"),
    "wildcard": ("['https://*.example/cb']", "must not have a wildcard (*)"),
    "fragment": ("['https://satu.example/cb#x']", "must not have a fragment"),
    "javascript": ("['javascript:alert(1)']", "must not use the scheme javascript:"),
    "data": ("['data:text/html,x']", "must not use the scheme data:"),
    "user name": ("['https://satu.example@evil.example/cb']", "must not have a username"),
    "capitals": ("['https://Satu.example/cb']", "lower case"),
    "trailing dot": ("['https://satu.example./cb']", "without a final dot"),
    "dots": ("['https://satu.example/a/../cb']", "must not have . or .. in its path"),
    "encoded dots": ("['https://satu.example/a/%2e%2E/cb']", "must not have . or .. in its path"),
    "backslash": ("['https://satu.example\\evil']", "only the characters of an address"),
    "space": ("['https://satu.example/a b']", "only the characters of an address"),
    "letters beyond ascii": ("['https://sátu.example/cb']", "only the characters of an address"),
    "relative": ("[/cb]", "must be a whole address"),
    "private scheme": ("['example.satu:/cb']", "private-use schemes are for native applications"),
    "port": ("['https://satu.example:99999/cb']", "is not an address"),
    "twice": ("[https://satu.example/cb, https://satu.example/cb]", "must not name an address twice"),
    "none": ("[]", "needs at least one for authorization_code"),
    "loopback": ("['http://localhost:8001/cb']", "must use https"),
    "not a list": ("https://satu.example/cb", "list"),
}


@pytest.mark.parametrize(("uris", "text"), BAD.values(), ids=BAD.keys())
def test_redirect_uris_that_are_refused(tmp_path: Path, uris: str, text: str) -> None:
    reported = mistakes(tmp_path, GOOD.replace("[https://satu.example/cb]", uris))
    assert len(reported) == 1
    assert reported[0].startswith("c.yaml:6: satu: redirect_uris"), reported[0]
    assert text in reported[0]


FIELDS = {
    "unknown field": (
        "colour: blue",
        "c.yaml:7: satu: colour: is not known; allowed are client_id, type, profile, group",
    ),
    "wrong type": ("first_party: maybe", "c.yaml:7: satu: first_party: Input should be a valid boolean"),
    "wrong alg": ("id_token_signed_response_alg: HS256", "c.yaml:7: satu: id_token_signed_response_alg:"),
    "wrong method": ("token_endpoint_auth_method: wish", "c.yaml:7: satu: token_endpoint_auth_method:"),
    "no keys": (
        "token_endpoint_auth_method: private_key_jwt",
        "satu: jwks: token_endpoint_auth_method: private_key_jwt needs",
    ),
    "http page": ("client_uri: http://satu.example/", "c.yaml:7: satu: client_uri: must use https"),
    "twice": ("type: web", "c.yaml:7: type stands twice"),
    "scope": ("scope: email", "c.yaml:7: satu: scope: must hold openid"),
    "odd scope": ("scope: 'openid \"x'", "c.yaml:7: satu: scope:"),
    "response type": ("response_types: [token]", "c.yaml:7: satu: response_types"),
    "grants": ("grant_types: [refresh_token]", "satu: response_types: code goes together"),
    "markup": ("description: <script>", "c.yaml:7: satu: description:"),
    "tag": ("description: !!python/object:os.system {}", "c.yaml:7: could not determine a constructor"),
    "private key": (
        "token_endpoint_auth_method: private_key_jwt\n    jwks: {keys: [{kty: EC, d: x}]}",
        "satu: jwks: must hold public keys only",
    ),
    "relaxed public": ("require_pkce: false\n    token_endpoint_auth_method: none", "require_pkce: a public client"),
}


@pytest.mark.parametrize(("line", "text"), FIELDS.values(), ids=FIELDS.keys())
def test_fields_that_are_refused(tmp_path: Path, line: str, text: str) -> None:
    reported = mistakes(tmp_path, f"{GOOD}    {line}\n")
    assert text in reported[0], reported


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = GOOD + (
        "  - client_id: dua\n    type: spaceship\n    client_name: Dua\n"
        "  - type: web\n    client_name: Tiga\n"
        "  - client_id: satu\n    type: service\n    client_name: Satu lagi\n"
        "  - just text\n"
        "  - client_id: enam\n    type: android\n    redirect_uris: [enam:/cb]\n"
        "kucing: ya\n"
    )
    reported = mistakes(tmp_path, text)
    assert [line.split(": ")[0] for line in reported] == [
        "c.yaml:19", "c.yaml:8", "c.yaml:10", "c.yaml:10", "c.yaml:12", "c.yaml:15", "c.yaml:16", "c.yaml:18",
    ]  # fmt: skip
    assert "kucing: is not known here" in reported[0]
    assert "dua: type: Input should be 'web', 'single_page', 'service', 'android', 'cas' or 'gate'" in reported[1]
    assert "entry 3: client_id: must be 1 to 100 letters" in reported[2]
    assert "entry 3: redirect_uris: needs at least one for authorization_code" in reported[3]
    assert "satu: client_id: is also used by entry 1" in reported[4]
    assert "entry 5: must be fields with values" in reported[5]
    assert "enam: client_name: is required" in reported[6]
    assert "your domain turned round" in reported[7]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.yaml:1: must have catalogue: NAME and applications: a list"),
        ("[1, 2]", "c.yaml:1: must have"),
        ("catalogue: kota\napplications: {}", "c.yaml:2: applications: must be a list"),
        ("a: [", "c.yaml:2: did not find expected node content"),
        ("a: \x00", "is not YAML"),
        ("catalogue: Kota!\napplications: []", "c.yaml:1: catalogue: must be a name in small letters"),
        ("&a [*a", "c.yaml"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in mistakes(tmp_path, text)[0]


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="No such file"):
        read_catalogue(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogueError, match="not UTF-8"):
        read_catalogue(tmp_path / "b.yaml")


def test_loopback_addresses_are_for_a_loopback_issuer_only(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(GOOD.replace("https://satu.example/cb", "http://localhost:8001/cb"))
    assert read_catalogue(tmp_path / "c.yaml", allow_http_loopback=True).applications


def many(count: int) -> str:
    entry = (
        "  - client_id: app-{n}\n    type: web\n    group: E-Logistik\n    client_name: Aplikasi {n}\n"
        "    first_party: true\n    redirect_uris: [https://app-{n}.example/cb]\n"
    )
    return "catalogue: besar\napplications:\n" + "".join(entry.format(n=n) for n in range(count))


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(many(5000))
    began = time.process_time()
    assert len(read_catalogue(path).applications) == 5000
    print(f"5,000 applications read in {time.process_time() - began:.1f} s of CPU time")
