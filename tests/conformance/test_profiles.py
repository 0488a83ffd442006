"""What an application may relax is one list: by profile, named, and shown. New applications are strict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conformance.parties import authorize, registered
from tests.demands import demand
from tests.support import City

from sso.clients.catalogue import read_catalogue
from sso.clients.metadata import ClientMetadata
from sso.clients.profiles import PROFILES, RELAXATIONS, relaxations
from sso.clients.registry import stored_metadata

USUAL: dict[str, Any] = {"type": "web", "client_name": "A", "redirect_uris": ["https://a.example/cb"]}
RELAXED: dict[str, dict[str, Any]] = {
    "require_pkce: false": {"require_pkce": False},
    "response_types: id_token, token": {"response_types": ["code", "code id_token"]},
    "scope_claims_in_id_token: true": {"scope_claims_in_id_token": True},
    "id_token_signed_response_alg: none": {"id_token_signed_response_alg": "none"},
    "request_object_signing_alg: none": {"request_object_signing_alg": "none"},
}


def metadata_of(profile: str, **fields: Any) -> ClientMetadata:
    return ClientMetadata.model_validate({**USUAL, "profile": profile, "require_pkce": True, **fields})


def test_every_relaxation_is_tried_here() -> None:
    assert [relaxation.name for relaxation in RELAXATIONS] == list(RELAXED)
    assert {profile for relaxation in RELAXATIONS for profile in relaxation.profiles} <= set(PROFILES) - {"standard"}


@demand("RFC 9700 2.1.1", "PKCE and the code flow are the rule; what is freed from it has a profile that says so")
@pytest.mark.parametrize("relaxation", RELAXATIONS, ids=lambda relaxation: relaxation.name)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_allows_what_its_list_says(relaxation: Any, profile: str) -> None:
    fields = RELAXED[relaxation.name]
    if profile in relaxation.profiles:
        assert relaxations(metadata_of(profile, **fields)) == [relaxation.name]
        return
    with pytest.raises(ValidationError, match=rf"needs profile: {' or '.join(relaxation.profiles)}"):
        metadata_of(profile, **fields)


def test_new_applications_are_strict() -> None:
    assert relaxations(ClientMetadata.model_validate(USUAL)) == []
    assert relaxations(ClientMetadata.model_validate({**USUAL, "profile": "legacy"})) == ["require_pkce: false"]


def test_what_was_stored_before_there_were_profiles_is_still_read() -> None:
    old = {**USUAL, "require_pkce": False, "grant_types": ["authorization_code"], "field_of_tomorrow": 1}
    assert stored_metadata(old).profile == "legacy"


@pytest.mark.parametrize("overrides", [{"client_registration": "open"}])
@demand("RFC 9700 2.1.1", "an application that registers itself must use PKCE, unless the city says otherwise")
async def test_self_registered_applications_are_strict(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        assert (await authorize(browser, party))["error"] == "invalid_request"


def test_the_static_client_of_the_page_can_be_registered(tmp_path: Path) -> None:
    """The entry that docs/reference/conformance.md has for the suite."""
    page = (Path(__file__).parents[2] / "docs/reference/conformance.md").read_text()
    block = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "client_id: suite\n" in block)
    (tmp_path / "c.yaml").write_text(f"catalogue: suite\napplications:\n{block}\n")
    suite = read_catalogue(tmp_path / "c.yaml").applications["suite"]
    assert set(suite.grant_types) == {"authorization_code", "refresh_token", "implicit"}
    assert len(relaxations(suite)) == 3


async def test_scope_claims_in_the_id_token(city: City) -> None:
    """An old application that never asks userinfo gets what its scopes allow in the ID token."""
    party = await registered(city)
    client = city.provider.registry.get(party.client_id)
    assert client is not None
    client.meta = client.meta.model_copy(update={"scope_claims_in_id_token": True})
    async with city.browser() as browser:
        answer = await authorize(browser, party, scope="openid email")
        token = (await party.exchange(answer["code"], code_verifier=None)).claims()
    assert token["email"] == "siti@warga.example"
    assert "name" not in token
