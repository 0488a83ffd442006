"""Exports of other systems through the command line, and the clients of a realm as a catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Cli
from tests.users import exports
from tests.users.exports import FIREBASE, OLD

from sso.clients.catalogue import read_catalogue
from sso.clients.keycloak import as_yaml, convert


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_export_is_imported_by_its_format(cli: Cli, tmp_path: Path) -> None:
    exports.keycloak(tmp_path / "realm.json")
    done = cli("users", "import", "realm.json", "--format", "keycloak", "--json").json
    assert (done["rows"], done["made"], done["rejected"]) == (5, 3, 2)
    report = Path(done["report"]).read_text()
    assert "disabled there (enabled is not true)" in report
    assert "cannot be read" not in report
    assert "roles: admin grants nothing here" in report
    assert "roles: realm-management/realm-admin grants nothing here" in report
    assert "groups: /admin grants nothing here" in report
    assert cli("users", "show", "kc.citra").json["roles"] == ["citizen"]

    exports.firebase(tmp_path / "users.json")
    refused = cli("users", "import", "users.json", "--format", "firebase")
    assert (refused.code, "--hash-parameters" in refused.err) == (1, True)
    lines = "".join(f"  {name}: {value},\n" for name, value in FIREBASE.items())
    (tmp_path / "hash.txt").write_text(f"hash_config {{\n  algorithm: SCRYPT,\n{lines}}}\n")
    words = ("users", "import", "users.json", "--format", "firebase", "--hash-parameters", "hash.txt")
    checked = cli(*words, "--check-password", "fb.ani@warga.example", "--password-stdin", stdin=OLD)
    assert "the password matches" in checked.out, checked.err
    (tmp_path / "hash.txt").write_text("rounds: 8")
    assert "missing: base64_signer_key" in cli(*words).err
    imported = cli("users", "import", "users.json", "--format", "firebase", "--hash-parameters", "none", "--json").json
    assert imported["left_out"]["password_hash"] == 2

    exports.laravel(tmp_path / "dump.sql")
    assert "name the table with --table" in cli("users", "import", "dump.sql", "--format", "sql").err
    assert "--table is for --format sql" in cli("users", "import", "dump.sql", "--format", "ldif", "--table", "x").err
    general = ("users", "import", "dump.sql", "--format", "sql", "--column", "password_hash=password")
    assert "no table orang" in cli(*general, "--table", "orang").err
    done = cli(*general, "--table", "users", "--column", "email_verified=email_verified_at", "--json").json
    assert (done["rows"], done["made"]) == (4, 4)
    assert "format" in cli("users", "import", "dump.sql", "--format", "oracle").err


CLIENT: dict[str, Any] = {
    "enabled": True, "protocol": "openid-connect", "publicClient": False, "standardFlowEnabled": True,
    "clientAuthenticatorType": "client-secret", "secret": "rahasia-sekali", "attributes": {}, "webOrigins": [],
    "defaultClientScopes": ["web-origins", "acr", "profile", "roles", "basic", "email"],
    "optionalClientScopes": ["address", "phone", "offline_access", "microprofile-jwt"],
}  # fmt: skip


def realm_clients() -> list[dict[str, Any]]:
    return [
        {**CLIENT, "clientId": "account-console", "publicClient": True},
        {
            **CLIENT, "clientId": "layanan", "name": "Layanan Warga", "rootUrl": "https://layanan.kota.example",
            "baseUrl": "/", "redirectUris": ["/callback", "https://layanan.kota.example/lain", "/*"],
            "directAccessGrantsEnabled": True, "webOrigins": ["+"],
            "attributes": {
                "post.logout.redirect.uris": "+##https://layanan.kota.example/##/keluar/*",
                "backchannel.logout.url": "https://layanan.kota.example/bc", "access.token.lifespan": "600",
                "id.token.signed.response.alg": "HS256", "custom.thing": "1",
            },
            "protocolMappers": [{"name": "nip", "protocolMapper": "oidc-usermodel-attribute-mapper"}],
        },
        {**CLIENT, "clientId": "spa", "publicClient": True, "redirectUris": ["https://spa.kota.example/cb"],
         "name": "${client_spa}", "implicitFlowEnabled": True},
        {**CLIENT, "clientId": "hp", "publicClient": True, "redirectUris": ["id.kota.aplikasi:/masuk"]},
        {**CLIENT, "clientId": "mesin-malam", "standardFlowEnabled": False, "serviceAccountsEnabled": True,
         "description": "Tugas malam: \"x\"\n# bukan komentar"},
        {**CLIENT, "clientId": "dua-host", "redirectUris": ["https://a.kota.example/cb", "https://b.kota.example/cb"]},
        {**CLIENT, "clientId": "jwt", "clientAuthenticatorType": "client-jwt",
         "redirectUris": ["https://jwt.kota.example/cb"],
         "attributes": {"use.jwks.url": "true", "jwks.url": "https://jwt.kota.example/jwks",
                        "token.endpoint.auth.signing.alg": "ES256"}},
        {**CLIENT, "clientId": "http", "redirectUris": ["http://dalam.kota.example/cb"]},
        {**CLIENT, "clientId": "mati", "enabled": False, "redirectUris": ["https://m.kota.example/cb"]},
        {**CLIENT, "clientId": "https://saml.kota.example/sp", "protocol": "saml"},
        {**CLIENT, "clientId": "api", "bearerOnly": True},
    ]  # fmt: skip


def test_the_clients_of_a_realm_are_a_catalogue_that_can_be_applied(cli: Cli, tmp_path: Path) -> None:
    realm = {"realm": "kota", "users": [{"username": "x"}], "clients": realm_clients()}
    (tmp_path / "realm.json").write_text(json.dumps(realm))
    answer = cli("clients", "convert", "realm.json", "--format", "keycloak", "--catalogue", "kota")
    assert answer.code == 0, answer.err
    assert "rahasia-sekali" not in answer.out
    for warning in (
        "direct access grants", "/*: wildcards do not exist here", "protocol mappers nip", "custom.thing",
        "the implicit flow is not taken over", "id_token_signed_response_alg HS256: does not exist here",
        "Left out: account-console: is part of Keycloak itself", "Left out: api: only receives tokens",
        "Left out: http: redirect_uris: 'http://dalam.kota.example/cb' must use https",
        "Left out: mati: is disabled in Keycloak", "speaks saml", "address after sign-out /keluar/*",
    ):  # fmt: skip
        assert warning in answer.out, warning
    (tmp_path / "kota.yaml").write_text(answer.out)
    assert "6 clients converted" in answer.err
    catalogue = read_catalogue(tmp_path / "kota.yaml")
    assert sorted(catalogue.applications) == ["dua-host", "hp", "jwt", "layanan", "mesin-malam", "spa"]
    layanan = catalogue.applications["layanan"]
    assert layanan.redirect_uris == ["https://layanan.kota.example/callback", "https://layanan.kota.example/lain"]
    assert "https://layanan.kota.example/" in layanan.post_logout_redirect_uris
    assert (layanan.access_token_seconds, layanan.type, layanan.first_party) == (600, "web", False)
    assert catalogue.applications["spa"].type == "single_page"
    assert catalogue.applications["hp"].type == "android"
    assert catalogue.applications["mesin-malam"].grant_types == ["client_credentials"]
    assert catalogue.applications["dua-host"].subject_type == "public"
    assert catalogue.applications["jwt"].token_endpoint_auth_method == "private_key_jwt"
    assert not any(
        "sso:" in application.scope or "nik" in application.scope for application in catalogue.applications.values()
    )
    applied = cli("clients", "apply", "kota.yaml", "--dry-run", "--json")
    assert applied.code == 0, applied.err
    assert applied.json["catalogue"] == "kota"
    (tmp_path / "none.json").write_text('{"realm": "kota"}')
    assert "no list 'clients'" in cli("clients", "convert", "none.json").err
    assert cli("clients", "convert", "realm.json", "--format", "okta").code != 0


def test_odd_clients_never_break_the_catalogue() -> None:
    odd = [
        {},
        {"clientId": 7, "standardFlowEnabled": True},
        {**CLIENT, "clientId": "a", "redirectUris": None, "attributes": None, "defaultClientScopes": None},
        {**CLIENT, "clientId": "b", "redirectUris": ["https://b.example/#x", "javascript:alert(1)", "https://b.example/"],
         "name": "<b>\n- x: 1", "baseUrl": 7},
        {**CLIENT, "clientId": "c", "redirectUris": [f"https://c.example/{n % 30}" for n in range(40)]},
    ]  # fmt: skip
    converted = convert(odd)
    document = yaml.safe_load(as_yaml(converted, "kota"))
    assert {application["client_id"] for application in document["applications"]} <= {"a", "b", "c"}


def test_a_client_with_wildcards_only_is_left_out_with_the_reason() -> None:
    converted = convert(
        [{"clientId": "app", "standardFlowEnabled": True, "redirectUris": ["https://app.kota.example/*"]}]
    )
    assert not converted.entries
    assert "redirect URI https://app.kota.example/*: wildcards do not exist here" in as_yaml(converted, "keycloak")
