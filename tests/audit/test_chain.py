"""The audit log: chained, and a change or a gap is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text
from tests.support import City

from sso.audit import export, seal, verify
from sso.audit.service import AuditReport


async def chained(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        await browser.submit(await browser.open("/logout"))
    async with city.provider.db.write() as session:
        while await seal(session, city.provider.box):
            pass


async def report(city: City) -> AuditReport:
    async with city.provider.db.write() as session:
        return await verify(session, city.provider.box)


async def test_a_chain_that_was_left_alone_is_whole(city: City) -> None:
    await chained(city)
    found = await report(city)
    assert (found.broken_at, found.unsealed) == (None, 0)
    assert found.sealed >= 5


CHANGES: dict[str, tuple[str, int]] = {
    "altered": ("UPDATE audit_events SET outcome = 'failure' WHERE seq = 2", 2),
    "deleted": ("DELETE FROM audit_events WHERE seq = 2", 2),
    "first deleted": ("DELETE FROM audit_events WHERE seq = 1", 1),
    "moved in time": ("UPDATE audit_events SET at = '2001-01-01 00:00:00.000000+00:00' WHERE seq = 3", 3),
    "hash copied": ("UPDATE audit_events SET hash = (SELECT hash FROM audit_events WHERE seq = 1) WHERE seq = 2", 2),
}


@pytest.mark.parametrize(("statement", "at"), CHANGES.values(), ids=CHANGES.keys())
async def test_a_change_is_found_where_it_was_made(city: City, statement: str, at: int) -> None:
    await chained(city)
    async with city.provider.db.write() as session:
        await session.execute(text(statement))
    assert (await report(city)).broken_at == at


async def test_every_event_is_exported_in_order(city: City) -> None:
    await chained(city)
    async with city.provider.db.read() as session:
        lines: list[Any] = [json.loads(line) async for line in export(session)]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    kinds = [line["type"] for line in lines]
    assert kinds.index("session.started") < kinds.index("session.ended")
    started = lines[kinds.index("session.started")]
    assert {"at", "actor", "subject", "address", "request_id", "outcome", "hash"} <= started.keys()
