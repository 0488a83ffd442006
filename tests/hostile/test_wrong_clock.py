"""A host whose clock is one day ahead ends nothing, and its codes and tokens are good everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.hostile.test_faults import Phone, Process
from tests.ports import free_ports
from tests.support import City
from tests.waiting import until

from sso.identity.sessions.models import SsoSession
from sso.platform.db import JobRun

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
)


@pytest.fixture
def faketime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every program one day ahead."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None:
        pytest.fail("no libfaketime on this machine: run `make test`, which installs faketime")
    monkeypatch.setenv("LD_PRELOAD", library)
    monkeypatch.setenv("FAKETIME", "+1d")


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_host_one_day_ahead_ends_nothing_and_agrees_with_the_others(
    city: City, database: tuple[str, dict[str, Any]], tmp_path: Path, faketime: None
) -> None:
    party = city.relying_party("lama")
    async with city.browser() as browser:
        await browser.tokens(party)
        (tmp_path / "ahead").mkdir()
        process = Process(database[0], tmp_path / "ahead", free_ports(1))
        try:
            phone = Phone(process.port, city.secrets["lama"])

            async def tried() -> bool:  # the jobs are due at the start
                return "runs no jobs" in process.log.read_text()

            await until(tried)
            answer = await phone.http.get("/readyz")
            assert (answer.status_code, answer.json()["reasons"]) == (503, ["clock"])
            # A code of each host at the other, and each token at the other.
            code = await phone.code()
            assert (await party.exchange(code, code_verifier=None)).status == 200
            ours = await phone.token(
                grant_type="authorization_code",
                code=await browser.code(party),
                redirect_uri=party.redirect_uri,
                code_verifier=party.verifier,
            )
            assert (await party.userinfo(ours["access_token"])).status_code == 200
            assert "refresh_token" in await phone.refresh(ours["refresh_token"])
            after = await city.provider.clock.compare()
            assert abs(after or 0) < 60, "this host is right"
        finally:
            process.kill()
        async with city.provider.db.read() as session:
            ended = select(func.count()).where(SsoSession.ended_at.is_not(None))
            assert (await session.execute(ended)).scalar_one() == 0
            assert (await session.execute(select(JobRun))).first() is None
            newest = (await session.execute(select(func.max(SsoSession.created_at)))).scalar_one()
            now = (await session.execute(select(func.now()))).scalar_one()
            assert newest <= now
