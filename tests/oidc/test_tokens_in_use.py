"""Userinfo (Core section 5.3), introspection (RFC 7662) and revocation (RFC 7009)."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from tests.demands import demand
from tests.support import ISSUER, City, Statements, query_of, tampered

from sso import clock

SCOPE = "openid profile email address phone"


@demand("Core 5.3", "userinfo gives the claims of the granted scopes")
async def test_userinfo_gives_the_claims_of_the_scopes(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope=SCOPE)
    claims = (await party.userinfo(tokens["access_token"])).json()
    assert claims.pop("updated_at") > 1_700_000_000
    assert claims == {
        "sub": tokens.claims()["sub"],
        "name": "Siti Rahmawati",
        "given_name": "Siti",
        "family_name": "Rahmawati",
        "preferred_username": "siti",
        "birthdate": "1990-04-21",
        "zoneinfo": "Asia/Jakarta",
        "locale": "id",
        "email": "siti@warga.example",
        "email_verified": True,
        "phone_number": "+6281234567890",
        "phone_number_verified": True,
        "address": {"locality": "Tangerang", "country": "ID"},
    }
    assert (
        await party.userinfo((await party.refresh(tokens["refresh_token"], scope="openid"))["access_token"])
    ).json() == {"sub": claims["sub"]}


@demand("Core 5.3.2", "a claim that is not known is left out, never empty")
async def test_what_is_not_known_is_left_out(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, username="budi", scope=SCOPE)
    claims = (await party.userinfo(tokens["access_token"])).json()
    assert claims["email_verified"] is False
    assert None not in claims.values()
    assert "phone_number" not in claims


@demand("RFC 6750 2.1", "the token in the Authorization header")
@demand("RFC 6750 2.2", "the token in a form body")
async def test_userinfo_accepts_the_token_in_the_header_and_in_a_form(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as http:
        token = (await browser.tokens(party))["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        answers = [
            await http.get("/userinfo", headers=header),
            await http.post("/userinfo", headers=header),
            await http.post("/userinfo", data={"access_token": token}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert answers[0].json() == answers[1].json() == answers[2].json()
        assert answers[0].headers["access-control-allow-origin"] == "*"
        both = await http.post("/userinfo", headers=header, data={"access_token": token})
        assert both.status_code == 400
        assert 'error="invalid_request"' in both.headers["www-authenticate"]
        assert (await http.get(f"/userinfo?access_token={token}")).status_code == 401


@demand("RFC 6750 3.1", "what is no valid access token is invalid_token, with a challenge")
@demand("RFC 9068 4", "an ID token is no access token")
async def test_userinfo_refuses_what_is_no_access_token_of_ours(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as http:
        tokens = await browser.tokens(party)
        machine = await city.relying_party("mesin").token(grant_type="client_credentials")
        bad = {
            "an ID token": tokens["id_token"],
            "a refresh token": tokens["refresh_token"],
            "tampered": tampered(tokens["access_token"]),
            "nobody's": machine["access_token"],
            "nonsense": "nonsense",
            "long": "a" * 20_000,
        }
        for name, token in bad.items():
            answer = await http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, name
            assert 'error="invalid_token"' in answer.headers["www-authenticate"], name
        missing = await http.get("/userinfo")
        assert missing.status_code == 401
        assert "error" not in missing.headers["www-authenticate"], "RFC 6750 section 3.1"


@demand("RFC 6750 3.1", "an expired token is invalid_token")
async def test_userinfo_refuses_an_expired_token(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        token = (await browser.tokens(party))["access_token"]
    clock.advance(city.settings.access_token_lifetime - timedelta(seconds=2))
    assert (await party.userinfo(token)).status_code == 200
    clock.advance(3)
    assert (await party.userinfo(token)).status_code == 401


@demand("RFC 6750 3.1", "a token without the scope is insufficient_scope, 403")
async def test_userinfo_needs_the_scope_openid(city: City) -> None:
    party = city.relying_party("api")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid surat:baca")
    narrow = await party.refresh(tokens["refresh_token"], scope="surat:baca")
    assert "id_token" not in narrow.body
    assert (await party.userinfo(narrow["access_token"])).status_code == 401, "its audience is another one"


async def test_userinfo_of_an_opaque_token(city: City) -> None:
    party = city.relying_party("buram")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    assert tokens["access_token"].startswith("at-")
    assert (await party.userinfo(tokens["access_token"])).json()["name"] == "Siti Rahmawati"
    assert (await party.introspect(tokens["access_token"]))["active"] is True
    clock.advance(city.settings.access_token_lifetime + timedelta(seconds=1))
    assert (await party.userinfo(tokens["access_token"])).status_code == 401


@pytest.mark.parametrize("client_id", ["warga", "buram"])
async def test_userinfo_and_introspection_cost_at_most_two_statements(city: City, client_id: str) -> None:
    party = city.relying_party(client_id)
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    statements = Statements(city)
    assert (await party.userinfo(tokens["access_token"])).status_code == 200
    assert len(statements.take()) == 2
    assert (await party.introspect(tokens["access_token"]))["active"] is True
    assert len(statements.take()) == 1
    assert (await party.introspect(tokens["refresh_token"]))["active"] is True
    assert len(statements.take()) == 1


@demand("RFC 7662 2.2", "an active token is described")
async def test_introspection_tells_what_a_token_is(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    access = await party.introspect(tokens["access_token"])
    assert access["active"] is True
    assert access["token_type"] == "Bearer"
    assert access["client_id"] == "warga"
    assert access["sub"] == tokens.claims()["sub"]
    assert access["iss"] == ISSUER
    assert "grant_id" not in access
    assert (await party.introspect(tokens["refresh_token"], token_type_hint="refresh_token"))["active"] is True
    assert (await party.introspect(tokens["refresh_token"], token_type_hint="nonsense"))["active"] is True
    for other in (tokens["id_token"], tampered(tokens["access_token"]), "x"):
        assert await party.introspect(other) == {"active": False}


@demand("RFC 7662 4", "tokens of others only for the resource server they are for")
async def test_introspection_is_for_the_client_itself_and_the_resource_server_the_token_is_for(city: City) -> None:
    party = city.relying_party("api")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid surat:baca")
    assert (await city.relying_party("surat").introspect(tokens["access_token"]))["active"] is True
    assert await city.relying_party("surat").introspect(tokens["refresh_token"]) == {"active": False}
    assert await city.relying_party("warga").introspect(tokens["access_token"]) == {"active": False}


@demand("RFC 7662 2.1", "introspection needs client authentication")
async def test_introspection_needs_authentication(city: City) -> None:
    async with city.client() as http:
        nobody = await http.post("/introspect", data={"token": "x"})
        public = await http.post("/introspect", data={"token": "x", "client_id": "peta"})
        nothing = await http.post("/introspect", auth=("warga", city.secrets["warga"]))
        wrong = await http.post("/introspect", data={"token": "x"}, auth=("warga", "wrong"))
    assert [nobody.status_code, public.status_code, wrong.status_code] == [401] * 3
    assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_request")


@demand("RFC 7009 2.1", "a revoked refresh token ends everything that grew from its grant")
@pytest.mark.parametrize("client_id", ["warga", "buram"])
async def test_a_revoked_refresh_token_ends_its_family(city: City, client_id: str) -> None:
    party = city.relying_party(client_id)
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    answer = await party.post("/revoke", {"token": tokens["refresh_token"]})
    assert answer.status_code == 200
    assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"
    assert (await party.userinfo(tokens["access_token"])).status_code == 401
    assert await party.introspect(tokens["access_token"]) == {"active": False}


@demand("RFC 7009 2.1", "a revoked access token is over at once")
async def test_a_revoked_access_token_is_over(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for client_id in ("warga", "buram", "mesin", "mesin-buram"):
            with subtests.test(client_id):
                party = city.relying_party(client_id)
                machine = client_id.startswith("mesin")
                given = await (party.token(grant_type="client_credentials") if machine else browser.tokens(party))
                token = given["access_token"]
                assert (await party.introspect(token))["active"] is True
                form = {"token": token, "token_type_hint": "access_token"}
                assert (await party.post("/revoke", form)).status_code == 200
                assert await party.introspect(token) == {"active": False}


@demand("RFC 7009 2.2", "an invalid token is answered with 200")
@demand("RFC 7009 2.1", "a token of another client is not revoked")
async def test_unknown_tokens_and_those_of_others_answer_200_and_change_nothing(city: City) -> None:
    party, other = city.relying_party("warga"), city.relying_party("sehat")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    for token in ("unknown", tokens["refresh_token"], tokens["access_token"]):
        answer = await other.post("/revoke", {"token": token})
        assert answer.status_code == 200
    assert (await party.userinfo(tokens["access_token"])).status_code == 200
    assert (await party.refresh(tokens["refresh_token"])).status == 200


@demand("RFC 7009 2.1", "the client authenticates; token is required")
async def test_revocation_needs_authentication_and_a_token(city: City) -> None:
    async with city.client() as http:
        assert (await http.post("/revoke", data={"token": "x"})).status_code == 401
        nothing = await http.post("/revoke", auth=("warga", city.secrets["warga"]))
        assert nothing.json()["error"] == "invalid_request"


async def test_a_public_client_may_revoke_its_own_tokens(city: City) -> None:
    party = city.relying_party("peta")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    assert (await party.post("/revoke", {"token": tokens["refresh_token"]})).status_code == 200
    assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"


@demand("RFC 9068 4", "a token of another issuer is refused")
async def test_a_token_of_another_issuer_is_refused(city: City) -> None:
    provider = city.provider
    claims = {
        "iss": "https://other.example",
        "sub": str(city.users["siti"]),
        "aud": "https://other.example",
        "client_id": "warga",
        "iat": clock.timestamp(),
        "exp": clock.timestamp() + 60,
        "jti": uuid.uuid4().hex,
        "scope": "openid",
    }
    token = provider.keys.sign(claims, "ES256", "at+jwt")
    assert (await city.relying_party("warga").userinfo(token)).status_code == 401


@demand("Core 3.1.2.4", "consent is obtained, remembered, and asked for again when more is wanted")
async def test_consent_once_given_is_remembered_and_more_is_asked_for(city: City) -> None:
    party = city.relying_party("mitra")
    async with city.browser() as browser:
        page = await browser.sign_in(party, scope="openid email")
        assert "Apotek Mitra meminta izin Anda" in page.text
        assert "https://mitra.example/privasi" in page.text
        answer = await browser.submit(page, choice="allow")
        assert "code" in query_of(answer.headers["location"])
        assert (await browser.open(party.url(scope="openid email"))).is_redirect
        assert (await browser.open(party.url(scope="openid", prompt="none"))).is_redirect
        more = await browser.open(party.url(scope="openid email phone"))
        assert more.status_code == 200
        assert "Nomor telepon Anda" in more.text
        silent = await browser.open(party.url(scope="openid email phone", prompt="none"))
        assert query_of(silent.headers["location"])["error"] == "consent_required"
        again = await browser.open(party.url(scope="openid email", prompt="consent"))
        assert again.status_code == 200
        answer = await browser.submit(again, choice="allow")
        assert "code" in query_of(answer.headers["location"])


@demand("RFC 6749 4.1.2.1", "access_denied when the person refuses")
async def test_consent_refused_is_access_denied(city: City) -> None:
    party = city.relying_party("mitra")
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        answer = await browser.submit(page, choice="deny")
        parameters = query_of(answer.headers["location"])
        assert (parameters["error"], parameters["state"], parameters["iss"]) == ("access_denied", party.state, ISSUER)
        assert (await browser.open(party.url())).status_code == 200, "a refusal is not remembered as consent"


async def test_the_citys_own_applications_need_no_consent_unless_they_ask(city: City) -> None:
    async with city.browser() as browser:
        await browser.code(city.relying_party("warga"))
        page = await browser.open(city.relying_party("sehat").url(prompt="consent"))
        assert page.status_code == 200
        assert "Aplikasi ini tidak dikelola oleh pemerintah kota" not in page.text
        assert (
            "Aplikasi ini tidak dikelola oleh pemerintah kota"
            in (await browser.open(city.relying_party("mitra").url())).text
        )
