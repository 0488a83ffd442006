"""docs/tutorial/first-client.md, followed by a developer: what it says to choose, type and run, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from playwright.async_api import Browser, Page, Route, expect
from tests.docs.scripts import ROOT, script
from tests.journeys.conftest import Demo, free_ports
from tests.journeys.displays import follow
from tests.waiting import until, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("portal")]
PAGE = (ROOT / "docs/tutorial/first-client.md").read_text()
STEPS = {part.partition("\n")[0].partition(".")[0]: part for part in PAGE.split("\n## ")[1:]}
LOCALE = ROOT / "src/sso/http/common/locale"
REDIRECT_PORT = "3000"


def chosen(step: str) -> list[str]:
    """Return the labels in bold of a step, in its order."""
    return re.findall(r"\*\*([^*]+)\*\*", STEPS[step])


def typed(step: str, before: str) -> str:
    """Return what stands between backticks after some words of a step."""
    match = re.search(rf"{before} `([^`]+)`", STEPS[step])
    assert match, before
    return match[1]


async def sign_in(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.issuer}/developer")
    await page.fill("#username", "dimas")
    await page.fill("#password", demo.passwords["dimas"])
    await page.locator("main form button[type=submit], main form button:not([type])").first.click()
    await page.wait_for_url(f"{demo.issuer}/developer")


async def test_the_tutorial_leads_to_a_client_that_signs_in_and_out(
    demo: Demo, chromium: Browser, tmp_path: Path
) -> None:
    context = await chromium.new_context(locale="en-GB", accept_downloads=True)
    page = await context.new_page()
    await sign_in(page, demo)
    english, heading = chosen("2")
    assert await page.get_by_text(english, exact=True).count() > 0
    await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()

    port = str(free_ports(1))
    create, create_again, ready = chosen("3")
    await follow(page, page.get_by_role("button", name=create).first)
    await page.fill("#client_name", typed("3", "the name"))
    await page.fill("#redirect_uri", typed("3", "redirect URI").replace(REDIRECT_PORT, port))
    async with page.expect_request("**/first-sign-in"):  # the page watches before anything is downloaded
        await page.get_by_role("button", name=create_again).click()
    await expect(page.get_by_role("heading", name=ready)).to_be_visible()

    (sample,) = chosen("4")
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name=sample, exact=True).click()
    archive = await waiting.value
    await archive.save_as(tmp_path / archive.suggested_filename)
    with running_program(tmp_path, port):
        await use_the_program(page, demo, port)
    await context.close()


@contextmanager
def running_program(folder: Path, port: str) -> Iterator[None]:
    """Type the commands of step 4; the packages are those of the tests instead of a new environment."""
    unpack, run = (block.text for block in script("blocks").blocks("## 4\n" + STEPS["4"]))
    lines = [line for line in unpack.splitlines() if "venv" not in line]
    assert len(lines) == 2
    unpacked = subprocess.run(
        ["sh", "-ec", "\n".join([*lines, f"ln -s {sys.prefix} .venv"])],
        cwd=folder, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert unpacked.returncode == 0, unpacked.stderr
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["sh", "-ec", run.replace(".venv/bin/python", "exec .venv/bin/python")],
            cwd=folder, env=environment(), stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_for(int(port), process, log)
        yield
    finally:
        process.kill()
        process.wait(60)


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SSO_", "OIDC_"))}
    return {**inherited, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


async def use_the_program(page: Page, demo: Demo, port: str) -> None:
    """Sign in and out as step 5 says."""
    allow, arrived, leave = chosen("5")
    shop = await page.context.new_page()
    await shop.goto(typed("5", "Open").replace(REDIRECT_PORT, port))
    await shop.get_by_role("button", name=allow, exact=True).click()
    seen, signed_out = re.findall(r"You should see `([^`]+)`", STEPS["5"])
    await expect(shop.get_by_text(seen)).to_be_visible()
    await expect(page.get_by_text(arrived)).to_be_visible()
    await shop.get_by_role("button", name=leave).click()
    await expect(shop.get_by_text(signed_out)).to_be_visible()
    await page.goto(f"{demo.issuer}/developer")
    await expect(page.locator("#password")).to_be_visible()


async def test_the_first_sign_in_is_noticed_after_an_early_download_and_answers_that_fail(
    demo: Demo, chromium: Browser
) -> None:
    """A download ends the loading of its page: scripts that wait for the end of the loading never run."""
    context = await chromium.new_context(locale="en-GB", accept_downloads=True)
    page = await context.new_page()
    await sign_in(page, demo)
    await page.clock.install()
    await page.goto(f"{demo.issuer}/developer/new")
    await page.fill("#client_name", "Unduh Dulu")
    await page.fill("#redirect_uri", "http://localhost:3000/callback")
    failures = [
        lambda route: route.fulfill(status=200, content_type="text/html", body="<p>Sign in first.</p>"),
        lambda route: route.fulfill(status=429, json={"at": None}),
        lambda route: route.abort(),
    ]
    request_count, has_arrived = 0, False

    async def answer(route: Route) -> None:
        nonlocal request_count
        request_count += 1
        if has_arrived:
            await route.fulfill(status=200, json={"at": "2026-11-28T12:00:00+00:00"})
        else:
            await failures[request_count % len(failures)](route)

    async def was_asked_often() -> bool:
        await page.clock.run_for(3000)
        return request_count > len(failures)

    await page.route("**/first-sign-in", answer)
    await page.route("**/enhance*.js", lambda _: None)  # it keeps loading
    async with page.expect_request("**/first-sign-in"):
        await page.get_by_role("button", name=chosen("3")[1]).click(no_wait_after=True)
    async with page.expect_download():
        await page.get_by_role("button", name=chosen("4")[0], exact=True).click(no_wait_after=True)
    arrived = page.get_by_text(chosen("5")[1])
    await until(was_asked_often)
    await expect(arrived).to_be_hidden()
    has_arrived = True
    await page.clock.run_for(3000)
    await expect(arrived).to_be_visible()
    await context.close()


async def test_labels_of_the_tutorial_are_labels_of_pages() -> None:
    with (LOCALE / "id/LC_MESSAGES/sso.po").open("rb") as file:
        catalogue = {str(message.id) for message in read_po(file) if message.id}
    for label in re.findall(r"\*\*([^*]+)\*\*", PAGE):
        known = label in ("EN", "Keluar", "Python, Authlib (ZIP)") or any(text.startswith(label) for text in catalogue)
        assert known, label
