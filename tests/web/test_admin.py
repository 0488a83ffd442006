"""The administrators' pages: people, sessions, applications, deliveries, the audit log, keys, imports, figures."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2 as httpx
import orjson
import pytest
from sqlalchemy import select, update
from tests import arranged
from tests.arranged import signed_in
from tests.citizens import SENDING
from tests.delivery.test_mass_ending import fill
from tests.support import PASSWORD, Browser, City, form_of, main_of
from tests.waiting import stand_still
from tests.web.test_console_access import browser_of
from tests.web.test_developer import NEW, person, post, register

from sso import __version__, clock
from sso.accounts.administration import end_session_of_person
from sso.http.admin.setting_texts import masked, setting_views
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import store
from sso.identity.users.models import User
from sso.identity.users.service import find, set_roles
from sso.jobs import clear_up, look_around
from sso.logout import bulk as mass_ending
from sso.logout.delivery_report import bulk_delivery_report
from sso.oidc.models import BulkRevocation
from sso.platform.actor import Actor
from sso.platform.audit import verify_archive
from sso.platform.audit.models import AuditEvent
from sso.platform.metrics import store as usage
from sso.platform.metrics.counters import RECENT
from sso.platform.outbox import enqueue
from sso.platform.outbox.models import Delivery


@pytest.fixture
async def admin(city: City) -> Any:
    """An administrator's browser."""
    browser = await signed_in(city, "ratna")
    yield browser
    await browser.http.aclose()


async def act(browser: Browser, who: uuid.UUID, which: str, **fields: str) -> httpx.Response:
    """Do something with a person, through the form of their page."""
    page = await browser.open(f"/admin/people/{who}")
    return await post(browser, page, f"/admin/people/{who}/{which}", **fields)


def selection_token(page: httpx.Response) -> str:
    """Return the token of the form with the selected rows of a list."""
    form = re.search(
        r'action="/admin/[a-z]+/selected">\s*<input type="hidden" name="csrf_token" value="([^"]+)"', page.text
    )
    assert form, page.text[-3000:]
    return form[1]


def forms_of(page: httpx.Response) -> list[str]:
    """Return where the forms of a page lead that change something, but for signing out and for saved searches."""
    addresses = re.findall(r'<form method="post" action="([^"]+)"', page.text)
    return [address for address in addresses if address != "/logout" and not address.startswith("/admin/searches")]


async def events_of_type(city: City, kind: str) -> list[AuditEvent]:
    async with city.provider.db.read() as session:
        return list(
            (await session.execute(select(AuditEvent).where(AuditEvent.type == kind).order_by(AuditEvent.id))).scalars()
        )


# People


async def test_people_are_found_by_any_identifier_and_the_beginnings_of_their_name(
    city: City, admin: Browser, subtests: pytest.Subtests
) -> None:
    for typed, is_listed in (
        ("siti@warga.example", True), ("0812 3456 7890", True), ("siti", True), ("sit rah", True), ("rahm", True),
        ("RAHMAWATI siti", True), ("hmawati", False), ("nobody", False), ("50%", False), ("sri", False),
    ):  # fmt: skip
        with subtests.test(typed=typed):
            page = await admin.open(f"/admin/people?q={typed}")
            assert page.status_code == 200
            assert (f"/admin/people/{city.users['siti']}" in page.text) == is_listed, page.text[-1500:]


async def test_two_letters_are_too_few_and_long_lists_come_in_pages(city: City, admin: Browser) -> None:
    assert "Masukkan paling sedikit tiga huruf" in (await admin.open("/admin/people?q=xy")).text
    async with city.provider.db.write() as session:
        now = clock.now()
        session.add_all([User(name=f"Orang {n:03}", created_at=now, updated_at=now) for n in range(120)])
    seen: list[str] = []
    page = await admin.open("/admin/people?q=orang")
    for _ in range(4):
        seen += re.findall(r"/admin/people/([0-9a-f-]{36})", page.text)
        following = re.search(r'href="(/admin/people\?[^"]*before=[^"]*)" role', page.text)
        if following is None:
            break
        page = await admin.open(following[1].replace("&amp;", "&"))
    assert len(seen) == len(set(seen)) == 120


async def test_every_act_needs_a_reason_which_the_audit_log_keeps(city: City, admin: Browser) -> None:
    siti = city.users["siti"]
    refused = await act(admin, siti, "disable", note=" ")
    assert refused.status_code == 400
    assert 'id="disable-note"' in refused.text
    await act(admin, siti, "disable", note="Diminta lewat telepon")
    async with city.provider.db.read() as session:
        assert (await find(session, "siti")).disabled_at is not None
    (event,) = await events_of_type(city, "user.administered")
    assert (event.actor, event.subject) == (str(city.users["ratna"]), str(siti))
    assert event.data == {"act": "disable", "note": "Diminta lewat telepon"}
    await act(admin, siti, "enable", note="Sudah jelas")
    async with city.browser() as browser:
        await browser.submit(await browser.open("/login"), username="siti", password=PASSWORD)
        assert (await browser.open("/account")).status_code == 200


async def test_name_and_identifiers_are_changed_and_what_is_wrong_is_said(city: City, admin: Browser) -> None:
    siti = city.users["siti"]
    await act(admin, siti, "edit", name="Siti R. Wijaya", email="siti.baru@warga.example", note="Menikah")
    async with city.provider.db.read() as session:
        user = await find(session, "siti.baru@warga.example")
        assert (user.id, user.name) == (siti, "Siti R. Wijaya")
    wrong = await act(admin, siti, "edit", email="bukan email", note="x")
    assert wrong.status_code == 400
    taken = await act(admin, siti, "edit", email="budi@warga.example", note="x")
    assert taken.status_code == 409


@pytest.mark.parametrize("overrides", [SENDING])
async def test_a_new_password_is_required_and_chosen_by_recovery(city: City, admin: Browser) -> None:
    await act(admin, city.users["siti"], "new_password", note="Bocor")
    async with city.browser() as browser:
        answer = await browser.submit(await browser.open("/login"), username="siti", password=PASSWORD)
        assert answer.status_code == 400, "the old one is worth nothing"
        assert (await browser.open("/recover")).status_code == 200
    async with city.provider.db.read() as session:
        notices = [delivery.payload["notice"] for delivery in (await session.execute(select(Delivery))).scalars()]
    assert "new_password_needed" in notices
    refused = await act(admin, city.users["ratna"], "new_password", note="x")
    assert refused.status_code == 409, "who could not get back in keeps it"


async def test_lost_second_steps_are_taken_away(city: City, admin: Browser) -> None:
    async with city.provider.db.write() as session:
        from sso.identity.users.models import Credential

        now = clock.now()
        about = {"secret": "s", "created_at": now, "updated_at": now}
        session.add(Credential(user_id=city.users["siti"], kind="totp", **about))
    await act(admin, city.users["siti"], "reset_factors", note="Telepon hilang")
    async with city.provider.db.read() as session:
        kinds = {credential.kind for credential in await store.credentials_of(session, city.users["siti"])}
    assert kinds == {"password"}


async def test_roles_and_groups_are_given_and_the_last_administrator_stays(city: City, admin: Browser) -> None:
    ratna, budi = city.users["ratna"], city.users["budi"]
    values = {"role group_admin": "1", "group E-Kesehatan": "1", "note": "Dinas Kesehatan"}
    await act(admin, budi, "roles", **values)
    async with city.provider.db.read() as session:
        assert "group_admin" in await store.roles_of(session, budi)
        assert await store.groups_of(session, budi) == ["E-Kesehatan"]
    page = await admin.open(f"/admin/people/{ratna}")
    action = f"/admin/people/{ratna}/roles"
    token = form_of(page).fields["csrf_token"]
    answer = await admin.http.post(action, data={"csrf_token": token, "note": "x", "role citizen": "1"})
    assert answer.status_code == 409


async def test_a_document_is_recorded_but_not_ones_own(city: City, admin: Browser) -> None:
    siti, ratna = city.users["siti"], city.users["ratna"]
    await act(admin, siti, "check", document="passport", number="A1234567", place="MPP", note="Di loket 3")
    assert "MPP" in (await admin.open(f"/admin/people/{siti}")).text
    page = await admin.open(f"/admin/people/{ratna}")
    fields = {"csrf_token": form_of(page).fields["csrf_token"], "note": "x", "document": "passport"}
    answer = await admin.http.post(f"/admin/people/{ratna}/check", data={**fields, "number": "A1234", "place": "x"})
    assert answer.status_code == 409


async def test_a_recovery_code_is_shown_once(city: City, admin: Browser) -> None:
    page = await act(admin, city.users["siti"], "recovery", note="KTP dilihat")
    assert page.status_code == 200
    assert re.search(r'<p class="code">[^<]{8,}</p>', page.text)
    assert 'class="code"' not in (await admin.open(f"/admin/people/{city.users['siti']}")).text


async def test_a_person_is_deleted_only_with_a_tick(city: City, admin: Browser) -> None:
    siti = city.users["siti"]
    assert (await act(admin, siti, "delete", note="Diminta")).status_code == 409
    await act(admin, siti, "delete", note="Diminta", sure="1")
    page = await admin.open(f"/admin/people/{siti}")
    assert "Siti Rahmawati" not in page.text


async def test_the_owner_of_an_application_hands_it_on_before_leaving(city: City, admin: Browser) -> None:
    await person(city, "dimas", "developer")
    dimas = await signed_in(city, "dimas")
    await arranged.register(city, "dimas")
    refused = await act(admin, city.users["dimas"], "delete", note="Diminta", sure="1")
    assert refused.status_code == 409
    assert "antrean" in refused.text
    await dimas.http.aclose()


# Sessions


async def test_sessions_are_found_by_network_device_and_age(city: City, admin: Browser) -> None:
    async with city.browser(address="198.51.100.9", headers={"user-agent": "Mozilla/5.0 (iPhone)"}) as siti:
        await siti.tokens(city.relying_party("warga"))
    for query, is_listed in (
        ("network=198.51.100.9", True), ("network=198.51.100.0/24", True), ("network=203.0.113.9", False),
        ("system=iPhone", True), ("system=Windows", False), ("unused=1", False), ("client=warga", True),
    ):  # fmt: skip
        page = await admin.open(f"/admin/sessions?{query}")
        assert ("Siti Rahmawati" in page.text) == is_listed, query
    for wrong in ("x", "10.0.0.0/9", "1.2.3"):
        assert (await admin.open(f"/admin/sessions?network={wrong}")).status_code == 400
    clock.advance(timedelta(hours=25).total_seconds())
    async with city.provider.db.write() as session:
        from sso.identity.sessions.models import SsoSession

        later = clock.now() + timedelta(days=1)
        await session.execute(update(SsoSession).values(expires_at=later, remembered_until=later))
    again = await signed_in(city, "ratna")
    assert "Siti Rahmawati" in (await again.open("/admin/sessions?unused=1")).text
    await again.http.aclose()


async def test_those_that_are_ticked_are_ended(city: City, admin: Browser) -> None:
    for _ in range(3):
        async with city.browser() as siti:
            await siti.tokens(city.relying_party("warga"))
    page = await admin.open("/admin/sessions?person=siti")
    ids = re.findall(r'name="id" value="([0-9a-f-]{36})"', page.text)
    assert len(ids) == 3
    assert (await post(admin, page, "/admin/sessions/selected", act="end")).status_code == 400, "no session is selected"
    data = {"csrf_token": selection_token(page), "act": "end", "id": ids[:2]}
    confirm = await admin.http.post("/admin/sessions/selected", data=data)
    assert confirm.text.count("Siti Rahmawati") >= 2, "the page lists what will happen"
    assert len(await events_of_type(city, "session.ended")) == 0, "nothing happens before the confirmation"
    refused = await admin.http.post("/admin/sessions/selected", data={**data, "sure": "1", "note": ""})
    assert refused.status_code == 400
    await admin.http.post("/admin/sessions/selected", data={**data, "sure": "1", "note": "Telepon dicuri"})
    page = await admin.open("/admin/sessions?person=siti")
    assert re.findall(r'name="id" value="([0-9a-f-]{36})"', page.text) == ids[2:]
    assert {event.data["note"] for event in await events_of_type(city, "session.ended")} == {"Telepon dicuri"}


async def test_everything_of_an_application_ends_and_the_proof_counts_who_was_told(city: City, admin: Browser) -> None:
    await fill(city, 30)
    page = await admin.open("/admin/endings?client=warga")
    assert "30" in page.text
    assert (await post(admin, page, "/admin/endings", note="")).status_code == 400
    proof = await post(admin, page, "/admin/endings", note="Kebocoran kunci")
    assert re.match(r"/admin/endings/[0-9a-f-]{36}$", proof.url.path)
    assert "30 dari 30 sesi sudah diakhiri" in proof.text
    assert 'http-equiv="refresh"' in proof.text
    async with city.provider.db.write() as session:
        await session.execute(update(Delivery).values(status="done", finished_at=clock.now()))
    done = await admin.open(proof.url.path)
    assert 'http-equiv="refresh"' not in done.text
    row = re.search(r'<th[^>]* scope="row">[^<]*</th><td[^>]*>(\d+)</td>', done.text)
    assert row, done.text
    assert row[1] == "30"


async def test_the_proof_of_many_tells_of_those_alone_and_not_of_what_was_ended_besides(city: City) -> None:
    await fill(city, 4)
    async with city.provider.db.write() as session:
        ids = (await session.execute(select(SsoSession.id).order_by(SsoSession.id))).scalars().all()
        mine = update(SsoSession).where(SsoSession.id.in_(ids[:2]))
        await session.execute(mine.values(address="198.51.100.7"))
        revocation = await mass_ending.begin(
            session, SessionFilter(network="198.51.100.7"), "administrator", actor=Actor("test")
        )
        await end_session_of_person(session, city.provider, ids[3], actor=Actor("test"))
    clock.advance(1)
    await mass_ending.work_once(city.provider, revocation.id)
    async with city.provider.db.read() as session:
        applications = await bulk_delivery_report(
            session, city.provider.registry, await session.get_one(BulkRevocation, revocation.id)
        )
    assert [(application.client_id, sum(application.counts.values())) for application in applications] == [("warga", 2)]


async def test_everything_there_is_needs_the_word(city: City, admin: Browser) -> None:
    page = await admin.open("/admin/endings")
    assert (await post(admin, page, "/admin/endings", note="Latihan", sure="ya")).status_code == 400
    await post(admin, page, "/admin/endings", note="Latihan", sure="semua")
    assert (await admin.open("/admin")).url.path == "/login", "the administrator's own session ended too"


# Applications


async def test_a_suspended_application_lets_nobody_in_and_its_team_reads_why(city: City, admin: Browser) -> None:
    await person(city, "dimas", "developer")
    dimas = await signed_in(city, "dimas")
    await arranged.register(city, "dimas")
    page = await admin.open("/admin/applications/antrean")
    refused = await post(admin, page, "/admin/applications/antrean/status", choice="suspend", note="")
    assert refused.status_code == 400
    await post(admin, page, "/admin/applications/antrean/status", choice="suspend", note="Kunci bocor")
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    assert (await dimas.open(party.url())).status_code == 400
    assert "Kunci bocor" in (await dimas.open("/developer/apps/antrean")).text
    refused = await post(dimas, await dimas.open("/developer/apps/antrean/settings"), **{**NEW, "kind": "web"})
    assert refused.status_code == 409
    page = await admin.open("/admin/applications/antrean")
    await post(admin, page, "/admin/applications/antrean/status", choice="resume", note="Diganti")
    assert (await dimas.open(party.url(scope="openid profile"))).status_code == 200
    await dimas.http.aclose()


async def test_an_administrator_of_a_group_sees_and_does_only_theirs(city: City, admin: Browser) -> None:
    await person(city, "dimas", "developer")
    await person(city, "kepala", "group_admin")
    async with city.provider.db.write() as session:
        await store.replace_groups(session, city.users["kepala"], ["E-Kesehatan"])
    dimas, kepala = await signed_in(city, "dimas"), await signed_in(city, "kepala")
    await arranged.register(city, "dimas")
    await arranged.register(city, "dimas", "sekolah", group="E-Pendidikan")
    assert (await kepala.open("/admin/applications?shown=building")).text.count("/admin/applications/antrean") == 1
    assert "sekolah" not in (await kepala.open("/admin/applications?shown=building")).text
    page = await kepala.open("/admin/applications/antrean")
    assert page.status_code == 200
    assert (await kepala.open("/admin/applications/sekolah")).status_code == 404
    assert (await kepala.open("/developer/apps/sekolah")).status_code == 404
    assert (await kepala.open("/developer/apps/antrean")).status_code == 200
    token = form_of(page).fields.get("csrf_token", "")
    forged = {"csrf_token": token, "choice": "suspend", "note": "x"}
    answer = await kepala.http.post("/admin/applications/sekolah/status", data=forged)
    assert answer.status_code in (400, 404)
    await post(kepala, page, "/admin/applications/antrean/status", choice="suspend", note="Salah")
    page = await kepala.open("/admin/applications/antrean")
    assert "Ditangguhkan" in page.text
    assert (await kepala.open("/admin/people")).status_code == 403
    settings = await dimas.open("/developer/apps/sekolah/settings")
    await post(dimas, settings, **{**NEW, "kind": "web", "client_id": "sekolah", "group": "E-Kesehatan"})
    assert (await kepala.open("/admin/applications/sekolah")).status_code == 200
    for browser in (dimas, kepala):
        await browser.http.aclose()


async def test_applications_are_put_in_order_and_pages_go_on_where_the_last_ended(
    city: City, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sso.http.admin.applications.PAGE", 5)
    meta = {client.client_id: client.meta for client in city.provider.registry if client.enabled}
    orders = {
        "id": sorted(meta),
        "name": sorted(meta, key=lambda client_id: (meta[client_id].client_name.casefold(), client_id)),
        "group": sorted(
            meta,
            key=lambda client_id: (
                meta[client_id].group or "\uffff",
                meta[client_id].client_name.casefold(),
                client_id,
            ),
        ),
    }
    for order, expected in orders.items():
        seen, path = [], f"/admin/applications?shown=registered&order={order}"
        while path:
            page = await admin.open(path)
            assert (
                f'aria-sort="ascending">{({"id": "Client ID", "name": "Aplikasi", "group": "Kelompok"})[order]}'
                in page.text
            )
            seen += re.findall(r'<th[^>]* scope="row"><a href="/admin/applications/([^"]+)"', page.text)
            further = re.search(r'href="(/admin/applications\?[^"]*after=[^"]*)" role="button"', page.text)
            path = further[1].replace("&amp;", "&") if further else ""
        assert seen == expected, order
    other = await admin.open("/admin/applications?order=salary&after=nobody")
    assert other.status_code == 200, "what is unknown begins anew"


# The whole


async def test_figures_are_counted_and_lead_to_their_lists(city: City, admin: Browser) -> None:
    async with city.browser() as siti:
        wrong = await siti.submit(await siti.open("/login"), username="siti", password="salah-sekali")
        assert wrong.status_code == 400
        await siti.tokens(city.relying_party("warga"))
    await look_around(city.provider.db, city.provider.idle)
    await city.provider.write_usage()
    page = await admin.open("/admin?span=week")
    for part in (
        'href="/admin/sessions"', 'href="/admin/people"', 'href="/admin/audit?type=sign_in.failed"',
        'href="/admin/applications/warga"', "<svg", "<details><summary>Tampilkan sebagai tabel",
    ):  # fmt: skip
        assert part in page.text, part
    assert re.search(r"<strong>4</strong><span>pengguna", page.text), "people"
    async with city.browser() as budi:
        await budi.tokens(city.relying_party("warga"))
    now = await admin.open("/admin")
    assert re.search(r"<strong>3</strong><span>sesi", now.text), "counted now, not an hour ago"
    assert "pengenal atau kata sandi salah" in page.text


def drawn(page: httpx.Response, title: str) -> list[tuple[str, int]]:
    """Return (moment, everything together) of each step of a chart, from its table."""
    table = re.split(rf"<figcaption><a [^>]*>{title}</a>", page.text)[1].partition("<tbody")[2].partition("</tbody>")[0]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in table.split("</tr>") if "<td" in row]
    return [(row[0], sum(int(cell) for cell in row[1:])) for row in rows]


async def test_the_last_hour_is_shown_by_five_minutes_and_forgotten_soon(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_still(monkeypatch)
    clock.advance(60 * (60 - clock.now().minute % 60 + 2))  # two minutes past the hour
    for minutes in (0, 7, 50):
        async with city.browser() as siti:
            await siti.tokens(city.relying_party("warga"))
        await city.provider.write_usage()
        await look_around(city.provider.db, city.provider.idle)
        clock.advance(minutes * 60)
    admin = await signed_in(city, "ratna")
    await city.provider.write_usage()
    page = await admin.open("/admin?span=hour")
    steps = drawn(page, "Login")
    assert [count for _, count in steps] == [2, 1, *[0] * 9, 1], steps
    assert [moment[-5:] for moment, _ in steps][:2] == [f"{steps[0][0][-5:-2]}00", f"{steps[0][0][-5:-2]}05"]
    assert 'href="/admin/applications/warga"' in page.text
    assert [count for _, count in drawn(page, "Sesi aktif")] == [1, 3, 3, *[0] * 9], "as looked at, and once more"
    day = drawn(await admin.open("/admin?span=day"), "Login")
    assert sum(count for _, count in day) == 4, "each once"
    clock.advance(60 * 60)
    await admin.http.aclose()
    admin = await signed_in(city, "ratna")
    await city.provider.write_usage()
    assert [count for _, count in drawn(await admin.open("/admin?span=hour"), "Login")] == [*[0] * 11, 1]
    clock.advance(60 * 60 * 3)
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert await usage.counts_since(session, ["sign_in"], clock.now() - timedelta(days=1), begins=RECENT) == []
        assert await usage.counts_since(session, ["sign_in"], clock.now() - timedelta(days=1))
    await admin.http.aclose()


async def test_what_two_processes_count_is_added_and_what_cannot_be_written_is_kept(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        city.provider.usage.count("sign_in", label="x", times=3)
        await city.provider.write_usage()

    async def broken(*_: Any) -> None:
        raise OSError("disk full")

    city.provider.usage.count("sign_in", label="x")
    monkeypatch.setattr("sso.oidc.provider.usage.add_mistakes", broken)
    with pytest.raises(OSError, match="disk full"):
        await city.provider.write_usage()
    monkeypatch.undo()
    await city.provider.write_usage()
    async with city.provider.db.read() as session:
        counts = await usage.counts_since(session, ["sign_in"], clock.now() - timedelta(hours=2))
    assert [(label, count) for _, _, label, count in counts] == [("x", 7)]


async def test_what_was_given_up_is_sent_once_more(city: City, admin: Browser) -> None:
    async with city.provider.db.write() as session:
        enqueue(session, "backchannel_logout", {}, client_id="warga", receiver="warga.example")
        await session.flush()
        await session.execute(update(Delivery).values(status="given_up", attempts=9, last_error="it answered 500"))
    page = await admin.open("/admin/deliveries?status=given_up")
    assert "Penerima menjawab dengan status 500." in page.text
    (delivery,) = re.findall(r'name="id" value="([0-9a-f-]{36})"', page.text)
    data = {"csrf_token": selection_token(page), "act": "retry", "id": [delivery], "sure": "1", "note": "Server pulih"}
    assert (await admin.http.post("/admin/deliveries/selected", data=data)).status_code == 200
    assert [event.data["note"] for event in await events_of_type(city, "delivery.retried")] == ["Server pulih"]
    async with city.provider.db.read() as session:
        (retried,) = (await session.execute(select(Delivery))).scalars()
    assert retried.status == "pending"
    assert "status 500" not in (await admin.open("/admin/deliveries?status=done")).text


async def test_the_audit_log_is_searched_checked_and_downloaded(city: City, admin: Browser) -> None:
    page = await admin.open("/admin/audit?person=ratna&type=session.started")
    assert "session.started" in page.text
    assert "Siti" not in page.text
    checked = await post(admin, page, choice="verify")
    assert "Log audit utuh" in checked.text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text.partition("/admin/audit/download")[2])
    assert token
    data = {"csrf_token": token[1], "note": "Pemeriksaan", "form": "jsonl"}
    download = await admin.http.post("/admin/audit/download", data=data)
    lines = [orjson.loads(line) for line in download.text.splitlines()]
    assert [event["seq"] for event in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["type"] == "list.exported", "who takes it away is in it"
    async with city.provider.db.read() as session:
        report = await verify_archive(session, city.provider.box, download.content.splitlines(keepends=True))
    assert (report.chained, report.broken_at) == (len(lines), None)
    async with city.provider.db.write() as session:
        await session.execute(update(AuditEvent).where(AuditEvent.seq == 2).values(actor="somebody else"))
    broken = await post(admin, page, choice="verify")
    assert "Log audit telah diubah" in broken.text


async def test_keys_are_changed_with_a_reason(city: City, admin: Browser) -> None:
    page = await admin.open("/admin/keys")
    await post(admin, page, note="Awal", force="1")  # those of the template may be minutes old
    assert (await post(admin, page, note="Latihan")).status_code == 409, "the next ones are too young"
    before = city.provider.keys.jwks()[0]
    await post(admin, page, note="Bocor", force="1")
    assert city.provider.keys.jwks()[0] != before
    assert {"note": "Bocor"} in [event.data for event in await events_of_type(city, "keys.rotation_asked")]


async def test_settings_are_shown_without_what_is_secret(city: City, admin: Browser) -> None:
    await city.provider.report_alive()
    page = await admin.open("/admin/system")
    assert "SSO_ISSUER" in page.text
    assert city.settings.secret_key[0].get_secret_value() not in page.text
    started_at = city.provider.started_at.astimezone(ZoneInfo(city.settings.time_zone))
    assert str(started_at.year) in page.text
    assert __version__ in page.text
    assert masked("postgresql://sso:rahasia@db/sso") == "postgresql://sso:••••••••@db/sso"
    views = [view for group in setting_views(city.settings) for view in group.settings]
    assert all(view.variable.startswith("SSO_") for view in views)
    assert len(views) == len(type(city.settings).model_fields)


async def test_pages_of_administrators_work_for_an_auditor_without_a_button(city: City) -> None:
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "budi"), ["auditor"])
    budi = await signed_in(city, "budi")
    for path in ("", "/people", "/sessions", "/applications", "/applications/warga", "/deliveries", "/keys", "/system"):
        page = await budi.open(f"/admin{path}")
        assert page.status_code == 200, path
        assert [form for form in forms_of(page) if "/download" not in form] == [], path
    page = await budi.open(f"/admin/people/{city.users['siti']}")
    assert forms_of(page) == []
    await budi.http.aclose()


@pytest.mark.parametrize("overrides", [SENDING])
async def test_two_accounts_of_one_person_become_one(city: City, admin: Browser) -> None:
    await person(city, "siti-lama", "developer")
    old = await signed_in(city, "siti-lama")
    await register(old)
    siti, other = city.users["siti"], city.users["siti-lama"]
    for wrong in ("siti", "nobody-here"):
        refused = await act(admin, siti, "merge", other=wrong, note="x")
        assert refused.status_code == 409, wrong
    await act(admin, siti, "merge", other="siti-lama@warga.example", note="Dilihat di loket")
    async with city.provider.db.read() as session:
        known = {identifier.lookup: identifier.verified_at for identifier in await store.identifiers_of(session, siti)}
        assert known["siti-lama@warga.example"] is None, "it must be proven again"
        assert known["siti@warga.example"] is not None
        gone = await session.get(User, other)
        assert gone is not None
        assert gone.deleted_at is not None
        assert await store.roles_of(session, siti) == ["citizen"], "no role comes along"
    assert (await old.open("/account")).url.path == "/login", "the other is signed out"
    now = await signed_in(city, "siti")
    assert (await now.open("/developer/apps/antrean/team")).status_code == 200, "the application has its owner still"
    for browser in (old, now):
        await browser.http.aclose()


async def test_every_list_and_page_of_the_console_links_to_its_events(city: City, admin: Browser) -> None:
    for path, query in (
        ("/admin/imports", "type=users.imported"), ("/admin/deliveries", "type=deliveries.*"),
        ("/admin/mails", "type=deliveries.*"), ("/admin/system", "type=system.*"),
        ("/admin/system/brand", "type=settings.changed"), ("/admin/setup", "type=system.*"),
        ("/admin/invitations", "type=accounts.*"), ("/admin/keys", "type=keys.*"),
        ("/admin/groups", "type=groups.*"), ("/admin/employees", "type=employees.imported"),
        ("/admin/applications/warga/roles", "client=warga"),
    ):  # fmt: skip
        assert f'href="/admin/audit?{query}"' in main_of(await admin.open(path)), path
        events = await admin.open(f"/admin/audit?{query}")
        assert events.status_code == 200
        assert "Tidak ada akun" not in events.text
    async with await browser_of(city, "helpdesk") as helpdesk:
        for path in ("/admin/invitations", "/admin/deliveries"):
            assert "/admin/audit" not in main_of(await helpdesk.open(path)), "who may not read the log sees no link"
