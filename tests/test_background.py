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
    others_began, ours = asyncio.Event(), asyncio.Event()

    async def follow(_: Provider, stop: asyncio.Event) -> None:
        if stop is not ours:  # the work of the city's own server, which begins at any moment
            await stop.wait()
            return
        began.append("follow")
        if began.count("follow") == 1:
            await others_began.wait()  # a part that is ended before its first step would not have begun
            raise RuntimeError("a mistake of ours")
        await stop.wait()

    async def keep_usage(_: Provider, stop: asyncio.Event) -> None:
        if stop is ours:
            began.append("usage")
            others_began.set()
        await stop.wait()

    monkeypatch.setattr(Provider, "follow", follow)
    monkeypatch.setattr(Provider, "keep_usage", keep_usage)
    monkeypatch.setattr(app, "RETRY_SECONDS", 0.01)
    working: Coroutine[Any, Any, None] = app._keep_working(city.site, ours)
    task = asyncio.create_task(working)
    await until(lambda: len(began) == 4)
    ours.set()
    await task
    assert began.count("usage") == 2, "the other part was ended, and began again"
    assert "the work in the background failed and begins again" in caplog.text
