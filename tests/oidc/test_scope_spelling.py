"""Scopes that are misspelt or separated by commas: an error says so, and what is only left out is shown to the team."""

from __future__ import annotations

from tests.support import City, query_of

from sso.platform.metrics.store import mistakes_of


async def test_scopes_with_commas_and_misspelt_ones(city: City) -> None:
    warga, mesin = city.relying_party("warga"), city.relying_party("mesin")
    async with city.browser() as browser:
        for scope in ("openid,email", "profile,email"):
            answer = query_of((await browser.open(warga.url(scope=scope))).headers["location"])
            assert answer["error"] == "invalid_scope", answer
            assert "separated by spaces" in answer["error_description"], answer
        answer = query_of((await browser.open(warga.url(scope="emial"))).headers["location"])
        assert "emial: email is probably meant" in answer["error_description"]
        # As the specification says, what is not known is left out (RFC 6749 section 3.3).
        tokens = await browser.tokens(warga, scope="openid emial profile,phone")
        assert tokens["scope"] == "openid"
        refused = await warga.post("/par", warga.parameters(scope="openid,email"))
        assert "separated by spaces" in refused.json()["error_description"]
        if "refresh_token" in tokens.body:
            again = await warga.refresh(tokens["refresh_token"], scope="openid,profile")
            assert "separated by spaces" in again["error_description"], again.body
    for scope, description in (("kirim,terima", "separated by spaces"), ("kirm", "kirim is probably meant")):
        refused = await mesin.token(grant_type="client_credentials", scope=scope)
        assert refused["error"] == "invalid_scope"
        assert description in refused["error_description"], refused.body
    await city.provider.write_usage()
    async with city.provider.db.read() as session:
        mistakes = [mistake for mistake in await mistakes_of(session, ["warga"]) if mistake.code == "ignored_scope"]
    assert len(mistakes) == 1
    assert "emial: email is probably meant" in str(mistakes[0].sent["said"])
    assert "separated by spaces" in str(mistakes[0].sent["said"])
