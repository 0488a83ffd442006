"""An administrator invites somebody in the console; the user opens the mail, chooses a password, and is signed in."""

from __future__ import annotations

import html
import re
import secrets

import httpx2 as httpx
import pytest
from playwright.async_api import Browser, expect
from tests.journeys.conftest import Demo
from tests.journeys.displays import Display, Rules, check_displays, follow, new_context
from tests.journeys.test_sign_on import sign_in
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("portal")]
PHONE = [Display(360, 740, "light", Rules.ALL), Display(1280, 900, "dark", Rules.COLOURS)]


async def link_to(demo: Demo, address: str) -> str:
    """Return the link of the invitation, as the outbox of the demo shows it."""
    links: list[str] = []

    async def has_come() -> bool:
        async with httpx.AsyncClient(timeout=60) as http:
            text = html.unescape((await http.get(f"{demo.issuer}/outbox")).text)
        mails = [part for part in text.split("<li>")[1:] if address in part]
        links.extend(re.findall(r"https?://\S+/invitation\?t=[\w-]+", "".join(mails)))
        return bool(links)

    await until(has_come)
    return links[0]


async def test_an_administrator_invites_a_user_who_chooses_a_password_and_is_signed_in(
    demo: Demo, chromium: Browser
) -> None:
    address = f"wati{secrets.token_hex(3)}@kota.example"
    desk = await chromium.new_context(
        viewport={"width": 1280, "height": 900}, locale="id-ID", java_script_enabled=False
    )
    page = await desk.new_page()
    await page.goto(f"{demo.issuer}/login?then=/admin/invitations/new")
    await sign_in(page, "ratna", demo.passwords["ratna"])
    await page.goto(f"{demo.issuer}/admin/invitations/new")
    await page.fill("#name", "Wati Kusuma")
    await page.fill("#email", address)
    await page.fill("#note", "Pegawai baru")
    await follow(page, page.get_by_role("button", name="Tambah pengguna"))
    await expect(page.get_by_role("status")).to_contain_text("Undangan")
    await expect(page.get_by_text(address)).to_be_visible()
    link = await link_to(demo, address)
    phone = await new_context(chromium, viewport={"width": 360, "height": 740}, locale="id-ID")
    user = await phone.new_page()
    await user.goto(link)
    await expect(user.locator("#name")).to_have_value("Wati Kusuma")
    await check_displays(user, PHONE, "invitation-id")
    await user.check("#agree")
    await user.fill("#password", "payung-lipat-di-rak-atas-61")
    await follow(user, user.get_by_role("button", name="Buat akun"))
    await user.wait_for_url(f"{demo.issuer}/account**")
    await expect(user.locator("details.menu summary")).to_contain_text("Wati Kusuma")
    again = await user.goto(link)
    assert again is not None
    assert again.status == 404, "the link works once"
    await page.goto(f"{demo.issuer}/admin/invitations")
    await expect(page.get_by_text(address)).not_to_be_visible()
    await page.goto(f"{demo.issuer}/admin/people?q={address}")
    await expect(page.get_by_text("Wati Kusuma").first).to_be_visible()
    await desk.close()
    await phone.close()
