"""The rules between the fields of a client's metadata."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sso.clients.metadata.fields import MetadataFields
from sso.clients.metadata.rules import contradictions, without_unreadable

WEB = {"type": "web", "client_name": "Antrean", "redirect_uris": ["https://antrean.example/cb"]}


FINGERPRINT = ":".join(["AB"] * 32)
ANDROID = {
    "type": "android", "redirect_uris": ["id.go.kota.satu:/masuk"], "android_package": "id.go.kota.satu",
    "android_certificate_fingerprints": [FINGERPRINT],
}  # fmt: skip


def fields(**values: Any) -> MetadataFields:
    return MetadataFields.model_validate({**WEB, **values})


def named(texts: list[str]) -> list[str]:
    return [text.partition(":")[0] for text in texts]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({}, []),
        ({"scope": "profile"}, ["scope"]),
        ({"redirect_uris": []}, ["redirect_uris"]),
        ({"grant_types": ["refresh_token"]}, ["response_types", "grant_types"]),
        ({"token_endpoint_auth_method": "private_key_jwt"}, ["jwks"]),
        ({"token_endpoint_auth_signing_alg": "ES256"}, ["token_endpoint_auth_signing_alg"]),
        ({"id_token_encrypted_response_enc": "A128GCM"}, ["id_token_encrypted_response_enc"]),
        ({"scope": "openid nik"}, ["scope"]),
        ({"scope_reasons": {"lain": "x"}}, ["scope_reasons"]),
        ({"require_pkce": False}, ["require_pkce"]),
        ({"redirect_uris": ["https://a.example/cb", "https://b.example/cb"]}, ["subject_type"]),
        ({"android_package": "go.kota.satu"}, ["android_certificate_fingerprints"] + ["android_package"] * 2),
        ({**ANDROID, "first_party": True}, []),
        ({**ANDROID}, ["android_package"]),
        ({**ANDROID, "android_package": None, "first_party": True}, ["android_package"]),
        ({"frontchannel_logout_uri": "https://lain.example/out"}, ["frontchannel_logout_uri"]),
    ],
)
def test_each_contradiction_names_its_field(values: dict[str, Any], wrong: list[str]) -> None:
    assert named(contradictions(fields(**values), own_secret=False)) == wrong


@pytest.mark.parametrize(
    "wrong",
    [
        {"android_package": "satu"}, {"android_package": "id.go.1kota"}, {"android_package": "id.go.kota;x"},
        {"android_certificate_fingerprints": ["AB:CD"]}, {"android_certificate_fingerprints": [FINGERPRINT + ":AB"]},
        {"android_certificate_fingerprints": ["x" * 64]}, {"android_certificate_fingerprints": [FINGERPRINT] * 6},
    ],
)  # fmt: skip
def test_packages_and_fingerprints_of_another_form_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        fields(**{**ANDROID, **wrong})


def test_fingerprints_are_stored_in_one_form() -> None:
    plain = fields(**{**ANDROID, "android_certificate_fingerprints": ["ab" * 32]})
    assert plain.android_certificate_fingerprints == [FINGERPRINT]


def test_an_installed_application_has_a_secret_only_where_each_instance_registered_itself() -> None:
    installed = fields(
        type="android", redirect_uris=["id.go.kota.antrean:/masuk"], token_endpoint_auth_method="client_secret_basic"
    )
    assert named(contradictions(installed, own_secret=False)) == ["token_endpoint_auth_method"]
    assert contradictions(installed, own_secret=True) == []


def test_a_rule_that_needs_an_unreadable_field_is_left_out() -> None:
    contradicting = fields(scope="profile", redirect_uris=[])
    assert named(contradictions(contradicting, own_secret=False)) == ["redirect_uris", "scope"]
    assert named(contradictions(without_unreadable(contradicting, {"scope"}), own_secret=False)) == ["redirect_uris"]
