"""Applications that say which claims they need: they receive these alone, and people read what for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conformance.parties import authorize, claims_of, go_on, registered, tokens, userinfo
from tests.support import City, RelyingParty

from sso.clients import store
from sso.clients.claims import SCOPE_CLAIMS, allowed_by, permissions, shortest, withheld
from sso.clients.metadata import ClientMetadata
from sso.clients.models import SELF_REGISTERED
from sso.clients.registry import stored_metadata
from sso.clients.secrets import replace_client
from sso.http.developer.form_texts import DATA, OFFERED
from sso.platform.actor import Actor

WEB: dict[str, Any] = {"type": "web", "client_name": "RP", "redirect_uris": ["https://rp.example/cb"]}
NAME = {"name": "Nama di karcis."}


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Applications register themselves."""
    return {"client_registration": "open", "client_registration_profile": "certification"}


async def change(city: City, party: RelyingParty, **values: Any) -> None:
    """Change what is registered of an application; what is None is left out from then on."""
    async with city.provider.db.write() as session:
        row = await store.lock_client(session, party.client_id)
        assert row is not None
        unchanged = {
            name: value for name, value in stored_metadata(row.metadata_).stored().items() if name not in values
        }
        changes = {name: value for name, value in values.items() if value is not None}
        metadata = ClientMetadata.model_validate({**unchanged, **changes})
        await replace_client(session, row, metadata, catalogue=SELF_REGISTERED, actor=Actor("test"))
    await city.provider.refresh()


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ({"name"}, {"name", "family_name", "given_name", "middle_name", "updated_at"}),
        ({"birthdate", "locale"}, {"birthdate", "locale", "zoneinfo", "updated_at"}),
        ({"website"}, {"website", "profile", "updated_at"}),
        (set(), set(SCOPE_CLAIMS["profile"])),
        ({"email"}, set(SCOPE_CLAIMS["profile"])),
    ],
)
def test_of_a_scope_with_named_claims_these_alone_are_had(named: set[str], given: set[str]) -> None:
    assert set(SCOPE_CLAIMS["profile"]) - withheld(named) == given
    assert not withheld(named) & set(SCOPE_CLAIMS["email"])


def test_who_allowed_a_scope_allowed_every_claim_of_it_and_not_the_other_way() -> None:
    some, every = permissions(["openid", "profile"], {"name", "gender"}), permissions(["openid", "profile"], ())
    assert some == {"openid", "profile name", "profile gender"}
    assert every == {"openid", "profile"}
    assert some <= allowed_by(every)
    assert not every <= allowed_by(some)
    assert shortest(some | every) == ["openid", "profile"]
    assert shortest(some) == ["openid", "profile gender", "profile name"]


@pytest.mark.parametrize(
    ("reasons", "message"),
    [
        ({"given_name": "x"}, "given_name comes with name"),
        ({"birthdate": ""}, "at least 1 character"),
        ({"phone_number": "x"}, "phone_number is not a claim of the scopes"),
        ({"updated_at": "x"}, "updated_at is not a claim of the scopes"),
        ({"salary": "x"}, "salary is not a claim of the scopes"),
        ({"profile": "x"}, "profile comes with website"),
    ],
)
def test_only_claims_of_the_scopes_are_named_and_each_with_a_reason(reasons: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClientMetadata.model_validate({**WEB, "scope": "openid profile", "claim_reasons": reasons})


def test_the_form_offers_each_claim_of_the_scopes_that_it_offers() -> None:
    assert [name for names in OFFERED.values() for name in names] == list(DATA)


async def test_only_the_named_claims_are_given_wherever_they_are_asked_for(city: City) -> None:
    party = await registered(city, scope="openid profile email")
    await change(city, party, claim_reasons=NAME, scope_claims_in_id_token=True)
    requested = json.dumps(
        {"userinfo": {"birthdate": None, "name": None}, "id_token": {"gender": None, "nickname": None}}
    )
    async with city.browser() as browser:
        token_response = await tokens(
            browser, party, username="lengkap", scope="openid profile email", claims=requested
        )
    about, id_claims = await userinfo(party, token_response["access_token"]), claims_of(token_response["id_token"])
    named = {"name", "family_name", "given_name", "middle_name", "updated_at"}
    assert set(about) == {"sub", *named, "email", "email_verified"}
    assert {*named, "email"} <= set(id_claims)
    assert not {"birthdate", "gender", "nickname", "picture"} & set(id_claims)


async def test_people_read_what_each_is_for_and_are_asked_again_for_more(city: City) -> None:
    party = await registered(city, scope="openid profile email")
    await change(city, party, claim_reasons=NAME, scope_reasons={"email": "Kabar tentang antrean."})
    async with city.browser() as browser:
        page = await browser.sign_in(party, username="lengkap", scope="openid profile email")
        for part in ("Nama Anda", "Nama di karcis.", "Kabar tentang antrean."):
            assert part in page.text, part
        assert "Tanggal lahir Anda" not in page.text
        answer = await go_on(browser, page)
        token_response = (await party.exchange(answer["code"])).body
        assert "code" in await authorize(browser, party, scope="openid profile", prompt="none")
        row = await browser.open("/account/applications")
        assert "Nama Anda" in row.text
        assert "Nama di karcis." in row.text
        await change(city, party, claim_reasons={**NAME, "birthdate": "Usia di poli anak."})
        row = await browser.open("/account/applications")
        assert "Tanggal lahir Anda" not in row.text, "that was not allowed yet"
        about = await userinfo(party, token_response["access_token"])
        assert "name" in about
        assert "birthdate" not in about, "what was granted before does not grow"
        silent = await authorize(browser, party, scope="openid profile", prompt="none")
        assert silent["error"] == "consent_required"
        page = await browser.open(party.url(scope="openid profile"))
        assert "Usia di poli anak." in page.text
        assert page.text.count("sudah pernah diizinkan") == 2, "openid and the name"
        token_response = (await party.exchange((await go_on(browser, page))["code"])).body
        assert "birthdate" in await userinfo(party, token_response["access_token"])
        await change(city, party, claim_reasons=None)
        silent = await authorize(browser, party, scope="openid profile", prompt="none")
        assert silent["error"] == "consent_required", "all of the profile is more than two claims of it"
        assert "gender" not in await userinfo(party, token_response["access_token"])
        await authorize(browser, party, scope="openid profile")
        await change(city, party, claim_reasons=NAME)
        assert "code" in await authorize(browser, party, scope="openid profile", prompt="none"), "less is allowed"
        assert "birthdate" not in await userinfo(party, token_response["access_token"]), "and less is given at once"


async def test_a_device_shows_what_each_is_for(city: City) -> None:
    device = "urn:ietf:params:oauth:grant-type:device_code"
    party = await registered(city, scope="openid profile", grant_types=["authorization_code", device])
    await change(city, party, claim_reasons=NAME)
    begun = (await party.post("/device_authorization", {"scope": "openid profile"})).json()
    async with city.browser() as browser:
        await browser.sign_in(party, username="lengkap")
        page = await browser.open(f"/device?user_code={begun['user_code']}")
        assert "Nama di karcis." in page.text
        await browser.submit(page, choice="allow")
    token_response = await party.token(grant_type=device, device_code=begun["device_code"])
    about = await userinfo(party, token_response.body["access_token"])
    assert "name" in about
    assert "birthdate" not in about


async def test_the_account_shows_what_a_device_may_have_besides_what_was_allowed_in_a_browser(city: City) -> None:
    device = "urn:ietf:params:oauth:grant-type:device_code"
    party = await registered(city, scope="openid profile phone", grant_types=["authorization_code", device])
    async with city.browser() as browser:
        await go_on(browser, await browser.sign_in(party, username="lengkap", scope="openid profile"))
        begun = (await party.post("/device_authorization", {"scope": "openid phone"})).json()
        await browser.submit(await browser.open(f"/device?user_code={begun['user_code']}"), choice="allow")
        row = await browser.open("/account/applications")
    assert "Nomor telepon Anda" in row.text


async def test_a_registration_over_the_network_cannot_name_claims(city: City) -> None:
    party = await registered(city, scope="openid profile", claim_reasons=NAME)
    client = city.provider.registry.get(party.client_id)
    assert client is not None
    assert client.meta.claim_reasons == {}
