"""The work in the background of a server goes on, whatever fails in it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.support import City
from tests.waiting import until

from sso import app
from sso.oidc.provider import Provider


@pytest.mark.parametrize("overrides", [{"registry_poll_interval": "50ms"}])
async def test_a_part_that_fails_begins_again_with_all_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, city: City
) -> None:
    began: list[str] = []

    async def follow(_: Provider, stop: asyncio.Event) -> None:
        began.append("follow")
        if began.count("follow") == 1:
            raise RuntimeError("a mistake of ours")
        await stop.wait()

    async def keep_usage(_: Provider, stop: asyncio.Event) -> None:
        began.append("usage")
        await stop.wait()

    monkeypatch.setattr(Provider, "follow", follow)
    monkeypatch.setattr(Provider, "keep_usage", keep_usage)
    monkeypatch.setattr(app, "RETRY_SECONDS", 0.01)
    stop = asyncio.Event()
    working: Coroutine[Any, Any, None] = app._keep_working(city.site, stop)
    task = asyncio.create_task(working)
    await until(lambda: began.count("follow") == 2 and "usage" in began[began.index("follow", 1) :])
    stop.set()
    await task
    assert began.count("usage") in (1, 2), "the other part was ended, maybe before its first step, and began again"
    assert "the work in the background failed and begins again" in caplog.text
