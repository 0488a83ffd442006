"""The page that imports employees: preview of who ends, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select, update
from tests.accounts.test_employees import NIP, OTHER_NIP, hire
from tests.arranged import sign_in
from tests.support import Browser, City, form_of, main_of

from sso.http.admin import employee_files
from sso.identity.employees.models import Employment
from sso.identity.users.service import find, set_roles

PATH = "/admin/employees"
HEAD = "nip;name;employment_status\n"
SITI = f"{NIP};Siti Rahmawati;PNS\n"
RUDI = f"{OTHER_NIP};Rudi Hartono;PPPK\n"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"risk_based_second_factor": "none"}


async def signed_in(city: City, browser: Browser, name: str = "ratna") -> None:
    await sign_in(city, browser, name)


async def send(browser: Browser, content: str | bytes, **fields: str) -> httpx.Response:
    token = form_of(await browser.http.get(PATH)).fields["csrf_token"]
    file = {"file": ("pegawai.csv", content, "text/csv")}
    return await browser.http.post(PATH, data={"csrf_token": token, **fields}, files=file)


async def confirm(browser: Browser, preview: httpx.Response, **fields: str) -> httpx.Response:
    return await browser.http.post(PATH + "/confirm", data={**form_of(preview).fields, **fields})


async def imported(city: City, *names: str) -> None:
    """Count employments as imported."""
    ids = [city.users[name] for name in names]
    async with city.provider.db.write() as session:
        await session.execute(update(Employment).where(Employment.user_id.in_(ids)).values(source="import"))


async def open_employments(city: City) -> int:
    async with city.provider.db.read() as session:
        statement = select(Employment.id).where(Employment.valid_until.is_(None))
        return len((await session.execute(statement)).all())


async def test_a_complete_list_names_whose_employment_ends(city: City) -> None:
    await hire(city, "siti")
    await hire(city, "budi", nip="198001012005011003")
    await imported(city, "siti", "budi")
    async with city.browser() as browser:
        await signed_in(city, browser)
        partial = await send(browser, HEAD + SITI)
        assert "Budi" not in main_of(partial)
        assert 'name="sure"' not in partial.text
        preview = await send(browser, HEAD + SITI, complete="1")
        assert "Budi" in main_of(preview)
        assert "1 dari 2" in main_of(preview)
        assert 'name="sure"' in preview.text, "1 of 2 is more than 5 percent"
        unsure = await confirm(browser, preview, note="SIMPEG")
        assert (unsure.status_code, "5 persen" in main_of(unsure)) == (400, True)
        assert (await confirm(browser, preview, sure="1")).status_code == 400, "the reason is missing"
        await hire(city, "ratna", nip="197501012000011002")
        await imported(city, "ratna")
        others = await confirm(browser, preview, note="SIMPEG", sure="1")
        assert (others.status_code, "2 dari 3" in main_of(others)) == (400, True), "not what was previewed"
        assert await open_employments(city) == 3
        done = await confirm(browser, others, note="SIMPEG", sure="1")
        assert done.status_code == 200, done.text
        assert await open_employments(city) == 1


async def test_the_page_refuses_what_it_cannot_import(city: City) -> None:
    async with city.browser() as browser:
        await signed_in(city, browser)
        for content, fields, text in (
            ("", {}, "Pilih berkas"),
            ("\n" * (employee_files.MAX_ROWS + 1), {}, "sso employees import"),
            ("a;b\n1;2\n", {}, "Berkas tidak memiliki kolom"),
            (HEAD, {}, "Berkas tidak memiliki baris yang dapat dibaca"),
            (b"PK\x03\x04" + bytes(range(256)), {}, "CSV UTF-8"),
            (HEAD.encode() + b"\xff\xfe;a;PNS\n", {}, "CSV UTF-8"),
            (HEAD + "1.98501E+17;Siti;PNS\n", {"complete": "1"}, "Daftar lengkap memerlukan NIP di setiap baris"),
        ):
            answer = await send(browser, content, **fields)
            problem = answer.text.partition('id="problem"')[2].partition("</div>")[0]
            assert (answer.status_code, text in problem) == (400, True), (content[:40], problem)
            assert not re.search("--|/tmp", problem), problem
        wrong = await browser.http.post(PATH, data={"csrf_token": "x"}, files={"file": ("p.csv", HEAD, "text/csv")})
        assert wrong.status_code == 400
        preview = await send(browser, HEAD + RUDI)
        refused = await browser.http.post(
            PATH + "/confirm", data={**form_of(preview).fields, "c": "other", "note": "r"}
        )
        assert refused.status_code == 400
        assert await open_employments(city) == 0
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "budi"), ["helpdesk"])
    async with city.browser() as browser:
        await signed_in(city, browser, "budi")
        assert (await browser.http.get(PATH)).status_code == 403
