"""The console pages of units and groups, and what a unit administrator reaches."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.routing import APIRoute
from tests.accounts.test_employees import hire
from tests.api.conftest import person_with
from tests.api.test_access import ROUTES, call
from tests.arranged import signed_in
from tests.groups.test_units import check_tree
from tests.groups.units import ACTOR, events, join, parents, tree
from tests.support import ONE_DATABASE, Browser, City, forms_in, main_of
from tests.web.test_admin import admin
from tests.web.test_console_access import PAGES, alike, answer_of, browser_of, rule_of
from tests.web.test_developer import person

from sso import clock
from sso.accounts import groups
from sso.http.admin.unit_roles import NeedsOrLooksAfter
from sso.http.console.access import Needs
from sso.http.console.units import Units
from sso.identity.groups import members
from sso.identity.users.service import find

__all__ = ["admin"]


def form_with(page: httpx.Response, act: str) -> Any:
    """Return the form of an action of a unit."""
    forms = [form for form in forms_in(page.text) if form.fields.get("act") == act]
    assert len(forms) == 1, f"{act}: {len(forms)} forms"
    return forms[0]


async def act(browser: Browser, page: httpx.Response, name: str, **fields: str) -> httpx.Response:
    """Fill in and send the form of an action of a unit."""
    form = form_with(page, name)
    answer = await browser.http.post(form.action, data={**form.fields, "note": "SK 1", **fields})
    return await browser.open(answer.headers["location"]) if answer.status_code == 303 else answer


async def administrator_of(city: City, group_id: uuid.UUID, name: str = "camat", *roles: str) -> Browser:
    """Return the browser of somebody who looks after a unit."""
    await person(city, name, *roles)
    async with city.provider.db.write() as session:
        user = await find(session, name)
        await groups.set_unit_administrators(session, group_id, [user.id], actor=ACTOR, reason="SK")
    return await signed_in(city, name)


async def test_units_are_created_and_changed_in_the_console(city: City, admin: Browser) -> None:
    empty = await admin.open("/admin/groups")
    assert "Belum ada unit" in empty.text
    page = await admin.open("/admin/groups/new")
    for code, parent in (("KOTA", ""), ("DINKES", "KOTA"), ("DISDIK", "KOTA"), ("PKM-1", "DINKES")):
        done = await admin.submit(page, code=code, name_id=f"Unit {code}", name_en="", parent=parent, note="SOTK")
        assert "Sudah dibuat" in done.text, code
    wrong = await admin.submit(page, code="a b", name_id="x", parent="", note="x")
    assert wrong.status_code == 400
    assert "Kode terdiri" in wrong.text or "1 sampai 64" in wrong.text
    assert 'value="a b"' in wrong.text
    assert "tidak ditemukan" in (await admin.submit(page, code="X", name_id="x", parent="Y", note="x")).text
    assert (await admin.submit(page, code="X", name_id="x", parent="", note="")).status_code == 400
    listed = await admin.open("/admin/groups")
    main = main_of(listed)
    assert main.index("Unit KOTA") < main.index("Unit DINKES") < main.index("PKM-1") < main.index("Unit DISDIK")
    assert "<details" in main

    results = await admin.open("/admin/groups?q=pkm")
    address = re.search(r'href="(/admin/groups/[0-9a-f-]{36})"', main_of(results))
    assert address is not None
    assert "KOTA › DINKES" in results.text
    unit = await admin.open(address[1])
    page = await act(admin, unit, "names", name_id="Puskesmas Cipondoh", name_en="Clinic")
    assert "Nama sudah disimpan" in page.text
    assert "Puskesmas Cipondoh" in page.text
    page = await act(admin, page, "code", code="PKM-CPD")
    assert "<code>PKM-CPD</code>" in page.text
    refused = await act(admin, page, "move", parent="PKM-CPD")
    assert refused.status_code == 409
    assert "tidak dapat dipindahkan ke bawah dirinya" in refused.text
    page = await act(admin, page, "move", parent="DISDIK")
    assert (await parents(city))["PKM-CPD"] == "DISDIK"
    refused = await act(admin, page, "close", note="")
    assert (refused.status_code, "Tulis alasan (dicatat di log audit)." in refused.text) == (400, True)
    assert (await act(admin, page, "close", valid_until="kapan")).status_code == 409
    page = await act(admin, page, "close", valid_until="2026-01-31")
    assert "ditutup" in page.text
    page = await act(admin, page, "reopen")
    assert (await act(admin, page, "delete")).status_code == 409
    gone = await act(admin, page, "delete", sure="1")
    assert gone.status_code == 200
    assert "PKM-CPD" not in await parents(city)
    assert [event.data["note"] for event in await events(city, "group.moved")] == ["SK 1"]
    log = await admin.open("/admin/audit?type=group.moved")
    assert "Unit dipindahkan" in log.text
    assert (await admin.open(f"/admin/groups/{uuid.uuid4()}")).status_code == 404


async def test_members_are_added_ended_searched_and_downloaded(city: City, admin: Browser) -> None:
    ids = await tree(city)
    page = await admin.open(f"/admin/groups/{ids['PKM-1']}")
    page = await act(admin, page, "add", user="siti@warga.example", position="Perawat", valid_until="2095-12-31")
    assert "Siti Rahmawati" in page.text
    assert "31 Des 2095" in page.text
    again = await act(admin, page, "add", user="siti")
    assert "sudah memiliki keanggotaan di PKM-1" in again.text
    assert "bukan-siapa-siapa" in (await act(admin, page, "add", user="bukan-siapa-siapa")).text
    assert (await act(admin, page, "add", user="")).status_code == 409
    person_page = await admin.open(f"/admin/people/{city.users['siti']}")
    assert "Unit PKM-1" in person_page.text
    assert "ditambahkan manual" in person_page.text
    above = await admin.open(f"/admin/groups/{ids['KOTA']}?below=1&q=rahma")
    assert "Siti Rahmawati" in main_of(above)
    assert "Siti" not in main_of(await admin.open(f"/admin/groups/{ids['KOTA']}"))

    download = next(form for form in forms_in(above.text) if form.action.partition("?")[0].endswith("/download"))
    file = await admin.http.post(download.action, data={**download.fields, "note": "laporan"})
    assert file.text.splitlines()[1].startswith(f"{city.users['siti']},Siti Rahmawati,PKM-1,Perawat,")
    assert (await admin.http.post(download.action, data=download.fields)).status_code == 400
    (exported,) = await events(city, "list.exported")
    assert (exported.data["note"], exported.data["filters"]) == ("laporan", ["below", "q", "unit KOTA"])

    assert "sedikitnya satu" in (await act(admin, page, "end")).text
    membership = re.search(r'name="(membership [0-9a-f-]{36})"', page.text)
    assert membership is not None
    page = await act(admin, page, "end", **{membership[1]: "1"})
    assert "Keanggotaan sudah diakhiri" in page.text
    assert "Siti" not in main_of(page)
    assert "Siti" in main_of(await admin.open(f"/admin/groups/{ids['PKM-1']}?time=ended"))
    async with city.browser() as siti:
        await siti.sign_in(city.relying_party("warga"))
        activity = await siti.open("/account/activity")
        assert "Keanggotaan dalam unit atau grup berakhir" in activity.text


async def test_administrators_of_a_unit_are_added_and_removed(city: City, admin: Browser) -> None:
    ids = await tree(city)
    page = await admin.open(f"/admin/groups/{ids['DINKES']}")
    page = await act(admin, page, "appoint", user="siti@warga.example")
    assert "Siti Rahmawati" in page.text
    below = await admin.open(f"/admin/groups/{ids['PKM-1']}")
    assert "Siti Rahmawati" in below.text
    assert not [form for form in forms_in(below.text) if form.fields.get("act") == "dismiss"]
    assert "DINKES" in main_of(await admin.open(f"/admin/people/{city.users['siti']}"))
    page = await act(admin, page, "dismiss", user_id=str(city.users["siti"]))
    assert "Siti Rahmawati" not in main_of(page)


async def test_units_are_imported_from_a_file_after_a_preview(city: City, admin: Browser) -> None:
    ids = await tree(city)
    await join(city, "siti", ids["PKM-1"])

    async def send(content: bytes) -> httpx.Response:
        page = await admin.open("/admin/groups/import")
        form = next(form for form in forms_in(page.text) if form.action == "/admin/groups/import")
        return await admin.http.post(form.action, data=form.fields, files={"file": ("unit.csv", content)})

    for content, text in (
        (b"", "Pilih berkas"), (b"PK\x03\x04x", "buku kerja Excel"), ("code,name_id\nA,Ké\n".encode("cp1252"), "UTF-8"),
        (b"kode,nama\nA,B\n", "tidak dikenal"), (b"x" * (3 * 1024 * 1024 + 1), "terlalu besar"),
    ):  # fmt: skip
        refused = await send(content)
        assert refused.status_code == 400
        assert text in refused.text
    wrong = await send(b"code,name_id,parent_code\nA,Dinas A,B\nB,Dinas B,A\nC c,x,\nD,x\n")
    assert wrong.status_code == 400
    assert "saling menjadi induk: A &lt; B &lt; A" in wrong.text
    assert "A code has" not in wrong.text
    preview = await send(b"\xef\xbb\xbfcode;name_id;parent_code\nPKM-9;Puskesmas 9;DISDIK\nPKM-1;Puskesmas 1;DISDIK\n")
    assert preview.status_code == 200
    assert "1 unit baru, 0 diubah, 1 dipindahkan, 0 tidak berubah" in preview.text
    assert "PKM-9" not in await parents(city)
    without = await admin.submit(preview, note="")
    assert without.status_code == 400
    done = await admin.submit(without, note="SOTK 2026")
    assert "Berkas sudah diimpor" in done.text
    assert (await parents(city))["PKM-9"] == (await parents(city))["PKM-1"] == "DISDIK"
    await check_tree(city)
    assert (await admin.submit(without, note="SOTK 2026")).status_code == 400, "it is applied once"


async def _reaches_the_own_units_alone(browser: Browser, ids: dict[str, uuid.UUID]) -> None:
    own = [route for route in PAGES if isinstance(rule_of(route), Units)]
    assert {(next(iter(route.methods)), route.path) for route in own} == {
        ("GET", "/admin/groups"), ("GET", "/admin/groups/{group_id}"), ("POST", "/admin/groups/{group_id}/members"),
    }  # fmt: skip
    refused: set[str] = set()
    for route in PAGES:
        rule = rule_of(route)
        if route.path != "/admin" and not isinstance(rule, (Units, NeedsOrLooksAfter)):
            if alike(rule) in refused:
                continue  # one route of each rule: test_console_access proves that every route obeys its rule
            refused.add(alike(rule))
        for unit in (ids["PKM-1"], ids["DINKES"], ids["DISDIK"], ids["KOTA"], uuid.uuid4()):
            answer = await answer_of(browser, route, _address(route, unit))
            about = f"{route.methods} {route.path} {unit}: {answer.status_code}"
            if route.path == "/admin":
                assert answer.headers.get("location") == "/admin/groups", about
            elif route in own:
                inside = unit in (ids["PKM-1"], ids["DINKES"]) or "{group_id}" not in route.path
                expected = (400 if "POST" in route.methods else 200) if inside else 404
                assert answer.status_code == expected, about
            elif isinstance(rule, NeedsOrLooksAfter):
                inside = unit in (ids["PKM-1"], ids["DINKES"])
                assert answer.status_code == (400 if "POST" in route.methods else 200 if inside else 404), about
            elif isinstance(rule, Needs) and rule.permission is not None:
                assert answer.status_code == 403, about
            if "{group_id}" not in route.path:
                break


@ONE_DATABASE
async def test_a_unit_administrator_reaches_the_own_units_and_nothing_else(city: City) -> None:
    ids = await tree(city)
    browser = await administrator_of(city, ids["DINKES"])
    other = await join(city, "siti", ids["DISDIK"])
    await _reaches_the_own_units_alone(browser, ids)

    home = await browser.open("/admin")
    main = main_of(home)
    assert "Unit DINKES" in main
    assert "DISDIK" not in main
    assert "Buat unit" not in main
    assert "Unit KOTA" not in main_of(await browser.open("/admin/groups?q=unit"))
    page = await browser.open(f"/admin/groups/{ids['PKM-1']}")
    assert {form.fields["act"] for form in forms_in(page.text) if "act" in form.fields} == {"add"}
    page = await act(browser, page, "add", user="budi@warga.example")
    assert page.status_code == 409, "an address that nobody verified names nobody"
    form_page = await browser.open(f"/admin/groups/{ids['PKM-1']}")
    assert (await act(browser, form_page, "add", user="siti@warga.example")).status_code == 409, "no employee"
    await hire(city, "siti")
    page = await act(browser, await browser.open(f"/admin/groups/{ids['PKM-1']}"), "add", user="siti@warga.example")
    assert "Siti Rahmawati" in page.text
    assert "/admin/people" not in page.text
    assert "/download" not in page.text
    foreign = await act(browser, page, "end", **{f"membership {other.id}": "1"})
    assert foreign.status_code == 409
    membership = re.search(r'name="(membership [0-9a-f-]{36})"', page.text)
    assert membership is not None
    above = await browser.open(f"/admin/groups/{ids['DINKES']}?below=1")
    assert "Keanggotaan sudah diakhiri" in (await act(browser, above, "end", **{membership[1]: "1"})).text
    clock.advance(city.settings.reauthentication_age + timedelta(seconds=1))
    stale = await browser.http.post(f"/admin/groups/{ids['PKM-1']}/members", data={"act": "add"})
    assert stale.status_code == 303, "who signed in long ago signs in again"
    async with city.provider.db.write() as session:
        await groups.set_unit_administrators(session, ids["DINKES"], [], actor=ACTOR, reason="r")
    assert (await browser.open("/admin/groups")).status_code == 403, "it ends at once"
    await browser.http.aclose()


def _address(route: APIRoute, unit: uuid.UUID) -> str:
    return re.sub(r"{[^}]*}", str(uuid.UUID(int=7)), route.path.replace("{group_id}", str(unit)))


@ONE_DATABASE
async def test_a_unit_administrator_cannot_use_the_api_of_units(city: City) -> None:
    ids = await tree(city)
    async with city.provider.db.write() as session:
        await groups.set_unit_administrators(session, ids["DINKES"], [city.users["budi"]], actor=ACTOR, reason="SK")
    api = await person_with(city, "employee")
    for route in ROUTES:
        if "/groups" in route.path:
            assert (await call(api, route)).status_code == 403, route.path


async def test_helpdesk_sees_the_units_that_it_looks_after_beside_its_own_pages(city: City) -> None:
    ids = await tree(city)
    browser = await administrator_of(city, ids["DINKES"], "petugas-unit", "helpdesk")
    first = await browser.open("/admin")
    assert first.status_code == 200
    assert 'href="/admin/groups"' in first.text
    assert "Unit DINKES" in (await browser.open("/admin/groups")).text
    await browser.http.aclose()


async def test_the_account_of_a_unit_administrator_is_not_recovered_by_the_helpdesk(city: City) -> None:
    ids = await tree(city)
    helper = await browser_of(city, "helpdesk")
    page = await helper.open(f"/admin/people/{city.users['siti']}")
    form = next(form for form in forms_in(page.text) if form.action.endswith("/recovery"))
    async with city.provider.db.write() as session:
        await groups.set_unit_administrators(session, ids["PKM-1"], [city.users["siti"]], actor=ACTOR, reason="SK")
    refused = await helper.http.post(form.action, data={**form.fields, "note": "lupa"})
    assert refused.status_code == 403
    assert "groups:" in refused.text
    await helper.http.aclose()


async def test_the_data_of_a_user_has_the_memberships_and_they_go_with_the_account(city: City) -> None:
    from sso.accounts.data_export import everything_about
    from sso.accounts.deletion import delete_user
    from sso.identity.users.models import User

    ids, siti = await tree(city), city.users["siti"]
    await join(city, "siti", ids["PKM-1"], position="Perawat")
    async with city.provider.db.write() as session:
        await groups.set_unit_administrators(session, ids["DINKES"], [siti], actor=ACTOR, reason="SK")
        document: Any = await everything_about(session, city.provider.box, city.provider.registry, siti)
        (row,) = document["memberships"]["units_and_groups"]
        assert (row["code"], row["position"], row["source"]) == ("PKM-1", "Perawat", "manual")
        assert document["memberships"]["administrator_of"] == ["DINKES"]
        user = await session.get(User, siti)
        assert user is not None
        await delete_user(session, city.provider, user, actor=ACTOR)
        assert await members.memberships_of(session, siti) == []


async def test_a_large_tree_has_one_level_a_page(city: City, admin: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sso.http.admin.groups.WHOLE", 3)
    ids = await tree(city)
    page = await admin.open("/admin/groups")
    assert "Buka sebuah unit" in page.text
    assert "Unit DINKES" not in main_of(page)
    assert "Unit DINKES" in main_of(await admin.open(f"/admin/groups/{ids['KOTA']}"))
