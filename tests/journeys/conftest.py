"""A real browser, and the demo as `make run` starts it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect
from tests.journeys.displays import ARTEFACTS
from tests.ports import free_ports
from tests.support import QUICK_HASHES, without_settings
from tests.waiting import BROWSER_MILLISECONDS, wait_for, wait_until

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--js-flags=--no-turbofan,--no-maglev,--single-threaded-gc",  # compiling takes longer than what a page runs once
]
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
"""The first of these that is installed is used. The shell is the same Chromium without the windows that a headless one
also makes, which nobody sees: a new context takes a third of the processor time."""


expect.set_options(timeout=BROWSER_MILLISECONDS)  # an answer may take longer than 5 s while other tests run


@dataclass(frozen=True)
class Demo:
    """What the demo printed."""

    issuer: str
    apps: list[str]
    passwords: dict[str, str]
    data: Path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    directory = tmp_path_factory.mktemp("demo")
    port = free_ports(3)
    command = [str(Path(sys.executable).with_name("sso")), "demo", "--port", str(port)]
    environment = without_settings(os.environ)
    environment |= QUICK_HASHES | {"SSO_SIGN_UPS_PER_IP_ADDRESS": "1000", "SSO_OUTBOUND_TIMEOUT": "30s"}
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=directory, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        for number in range(3):
            wait_for(port + number, process, directory / "log")
        wait_until(lambda: "Ctrl-C" in (directory / "log").read_text() or process.poll() is not None)  # the last line
        text = (directory / "log").read_text()
        passwords = dict(re.findall(r"^  (siti|dimas|ratna|bima|wati) +(\S+)", text, re.M))
        assert passwords, text
        data = directory / "var" / "demo"
        yield Demo(f"http://localhost:{port}", [f"http://localhost:{port + n}" for n in (1, 2)], passwords, data)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _browser() -> AsyncIterator[Browser]:
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail("no chromium on this machine: run `make test`, which installs it, or set CHROMIUM to its path")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=QUIET)
        browser.on("context", lambda context: context.set_default_timeout(BROWSER_MILLISECONDS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(_browser: Browser) -> AsyncIterator[Browser]:
    """A browser without contexts; one runs for all journeys of a worker, and what a test opened is closed after it."""
    yield _browser
    for context in _browser.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def person(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A citizen's phone: small, in Indonesian."""
    context = await chromium.new_context(viewport={"width": 360, "height": 740}, locale="id-ID")
    yield context
    await context.close()


@pytest.fixture
def artefacts() -> Path:
    """Where screenshots are kept."""
    ARTEFACTS.mkdir(exist_ok=True)
    return ARTEFACTS
