"""What people write wrongly in the metadata of an application: every mistake is named, with what to write instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.api.conftest import person_with, program
from tests.clients.test_catalogue import GOOD, mistakes
from tests.support import City

from sso.clients.metadata import ClientMetadata
from sso.clients.validation_errors import fields_of_metadata, mistakes_of, nearest_name, scope_warnings


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"client_registration": "open"}


ENTRY = "catalogue: kota\napplications:\n  - client_id: satu\n    type: web\n    client_name: Satu\n"
URIS = "    redirect_uris: [https://satu.example/cb]\n"
NOT_TEXT = (
    "12345", "0123", "0x1F", "1_000", "1:30", "1.0e+3", "1.5", ".inf", "yes", "No", "on", "TRUE", "2024-01-01",
    "2024-01-01 10:00:00",
)  # fmt: skip


@pytest.mark.parametrize("written", NOT_TEXT)
def test_what_yaml_reads_as_something_else_is_to_be_quoted(tmp_path: Path, written: str) -> None:
    fields = ("client_name", "description", "group", "audience", "client_uri", "policy_uri", "sector_identifier_uri")
    text = GOOD.replace("client_id: satu", f"client_id: {written}")
    text = text.replace("    client_name: Satu\n", "".join(f"    {name}: {written}\n" for name in fields))
    text += f"    contacts:\n      - {written}\n    scope_reasons: {{openid: {written}}}\n    minimum_acr: {written}\n"
    reported = mistakes(tmp_path, text)
    quoted = f'write it in quotes: "{written}"'
    for name in ("client_id", *fields, "contacts.0", "scope_reasons.openid"):
        assert any(f" {name}: must be text" in line and quoted in line for line in reported), (name, reported)
    assert any(" minimum_acr: " in line and "in quotes" in line for line in reported), reported
    assert [int(line.split(":")[1]) for line in reported] == sorted(int(line.split(":")[1]) for line in reported)


def test_every_kind_of_mistake_is_said_in_one_run(tmp_path: Path) -> None:
    text = (
        "catalogue: kota\naplications: []\napplications:\n"
        "  - client_id: dua\n    type: web\n    client_name: Dua\n    client_name: Lagi\n"
        "    redirect_uris: https://a.example/cb\n    scope: openid,email\n    contact: [a@b.example]\n"
        "    redirect-uris: [x]\n    default_max_age: 0600\n    first_party: maybe\n"
        "    token_endpoint_auth_method: private_key_jwt\n    client_secret: abc\n    1: 2\n"
        "  - client_id: tiga\n    type: web\n    client_name: Tiga\n    scope: [openid, email]\n"
        "    redirect_uris:\n      - http://a.example/cb\n      - 'https://*.example/'\n    description:\n"
        "    require_pkce: false\n    id_token_signed_response_alg: none\n"
        "  - client_id:\n    type: web\n    client_name:\n"
        "  - hanya teks\n"
        "  - client_id: dua\n    type: webb\n    client_name: Enam\n"
    )
    expected = [
        (2, "aplications: is not known here: applications is probably meant"),
        (7, "client_name stands twice"),
        (8, "dua: redirect_uris: must be a list: [https://a.example/cb]"),
        (9, "dua: scope: its names are separated by spaces, not by commas: openid email"),
        (10, "dua: contact: is not known: contacts is probably meant"),
        (11, "dua: redirect-uris: is not known: redirect_uris is probably meant"),
        (12, "dua: default_max_age: 0600 is read as 384"),
        (13, "dua: first_party: Input should be a valid boolean"),
        (4, "dua: jwks: token_endpoint_auth_method: private_key_jwt needs jwks or jwks_uri"),
        (15, "dua: client_secret: a secret is never written here; make one with: sso clients secret"),
        (16, 'the key 1 must be text: write it in quotes: "1"'),
        (20, "tiga: scope: must be one text, not a list, with its names separated by spaces: openid email"),
        (22, "tiga: redirect_uris.0: 'http://a.example/cb' must use https"),
        (23, "tiga: redirect_uris.1: 'https://*.example/' must not have a wildcard"),
        (25, "tiga: require_pkce: require_pkce: false needs profile: legacy or certification"),
        (26, "tiga: id_token_signed_response_alg: id_token_signed_response_alg: none needs profile: certification"),
        (27, "entry 3: client_id: must be 1 to 100 letters"),
        (29, "entry 3: client_name: is required, and has no value here"),
        (27, "entry 3: redirect_uris: needs at least one for authorization_code"),
        (30, "entry 4: must be fields with values"),
        (31, "dua: client_id: is also used by entry 1"),
        (
            32,
            "dua: type: Input should be 'web', 'single_page', 'service', 'android', 'cas' or 'gate'; "
            "web is probably meant",
        ),
    ]
    reported = mistakes(tmp_path, text)
    for line, message in expected:
        assert any(mistake.startswith(f"c.yaml:{line}: {message}") for mistake in reported), (line, message, reported)
    assert len(reported) == len(expected), reported


def test_what_is_no_yaml_says_what_to_write(tmp_path: Path) -> None:
    for text, message in (
        (ENTRY + "\tgroup: x\n", "indent with spaces, not with tabs"),
        (ENTRY + "    group: @x\n", "in quotes"),
        (ENTRY + "    group: *x\n", "in quotes"),
        (ENTRY + "    group: a: b\n", "in quotes"),
        (ENTRY + "---\na: b\n", "one document"),
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("catalogue: kota\napplications:\n", "must be a list"),
        ("catalogue: kota\napplications: satu\n", "must be a list"),
        ("catalogue: 12\napplications: []\n", "write it in quotes"),
    ):
        reported = mistakes(tmp_path, text)
        assert message in reported[0], (text, reported)
        assert reported[0].startswith("c.yaml:"), reported


def test_a_mistake_in_the_defaults_is_said_once(tmp_path: Path) -> None:
    text = "catalogue: kota\ndefaults: {group: 5}\napplications:\n" + "".join(
        f"  - {{client_id: a{number}, type: web, client_name: A, redirect_uris: ['https://a.example/']}}\n"
        for number in range(9)
    )
    assert mistakes(tmp_path, text) == [
        'c.yaml:2: defaults: group: must be text, and 5 is a number: write it in quotes: "5"'
    ]


@limits(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(fields_of_metadata()) | st.text(max_size=12),
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=5), max_size=2),
        max_size=8,
    )
)
def test_whatever_is_written_is_explained(document: dict[str, Any]) -> None:
    try:
        ClientMetadata.model_validate(document)
    except ValidationError as error:
        reported = mistakes_of(document, error, {})
        assert reported
        assert all(mistake.text and "Value error" not in mistake.text for mistake in reported)
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        assert wrong <= {mistake.place[0] for mistake in reported if mistake.place}


def test_the_nearest_name() -> None:
    for typed, meant in (
        ("redirect_uri", "redirect_uris"), ("redirectUris", "redirect_uris"), ("scopes", "scope"),
        ("grant_type", "grant_types"), ("logo_url", "logo_uri"), ("client-name", "client_name"), ("spaceship", ""),
    ):  # fmt: skip
        assert nearest_name(typed, fields_of_metadata()) == meant, typed
    assert scope_warnings("openid emial profile surat:baca kirim ssf.read sso:users:reed") == [
        "scope: emial is not a scope of this provider; email is probably meant",
        "scope: sso:users:reed is not a scope of this provider; sso:users:read is probably meant",
    ]
    assert scope_warnings("openid profile email address phone offline_access identity nik kirim terima") == []


JSON_MISTAKES: dict[str, tuple[Any, str]] = {
    "client_name": (12345, 'write it in quotes: "12345"'),
    "redirect_uris": ("https://a.example/cb", "must be a list: [https://a.example/cb]"),
    "scope": ("openid,email", "separated by spaces"),
    "contacts": ([True], 'write it in quotes: "true"'),
    "first_party": ("maybe", "true or false"),
    "default_max_age": ("soon", "a whole number"),
    "redirect_uri": (["https://a.example/cb"], "redirect_uris is probably meant"),
}


async def test_the_api_registration_and_the_portal_say_the_same(city: City) -> None:
    api, document = await program(city), {name: value for name, (value, _) in JSON_MISTAKES.items()}
    metadata = {"type": "web", **document}
    answer = await api("POST", "/clients", json={"client_id": "salah", "metadata": metadata})
    assert answer.status_code == 422
    listed = {error["pointer"].split("/")[2]: error["detail"] for error in answer.json()["errors"]}
    for name, (_, message) in JSON_MISTAKES.items():
        assert message in listed[name], (name, listed)
    async with city.client() as http:
        for name in ("client_name", "redirect_uris", "scope", "contacts", "default_max_age"):
            value, message = JSON_MISTAKES[name]
            sent = {"redirect_uris": ["https://a.example/cb"], name: value}
            answer = await http.post("/register", json=sent)
            assert answer.status_code == 400, (name, answer.text)
            text = answer.json()["error_description"]
            assert text.startswith(f"{name}"), text
            assert message.replace('"', "'") in text.replace('"', "'"), text
        answer = await http.post("/register", content=json.dumps({"redirect_uri": ["https://a.example/cb"]}),
                                 headers={"content-type": "application/json"})  # fmt: skip
        text = answer.json()["error_description"]
        assert "redirect_uris: needs at least one" in text
        assert "redirect_uri: is not known: redirect_uris is probably meant" in text
    team = await person_with(city, "developer")
    for name, message in (
        ("client_name", "must be text"), ("redirect_uris", "must be a list"), ("contacts", "in quotes"),
        ("redirect_uri", "redirect_uris is probably meant"), ("first_party", "only an administrator decides this"),
    ):  # fmt: skip
        application = {"application_id": f"salah-{name.replace('_', '-')}", "kind": "web", "document": {}}
        application["document"] = {"client_name": "Salah", name: document[name]}
        answer = await team("POST", "/applications", json=application)
        assert answer.status_code == 422, (name, answer.text)
        assert message in answer.text, (name, answer.text)
    wrong = await api("POST", "/clients", json={"client_id": 12345, "metadata": {}})
    assert 'write it in quotes: \\"12345\\"' in wrong.text, wrong.text
    wrong = await api("POST", "/clients", json={"client_id": "salah", "metadata": {"response_types": True}})
    assert wrong.status_code == 422
    assert "must be a list" in wrong.text
    metadata = {"type": "web", "client_name": "Warga", "redirect_uris": ["https://a.example/cb"]}
    created = await api(
        "POST", "/clients", json={"client_id": "benar", "metadata": {**metadata, "scope": "openid emial"}}
    )
    assert created.json()["client"]["warnings"] == [
        "scope: emial is not a scope of this provider; email is probably meant"
    ]
