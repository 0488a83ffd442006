"""The console: inviting users, actions on selected rows, saved searches, CSV files, and messages to a user."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select
from tests import arranged
from tests.arranged import signed_in
from tests.citizens import NEW_PASSWORD, SENDING, Authenticator, options_of, token_of
from tests.setup.test_setup_link import own_token
from tests.support import Browser, City, main_of
from tests.web.test_admin import act, events_of_type, selection_token
from tests.web.test_console_access import browser_of
from tests.web.test_developer import person, post

from sso import clock
from sso.accounts import user_invitations
from sso.app import DOWNLOADS_PER_DAY
from sso.http.admin import audit, csv_download
from sso.identity.users import store
from sso.identity.users.models import ImportRun, SavedSearch, User, UserInvitation
from sso.identity.users.service import find, set_roles
from sso.oidc.models import BulkRevocation
from sso.platform.audit.models import AuditEvent
from sso.platform.outbox.models import Delivery
from sso.setup.content_checks import receivers

INVITED = {"choice": "invite", "name": "Wulan Sari", "email": "wulan@kota.example", "note": "Pegawai baru"}


@pytest.fixture
async def admin(city: City) -> Any:
    """An administrator's browser."""
    browser = await signed_in(city, "ratna")
    yield browser
    await browser.http.aclose()


async def invited(city: City, browser: Browser, **fields: str) -> httpx.Response:
    """Invite a user with the form of the console."""
    page = await browser.open("/admin/invitations/new")
    return await post(browser, page, "/admin/invitations/new", **{**INVITED, **fields})


async def invitations(city: City) -> list[UserInvitation]:
    async with city.provider.db.read() as session:
        return list((await session.execute(select(UserInvitation).order_by(UserInvitation.id))).scalars())


def token_in(page: httpx.Response, mark: str = "multipart/form-data") -> str:
    """Return the token of the form that has a mark."""
    (form,) = [form for form in page.text.split("<form ") if mark in form]
    match = re.search(r'name="csrf_token" value="([^"]+)"', form)
    assert match
    return match[1]


async def accept(browser: Browser, token: str, **fields: str) -> httpx.Response:
    """Open the link of an invitation and choose a password."""
    page = await browser.open(f"/invitation?t={token}")
    typed = {"name": "Wulan Sari", "password": NEW_PASSWORD, "agree": "1", **fields}
    return await post(browser, page, "/invitation", **typed)


async def file_sent(browser: Browser, body: bytes, token: str = "") -> httpx.Response:
    """Send a CSV file with the form of the console."""
    page = await browser.open("/admin/invitations/file")
    return await browser.http.post(
        "/admin/invitations/file",
        data={"csrf_token": token or token_in(page)},
        files={"file": ("users.csv", body, "text/csv")},
    )


@pytest.mark.parametrize("overrides", [SENDING])
async def test_a_user_is_invited_and_chooses_a_password(city: City, admin: Browser) -> None:
    wrong = await invited(city, admin, name="", email="", note="")
    assert wrong.status_code == 400
    for field in ("name", "email", "note"):
        assert f'href="#{field}"' in wrong.text, "every mistake is said at once"
    assert (await invited(city, admin, email="siti@warga.example")).status_code == 409, "the address has an account"
    done = await invited(city, admin)
    assert "wulan@kota.example" in done.text
    assert (await invited(city, admin)).status_code == 409, "one invitation for one address"
    token = await token_of(city, "user_invitation")
    async with city.browser() as wulan:
        assert "wulan@kota.example" in (await wulan.open(f"/invitation?t={token}")).text
        assert (await accept(wulan, token, agree="")).status_code == 400
        assert (await accept(wulan, token, password="pendek")).status_code == 400
        assert (await accept(wulan, token)).url.path == "/account"
        assert (await wulan.open(f"/invitation?t={token}")).status_code == 404, "the link works once"
    async with city.provider.db.read() as session:
        user = await find(session, "wulan@kota.example")
        assert await store.roles_of(session, user.id) == ["citizen"]
    assert await invitations(city) == []
    (event,) = await events_of_type(city, "user.invited")
    assert event.subject == str(user.id), "the account has the id of the invitation, so its events belong together"
    assert event.data["note"] == "Pegawai baru"
    assert [accepted.actor for accepted in await events_of_type(city, "user.invitation_accepted")] == [str(user.id)]


@pytest.mark.parametrize("overrides", [{**SENDING, "second_factor_roles": ["developer"]}])
@pytest.mark.parametrize("role", ["citizen", "developer"])
async def test_an_invited_user_with_a_passkey_receives_recovery_codes(city: City, admin: Browser, role: str) -> None:
    await invited(city, admin, **{f"role {role}": "1"})
    token = await token_of(city, "user_invitation")
    async with city.browser() as wulan:
        page = await wulan.open(f"/invitation?t={token}")
        credential = Authenticator().create(options_of(page, "create"))
        page = await accept(wulan, token, password="", credential=credential)
        codes = re.findall(r"<li>(\S+)</li>", page.text.partition('class="codes"')[2].partition("</ol>")[0])
        assert len(codes) == 10, page.text
        assert (await wulan.open("/account")).url.path == "/account", "a passkey is two factors"
    async with city.provider.db.read() as session:
        user = await find(session, "wulan@kota.example")
        kinds = [stored.kind for stored in await store.credentials_of(session, user.id)]
    assert sorted(set(kinds)) == ["passkey", "recovery_code"]


@pytest.mark.parametrize("overrides", [SENDING])
async def test_an_invitation_is_sent_again_withdrawn_and_expires(city: City, admin: Browser) -> None:
    await invited(city, admin)
    first = await token_of(city, "user_invitation")
    (invitation,) = await invitations(city)
    page = await admin.open("/admin/invitations")
    path = f"/admin/invitations/{invitation.id}"
    assert (await post(admin, page, path, choice="send_again")).status_code == 409, "sent a moment ago"
    clock.advance(120)
    page = await admin.open("/admin/invitations")
    assert (await post(admin, page, path, choice="send_again")).status_code == 200
    second = await token_of(city, "user_invitation")
    async with city.browser() as wulan:
        assert (await wulan.open(f"/invitation?t={first}")).status_code == 404, "the first link is not valid any more"
        assert (await wulan.open(f"/invitation?t={second}")).status_code == 200
        clock.advance(timedelta(days=7, minutes=1).total_seconds())
        assert (await wulan.open(f"/invitation?t={second}")).status_code == 404
    again = await signed_in(city, "ratna")
    page = await again.open("/admin/invitations")
    assert (await post(again, page, path, choice="withdraw")).status_code == 200
    assert await invitations(city) == []
    await again.http.aclose()
    assert [event.type for event in await events_of_type(city, "user.invitation_withdrawn")] == [
        "user.invitation_withdrawn"
    ]


@pytest.mark.parametrize("overrides", [{**SENDING, "second_factor_roles": ["auditor"]}])
async def test_nobody_invites_to_more_than_they_may_do_themselves(city: City, admin: Browser) -> None:
    helpdesk = await browser_of(city, "helpdesk")
    assert (await helpdesk.open("/admin/invitations/new")).status_code == 403
    assert (await helpdesk.http.post("/admin/invitations/new", data={"x": "1"})).status_code == 403
    await helpdesk.http.aclose()
    await invited(city, admin, **{"role auditor": "1"})
    (invitation,) = await invitations(city)
    assert invitation.roles == ["citizen", "auditor"]
    token = await token_of(city, "user_invitation")
    async with city.provider.db.write() as session:
        await person_with(session, "budi", ["admin"])
        await person_with(session, "ratna", ["helpdesk"])  # who invited may not give the role any more
    async with city.browser() as wulan:
        assert (await accept(wulan, token)).status_code == 404
    async with city.provider.db.write() as session:
        await person_with(session, "ratna", ["admin"])
    async with city.browser() as wulan:
        page = await accept(wulan, token)
        assert "verifikasi dua langkah" in page.text, "a role that needs a second factor is no session yet"
        assert (await wulan.open("/account")).url.path == "/login"


async def person_with(session: Any, name: str, roles: list[str]) -> None:
    """Give a user these roles."""
    await set_roles(session, await find(session, name), roles)


@pytest.mark.parametrize("overrides", [SENDING])
async def test_an_account_is_created_without_a_message(city: City, admin: Browser) -> None:
    page = await admin.open("/admin/invitations/new")
    fields = {**INVITED, "choice": "create", "username": "wulan.sari", "email_verified": "1", "role developer": "1"}
    assert (await post(admin, page, "/admin/invitations/new", **{**fields, "username": ""})).status_code == 400
    assert (await post(admin, page, "/admin/invitations/new", **{**fields, "username": "siti"})).status_code == 409
    user_page = await post(admin, page, "/admin/invitations/new", **fields)
    assert re.match(r"/admin/people/[0-9a-f-]{36}$", user_page.url.path)
    assert "wulan.sari" in user_page.text
    assert "pengembang" in user_page.text
    assert [event.data["act"] for event in await events_of_type(city, "user.administered")] == ["create"]


@pytest.mark.parametrize("overrides", [SENDING])
async def test_a_file_is_previewed_and_confirmed(city: City, admin: Browser) -> None:
    lines = [
        "name,email,roles",
        "Wulan Sari,wulan@kota.example,citizen",
        "",
        "Siti Lagi,siti@warga.example,",
        "=1+1,rumus@kota.example,",
        "Wulan Dua,wulan@kota.example,",
        "Joko,joko@kota.example,king",
        "<script>alert(1)</script>,x@kota.example,",
        "Dewi Lestari,dewi@kota.example,developer",
    ]
    preview = await file_sent(admin, "\n".join(lines).encode())
    assert preview.status_code == 200
    assert "2 pengguna akan diundang" in preview.text
    assert "5 baris bermasalah" in preview.text
    assert "juga ada di baris 2" in preview.text
    assert "<script>alert" not in preview.text
    assert await invitations(city) == [], "nothing happens before the confirmation"
    refused = await post(admin, preview, "/admin/invitations/file/confirm", note="")
    assert refused.status_code == 400
    done = await post(admin, refused, "/admin/invitations/file/confirm", note="Pegawai baru")
    assert "2 pengguna sudah diundang" in done.text
    assert {invitation.email for invitation in await invitations(city)} == {"wulan@kota.example", "dewi@kota.example"}
    assert numbers_in(done) == numbers_in(refused) == ["2", "9"], "lines have their numbers in the file"
    again = await post(admin, refused, "/admin/invitations/file/confirm", note="Sekali lagi")
    assert "2 pengguna sudah diundang" in again.text, "a preview is confirmed once, and its result is shown again"
    assert len(await events_of_type(city, "user.invited")) == 2
    assert (await admin.open("/admin/invitations/file/result?c=x")).status_code == 400


def numbers_in(page: httpx.Response) -> list[str]:
    """Return the numbers of the lines that a page lists."""
    return re.findall(r"<tr[^>]*>\s*<td[^>]*>(\d+)</td>", page.text)


@pytest.mark.parametrize("overrides", [SENDING])
async def test_the_result_of_a_file_is_kept_where_the_work_was_cut(
    city: City, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line is invited by somebody else in the same moment; with another, the server stops."""
    await invited(city, admin, username="wulan")
    lines = [
        "name,email,username",
        "A,a@kota.example,wulan",
        "B,b@kota.example,",
        "C,c@kota.example,",
        "D,d@kota.example,",
    ]
    preview = await file_sent(admin, "\n".join(lines).encode())
    assert "wulan sudah diundang" in preview.text, "a user name that waits in another invitation"
    assert numbers_in(preview) == ["2", "3", "4", "5"]
    invite, times = user_invitations.invite_user, []

    async def cut(services: Any, person: Any, **options: Any) -> Any:
        times.append(person.email)
        if len(times) == 3:
            raise OSError("the server stops")
        if person.email == "b@kota.example":
            monkeypatch.setattr(user_invitations, "check_unused", lambda *_: None)
            person = person.model_copy(update={"email": "wulan@kota.example"})
        return await invite(services, person, **options)

    monkeypatch.setattr(user_invitations, "invite_user", cut)
    await post(admin, preview, "/admin/invitations/file/confirm", note="Pegawai baru")
    again = await post(admin, preview, "/admin/invitations/file/confirm", note="Pegawai baru")
    assert again.url.path.endswith("/result")
    assert numbers_in(again) == ["3", "4", "5"]
    assert "1 pengguna sudah diundang" in again.text
    assert {invitation.email for invitation in await invitations(city)} == {"wulan@kota.example", "c@kota.example"}
    assert len(times) == 3, "nothing is invited twice"


async def test_a_file_that_is_too_large_or_not_ours_changes_nothing(city: City, admin: Browser) -> None:
    assert (await file_sent(admin, b"x" * 10 * 1024 * 1024)).status_code == 413
    assert (await file_sent(admin, b"name,email\nA,a@kota.example\n", token="stolen")).status_code == 400
    assert (await file_sent(admin, "nama\xe9".encode("latin-1"))).status_code == 400
    assert (await file_sent(admin, b"")).status_code == 400
    preview = await file_sent(admin, b"name,email\nA,a@kota.example\n")
    token = re.search(r'name="c" value="([^"]+)"', preview.text)
    assert token
    other = await browser_of(city, "admin")
    page = await other.open("/admin/invitations/file")
    data = {"csrf_token": token_in(page), "c": token[1], "note": "x"}
    stolen = await other.http.post("/admin/invitations/file/confirm", data=data)
    assert stolen.status_code == 400, "the preview belongs to its administrator and browser"
    assert await invitations(city) == []
    await other.http.aclose()


async def test_selected_accounts_are_changed_and_the_powerful_are_not(city: City, admin: Browser) -> None:
    kepala = await browser_of(city, "admin")
    async with city.provider.db.write() as session:
        await person_with(session, "budi", ["helpdesk"])
    siti, budi, ratna = (str(city.users[name]) for name in ("siti", "budi", "ratna"))
    page = await admin.open("/admin/people")
    data: dict[str, Any] = {"csrf_token": selection_token(page), "act": "disable", "id": [siti, budi, ratna]}
    confirm = await admin.http.post("/admin/people/selected", data=data)
    assert confirm.status_code == 200
    assert "akun Anda sendiri" in confirm.text
    assert len(await events_of_type(city, "user.administered")) == 0
    sure = {**data, "sure": "1"}
    assert (await admin.http.post("/admin/people/selected", data=sure)).status_code == 400, "a reason is needed"
    assert (await admin.http.post("/admin/people/selected", data={**sure, "act": "delete"})).status_code == 404
    assert (await admin.http.post("/admin/people/selected", data={**sure, "csrf_token": "x"})).status_code == 400
    many = {**sure, "note": "x", "id": [str(uuid.uuid4()) for _ in range(101)]}
    assert (await admin.http.post("/admin/people/selected", data=many)).status_code == 400
    done = await admin.http.post("/admin/people/selected", data={**sure, "note": "Latihan"})
    assert done.status_code == 200
    async with city.provider.db.read() as session:
        disabled = {name for name in city.users if (await session.get_one(User, city.users[name])).disabled_at}
    assert disabled == {"siti", "budi"}
    assert {event.data["note"] for event in await events_of_type(city, "user.administered")} == {"Latihan"}
    await kepala.http.aclose()


async def test_the_helpdesk_and_a_weaker_role_cannot_use_selected_rows(city: City) -> None:
    siti, ratna = str(city.users["siti"]), str(city.users["ratna"])
    async with await browser_of(city, "helpdesk") as helpdesk:
        page = await helpdesk.open("/admin/people")
        assert "/admin/people/selected" not in page.text
        for name in ("people", "applications", "deliveries"):
            answer = await helpdesk.http.post(f"/admin/{name}/selected", data={"act": "disable", "id": siti})
            assert answer.status_code in (400, 403), name
        async with city.browser() as kepala:  # an administrator is signed in: the helpdesk may not end that session
            await kepala.sign_in(city.relying_party("warga"), username="ratna")
        sessions = await helpdesk.open(f"/admin/sessions?person={ratna}")
        ids = re.findall(r'name="id" value="([0-9a-f-]{36})"', sessions.text)
        data = {"csrf_token": selection_token(sessions), "act": "end", "id": ids, "sure": "1", "note": "coba"}
        done = await helpdesk.http.post("/admin/sessions/selected", data=data)
        assert "yang tidak Anda miliki" in done.text
    assert await events_of_type(city, "session.ended") == []


async def test_selected_applications_are_suspended_and_resumed(city: City, admin: Browser) -> None:
    page = await admin.open("/admin/applications")
    data: dict[str, Any] = {
        "csrf_token": selection_token(page),
        "act": "suspend",
        "id": ["warga", "nobody"],
        "sure": "1",
    }
    done = await admin.http.post("/admin/applications/selected", data={**data, "note": "Insiden"})
    assert done.status_code == 200
    assert not city.provider.registry.get("warga").enabled  # type: ignore[union-attr]
    assert [event.client_id for event in await events_of_type(city, "client.suspended")] == ["warga"]
    again = await admin.http.post("/admin/applications/selected", data={**data, "act": "resume", "note": "Selesai"})
    assert "nobody" in again.text
    assert city.provider.registry.get("warga").enabled  # type: ignore[union-attr]


@pytest.mark.parametrize("overrides", [SENDING])
async def test_searches_of_units_and_invitations_are_saved(city: City, admin: Browser) -> None:
    """And the filter of invitations finds by name, e-mail address and username, on the page and in the file."""
    for name in ("Rina Wulandari", "Tono 100%"):
        await invited(city, admin, name=name, email=f"{name[:4]}@x.example")
    for words, count in (("rina", 1), ("wulan rina@x", 1), ("%25", 1), ("nobody", 0), ("", 2)):
        assert main_of(await admin.open(f"/admin/invitations?q={words}")).count('value="withdraw"') == count, words
    page = await admin.open("/admin/invitations?q=rina")
    file = await post(admin, page, "/admin/invitations/download?q=rina", note="Rekap")
    assert (file.text.count("Rina"), "Tono" in file.text) == (1, False)
    for list_, path in (("groups", "/admin/groups"), ("invitations", "/admin/invitations")):
        page = await admin.open(f"{path}?q=rina")
        saved = await post(admin, page, "/admin/searches", list=list_, query="q=rina", name="Rina")
        assert (saved.url.path, f'href="{path}?q=rina"' in saved.text) == (path, True)
    async with await browser_of(city, "auditor") as auditor:
        page = await auditor.open("/admin/groups?q=rina")
        sent = {"csrf_token": token_in(page, 'name="list"'), "list": "invitations", "query": "q=x", "name": "x"}
        assert (await auditor.http.post("/admin/searches", data=sent)).status_code == 404, "not a list that they see"


async def test_a_search_is_saved_for_its_owner_alone(city: City, admin: Browser) -> None:
    page = await admin.open("/admin/people?q=siti&state=active")
    form = {"list": "people", "query": "q=siti&state=active&before=x", "name": "Siti yang aktif"}
    assert (await post(admin, page, "/admin/searches", **{**form, "name": ""})).status_code == 400
    assert (await post(admin, page, "/admin/searches", **{**form, "list": "keys"})).status_code == 404
    assert (await admin.http.post("/admin/searches", data=form)).status_code == 400, "CSRF"
    saved = await post(admin, page, "/admin/searches", **form)
    assert "Siti yang aktif" in saved.text
    assert "before" not in str(saved.url), "the place in the list is not saved"
    host = {"Host": "evil.example"}
    shared = await admin.http.get("/admin/people?q=siti", headers=host)
    assert "evil.example" not in shared.text, "the link to share is one of the issuer"
    search = re.search(r'name="id" value="([0-9a-f-]{36})"><button class="plain small"', saved.text)
    assert search
    async with await browser_of(city, "admin") as other:
        theirs = await other.open("/admin/people?q=siti")
        assert "Siti yang aktif" not in theirs.text
        data = {"csrf_token": token_in(theirs, 'name="list"'), "id": search[1]}
        assert (await other.http.post("/admin/searches/remove", data=data)).status_code == 404
    async with city.provider.db.write() as session:
        query, now = "q=siti", clock.now()
        names = [f"Nomor {number}" for number in range(48)]
        mine = {"user_id": city.users["ratna"], "page": "people", "query": query, "created_at": now}
        session.add_all(SavedSearch(**mine, name=name) for name in names)
    for name, status in (("Nomor 49", 200), ("Nomor 50", 409)):
        answer = await post(admin, page, "/admin/searches", **{**form, "name": name})
        assert answer.status_code == status, "at most 50"
    assert (await post(admin, saved, "/admin/searches/remove", id=search[1])).status_code == 200
    assert "Siti yang aktif" not in (await admin.open("/admin/people")).text


def download_path(path: str) -> str:
    """Return the address to which a list sends the form of its download."""
    page, _, query = path.partition("?")
    return f"{page}/download{'?' * bool(query)}{query}"


async def downloaded(browser: Browser, path: str, **fields: str) -> httpx.Response:
    """Download a list with the form on its page."""
    page = await browser.open(path)
    form = token_in(page, "/download?" if "/download?" in page.text else '/download"')
    data = {"csrf_token": form, "note": "Laporan bulanan", "form": "csv", **fields}
    return await browser.http.post(download_path(path), data=data)


LISTS = (
    ("/admin/people?q=siti@warga.example", "'=HYPERLINK"), ("/admin/sessions?status=active", "Ratna"),
    ("/admin/applications?shown=registered", "warga"), ("/admin/deliveries?status=done", "kind"),
    ("/admin/audit?type=session.started", "session.started"), ("/admin/keys", "ES256"),
    ("/admin/invitations", "email"), ("/admin/imports?state=open", "local_user_id"),
)  # fmt: skip


async def test_every_list_is_a_csv_file_without_formulas(
    city: City, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city.provider.db.write() as session:
        user = await session.get_one(User, city.users["siti"])
        user.name = '=HYPERLINK("https://evil.example")'
    for path, part in LISTS:
        answer = await downloaded(admin, path)
        assert answer.headers["content-type"].startswith("text/csv"), path
        assert "attachment" in answer.headers["content-disposition"]
        assert part in answer.text, path
        assert ",=" not in answer.text
    for role, state, is_listed in (("citizen", "active", True), ("admin", "", False), ("", "disabled", False)):
        users = await downloaded(admin, f"/admin/people?q=siti@warga.example&role={role}&state={state}")
        assert ("siti@warga.example" in users.text) == is_listed, (role, state)
    monkeypatch.setattr(csv_download, "MAX_ROWS", 2)
    monkeypatch.setattr(audit, "MAX_ROWS", 2)
    for path in ("/admin/audit", "/admin/people", "/admin/applications"):
        lines = (await downloaded(admin, path)).text.splitlines()
        assert len(lines) == 4, path
        assert lines[-1].startswith('"') or lines[-1].startswith("Tidak lengkap"), lines[-1]
    lines = (await downloaded(admin, "/admin/audit", form="jsonl")).text.splitlines()
    assert json_of(lines[-1]) == {"truncated": True, "rows": 2}
    assert len(lines) == 3
    exported = await events_of_type(city, "list.exported")
    assert [event.data["list"] for event in exported][:2] == ["users", "sessions"]
    assert {event.data["note"] for event in exported} == {"Laporan bulanan"}
    assert "siti@warga.example" not in str([event.data for event in exported]), "the filter itself is not recorded"


async def test_imported_files_and_bulk_revocations_are_csv_files_too(city: City, admin: Browser) -> None:
    now = clock.now()
    async with city.provider.db.write() as session:
        counts = {"rows_done": 7, "made": 5, "proposed": 1, "rejected": 1}
        session.add(ImportRun(digest=b"1" * 32, client_id="warga", started_at=now, finished_at=now, **counts))
        ended = {"reason": "administrator", "actor": "cli", "total": 9, "ended": 9}
        session.add(BulkRevocation(status="done", created_at=now, finished_at=now, client_id="sehat", **ended))
    for page_path, address, name, line in (
        ("/admin/imports", "/admin/imports/download-files", "imported_files", ",warga,7,5,0,0,1,1"),
        ("/admin/sessions", "/admin/sessions/download-endings", "endings", ",administrator,cli,9,9,sessions,sehat,,"),
    ):
        page = await admin.open(page_path)
        token = token_in(page, address)
        refused = await admin.http.post(address, data={"csrf_token": token, "note": "", "form": "csv"})
        assert refused.status_code == 400
        assert f'action="{address}"' in refused.text, "the form is there again"
        data = {"csrf_token": token, "note": "Laporan", "form": "csv"}
        answer = await admin.http.post(address, data=data)
        assert answer.headers["content-type"].startswith("text/csv"), address
        assert line in answer.text.splitlines()[1]
        assert (await events_of_type(city, "list.exported"))[-1].data == {
            "list": name,
            "filters": [],
            "note": "Laporan",
        }
        async with await browser_of(city, "helpdesk") as helpdesk:
            assert (await helpdesk.http.post(address, data=data)).status_code == 403
    clock.advance(city.settings.reauthentication_age + timedelta(seconds=1))
    for page_path in ("imports", "sessions"):
        address = f"/admin/{page_path}/download-{'files' if page_path == 'imports' else 'endings'}"
        again = await admin.http.post(address, data=data)
        assert (again.status_code, f"%2F{page_path}&" in again.headers["location"]) == (303, True)
        assert address not in (await admin.open(f"/admin/{page_path}")).text


async def test_a_download_needs_a_form_a_reason_and_a_recent_sign_in(city: City, admin: Browser) -> None:
    """An attacker downloaded ten thousand users with a link, as helpdesk, hours after the sign-in."""
    tokens = {path: token_in(await admin.open(path), "/download") for path, _ in LISTS}
    for path, _ in LISTS:
        joined = f"{path}{'&' if '?' in path else '?'}as=csv"
        assert (await admin.open(joined)).headers["content-type"].startswith("text/html"), path
        forged = await admin.http.post(download_path(path), data={"note": "x", "form": "csv"})
        assert forged.status_code == 400, f"{path}: CSRF"
        no_reason = await downloaded(admin, path, note=" ")
        assert no_reason.status_code == 400, path
        assert 'id="download-note"' in no_reason.text
        assert "text/html" in no_reason.headers["content-type"]
    assert not await events_of_type(city, "list.exported"), "no event without a download"
    async with await browser_of(city, "helpdesk") as helpdesk:
        for path, _ in LISTS:
            answer = await helpdesk.http.post(download_path(path), data={"note": "x"})
            assert answer.status_code == 403, path
        assert "/download" not in (await helpdesk.open("/admin/people")).text
    clock.advance(city.settings.reauthentication_age + timedelta(seconds=1))
    for path, _ in LISTS:
        data = {"csrf_token": tokens[path], "note": "Laporan", "form": "csv"}
        answer = await admin.http.post(download_path(path), data=data)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login?"), path
    assert "/admin/keys/download" not in (await admin.open("/admin/keys")).text
    assert not await events_of_type(city, "list.exported")


async def test_an_administrator_downloads_some_lists_a_day(city: City, admin: Browser) -> None:
    assert city.site.limits.downloads._maximum == DOWNLOADS_PER_DAY
    city.site.limits.downloads.limit(2)
    for _ in range(2):
        assert (await downloaded(admin, "/admin/keys")).status_code == 200
    assert (await downloaded(admin, "/admin/people?q=siti")).status_code == 429
    assert (await downloaded(admin, "/admin/audit", form="jsonl")).status_code == 429
    async with await browser_of(city, "auditor") as auditor:
        assert (await downloaded(auditor, "/admin/people?q=siti")).status_code == 200


async def test_the_audit_log_is_filtered_by_group_actor_and_subject(city: City, admin: Browser) -> None:
    await act(admin, city.users["siti"], "end_sessions", note="Latihan")
    grouped = await admin.open("/admin/audit?type=accounts.*")
    assert "<code>user.administered</code>" in grouped.text
    assert "<code>session.started</code>" not in grouped.text
    by_actor = await downloaded(admin, f"/admin/audit?actor=ratna&subject={city.users['siti']}", form="jsonl")
    assert [line["type"] for line in map(json_of, by_actor.text.splitlines())] == ["user.administered"]
    assert (await admin.open("/admin/audit?actor=nobody-here")).status_code == 200
    async with city.provider.db.write() as session:
        for hour, kind in ((16, "before"), (17, "first"), (40, "last"), (41, "after")):
            at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=30)
            session.add(AuditEvent(at=at, type=f"day.{kind}", outcome="success", data={}))
    day = await downloaded(admin, "/admin/audit?since=2026-03-02&until=2026-03-02", form="jsonl")
    types = {line["type"] for line in map(json_of, day.text.splitlines())}
    assert types == {"day.first", "day.last"}, "a day begins at midnight in the city, 17:00 in UTC"
    assert "2026-11-27" in (await admin.open("/admin/audit?since=kemarin")).text, "the mistake is said at its field"


def json_of(line: str) -> Any:
    import orjson

    return orjson.loads(line)


@pytest.mark.parametrize("overrides", [SENDING])
async def test_the_page_of_a_user_says_why_no_code_arrives(city: City, admin: Browser) -> None:
    async with city.browser() as siti:
        page = await siti.open("/recover")
        await post(siti, page, "/recover", username="siti@warga.example")
    async with city.provider.db.write() as session:
        row = (await session.execute(select(Delivery).where(Delivery.kind == "message"))).scalar_one()
        row.status, row.attempts, row.last_error = "given_up", 3, "the mail server refuses the address: 550"
        row.finished_at = clock.now()
    user_page = await admin.open(f"/admin/people/{city.users['siti']}")
    part = user_page.text.partition('id="messages"')[2].partition("</section>")[0]
    assert "Server email menolak alamat ini (550)." in part
    assert "Kode untuk pemulihan akun" in part or "pemulihan" in part
    assert "siti@warga.example" not in part, "contacts are masked there"
    assert not re.search(r">\d{6}<", part), "no code is shown"
    async with await browser_of(city, "helpdesk") as helpdesk:
        theirs = await helpdesk.open(f"/admin/people/{city.users['siti']}")
        assert 'id="messages"' in theirs.text
    async with await browser_of(city, "officer") as officer:
        assert 'id="messages"' not in (await officer.open(f"/admin/people/{city.users['siti']}")).text
    for typed in ("siti@warga.example", "siti", str(city.users["siti"])):
        deliveries = await admin.open(f"/admin/deliveries?recipient={typed}")
        assert "menolak alamat" in deliveries.text, typed
    assert "menolak alamat" not in (await admin.open("/admin/deliveries?recipient=budi")).text
    assert (await admin.open("/admin/deliveries?recipient=unknown@kota.example")).status_code == 200


async def test_an_application_is_retired_by_its_typed_name(city: City, admin: Browser) -> None:
    await person(city, "dimas", "developer")
    await arranged.register(city, "dimas")
    path = "/admin/applications/antrean"
    page = await admin.open(path)
    wrong = await post(admin, page, f"{path}/status", choice="remove", note="Selesai", name="antrean")
    assert wrong.status_code == 400
    assert 'href="#remove-name"' in wrong.text
    name = re.search(r"Untuk mengonfirmasi, ketik ([^<]+)<", page.text)
    assert name
    await post(admin, page, f"{path}/status", choice="remove", note="Selesai", name=name[1].strip())
    assert [event.client_id for event in await events_of_type(city, "client.removed")] == ["antrean"]


async def test_an_application_of_a_catalogue_file_is_retired_in_the_file(city: City, admin: Browser) -> None:
    instead = "hapus dari berkas katalognya lalu jalankan"
    page = await admin.open("/admin/applications/warga")
    assert 'value="remove"' not in page.text
    assert instead in page.text
    owner = await post(admin, page, "/admin/applications/warga/owner", who="ratna")
    assert owner.status_code == 200
    name = {"choice": "remove", "note": "Selesai", "name": "Layanan Warga"}
    refused = await post(admin, page, "/admin/applications/warga/status", **name)
    assert refused.status_code == 409, "the form that is not on the page is refused too"
    assert instead in refused.text.partition('id="problem"')[2].partition("</div>")[0]
    own = await admin.open("/developer/apps/warga/end")
    assert instead in own.text
    own_form = {"csrf_token": own_token(city, admin, "end warga"), "name": "warga", "note": "Selesai"}
    refused = await admin.http.post("/developer/apps/warga/end", data=own_form)
    assert (refused.status_code, instead in refused.text) == (409, True)
    assert await events_of_type(city, "client.removed") == []
    assert city.provider.registry.get("warga") is not None


async def test_the_overview_says_first_what_needs_attention(city: City, admin: Browser) -> None:
    calm = await admin.open("/admin")
    assert "Saat ini tidak ada yang perlu ditindaklanjuti" in calm.text
    assert "Belum ada data untuk periode ini" in calm.text
    async with city.provider.db.write() as session:
        sent = {"payload": {}, "attempts": 9, "created_at": clock.now(), "next_attempt_at": clock.now()}
        session.add(
            Delivery(
                kind="backchannel_logout", client_id="warga", receiver="warga.example", status="given_up",
                finished_at=clock.now(), **sent,
            )
        )  # fmt: skip
        session.add(Delivery(kind="webhook", receiver="hooks.example", status="pending", **sent))
        session.add(Delivery(kind="webhook", receiver="slow.example", status="pending", **{**sent, "attempts": 2}))
        session.add(Delivery(kind="notice", status="given_up", finished_at=clock.now(), **sent))
        session.add(AuditEvent(at=clock.now(), type="delivery.given_up", outcome="failure", data={}))
    page = await admin.open("/admin")
    assert "1 pengiriman ke warga gagal" in page.text
    finding = await receivers(city.provider.db)
    assert [words.values["names"] for words in finding.words] == ["hooks.example (1), warga (1)"]
    assert "1 pengiriman ke hooks.example gagal" in page.text, "the overview and the checklist name the same receivers"
    assert "slow.example" not in page.text
    assert "1 pesan kepada pengguna gagal" in page.text
    assert page.text.index("Perlu ditindaklanjuti") < page.text.index('class="figures"')
    checks = page.text.split('id="readiness"')[1].split("</section>")[0]
    assert "Daftar periksa" in checks
    assert 'class="check-warning"' in checks
    async with await browser_of(city, "officer") as officer:
        page = await officer.open("/admin")
        assert "pengiriman ke warga" not in page.text
        assert "check-" not in page.text, "the checklist is for those who may see the settings"
