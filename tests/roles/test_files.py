"""Files of role assignments: days in the city's time zone, times that change, and one transaction for applications."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from sqlalchemy import event, select
from tests.lock_order import locks_of
from tests.roles.conftest import ROLES, Office
from tests.support import City

from sso import clock
from sso.accounts.role_files import RoleFileError, carry_out, export_rows, plan_file, read_file
from sso.identity.groups.models import RoleAssignment
from sso.identity.sessions.models import SessionClient
from sso.platform.actor import CLI
from sso.platform.audit.models import AuditEvent

SOON, LATER = (f"{clock.now().year + years}-12-31" for years in (1, 2))
TOLD = "openid profile roles groups"
IN_ORDER = ["role_assignments", "grants", "session_clients"]


@contextmanager
def statements_of(city: City) -> Iterator[list[str]]:
    """Collect the statements of the database."""
    statements: list[str] = []

    def collect(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = city.provider.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", collect)
    yield statements
    event.remove(engine, "before_cursor_execute", collect)


async def planned(city: City, *rows: dict[str, Any], end_others: bool = False) -> list[tuple[str, str, str]]:
    """Return the plan of a file."""
    async with city.provider.db.read() as session:
        steps = await plan_file(session, city.provider, read_file(yaml.safe_dump(list(rows))), end_others=end_others)
        return [(step.act, step.role, step.receiver) for step in steps]


async def applied(city: City, *rows: dict[str, Any], end_others: bool = False) -> list[str]:
    async with city.provider.db.write() as session:
        steps = await plan_file(session, city.provider, read_file(yaml.safe_dump(list(rows))), end_others=end_others)
        await carry_out(session, city.provider, steps, actor=CLI, reason="Berkas")
    return [step.act for step in steps]


async def exported(city: City) -> list[dict[str, Any]]:
    async with city.provider.db.read() as session:
        return yaml.safe_load(yaml.safe_dump(await export_rows(session, "sinyal")))


async def times_of(city: City) -> list[tuple[datetime | None, datetime | None]]:
    async with city.provider.db.read() as session:
        rows = await session.execute(select(RoleAssignment.valid_from, RoleAssignment.valid_until))
        return [(row[0], row[1]) for row in rows]


def row(user: str, role: str = "chief", **more: Any) -> dict[str, Any]:
    return {"client_id": "sinyal", "role": role, "user": user, "reason": "Surat tugas", **more}


async def test_a_file_has_the_times_of_its_roles(city: City, office: Office) -> None:
    day = (clock.now() + timedelta(days=40)).date()
    first, last = f"{day}", f"{day + timedelta(days=300)}"
    assert await applied(city, row("siti", valid_from=first, valid_until=last)) == ["give"]
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=7)
    end = start + timedelta(days=301)
    assert await times_of(city) == [(start, end)], "days of the city, the last one whole"
    [export] = await exported(city)
    assert await planned(city, export) == []
    assert await planned(city, row("siti", valid_from=first, valid_until=last)) == []
    assert await planned(city, row("siti", valid_from=day, valid_until=f"{last}T12:00:00")) != []
    later = row("siti", valid_from=first)
    assert await planned(city, later) == [("change", "chief", "siti")]
    assert await applied(city, later) == ["change"]
    assert await times_of(city) == [(start, None)]
    assert await applied(city, row("siti")) == ["change"], "the role begins now"
    assert await times_of(city) == [(None, None)]
    assert await planned(city, row("siti", valid_from="2020-01-01")) == [], "when a role began is not compared"
    async with city.provider.db.read() as session:
        data = (await session.execute(select(AuditEvent.data).where(AuditEvent.type == "role.changed"))).scalars().all()
    assert [each["note"] for each in data] == ["Surat tugas"] * 2


async def test_wrong_rows_are_named(city: City, office: Office) -> None:
    await applied(city, row("siti"))
    for rows, mistake in (
        ([row("siti", valid_from=LATER)], "assignment 1: valid_from: this role has begun already"),
        ([row("siti", valid_until="2020-12-31")], "assignment 1: the end must be in the future"),
        ([row("budi"), row("budi", valid_until=SOON)], "assignment 2: the file has this assignment twice"),
        ([row("nobody")], "assignment 1: nobody has the verified identifier"),
        ([row("budi", unit="NONE")], "assignment 1: there is no unit or group NONE"),
        ([row("budi", valid_until="2027-13-31")], "assignment 1: valid_until"),
    ):
        with pytest.raises(RoleFileError) as refused:
            await planned(city, *rows)
        assert mistake in refused.value.mistakes[0], refused.value.mistakes


async def test_a_file_of_two_applications_that_end_sessions(city: City, office: Office) -> None:
    """Nothing of the second application is locked after grants and sessions of the first."""
    for client_id in ("sinyal", "warga"):
        await office.set(client_id, end_session_on_role_loss=True, application_roles=ROLES, scope=TOLD)
    both = [row("dewi"), row("dewi") | {"client_id": "warga"}]
    assert await applied(city, *both, row("budi", "reader")) == ["give"] * 3
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"), username="dewi", scope=TOLD)
        await browser.tokens(city.relying_party("warga"), scope=TOLD)
    others = [row("siti"), row("siti") | {"client_id": "warga"}, row("dewi", "reader") | {"client_id": "warga"}]
    with statements_of(city) as statements:
        acts = await applied(city, *others, row("budi", "reader", valid_until=SOON), end_others=True)
    written = [table for text in statements for table, how in locks_of(text) if how == "write" and table in IN_ORDER]
    assert written == sorted(written, key=IN_ORDER.index)
    assert set(written) == set(IN_ORDER)
    assert sorted(acts) == ["change", "end", "end", "give", "give", "give"]
    async with city.provider.db.read() as session:
        ended = (await session.execute(select(SessionClient.client_id, SessionClient.ended_at))).all()
    assert {name for name, ended_at in ended if ended_at is not None} == {"sinyal", "warga"}


async def test_a_change_of_times_ends_no_session(city: City, office: Office) -> None:
    await office.set("sinyal", end_session_on_role_loss=True)
    await applied(city, row("dewi", valid_until=SOON))
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"), username="dewi", scope=TOLD)
        assert await applied(city, row("dewi", valid_until=LATER)) == ["change"]
        async with city.provider.db.read() as session:
            assert (await session.execute(select(SessionClient.ended_at))).scalar_one() is None


async def test_names_of_a_file_are_looked_up_together(city: City, office: Office) -> None:
    rows = [row(name, role, unit=code) for name in ("siti", "budi") for role in ROLES for code in office.units]
    with statements_of(city) as statements:
        assert len(await planned(city, *rows)) == len(rows)
    assert len([text for text in statements if text.startswith("SELECT")]) <= 6, statements
