"""The pages about roles: of a team, of administrators, of units, and of one's own account."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select
from tests.api.conftest import program
from tests.arranged import sign_in
from tests.citizens import SENDING
from tests.roles.conftest import Office
from tests.roles.test_assignments import TOLD, give, given
from tests.scheduled import run_jobs
from tests.support import Browser, City, form_of, forms_in, main_of

from sso import clock
from sso.http.admin.unit_roles import SHOWN as UNIT_SHOWN
from sso.http.console.roles import SHOWN
from sso.identity.groups.models import AccessReview, RoleAssignment
from sso.identity.users.service import find, set_roles
from sso.platform.audit.models import AuditEvent
from sso.platform.outbox.models import Delivery
from sso.setup.content_checks import unit_codes


async def signed_in(city: City, browser: Browser, name: str, *roles: str) -> None:
    if roles:
        async with city.provider.db.write() as session:
            await set_roles(session, await find(session, name), roles)
    await sign_in(city, browser, name)


async def send(browser: Browser, path: str, **fields: str) -> httpx.Response:
    """Send the fields with the token of the first form of a page."""
    page = await browser.http.get(path)
    assert page.status_code == 200, page.text
    return await browser.http.post(path, data={"csrf_token": token_of(page), **fields})


def token_of(page: httpx.Response) -> str:
    """Return the token of the first form of a page that changes something."""
    return next(form.fields["csrf_token"] for form in forms_in(main_of(page)) if "csrf_token" in form.fields)


async def test_a_team_gives_ends_and_downloads(city: City, office: Office) -> None:
    await office.team("sinyal", dewi="owner")
    await office.set("sinyal", team_gives_roles=True)
    await office.join("joko", "PKM-2")
    api = await program(city)
    await given(api, "warga", role="hakim", user_id=office.user("siti"))
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"), username="siti", scope=TOLD)
    path = "/developer/apps/sinyal/roles"
    async with city.browser() as browser:
        await signed_in(city, browser, "dewi")
        page = await browser.http.get(path)
        assert "Petugas" in page.text
        assert "hakim" not in page.text.lower(), "the roles of another application"
        unknown = await send(browser, path, choice="give", role="chief", user="budi@warga.example", note="r")
        assert unknown.status_code == 400, "who neither works for the city nor uses the application is not found"
        answer = await send(browser, path, choice="give", role="chief", user="siti@warga.example")
        assert answer.status_code == 400, "the reason is missing"
        answer = await send(browser, path, choice="give", role="chief", user="siti@warga.example", note="Kepala baru")
        assert answer.status_code == 303, answer.text
        await send(browser, path, choice="give", role="reader", group="PKM-2", note="=1+1")
        everybody = await send(browser, path, choice="give", role="reader", group="DINKES", below="1", note="r")
        assert everybody.status_code == 403, "Dewi is a member of a unit below"
        own = await send(browser, path, choice="give", role="chief", user="dewi", note="r")
        assert own.status_code == 403
        page = main_of(await browser.http.get(path))
        assert "Siti Rahmawati" in page
        token = token_of(await browser.http.get(path))
        refused = await browser.http.post(path + "/download", data={"csrf_token": token})
        assert refused.status_code == 400
        file = await browser.http.post(path + "/download", data={"csrf_token": token, "note": "Rekap"})
        lines = file.text.splitlines()
        assert len(lines) == 3, file.text
        assert "hakim" not in file.text.lower()
        assert any("Joko" in line and ",PKM-2," in line and "'=1+1" in line for line in lines)
        city.site.limits.downloads._maximum = 1
        file = await browser.http.post(path + "/download", data={"csrf_token": token, "note": "Rekap"})
        assert file.status_code == 429
        assert 0 < int(file.headers["Retry-After"]) <= 86400
        assert "besok" in main_of(file)
        async with city.provider.db.read() as session:
            chief = (
                await session.execute(select(RoleAssignment.id).where(RoleAssignment.role == "chief"))
            ).scalar_one()
        answer = await send(browser, path, **{"choice": "end", f"assignment {chief}": "1", "note": "Selesai"})
        assert answer.status_code == 303, answer.text
        assert "Siti Rahmawati" not in main_of(await browser.http.get(path))


async def test_an_administrator_sees_where_each_role_comes_from(city: City, office: Office) -> None:
    api = await program(city)
    await given(api, "sinyal", role="reader", group_id=str(office.units["DINKES"]), with_units_below=True)
    async with city.browser() as browser:
        await signed_in(city, browser, "ratna")
        path = "/admin/applications/sinyal/roles"
        answer = await send(browser, path, choice="give", role="operator", user="dewi", unit="PKM-1", note="Tugas")
        assert answer.status_code == 303, answer.text
        page = main_of(await browser.http.get(f"/admin/people/{office.user('dewi')}"))
        assert "DINKES" in page
        assert "PKM-1" in page
        token = token_of(await browser.http.get(path))
        refused = await browser.http.post(path + "/download", data={"csrf_token": token})
        assert (refused.status_code, "Retry-After" in refused.headers) == (400, False), "the reason is missing"
        file = await browser.http.post(path + "/download", data={"csrf_token": token, "note": "Rekap"})
        assert file.headers["Content-Disposition"] == 'attachment; filename="roles-sinyal.csv"'
        unit = f"/admin/unit-roles/{office.units['DINKES']}"
        assert "Pembaca" in (await browser.http.get(unit)).text
    async with city.browser() as browser:
        await signed_in(city, browser, "siti")
        assert (await browser.http.get(unit)).status_code == 403
        assert (await browser.http.get(path)).status_code == 403


async def test_an_administrator_of_a_unit_gives_roles_on_its_page(city: City, office: Office) -> None:
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        path = f"/admin/unit-roles/{office.units['PKM-1']}"
        page = await browser.http.get(path)
        assert "sinyal operator" in page.text
        assert "sinyal chief" not in page.text
        answer = await send(browser, path, choice="give", role="sinyal operator", user="dewi", unit="PKM-1", note="r")
        assert answer.status_code == 303, answer.text
        answer = await send(browser, path, choice="give", role="sinyal operator", user="siti", unit="PKM-1", note="r")
        assert answer.status_code == 400, "a user of another unit is nobody here"
        answer = await send(browser, path, choice="give", role="sinyal operator", unit="DISDIK", note="r")
        assert answer.status_code == 403
        other = f"/admin/unit-roles/{office.units['DISDIK']}"
        assert (await browser.http.get(other)).status_code == 404
        page = await browser.http.get(path)
        assert "Dewi" in main_of(page), "a role that a member has for this unit only"
        end = re.search(r'value="(end [0-9a-f-]{36})"', page.text)
        assert end is not None
        assert (await send(browser, path, choice=end[1], note="Selesai")).status_code == 303
        assert "Dewi" not in main_of(await browser.http.get(path))


async def test_a_user_sees_roles_groups_and_who_is_told(city: City, office: Office) -> None:
    api = await program(city)
    await given(api, "sinyal", role="operator", user_id=office.user("dewi"), unit_id=str(office.units["PKM-1"]))
    await given(api, "warga", role="hakim", user_id=office.user("siti"))
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"), username="dewi", scope=TOLD)
        page = main_of(await browser.http.get("/account/access"))
        assert "operator@PKM-1" in page
        assert "DINKES, PKM-1" in page
        assert "hakim" not in page.lower()
        token = form_of(await browser.http.get("/account/data")).fields["csrf_token"]
        exported = (await browser.http.post("/account/export", data={"csrf_token": token})).json()
        assert [row["code"] for row in exported["memberships"]["units_and_groups"]] == ["PKM-1"]
        assert [(row["role"], row["unit"]) for row in exported["application_roles"]] == [("operator", "PKM-1")]


async def many(city: City, office: Office, count: int) -> None:
    """Give roles of ``sinyal``, every second one for PKM-1 only: more than a page, without the use case of each."""
    now = clock.now()
    async with city.provider.db.write() as session:
        for number in range(count):
            unit_id = office.units["PKM-1"] if number % 2 else None
            session.add(
                RoleAssignment(
                    client_id="sinyal", role="reader" if unit_id else "chief", user_id=city.users["dewi"],
                    with_units_below=False, unit_id=unit_id, reason="r", given_by="test", created_at=now,
                )
            )  # fmt: skip


def boxes(page: httpx.Response) -> list[str]:
    return re.findall(r'name="(assignment [0-9a-f-]{36})"', page.text)


async def test_a_review_of_more_roles_than_a_page_is_done_on_the_page(city: City, office: Office) -> None:
    await many(city, office, SHOWN + 21)
    api, path = await program(city), "/admin/applications/sinyal/roles"
    last = await given(api, "sinyal", role="operator", user_id=office.user("siti"), unit_id=str(office.units["PKM-2"]))
    clock.advance(timedelta(seconds=1))
    async with city.browser() as browser:
        await signed_in(city, browser, "ratna")
        until = f"{clock.now() + timedelta(days=10):%Y-%m-%d}"
        assert (await send(browser, path, choice="review", until=until, note="Tahunan")).status_code == 303
        todo = main_of(await browser.http.get("/admin"))
        assert f"{SHOWN + 22} peran sinyal belum dikonfirmasi" in todo
        assert f"{path}?unconfirmed=1" in todo
        first = await browser.http.get(path + "?unconfirmed=1")
        following = re.search(r'href="([^"]*unconfirmed=1&amp;before=[^"]*)"', first.text)
        assert following is not None, main_of(first)
        second = await browser.http.get(following[1].replace("&amp;", "&"))
        assert (len(boxes(first)), len(boxes(second))) == (SHOWN, 22)
        assert not set(boxes(first)) & set(boxes(second))
        for question, count in (
            ("q=dewi", SHOWN), ("q=Siti+rah", 1), (f"q={office.user('siti')}", 1), ("q=nobody", 0),
            ("role=operator", 1), ("unit=PKM-2", 1), ("unit=NONE", 0), ("unit=PKM-1&q=siti", 0),
            ("role=reader", 60), ("q=%25", 0),
        ):  # fmt: skip
            assert len(boxes(await browser.http.get(f"{path}?{question}"))) == count, question
        sent = {"csrf_token": token_of(second), "choice": "confirm", **dict.fromkeys(boxes(second), "1")}
        answer = await browser.http.post(following[1].replace("&amp;", "&"), data=sent)
        assert (answer.status_code, "unconfirmed=1&before=" in answer.headers["location"]) == (303, True)
        assert boxes(await browser.http.get(answer.headers["location"])) == []
    left = await api.pages("/role-assignments", client_id="sinyal", unconfirmed="true")
    assert len(left) == SHOWN
    only = {"client_id": "sinyal", "unconfirmed": "true", "unit_id": str(office.units["PKM-2"])}
    assert [row["id"] for row in await api.pages("/role-assignments", **only)] == [last["id"]]


async def test_codes_that_applications_name_are_checked(city: City, office: Office) -> None:
    """In the form of the application, by ``sso doctor``, and where a unit changes its code or is created."""
    await office.set("warga", groups_of_interest=["DISDIK", "LAMA/*"], allowed_roles=["unit:HILANG", "group:DINKES"])
    finding = await unit_codes(city.provider.db, city.provider.registry)
    assert [words.values for words in finding.words] == [{"names": "warga: HILANG, LAMA"}]
    await office.team("warga", dewi="owner")
    new = {"kind": "unit", "name_id": "Unit baru", "parent": "KOTA", "note": "SOTK"}
    async with city.browser() as browser:
        await signed_in(city, browser, "ratna")
        unit = f"/admin/groups/{office.units['DINKES']}"
        assert "sinyal</a>" in (await browser.http.get(unit)).text.partition('id="act-code"')[2].partition("</form>")[0]
        for path, fields in (("/admin/groups/new", new), (f"{unit}/change", {"act": "code", "note": "r"})):
            page = await browser.http.get("/admin/groups/new" if path.endswith("new") else unit)
            sent = {"csrf_token": token_of(page), **fields, "code": "HILANG" if path.endswith("new") else "LAMA"}
            refused = await browser.http.post(path, data=sent)
            assert (refused.status_code, "warga" in main_of(refused), 'name="named"' in refused.text) == (
                409,
                True,
                True,
            )
            assert (await browser.http.post(path, data={**sent, "named": "1"})).status_code == 303
    finding = await unit_codes(city.provider.db, city.provider.registry)
    assert "sinyal: DINKES; warga: DINKES" in str([words.values for words in finding.words]), "LAMA was DINKES before"


async def test_every_role_of_a_unit_is_shown_in_parts(city: City, office: Office) -> None:
    await many(city, office, 2 * UNIT_SHOWN + 20)
    path = f"/admin/unit-roles/{office.units['PKM-1']}"
    async with city.browser() as browser:
        await signed_in(city, browser, "joko")
        first = await browser.http.get(path)
        following = re.search(rf'href="({path}\?before=[^"]*)"', first.text)
        assert following is not None, main_of(first)
        assert following[0] in (await browser.http.get(f"/admin/groups/{office.units['PKM-1']}")).text
        assert 'action="/admin/unit-roles/' not in first.text.replace(f'action="{path}"', ""), "no export for Joko"
        second = await browser.http.get(following[1])
        ends = re.findall(r'value="(end [0-9a-f-]{36})"', second.text)
        assert (first.text.count('value="end '), len(ends), "?before=" in main_of(second)) == (UNIT_SHOWN, 10, True)
        answer = await send(browser, path, choice=ends[0], note="Selesai")
        assert answer.status_code == 303, "also a role that is not on the first page"
        assert (await browser.http.post(f"{path}/download", data={"note": "r"})).status_code == 403
    async with city.browser() as browser:
        await signed_in(city, browser, "ratna")
        for list_path, rows in ((path, UNIT_SHOWN + 9), ("/admin/groups", 5)):
            page = await browser.http.get(list_path)
            forms = [form for form in forms_in(page.text) if form.action == f"{list_path}/download"]
            assert len(forms) == 1, list_path
            assert "/admin/audit?" in main_of(page)
            assert (await browser.http.post(forms[0].action, data=forms[0].fields)).status_code == 400, "no reason"
            file = await browser.http.post(forms[0].action, data={**forms[0].fields, "note": "Rekap"})
            assert (file.status_code, len(file.text.splitlines())) == (200, rows + 1), file.text[:400]
        assert "PKM-1,unit,Unit PKM-1,,KOTA/DINKES," in file.text
    async with city.provider.db.read() as session:
        statement = select(AuditEvent.data).where(AuditEvent.type == "list.exported").order_by(AuditEvent.id)
        exported = [data["list"] for data in (await session.execute(statement)).scalars()]
    assert exported == ["unit-roles", "units"]


@pytest.mark.parametrize("overrides", [SENDING])
async def test_an_access_review_confirms_some_and_ends_the_rest(city: City, office: Office) -> None:
    await office.team("sinyal", dewi="owner")
    await office.set("sinyal", end_unconfirmed_roles=True)
    api, path = await program(city), "/developer/apps/sinyal/roles"
    confirmed = await given(api, "sinyal", role="chief", user_id=office.user("siti"))
    lost = await given(api, "sinyal", role="reader", user_id=office.user("budi"))
    own = await given(api, "sinyal", role="reader", user_id=office.user("dewi"))
    until = f"{clock.now() + timedelta(days=10):%Y-%m-%d}"
    async with city.browser() as browser:
        await signed_in(city, browser, "dewi")
        assert (await send(browser, path, choice="review", until=until, note="Tahunan")).status_code == 303
        assert (await send(browser, path, choice="review", until=until, note="Tahunan")).status_code == 409
        assert (
            await send(browser, path, **{"choice": "confirm", f"assignment {confirmed['id']}": "1"})
        ).status_code == 303
        answer = await send(browser, path, **{"choice": "confirm", f"assignment {own['id']}": "1"})
        assert answer.status_code == 403, "nobody confirms their own role"
    later: dict[str, Any] = await given(api, "sinyal", role="reader", user_id=office.user("siti"))
    [review] = await api.get("/access-reviews", client_id="sinyal")
    assert (review["status"], review["unconfirmed"]) == ("running", 2)
    clock.advance(timedelta(days=4))
    await run_jobs(city.provider, "role_times", "access_reviews")
    clock.advance(timedelta(days=8))
    await run_jobs(city.provider, "role_times", "access_reviews")
    api = await program(city)
    review = await api.get(f"/access-reviews/{review['id']}")
    assert (review["status"], review["unconfirmed"], review["ended_unconfirmed"]) == ("done", 2, True)
    left = {row["id"] for row in await api.pages("/role-assignments", client_id="sinyal")}
    assert left == {confirmed["id"], later["id"]}
    assert (await api.get(f"/role-assignments/{lost['id']}"))["ended_by"] == "system"
    async with city.provider.db.read() as session:
        sent = select(Delivery.payload).where(Delivery.kind == "notice").order_by(Delivery.id)
        all_notices = [payload["notice"] for payload in (await session.execute(sent)).scalars()]
        notices = [notice for notice in all_notices if notice.startswith("access_review")]
        assert (await session.execute(select(AccessReview.reminders))).scalar_one() == 1
    assert notices == ["access_review", "access_review_ends", "access_review_over"]
    assert (await give(api, "sinyal", role="reader", user_id=office.user("budi"))).status_code == 201
