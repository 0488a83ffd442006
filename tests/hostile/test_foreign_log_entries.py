"""Requests in the name of an application take no place of its own entries, and show no text of strangers."""

from __future__ import annotations

from sqlalchemy import select
from tests.support import City
from tests.web.test_developer import OFFERED, person, post, register, secret_of, signed_in

from sso.platform.metrics.models import ClientRequest
from sso.platform.metrics.request_log import MAX_UNAUTHENTICATED_PER_NETWORK, MAX_WAITING_PER_CLIENT, NOT_AUTHENTICATED


@OFFERED
async def test_strangers_fill_no_log_and_write_nothing_into_it(city: City) -> None:
    await person(city, "dimas", "developer")
    dimas = await signed_in(city, "dimas")
    await register(dimas)
    secrets = await dimas.open("/developer/apps/antrean/secrets")
    secret = secret_of(await post(dimas, secrets, choice="make antrean-sandbox", valid="90"))
    city.secrets["antrean-sandbox"] = secret
    async with city.browser() as stranger:
        for _ in range(MAX_WAITING_PER_CLIENT + 20):
            form = {"client_id": "antrean-sandbox", "grant_type": "Hubungi 0800-PENIPU"}
            await stranger.http.post("/token", data=form)
    sandbox = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    await sandbox.token(grant_type="authorization_code", code="x", code_verifier="v" * 43)
    await city.provider.write_usage()
    async with city.provider.db.read() as session:
        rows = list((await session.execute(select(ClientRequest))).scalars())
    kinds = [row.grant_type for row in rows]
    assert kinds.count(NOT_AUTHENTICATED) == MAX_UNAUTHENTICATED_PER_NETWORK
    assert kinds.count("authorization_code") == 1, "the entry of the application has its place"
    page = await dimas.open("/developer/apps/antrean/requests")
    assert "PENIPU" not in page.text
    assert "tidak diautentikasi" in page.text
    await dimas.http.aclose()
