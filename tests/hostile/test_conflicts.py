"""Transactions that the database rolls back because another one was in the way: done again, or 503; never 500."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError
from tests.api.conftest import program
from tests.support import City

from sso.identity.sessions.models import SsoSession
from sso.platform.outbox.models import Delivery


class Conflicts:
    """Makes statements fail as PostgreSQL makes them fail that are part of a deadlock."""

    def __init__(self, city: City) -> None:
        self.part, self.left = "", 0
        for engine in city.provider.db.engines:
            event.listen(engine.sync_engine, "before_cursor_execute", self._fail)

    def at(self, part: str, times: int) -> None:
        """Fail ``times`` times at statements with this part."""
        self.part, self.left = part, times

    def _fail(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if self.left and self.part in statement:
            self.left -= 1
            cause = Exception("deadlock detected")
            cause.sqlstate = "40P01"  # type: ignore[attr-defined]
            raise DBAPIError(statement, {}, cause)


async def test_a_conflict_is_done_again_and_seen_by_nobody(city: City) -> None:
    party, conflicts, api = city.relying_party("warga"), Conflicts(city), await program(city)
    async with city.browser() as browser:
        conflicts.at("INSERT INTO sessions", 1)
        code = await browser.code(party)
        conflicts.at("INSERT INTO refresh_tokens", 3)
        tokens = await party.exchange(code)
        assert tokens.status == 200, tokens.body
        conflicts.at("INSERT INTO refresh_tokens", 1)
        assert (await party.refresh(tokens["refresh_token"])).status == 200
        async with city.provider.db.read() as session:
            mine = (await session.execute(select(SsoSession.id))).scalar_one()
        conflicts.at("UPDATE grants", 2)
        assert (await api("POST", f"/sessions/{mine}/end", json={})).status_code == 200
        async with city.provider.db.read() as session:
            kinds = (await session.execute(select(Delivery.kind))).scalars().all()
        assert list(kinds) == ["backchannel_logout"]
        assert conflicts.left == 0


async def test_a_conflict_that_does_not_end_is_503_and_changes_nothing(city: City) -> None:
    party, conflicts, api = city.relying_party("warga"), Conflicts(city), await program(city)
    async with city.browser() as browser:
        code = await browser.code(party)
        conflicts.at("INSERT INTO refresh_tokens", 1000)
        answer = await party.post(
            "/token",
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": party.redirect_uri,
                "code_verifier": party.verifier,
            },
        )
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        form = await browser.open("/logout")
        conflicts.at("UPDATE sessions", 1000)
        page = await browser.submit(form)
        assert page.status_code == 503
        assert int(page.headers["retry-after"]) > 0
        async with city.provider.db.read() as session:
            mine = (await session.execute(select(SsoSession.id))).scalar_one()
        problem = await api("POST", f"/sessions/{mine}/end", json={})
        assert (problem.status_code, problem.headers["content-type"]) == (503, "application/problem+json")
        assert int(problem.headers["retry-after"]) > 0
        conflicts.at("", 0)
        assert (await browser.open("/account")).status_code == 200, "the session lives"
        assert (await party.exchange(code)).status == 200, "the code was not used"
