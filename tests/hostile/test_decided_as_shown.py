"""What somebody decides is what they were shown: not what an application asks for since, and nobody who has the name
since (SECURITY.md: an approval holds for exactly what was looked at)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update
from tests.conformance.test_rfc8628_devices import begin, device, poll
from tests.support import Browser, City, Form, form_of
from tests.web.test_developer import NEW, person, post, register, secret_of, signed_in

from sso import clock
from sso.clients import store as clients
from sso.identity.users.models import Identifier
from sso.oidc.models import BulkRevocation
from sso.oidc.store.models import Consent
from sso.platform.db import bump_version


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"client_registration": "open"}


async def press(browser: Browser, form: Form, choice: str) -> Any:
    return await browser._follow(await browser.http.post(form.action, data={**form.fields, "choice": choice}))


async def test_a_consent_is_for_what_the_page_said(city: City) -> None:
    await person(city, "dimas", "developer")
    async with await signed_in(city, "dimas") as dimas:
        city.secrets["antrean-sandbox"] = secret_of(await register(dimas))
        party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
        form = form_of(await dimas.open(party.url(scope="openid profile")))
        page = await dimas.open("/developer/apps/antrean/settings")
        more = {**NEW, "ask birthdate": "1", "reason birthdate": "Umur di karcis."}
        assert (await post(dimas, page, **more)).status_code == 200
        again = await press(dimas, form, "allow")
        assert again.status_code == 200
        assert "Umur di karcis." in again.text, "what it asks for now is shown, and nothing was allowed"
        async with city.provider.db.read() as session:
            assert (await session.execute(select(Consent))).scalars().all() == []
        answer = await press(dimas, form_of(again), "allow")
        assert answer.headers["location"].startswith("http://localhost:3000/callback?code="), answer.text


async def test_a_device_is_allowed_what_the_page_said(city: City) -> None:
    party = await device(city)
    begun = await begin(party)
    async with await signed_in(city, "siti") as siti:
        form = form_of(await siti.open(begun["verification_uri_complete"]))
        async with city.provider.db.write() as session:
            row = await clients.get_client(session, party.client_id)
            assert row is not None
            await clients.lock_clients(session, [party.client_id])
            version, changed = await bump_version(session, "clients"), {**row.metadata_, "client_name": "Lain"}
            await clients.update_client(session, party.client_id, version, clock.now(), metadata_=changed)
        await city.provider.refresh()
        again = await press(siti, form, "allow")
        assert "Lain" in again.text
        assert (await poll(party, begun)).body["error"] == "authorization_pending"
        clock.advance(10)
        assert "terhubung" in (await press(siti, form_of(again), "allow")).text
        assert (await poll(party, begun)).status == 200


async def test_the_sessions_of_the_person_that_was_shown_end(city: City) -> None:
    await person(city, "wayan")
    await person(city, "made")
    for name in ("wayan", "made"):
        await (await signed_in(city, name)).http.aclose()
    async with await signed_in(city, "ratna") as admin:
        page = await admin.open("/admin/endings?person=wayan")
        assert "Wayan" in page.text, page.text[:500]
        for user, name in (("wayan", "wayan.lama"), ("made", "wayan")):
            async with city.provider.db.write() as session:
                mine = (Identifier.user_id == city.users[user]) & (Identifier.kind == "username")
                await session.execute(update(Identifier).where(mine).values(value=name, lookup=name))
        await post(admin, page, "/admin/endings", note="Laporan.")
    async with city.provider.db.read() as session:
        (revocation,) = (await session.execute(select(BulkRevocation))).scalars().all()
    assert revocation.user_id == city.users["wayan"]
