"""The sign-in page says once why the session of this browser ended, to the holder of its cookie alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.arranged import sign_in
from tests.citizens import NEW_PASSWORD, post
from tests.scheduled import run_jobs
from tests.support import PASSWORD, Browser, City, Statements

from sso import clock
from sso.accounts.administration import disable_user
from sso.accounts.deletion import delete_user
from sso.accounts.sign_in.session_end import end_of
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import EndedSession
from sso.identity.users.models import User
from sso.platform.actor import Actor

pytestmark = pytest.mark.parametrize("overrides", [{"risk_based_second_factor": "none"}], ids=[""])
REASONS = {
    "an administrator": "Administrator mengakhiri sesi Anda pada",
    "another device": "dari perangkat lain yang masuk ke akun Anda",
    "a new password": "karena kata sandi Anda diganti",
    "disabled": "Akun Anda dinonaktifkan pada",
    "deleted": "Akun Anda dihapus pada",
    "unused": "karena layanan tidak digunakan selama beberapa waktu",
    "too old": "karena mencapai batas waktu sesi",
}


async def end(city: City, browser: Browser, how: str) -> None:
    """End the session of a browser."""
    settings, actor = city.settings, Actor("cli")
    if how == "unused":
        clock.advance(settings.session_idle_timeout + timedelta(minutes=1))
        return
    if how == "too old":
        step = settings.session_idle_timeout / 2
        for _ in range(int(settings.session_lifetime / step)):
            await browser.http.get(city.relying_party("warga").url())
            clock.advance(step)
        return
    if how in ("another device", "a new password"):
        async with city.browser() as other:
            await sign_in(city, other, "siti")
            await act_at(other, how)
        return
    async with city.provider.db.write() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        if how == "disabled":
            await disable_user(session, city.provider, user, actor=actor)
        elif how == "deleted":
            await delete_user(session, city.provider, user, actor=actor)
        else:
            await end_all(session, city, actor)


async def end_all(session: Any, city: City, actor: Actor) -> None:
    from sso.identity.sessions.store import SessionFilter
    from sso.logout.end_sessions import end_matching

    of_user = SessionFilter(user_id=city.users["siti"])
    await end_matching(session, city.provider, of_user, EndReason.ADMINISTRATOR, actor=actor)


async def act_at(other: Browser, how: str) -> None:
    if how == "another device":
        page = await other.open("/account/sessions")
        await post(other, "/account/sessions", {"choice": "others"}, page)
        return
    page = await other.open("/account/security")
    fields = {"choice": "password", "password": PASSWORD, "new_password": NEW_PASSWORD}
    await post(other, "/account/security", fields, page)


@pytest.mark.parametrize("how", REASONS)
async def test_the_sign_in_page_says_once_why_a_session_ended(city: City, how: str) -> None:
    async with city.browser() as browser, city.browser() as stranger:
        await sign_in(city, browser, "siti")
        await end(city, browser, how)
        party = city.relying_party("warga")
        page = await browser.open("/account" if how in ("disabled", "unused") else party.url())
        assert REASONS[how] in page.text
        assert "Siti" not in page.text, "whoever finds the browser learns no name"
        assert browser.session is None
        assert "berakhir" not in (await browser.open("/login")).text.casefold()
        assert REASONS[how] not in (await stranger.open("/login")).text


async def test_a_session_that_the_job_ended_says_the_same(city: City) -> None:
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        clock.advance(city.settings.session_idle_timeout + timedelta(minutes=1))
        await run_jobs(city.provider, "expired_sessions")
        assert REASONS["unused"] in (await browser.open("/login")).text


async def test_what_is_asked_again_and_whoever_has_no_cookie_costs_no_statement(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        statements = Statements(city)
        await browser.open("/login")
        assert statements.take() == []
        await browser.sign_in(party)
        statements.take()
        await browser.open(party.url())
        assert len(statements.take()) <= 3
        await browser.open(party.url(prompt="login"))
        assert not any("end_reason" in statement for statement in statements.take())


NOW = clock.now()
IDLE, SOON, LATER = timedelta(hours=1), NOW + timedelta(minutes=30), NOW + timedelta(hours=8)


@pytest.mark.parametrize(
    ("row", "cause", "at"),
    [
        (EndedSession(NOW, "administrator", LATER, NOW, None), EndReason.ADMINISTRATOR, NOW),
        (EndedSession(NOW, "of another release", LATER, NOW, None), EndReason.EXPIRED, NOW),
        (EndedSession(None, None, LATER, NOW, None), "idle", NOW + IDLE),
        (EndedSession(LATER, "expired", SOON, NOW, None), "lifetime", SOON),
        (EndedSession(None, None, SOON, NOW, LATER), "device_idle", SOON),
        (EndedSession(None, None, LATER, NOW, LATER), "device_lifetime", LATER),
    ],
)
def test_the_limit_that_ended_a_session_is_named(row: EndedSession, cause: str, at: Any, overrides: Any) -> None:
    ending = end_of(row, IDLE)
    assert (ending.cause, ending.at) == (cause, at)
