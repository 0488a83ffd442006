"""Developers have the portal tell their server that a session is over, and read what it answered."""

from __future__ import annotations

from urllib.parse import parse_qs

import jwt
from tests.conformance.conftest import World
from tests.demands import demand
from tests.support import ISSUER, Browser, City, query_of
from tests.web.test_developer import dimas, post, register, secret_of

__all__ = ["dimas"]
TRY = "/developer/apps/antrean/try"


@demand("Back-Channel Logout 2.4", "what developers try is a logout token as it is sent for real")
async def test_the_portal_sends_a_real_logout_token_and_says_what_came_back(
    city: City, dimas: Browser, world: World
) -> None:
    uri = world.publish("/keluar", "")
    city.secrets["antrean-sandbox"] = secret_of(await register(dimas, **{"sandbox.backchannel_logout_uri": uri}))
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    answer = await dimas.submit(await dimas.open(party.url(scope="openid profile")), choice="allow")
    signed_in = (await party.exchange(query_of(answer.headers["location"])["code"])).claims()

    page = await post(dimas, await dimas.open(TRY), f"{TRY}#told", choice="backchannel")
    assert "HTTP 200" in page.text
    assert "Server Anda menerima logout token" in page.text
    ((path, body),) = world.forms
    (token,) = parse_qs(body.decode())["logout_token"]
    keys = (await dimas.http.get("/jwks")).json()["keys"]
    header = jwt.get_unverified_header(token)
    key = jwt.PyJWK(next(jwk for jwk in keys if jwk["kid"] == header["kid"]))
    claims = jwt.decode(token, key, [header["alg"]], audience="antrean-sandbox", issuer=ISSUER)
    assert path == "/keluar"
    assert header["typ"] == "logout+jwt"
    assert (claims["sub"], claims["sid"]) == (signed_in["sub"], signed_in["sid"]), "the session of who asks"
    assert set(claims["events"]) == {"http://schemas.openid.net/event/backchannel-logout"}
    assert token not in page.text, "what is shown cannot be used"

    world.publish("/keluar", "", status=400)
    page = await post(dimas, await dimas.open(TRY), f"{TRY}#told", choice="backchannel")
    assert "HTTP 400" in page.text
    assert "Server Anda menolak logout token yang sah" in page.text
    world.publish("/keluar", "", status=405)
    page = await post(dimas, await dimas.open(TRY), f"{TRY}#told", choice="backchannel")
    assert "URL ini tidak menerima permintaan POST" in page.text
    world.publish("/keluar", "", status=302)
    page = await post(dimas, await dimas.open(TRY), f"{TRY}#told", choice="backchannel")
    assert "HTTP 302" in page.text, "nothing is followed"


async def test_where_nobody_listens_the_portal_says_so(city: City, dimas: Browser) -> None:
    await register(dimas, **{"sandbox.backchannel_logout_uri": "https://localhost:9/keluar"})
    page = await post(dimas, await dimas.open(TRY), f"{TRY}#told", choice="backchannel")
    assert "Server Anda tidak menjawab" in page.text
    await register(dimas, client_id="lain", **{"sandbox.backchannel_logout_uri": "https://10.0.0.7/keluar"})
    there = "/developer/apps/lain/try"
    page = await post(dimas, await dimas.open(there), f"{there}#told", choice="backchannel")
    assert "Server Anda tidak menjawab" in page.text, "nothing is sent into networks that are not allowed"


async def test_without_an_address_there_is_nothing_to_try(city: City, dimas: Browser) -> None:
    await register(dimas)
    page = await dimas.open(TRY)
    assert 'value="backchannel"' not in page.text
    answer = await post(dimas, page, choice="backchannel")
    assert answer.url.path == TRY
