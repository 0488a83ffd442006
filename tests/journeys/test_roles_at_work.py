"""Units and employees are imported, a team defines a role, a unit administrator gives it, and an employee who signs in
by NIP sees the application's page; the role is taken away, and the next request is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from tests.commands import run_commands
from tests.journeys.conftest import Demo
from tests.journeys.displays import follow
from tests.journeys.role_page import RolePage, running
from tests.journeys.test_sign_on import sign_in
from tests.ports import free_ports
from tests.support import without_settings
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("portal")]
APPLICATION = "loket-puskesmas"
NIP = "198703122011011004"
UNITS = """code,name_id,name_en,parent_code,valid_from,valid_until
PKM-KRT,Puskesmas Karang Tengah,Karang Tengah Health Centre,DINKES,2026-01-01,
"""
EMPLOYEES = f"""nip;name;employment_status;unit_code;position;grade;from
{NIP};Bima Saputra;PNS;PKM-KRT;Petugas loket;III/b;2011-01-01
199001012015012001;Rina Kartika;PNS;PKM-KRT;Bidan;III/a;2015-01-01
"""


def register(demo: Demo, here: str, folder: Path) -> None:
    """Register the application of dimas, which defines no role yet."""
    (folder / "application.yaml").write_text(
        f"application_id: {APPLICATION}\nkind: single_page\nsandbox: {{redirect_uris: ['{here}/callback']}}\n"
        f"document:\n  client_name: Loket Puskesmas\n  redirect_uris: ['{here}/callback']\n"
        f"  backchannel_logout_uri: {here}/backchannel-logout\n  contacts: [tim@loket.example]\n"
        "  scope: openid profile roles\n  scope_reasons: {profile: Nama petugas., roles: Siapa melayani loket.}\n"
    )
    environment = without_settings(os.environ)
    environment |= {"SSO_ISSUER": demo.issuer, "SSO_DATA_DIR": str(demo.data)}
    environment["SSO_DATABASE_URL"] = f"sqlite:///{demo.data / 'sso.db'}"
    run_commands(environment, folder, ["applications", "put", "application.yaml", "--owner", "dimas"])


async def signed_in(demo: Demo, chromium: Browser, name: str, path: str) -> Page:
    """Return a page of somebody in a browser of their own."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 900}, locale="id-ID")
    page = await context.new_page()
    await page.goto(demo.issuer + path)
    await sign_in(page, name, demo.passwords[name])
    await page.wait_for_url(demo.issuer + path)
    return page


async def import_file(page: Page, address: str, text: str, button: str) -> None:
    """Choose a CSV file, look at the preview, and confirm it with a reason."""
    await page.goto(address)
    file = {"name": "data.csv", "mimeType": "text/csv", "buffer": text.encode()}
    await page.locator("#file").set_input_files([file])  # type: ignore[list-item]
    await follow(page, page.get_by_role("button", name="Tampilkan pratinjau"))
    await expect(page.get_by_text("Pratinjau").first).to_be_visible()
    await page.locator("#note").fill("SIMPEG November 2026")
    await follow(page, page.get_by_role("button", name=button))


async def audited(page: Page, address: str) -> list[tuple[str, str, str]]:
    """Return the type, the actor and the details of each event in a list of the audit log, the oldest first."""
    await page.goto(address)
    events = []
    for row in await page.locator("main tbody tr").all():
        cells = [" ".join(text.split()) for text in await row.locator("td").all_inner_texts()]
        events.append((cells[0].split()[-1], cells[1], cells[3]))
    return events[::-1]


async def test_an_employee_gets_a_role_uses_it_and_loses_it(demo: Demo, chromium: Browser, tmp_path: Path) -> None:
    port = free_ports(1)
    here = f"http://localhost:{port}"
    register(demo, here, tmp_path)

    # An administrator imports the units and the employees.
    office = await signed_in(demo, chromium, "ratna", "/admin")
    await import_file(office, f"{demo.issuer}/admin/groups/import", UNITS, "Impor berkas")
    await import_file(office, f"{demo.issuer}/admin/employees", EMPLOYEES, "Impor pegawai")
    await expect(office.get_by_role("row", name=re.compile("Rina Kartika"))).to_be_visible()

    # The team defines the role of the application, and submits it.
    desk = await signed_in(demo, chromium, "dimas", f"/developer/apps/{APPLICATION}/settings")
    await desk.locator("#section-roles > summary").click()
    await desk.locator("#role-0-name").fill("operator")
    await desk.locator("#role-0-title").fill("Petugas loket")
    await desk.locator("#role-0-units_give").select_option("limited")
    await desk.locator("input[name=end_session_on_role_loss]").check()
    await follow(desk, desk.get_by_role("button", name="Simpan"))
    await expect(desk.get_by_text("Tersimpan")).to_be_visible()
    await desk.goto(f"{demo.issuer}/developer/apps/{APPLICATION}")
    await follow(desk, desk.get_by_role("button", name="Ajukan untuk disetujui"))
    await expect(desk.locator("h1 .tag")).to_have_text("Menunggu persetujuan")

    # The administrator approves it, and names the administrator of the new unit.
    await office.goto(f"{demo.issuer}/admin/applications/{APPLICATION}")
    await office.get_by_text("Aplikasi milik kota").click()
    await follow(office, office.get_by_role("button", name="Setujui"))
    await expect(office.locator("h1 .tag")).to_have_text("Di produksi")
    await office.goto(f"{demo.issuer}/admin/groups?q=PKM-KRT")
    await follow(office, office.get_by_role("link", name="Puskesmas Karang Tengah"))
    await expect(office.locator("#members")).to_contain_text("Bima Saputra")
    await office.locator("#act-appoint > summary").click()
    await office.locator("#appoint-user").fill("wati")
    await office.locator("#appoint-note").fill("Kepala tata usaha")
    await follow(office, office.get_by_role("button", name="Tambah pengelola"))
    await expect(office.locator("#administrators")).to_contain_text("Wati Lestari")

    async with running(RolePage(demo.issuer, here, APPLICATION, "operator@PKM-KRT"), port) as application:
        # Without the role, the employee who signs in by NIP is refused.
        phone = await (await chromium.new_context(viewport={"width": 360, "height": 740}, locale="id-ID")).new_page()
        await phone.goto(f"{here}/login")
        await sign_in(phone, NIP, demo.passwords["bima"])
        await expect(phone.get_by_text("Bima Saputra bukan petugas loket")).to_be_visible()

        # The administrator of the unit gives the role, and the next request shows the page.
        unit = await signed_in(demo, chromium, "wati", "/admin/groups")
        await follow(unit, unit.get_by_role("link", name="Puskesmas Karang Tengah"))
        await follow(unit, unit.get_by_role("link", name="Berikan dan akhiri peran"))
        await unit.locator("#user").fill(NIP)
        await unit.locator("#give-note").fill("Surat tugas 12")
        await follow(unit, unit.get_by_role("button", name="Berikan peran"))
        await expect(unit.get_by_role("row", name=re.compile("Bima Saputra"))).to_contain_text("operator")
        await phone.goto(f"{here}/counter")
        await expect(phone.get_by_text("Bima Saputra adalah operator@PKM-KRT")).to_be_visible()

        # The role is taken away: the next request is refused, and the part of the session has ended.
        await unit.get_by_text("Akhiri peran unit ini").click()
        await unit.locator("#end-note").fill("Pindah tugas")
        await follow(unit, unit.get_by_role("button", name=re.compile("operator .*: Bima Saputra")))
        await expect(unit.get_by_role("row", name=re.compile("Bima Saputra"))).to_be_hidden()
        answer = await phone.goto(f"{here}/counter")
        assert answer is not None
        assert answer.status == 401
        await until(lambda: application.logout_tokens)

        # The user is still signed in at the provider; a new sign-in at the application does not bring the role back.
        await phone.goto(f"{here}/login")
        await expect(phone.get_by_text("Bima Saputra bukan petugas loket")).to_be_visible()

        # The proof: the application confirmed the notice, and the audit log says why its part of the session ended.
        async def is_noted() -> bool:  # a moment after the application has answered
            await office.goto(f"{demo.issuer}/admin/deliveries?client={APPLICATION}&status=done")
            return await office.get_by_role("row", name=re.compile(APPLICATION)).count() == 1

        await until(is_noted)
        rows = await audited(office, f"{demo.issuer}/admin/audit?client={APPLICATION}")
        about = [
            (name, actor.split(" 127.")[0], re.sub("[0-9a-f-]{36}", "ID", details)) for name, actor, details in rows
        ]
        given = "Pemberian peran: ID Peran: operator@PKM-KRT Alasan:"
        assert [event for event in about if event[0].startswith(("role.", "session.part"))] == [
            ("role.given", "Wati Lestari", f"{given} Surat tugas 12"),
            ("role.ended", "Wati Lestari", f"{given} Pindah tugas"),
            ("session.part_ended", "Wati Lestari", "Alasan: peran atau grup pengguna dicabut Sesi: ID"),
        ]
