"""The audit log: chained, and a change or a gap is found."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support import City

from sso import clock
from sso.platform.audit import append_to_chain, export, prune, record, redact, verify, verify_archive
from sso.platform.audit.models import AuditCheckpoint
from sso.platform.audit.service import AuditReport


async def chained(city: City) -> None:
    """Record what a sign-in and a sign-out record, and chain it."""
    async with city.provider.db.write() as session:
        for type_ in ("authn.succeeded", "session.started", "token.issued", "session.ended"):
            record(session, type_, actor="siti", subject=str(city.users["siti"]), data={"amr": ["pwd"]})
    await chain(city)


async def chain(city: City) -> None:
    async with city.provider.db.write() as session:
        while await append_to_chain(session, city.provider.box):
            pass


async def signed_in_and_out(city: City) -> None:
    """Let siti sign in and out, and chain what is recorded of it."""
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        await browser.submit(await browser.open("/logout"))
    await chain(city)


async def report(city: City) -> AuditReport:
    async with city.provider.db.write() as session:
        return await verify(session, city.provider.box)


async def test_a_chain_that_was_left_alone_is_whole(city: City) -> None:
    await signed_in_and_out(city)
    chain_report = await report(city)
    assert (chain_report.broken_at, chain_report.not_chained) == (None, 0)
    assert chain_report.chained >= 5


CHANGES: dict[str, tuple[str, int]] = {
    "altered": ("UPDATE audit_events SET outcome = 'failure' WHERE seq = 2", 2),
    "deleted": ("DELETE FROM audit_events WHERE seq = 2", 2),
    "first deleted": ("DELETE FROM audit_events WHERE seq = 1", 1),
    "moved in time": ("UPDATE audit_events SET at = '2001-01-01 00:00:00.000000+00:00' WHERE seq = 3", 3),
    "hash copied": ("UPDATE audit_events SET hash = (SELECT hash FROM audit_events WHERE seq = 1) WHERE seq = 2", 2),
}


async def test_a_change_is_found_where_it_was_made(city: City) -> None:
    await chained(city)
    broken_at = {}
    for name, (statement, _) in CHANGES.items():
        async with city.provider.db.write() as session:
            await session.execute(text(statement))
            broken_at[name] = (await verify(session, city.provider.box)).broken_at
            await session.rollback()
    assert broken_at == {name: at for name, (_, at) in CHANGES.items()}
    assert (await report(city)).broken_at is None, "each change was taken back"


async def test_every_event_is_exported_in_order(city: City) -> None:
    await signed_in_and_out(city)
    async with city.provider.db.read() as session:
        lines: list[Any] = [json.loads(line) async for line in export(session)]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    kinds = [line["type"] for line in lines]
    assert kinds.index("session.started") < kinds.index("session.ended")
    started = lines[kinds.index("session.started")]
    assert {"at", "actor", "subject", "address", "request_id", "outcome", "hash"} <= started.keys()


async def exported(city: City) -> list[bytes]:
    async with city.provider.db.read() as session:
        return [line async for line in export(session)]


async def pruned(city: City) -> int:
    count, gone = 0, -1
    while gone:
        async with city.provider.db.write() as session:
            gone = await prune(session, city.provider.box, clock.now(), actor="test")
        count += gone
    return count


async def test_what_was_let_go_leaves_a_chain_that_is_verified_from_a_checkpoint(city: City) -> None:
    await chained(city)
    archive = await exported(city)
    clock.advance(60)
    assert await pruned(city) == len(archive)
    await chained(city)
    chain_report = await report(city)
    assert (chain_report.broken_at, chain_report.checkpoint, chain_report.not_chained) == (None, len(archive), 0)
    assert chain_report.chained > 0
    second = await exported(city)
    assert json.loads(second[0])["seq"] == len(archive) + 1, "the numbers go on"
    clock.advance(60)
    await pruned(city)
    async with city.provider.db.read() as session:
        for lines, start in ((archive, 0), (second, len(archive))):
            archive_report = await verify_archive(session, city.provider.box, lines)
            assert (archive_report.broken_at, archive_report.chained, archive_report.checkpoint) == (
                None,
                len(lines),
                start,
            )


async def test_an_archive_that_was_changed_is_found_out(city: City) -> None:
    await chained(city)
    archive = await exported(city)
    clock.advance(60)
    await pruned(city)
    altered = archive[1].replace(b'"success"', b'"failure"')
    assert altered != archive[1]
    for changed, reason in (
        ([archive[0], *archive[2:]], "missing"),
        ([archive[0], altered, *archive[2:]], "altered"),
        (archive[1:], "no checkpoint before"),
        ([archive[0], b"not json\n"], "is not an event"),
    ):
        async with city.provider.db.read() as session:
            archive_report = await verify_archive(session, city.provider.box, changed)
        assert archive_report.broken_at is not None, reason
        assert reason in archive_report.reason


async def test_a_checkpoint_that_somebody_made_up_is_found_out(city: City) -> None:
    """Who can write to the database could delete the beginning and say that it was let go: not without the key."""
    await chained(city)
    async with city.provider.db.write() as session:
        events = (await session.execute(text("SELECT seq, hash FROM audit_events ORDER BY seq LIMIT 3"))).all()
        values = {"seq": events[2][0], "hash": events[2][1], "at": clock.now(), "mac": b"x" * 32, "previous_seq": 0}
        await session.execute(AuditCheckpoint.__table__.insert(), values)  # type: ignore[attr-defined]
        await session.execute(text("DELETE FROM audit_events WHERE seq <= 3"))
    chain_report = await report(city)
    assert chain_report.broken_at == 3
    assert "checkpoint" in chain_report.reason


@pytest.mark.parametrize("overrides", [{"audit_retention": "30d"}])
async def test_old_events_go_by_themselves_where_a_city_says_so(city: City) -> None:
    from sso.jobs import clear_up

    await chained(city)
    clock.advance(20 * 86400)
    await chained(city)
    clock.advance(11 * 86400)
    await clear_up(city.provider)
    await chained(city)
    lines = [json.loads(line) for line in await exported(city)]
    assert lines[0]["seq"] > 1
    assert (await report(city)).broken_at is None
    assert "audit.pruned" in [line["type"] for line in lines]
    assert sum(line["type"] == "session.started" for line in lines) == 2, "those of twenty and of no days ago"


async def test_two_hosts_that_write_and_chain_at_once_never_break_it(city: City, tmp_path: Path) -> None:
    from sso.platform.db import Database

    other = Database(city.settings)
    box = city.provider.box

    async def write(db: Database, name: str) -> None:
        for number in range(25):
            async with db.write() as session:
                record(session, "test.event", actor=name, data={"n": number})

    async def chain_beside(db: Database) -> int:
        count = 0
        for _ in range(12):
            async with db.write() as session:
                count += len(await append_to_chain(session, box))
            await asyncio.sleep(0)
        return count

    here = city.provider.db
    work = [write(here, "a"), write(other, "b"), write(here, "c"), write(other, "d")]
    await asyncio.gather(*work, chain_beside(here), chain_beside(other))
    async with here.write() as session:
        while await append_to_chain(session, box):
            pass
    chain_report = await report(city)
    assert (chain_report.broken_at, chain_report.not_chained) == (None, 0)
    events = [json.loads(line) for line in await exported(city)]
    mine = [(event["actor"], event["data"]["n"]) for event in events if event["type"] == "test.event"]
    assert len(mine) == len(set(mine)) == 100, "nothing that was committed is lost, and nothing is there twice"
    for name in "abcd":
        assert [n for who, n in mine if who == name] == list(range(25)), "in the order in which it was written"
    await other.close()


@pytest.mark.parametrize("database_kind", ["postgresql"])  # where several write at once
async def test_what_is_being_redacted_is_chained_as_it_is_afterwards(city: City) -> None:
    siti = str(city.users["siti"])
    await chained(city)
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
    db, box = city.provider.db, city.provider.box
    async with db.write() as session:
        assert await redact(session, box, siti) > 0
        async with db.write() as sealer:
            await append_to_chain(sealer, box)
    async with db.write() as session:
        while await append_to_chain(session, box):
            pass
    assert (await report(city)).broken_at is None
