"""The first administrator, from the link of `sso setup` to the checklist, in a real browser without scripts."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Browser, expect
from tests.commands import run_command
from tests.journeys.conftest import Demo
from tests.journeys.displays import follow, new_context
from tests.support import without_settings

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("portal")]


async def test_an_administrator_is_set_up_by_the_link_and_sees_the_checklist(
    demo: Demo, chromium: Browser, tmp_path: Path
) -> None:
    name = f"ayu{secrets.token_hex(3)}"
    environment = without_settings(os.environ)
    environment |= {"SSO_ISSUER": demo.issuer, "SSO_DATA_DIR": str(demo.data), "SSO_DEVELOPMENT_OUTBOX": "true"}
    environment["SSO_DATABASE_URL"] = f"sqlite:///{demo.data / 'sso.db'}"
    completed = run_command(environment, tmp_path, "setup", "--yes", "--admin-email", f"{name}@kota.example")
    assert completed.returncode == 0, completed.stderr
    context = await new_context(
        chromium, viewport={"width": 360, "height": 740}, locale="id-ID", java_script_enabled=False
    )
    page = await context.new_page()
    await page.goto(completed.stdout.strip())
    await expect(page.locator("#username")).to_have_value(name)
    await page.fill("#password", "perahu-kertas-di-sungai-88")
    await follow(page, page.get_by_role("button", name="Lanjutkan"))
    app = pyotp.TOTP((await page.locator(".key").inner_text()).replace(" ", ""))
    await page.fill("#code", app.now())
    await follow(page, page.locator("main form button[type=submit], main form button:not([type])").first)
    await expect(page.locator("ol.codes li")).to_have_count(10)
    await follow(page, page.locator("main form button, main a[role=button]").last)
    await expect(page.get_by_role("heading", name="Penyiapan")).to_be_visible()
    await expect(page.get_by_text("Akun Anda dilindungi verifikasi dua langkah.")).to_be_visible()
    await page.fill("#address", f"{name}@kota.example")
    await follow(page, page.get_by_role("button", name="Kirim email uji"))
    await expect(page.get_by_role("status")).to_contain_text("Server email menerima")
    await expect(page.locator("#checklist")).to_be_visible()
    again = await page.goto(completed.stdout.strip())
    assert again is not None
    assert again.status == 410, "the link works once"
    await context.close()
