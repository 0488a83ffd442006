"""Pages about sessions: one's own, and for those who may see them everybody's, with the proof."""

from __future__ import annotations

import re
import secrets

import pytest
from sqlalchemy import select
from tests.arranged import sign_in
from tests.support import PASSWORD, City, form_of, main_of

from sso.identity.sessions.devices import device_of
from sso.identity.sessions.models import SsoSession
from sso.identity.users.service import find, set_roles
from sso.platform.audit.models import AuditEvent
from sso.platform.db import new_id

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
CHROME_ON_ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile"


async def sessions(city: City) -> list[SsoSession]:
    async with city.provider.db.read() as session:
        return list((await session.execute(select(SsoSession).order_by(SsoSession.id))).scalars())


async def test_people_see_where_they_are_signed_in_and_end_it(city: City) -> None:
    async with (
        city.browser(headers={"user-agent": FIREFOX}) as here,
        city.browser(headers={"user-agent": CHROME_ON_ANDROID}) as phone,
        city.browser() as stranger,
    ):
        await here.tokens(city.relying_party("warga"))
        tokens = await phone.tokens(city.relying_party("sehat"))
        await stranger.tokens(city.relying_party("warga"), username="budi")
        page = await here.open("/account/sessions")
        assert page.text.count("<h2>") == 2, "nobody else's"
        assert page.text.index("Firefox 132, Linux") < page.text.index("Chrome Mobile 131, Android 10"), (
            "this one first"
        )
        assert page.text.count("perangkat ini") == 1
        assert "203.0.113.0/24" in page.text
        assert "Antrean Puskesmas" in page.text
        _, other, foreign = [str(session.id) for session in await sessions(city)]
        await here.submit(page, choice=foreign)
        page = await here.submit(page, choice=other)
        assert "Sesi sudah diakhiri" in page.text
        assert [session.end_reason for session in await sessions(city)] == [None, "by_person", None]
        assert (await city.relying_party("sehat").userinfo(tokens["access_token"])).status_code == 401
        assert form_of(await phone.open("/")).action == "/login"


async def test_all_others_are_ended_at_once_and_this_one_too(city: City) -> None:
    async with city.browser() as here, city.browser() as first, city.browser() as second:
        for browser in (first, second, here):
            await sign_in(city, browser, "siti")
        page = await here.open("/account/sessions")
        await here.submit(page, choice="others")
        assert [session.end_reason for session in await sessions(city)] == ["by_person", "by_person", None]
        page = await here.submit(await here.open("/account/sessions"), choice=str((await sessions(city))[2].id))
        assert form_of(page).action == "/login", "who ends this one is signed out"
        assert here.session is None


async def test_the_page_leads_back_after_signing_in_and_nowhere_else(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/account/sessions")
        page = await browser.submit(page, username="siti", password=PASSWORD)
        assert "<h1>Sesi aktif dan perangkat</h1>" in page.text
    async with city.browser() as browser:
        page = await browser.open("/login?then=https://evil.example/")
        home = await browser.submit(page, username="siti", password=PASSWORD, then="//evil.example")
        assert "Halo, Siti" in home.text


async def test_a_forged_form_ends_nothing(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        await browser.http.post("/account/sessions", data={"choice": "others", "csrf_token": "x" * 43})
        await browser.http.post("/account/sessions", data={"choice": str((await sessions(city))[0].id)})
        assert [session.ended_at for session in await sessions(city)] == [None]


@pytest.mark.parametrize("role", ["citizen", "developer"])
async def test_others_sessions_are_not_for_everybody(city: City, role: str) -> None:
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "budi"), [role])
    async with city.browser() as browser:
        assert form_of(await browser.open("/admin/sessions")).action == "/login"
        await sign_in(city, browser, "budi")
        assert "/admin/sessions" not in (await browser.open("/")).text
        mine = str((await sessions(city))[0].id)
        for path in ("/admin/sessions", f"/admin/sessions/{mine}"):
            page = await browser.open(path)
            assert page.status_code == 403
            assert "tidak memiliki akses ke halaman ini" in page.text
        assert (await browser.http.post(f"/admin/sessions/{mine}", data={"note": "x"})).status_code == 403
        assert (await sessions(city))[0].ended_at is None


async def test_an_administrator_finds_ends_and_sees_the_proof(city: City) -> None:
    async with city.browser(headers={"user-agent": FIREFOX}) as citizen, city.browser() as admin:
        for client_id in ("warga", "sehat"):
            await citizen.tokens(city.relying_party(client_id))
        await sign_in(city, admin, "ratna")
        assert 'href="/admin"' in (await admin.open("/")).text
        page = await admin.open("/admin/sessions?person=siti@warga.example&client=warga")
        (link,) = re.findall(r'href="(/admin/sessions/[0-9a-f-]{36})"', page.text)
        page = await admin.open(link)
        assert "Firefox 132, Linux" in page.text
        refused = await admin.submit(page, note="  ")
        assert refused.status_code == 400
        assert "Tulis alasan" in refused.text
        page = await admin.submit(page, note="Telepon dicuri")
        assert "1 aplikasi belum diberi tahu" in page.text
        assert 'http-equiv="refresh"' in page.text, "it looks again by itself"
        assert "back-channel logout ke server aplikasi" in page.text
        assert "saat memperbarui token" in page.text
        assert form_of(await citizen.open("/")).action == "/login"
        assert "Siti Rahmawati" in (await admin.open("/admin/sessions?status=ended")).text
        assert "Siti Rahmawati" not in (await admin.open("/admin/sessions")).text
    async with city.provider.db.read() as session:
        statement = select(AuditEvent).where(AuditEvent.type == "session.ended").order_by(AuditEvent.id)
        event = (await session.execute(statement)).scalar_one()
    assert (event.actor, event.data["note"]) == (str(city.users["ratna"]), "Telepon dicuri")


async def test_who_may_only_look_has_no_button(city: City) -> None:
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "budi"), ["auditor"])
    async with city.browser() as browser:
        await sign_in(city, browser, "budi")
        link = f"/admin/sessions/{(await sessions(city))[0].id}"
        page = await browser.open(link)
        assert "<form" not in main_of(page)
        assert (await browser.http.post(link, data={"note": "x"})).status_code == 403


async def test_long_lists_come_in_pages(city: City) -> None:
    from tests.delivery.test_mass_ending import fill

    await fill(city, 120)
    async with city.browser() as browser:
        await sign_in(city, browser, "ratna")
        seen, page = [], await browser.open("/admin/sessions")
        for _ in range(3):
            seen += re.findall(r'href="/admin/sessions/([0-9a-f-]{36})"', page.text)
            following = re.search(r'href="(/admin/sessions\?[^"]*before=[^"]*)" role', page.text)
            if following is None:
                break
            page = await browser.open(following[1].replace("&amp;", "&"))
        assert len(seen) == len(set(seen)) == 121
        assert (await browser.open("/admin/sessions/nothing")).status_code == 404
        assert (
            "Tidak ada akun dengan pengenal terverifikasi ini"
            in (await browser.open("/admin/sessions?person=nobody-here")).text
        )


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (FIREFOX, "Firefox 132, Linux"),
        (CHROME_ON_ANDROID, "Chrome Mobile 131, Android 10"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1", "iOS 17"),
        ("", ""),
        ("<script>alert(1)</script>", ""),
    ],
)
def test_a_device_is_named_as_people_know_it(user_agent: str, expected: str) -> None:
    assert expected in device_of(user_agent).text
    if not expected:
        assert device_of(user_agent).text == ""


async def test_more_sessions_than_a_page_shows_are_all_ended(city: City) -> None:
    async with city.browser() as here:
        await sign_in(city, here, "siti")
        (mine,) = await sessions(city)
        values = {
            column.name: getattr(mine, column.key)
            for column in SsoSession.__table__.columns  # type: ignore[attr-defined]
            if column.name not in ("id", "token_hash")
        }
        rows = [{**values, "id": new_id(), "token_hash": secrets.token_bytes(32)} for _ in range(310)]
        async with city.provider.db.write() as session:
            await session.execute(SsoSession.__table__.insert(), rows)  # type: ignore[attr-defined]
        page, seen = await here.open("/account/sessions"), set()
        following = "/account/sessions"
        while following:
            page = await here.open(following)
            seen |= set(re.findall(r'name="choice" value="([0-9a-f-]{36})"', page.text))
            match = re.search(r'href="(/account/sessions\?before=[^"]+)"', page.text)
            following = match[1] if match else ""
        assert len(seen) == 311, "every session can be found"
        oldest = str(rows[0]["id"])
        await here.submit(page, choice=oldest)
        assert [str(sso_session.id) for sso_session in await sessions(city) if sso_session.ended_at] == [oldest]
        page = await here.submit(await here.open("/account/sessions"), choice="others")
        assert [sso_session.id for sso_session in await sessions(city) if sso_session.ended_at is None] == [mine.id]
        assert (await here.open("/account/sessions")).text.count("<h2>") == 1
