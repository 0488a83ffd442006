"""What a process remembers of ends: a quiet night is no fail-over, and a long outage makes it forget nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from tests.conftest import settings_for

from sso import clock
from sso.platform.db import Database, new_id
from sso.platform.db.ends import KEPT, STORED, Ended, Ends, delete_old, note_ends


async def test_fail_overs_are_told_from_quiet_nights(
    database: tuple[str, dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db, ends = Database(settings_for(database[0], tmp_path)), Ends()
    try:
        if db.is_sqlite:
            assert await ends.follow(db) == []
            return
        with caplog.at_level(logging.WARNING, "sso.platform.db.ends"):
            await _end(db)
            assert await ends.follow(db) == []
            assert len(ends) == 1
            clock.advance(KEPT)
            assert await ends.follow(db) == []
            clock.advance(STORED - KEPT)
            async with db.write() as session:
                assert await delete_old(session, clock.now() - STORED, 10) == 1
            assert await ends.follow(db) == []
            assert not caplog.records, "nothing ended for a while, and the job deleted the rows"

            await _end(db)
            assert await ends.follow(db) == []
            clock.advance(KEPT * 2)  # the database is away, until somebody promotes a standby without the end
            async with db.write() as session:
                await session.execute(delete(Ended))
            ends._timeline = "0000000A"
            lost = await ends.follow(db)
            assert len(lost) == 1
            assert "has failed over" in caplog.text
            assert await ends.follow(db) == lost, "the database went away again before it was applied"
            ends.discard(lost)
            assert (await ends.follow(db), len(ends)) == ([], 0)
    finally:
        await db.close()


@pytest.mark.parametrize("database_kind", ["postgresql"])  # on SQLite nothing is kept
async def test_a_warning_says_when_more_has_ended_than_is_kept(
    database: tuple[str, dict[str, Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sso.platform.db.ends.MAX_KEPT", 3)
    db, ends = Database(settings_for(database[0], tmp_path)), Ends()
    try:
        with caplog.at_level(logging.WARNING, "sso.platform.db.ends"):
            for number in range(1, 6):
                await _end(db)
                await ends.follow(db)
                assert len(ends) == min(number, 3)
                assert len(caplog.records) == (1 if number > 3 else 0), "once"
        assert "more than 3 sign-outs and revocations within 10 minutes" in caplog.text
    finally:
        await db.close()


async def _end(db: Database) -> None:
    async with db.write() as session:
        await note_ends(session, "session", [new_id()], clock.now())
