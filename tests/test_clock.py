"""Every host goes by the clock of the database."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import settings_for

from sso import clock
from sso.jobs import ClockIsWrong, check_clock
from sso.platform.db import Database, new_id
from sso.platform.db.database_clock import DatabaseClock

DAY = 86400.0


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """By how many seconds the clock of the host is ahead."""
    ahead, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    return ahead


def measure(host: list[float]) -> None:
    clock.follow(time.time() - host[0], clock.steady())


def test_the_time_is_that_of_the_host_until_the_database_was_asked(host: list[float]) -> None:
    host[0] = DAY
    assert clock.difference() is None
    assert not clock.is_wrong()
    assert abs(clock.timestamp() - time.time()) < 60


@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_the_time_is_that_of_the_database_whatever_the_host_says(host: list[float], ahead: float) -> None:
    host[0] = ahead
    measure(host)
    assert abs(clock.now().timestamp() - (time.time() - ahead)) < 60
    assert abs(clock.timestamp() - (time.time() - ahead)) < 60
    assert abs((clock.difference() or 0) - ahead) < 60
    assert clock.is_wrong()


def test_a_host_whose_clock_is_set_after_the_reading_is_found_out_without_another(host: list[float]) -> None:
    measure(host)
    before = clock.now()
    assert not clock.is_wrong()
    host[0] = DAY
    assert clock.is_wrong()
    assert clock.now() - before < timedelta(minutes=1)
    host[0] = 4.0
    assert not clock.is_wrong()


def test_a_test_that_moves_the_clock_makes_no_clock_wrong(host: list[float]) -> None:
    measure(host)
    clock.advance(timedelta(days=60))
    assert not clock.is_wrong()
    assert abs(clock.now().timestamp() - time.time() - 60 * DAY) < 60


def test_ids_are_in_the_order_of_the_time_of_the_database(host: list[float]) -> None:
    host[0] = -DAY
    measure(host)
    milliseconds = new_id().int >> 80
    assert abs(milliseconds / 1000 - clock.now().timestamp()) < 60
    assert new_id() != new_id()
    assert new_id().version == 7


def test_jobs_refuse_beyond_the_limit(host: list[float]) -> None:
    measure(host)
    check_clock()
    host[0] = -6.0
    with pytest.raises(ClockIsWrong, match=r"differs from the clock of the database by -6\.0 seconds"):
        check_clock()


async def test_the_clock_of_the_database_is_read(
    database: tuple[str, dict[str, Any]], tmp_path: Path, host: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    db = Database(settings_for(database[0], tmp_path))
    ours = DatabaseClock(db)
    host[0] = DAY
    if db.is_sqlite:
        assert await ours.compare() is None
        assert not clock.is_wrong()
    else:
        assert abs((await ours.compare() or 0) - DAY) < 60
        assert clock.is_wrong()
        await ours.compare()
        assert caplog.text.count("runs no jobs until the clocks agree") == 1
        host[0] = 0.0
        await ours.compare()
        assert "agrees with the clock of the database again" in caplog.text
    await db.close()


async def test_the_clock_is_read_each_minute_and_soon_while_it_is_wrong(
    tmp_path: Path, host: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = DatabaseClock(Database(settings_for(f"sqlite:///{tmp_path / 'x.db'}", tmp_path)))
    readings, passed, steady = [0], [0.0], clock.steady
    monkeypatch.setattr(clock, "steady", lambda: steady() + passed[0])

    async def compare() -> float | None:
        readings[0] += 1
        clock.follow(time.time() - host[0] + passed[0], clock.steady())
        ours._read_at = clock.steady()
        return clock.difference()

    monkeypatch.setattr(ours, "compare", compare)
    for seconds, set_by, expected in ((0, 0, 1), (50, 0, 1), (11, 0, 2), (6, 0, 2), (0, DAY, 3), (3, 0, 3), (3, 0, 4)):
        passed[0] += seconds
        host[0] += seconds + set_by
        await ours.keep()
        assert readings[0] == expected
