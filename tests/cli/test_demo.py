"""The demo ends its sample apps, however it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from tests.support import ISSUER

from sso.cli import demo
from sso.settings import Settings


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_sample_apps_too(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(["sleep", "60"], env=options["env"]))
        return started[-1]

    monkeypatch.setattr(demo, "configure_logging", lambda _: None)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: os.kill(os.getpid(), number))
    settings = Settings(issuer=ISSUER, secret_key=["a secret key of more than 32 characters"], database_url="sqlite://")
    secrets = dict.fromkeys(demo.APPS, "rahasia")
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        demo._serve(settings, [8000, 8001, 8002], demo._people(), secrets)
    assert len(started) == len(demo.APPS)
    assert all(process.poll() is not None for process in started)
