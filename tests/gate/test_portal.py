"""A team registers an application behind the gate in the portal, and an administrator lets it into production."""

from __future__ import annotations

import re

import httpx2 as httpx
import pytest
from tests.gate.proxy import TRUSTED, Proxy, add_gate, gate_of
from tests.gate.test_basic import sent
from tests.support import Browser, City
from tests.web.test_developer import person, post, secret_of, signed_in

from sso.clients.claims import withheld
from sso.clients.metadata import ClientMetadata
from sso.http.developer.form import read_typed, requested_from, typed_from
from sso.http.developer.gate_fields import gate_fields, gate_from
from sso.portal.applications import RequestedSettings, Unfinished
from sso.portal.applications.metadata import production_metadata

HOST = "arsip.kota.example"
PATH = "/developer/apps/arsip-lama"
CHANGES = {
    "kind": "gate",
    "client_name": "Arsip lama",
    "contacts": "arsip@kota.example",
    "gate.hosts": HOST,
    "gate.public_paths": "/aset\n/favicon.ico",
    "gate.role_paths": "/kelola app:pengelola, officer",
    "gate.sign_out_path": "/keluar.php",
    "gate.session_seconds": "3600",
    "gate.idle_seconds": "",
    "gate.basic": "username",
    "gate.header username": "1",
    "gate.header roles": "1",
    "gate.header jwt": "1",
    "reason preferred_username": "Mengenali akun Anda.",
    "reason roles": "Menentukan hak Anda.",
    "role-0-name": "pengelola",
    "role-0-title": "Pengelola arsip",
}
UNTICKED = {"gate.header name": "", "gate.header email": ""}
SETTINGS = {
    "hosts": [HOST],
    "public_paths": ["/aset", "/favicon.ico"],
    "role_paths": {"/kelola": ["app:pengelola", "officer"]},
    "headers": ["username", "roles", "jwt"],
    "session_seconds": 3600,
    "sign_out_path": "/keluar.php",
    "basic": {"username": "username"},
}


async def begun(city: City) -> Browser:
    await person(city, "dimas", "developer")
    developer = await signed_in(city, "dimas")
    fields = {"client_name": "Arsip lama", "kind": "gate", "redirect_uri": f"https://{HOST}/mulai", "short": "1"}
    page = await post(developer, await developer.open("/developer/new"), "/developer/new", **fields)
    assert page.status_code == 200, page.text
    return developer


def headers_sent(city: City, client_id: str) -> ClientMetadata:
    client = city.provider.registry.get(client_id)
    assert client is not None
    return client.meta


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_a_team_registers_an_application_behind_the_gate(city: City) -> None:
    developer = await begun(city)
    assert headers_sent(city, "arsip-lama-sandbox").redirect_uris == [f"https://{HOST}/.sso/callback"]
    for tab in ("try", "check", "secrets", "diagnosis", "requests", "quick-start", ""):
        page = await developer.open(f"{PATH}/{tab}".rstrip("/"))
        assert page.status_code == 200, tab
        assert tab != "quick-start" or "sso gate config arsip-lama-sandbox --for nginx" in page.text
    settings = await developer.open(f"{PATH}/settings")
    assert f">{HOST}</textarea>" in settings.text
    assert 'name="sandbox.redirect_uris"' not in settings.text
    saved = await post(developer, settings, f"{PATH}/settings", **CHANGES, **UNTICKED)
    assert saved.status_code == 200, saved.text.partition('id="problem"')[2][:1500]
    meta = headers_sent(city, "arsip-lama-sandbox")
    assert meta.gate is not None
    assert meta.gate.model_dump(exclude_defaults=True) == SETTINGS
    assert meta.scope == "openid profile roles"
    assert withheld(meta.claim_reasons) >= {"name", "nickname", "picture"}, "what no header needs is not sent"
    again = await developer.open(f"{PATH}/settings")
    for text in ("/kelola app:pengelola, officer</textarea>", "/aset\n/favicon.ico</textarea>", 'value="3600"',
                 '<option value="username" selected>'):  # fmt: skip
        assert text in again.text, text
    await post(developer, await developer.open(PATH), PATH, choice="submit", text="Mohon.")
    await person(city, "admin", "admin")
    admin = await signed_in(city, "admin")
    page = await admin.open("/admin/applications/arsip-lama")
    for text in ("gate.hosts", "gate.role_paths", "/kelola: app:pengelola, officer", "username: username", HOST):
        assert text in page.text, text
    await post(admin, page, "/admin/applications/arsip-lama/review", choice="approve", text="Baik.", first_party="1")
    await city.provider.refresh()
    secret_page = await post(
        developer, await developer.open(f"{PATH}/secrets"), f"{PATH}/secrets", choice="make arsip-lama"
    )
    secret = secret_of(secret_page)
    await city.provider.refresh()
    proxy = Proxy(city, "arsip-lama", HOST)
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    assert sent(await proxy.check("/surat")) == f"siti:{secret}"
    edited = await admin.open("/admin/applications/arsip-lama/settings")
    answer = await post(admin, edited, "/admin/applications/arsip-lama/settings", note="Waktu.",
                        **{"gate.session_seconds": "7200"})  # fmt: skip
    assert answer.status_code == 200, answer.text
    changed = headers_sent(city, "arsip-lama").gate
    assert changed is not None
    assert changed.model_dump(exclude_defaults=True) == {**SETTINGS, "session_seconds": 7200}
    await developer.http.aclose()
    await admin.http.aclose()


MISTAKES = [
    ({"gate.hosts": ""}, "gate.hosts"),
    ({"gate.hosts": "https://arsip.kota.example"}, "gate.hosts"),
    ({"gate.hosts": "arsip.kota.example/x"}, "gate.hosts"),
    ({"gate.hosts": f"{HOST}\n{HOST}:443"}, "gate.hosts"),
    ({"gate.hosts": f"{HOST}\nlain.kota.example"}, "gate.hosts"),
    ({"gate.public_paths": "aset"}, "gate.public_paths"),
    ({"gate.public_paths": "/a/../b"}, "gate.public_paths"),
    ({"gate.role_paths": "/kelola"}, "gate.role_paths"),
    ({"gate.role_paths": "/kelola app:tidakada"}, "gate.role_paths"),
    ({"gate.role_paths": "kelola officer"}, "gate.role_paths"),
    ({"gate.sign_out_path": "keluar"}, "gate.sign_out_path"),
    ({"gate.session_seconds": "satu jam"}, "gate.session_seconds"),
    ({"gate.session_seconds": "5"}, "gate.session_seconds"),
    ({"gate.idle_seconds": "99999999"}, "gate.idle_seconds"),
    ({"gate.basic": "account"}, "gate.account"),
    ({"gate.basic": "account", "gate.account": "a:b"}, "gate.basic"),
    ({"gate.basic": "password"}, "gate.basic"),
    ({"reason preferred_username": ""}, "scope_reasons"),
]


@pytest.mark.parametrize(("changes", "name"), MISTAKES)
def test_a_mistake_is_said_at_its_field(changes: dict[str, str], name: str) -> None:
    before = RequestedSettings("gate")
    typed = read_typed("gate", {**CHANGES, **changes})
    requested = requested_from(typed, before)
    try:
        production_metadata(requested, {})
    except Unfinished as error:
        typed.refuse(error.problems)
    assert [field for field, _ in typed.problems] == [name]


def test_the_fields_hold_what_is_requested_and_keep_what_they_do_not_show() -> None:
    assert gate_from(gate_fields({"gate": SETTINGS}), {}).settings == SETTINGS
    later = {"gate": {**SETTINGS, "later": True}}
    assert gate_from(gate_fields(later), later).settings["later"] is True
    form = typed_from("gate", RequestedSettings("gate", {"client_name": "Arsip", "gate": {"hosts": [HOST]}}))
    assert [name for name in form.values if form.values[name] == "1" and name.startswith("gate.")] == [
        "gate.header username", "gate.header name", "gate.header email", "gate.header jwt",
    ]  # fmt: skip


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_an_employee_number_is_for_the_city_and_no_host_may_look_like_another(city: City) -> None:
    developer = await begun(city)
    settings = await developer.open(f"{PATH}/settings")
    for changes in ({"gate.header nip": "1"}, {"gate.basic": "nip"}):
        settings = await developer.open(f"{PATH}/settings")
        named = {**CHANGES, **changes, "reason employee": "Pegawai."}
        saved = await post(developer, settings, f"{PATH}/settings", **named)
        assert (saved.status_code, wrong_fields(saved)) == (200, ["gate-headers"]), "production needs first_party"
        assert "employee" not in headers_sent(city, "arsip-lama-sandbox").scope
    await add_gate(city, "keuangan", gate=gate_of(hosts=["keuangan.kota.example"]))
    alike = {**CHANGES, "gate.hosts": "keuangan.k0ta.example"}
    refused = await post(developer, settings, f"{PATH}/settings", **alike)
    assert (refused.status_code, wrong_fields(refused)) == (400, ["gate-hosts"])
    await developer.http.aclose()


def wrong_fields(page: httpx.Response) -> list[str]:
    """Return the fields that the list of mistakes leads to."""
    listed = page.text.partition('id="problem"')[2].partition("</ul>")[0]
    return re.findall(r'href="#([^"]+)"', listed)


async def test_a_team_turns_logout_requests_of_cas_off(city: City) -> None:
    await person(city, "dimas", "developer")
    developer = await signed_in(city, "dimas")
    fields = {"client_name": "Parkir lama", "kind": "cas", "redirect_uri": "https://parkir.example/?a=b", "short": "1"}
    await post(developer, await developer.open("/developer/new"), "/developer/new", **fields)
    path = "/developer/apps/parkir-lama/settings"
    for value, expected in (("", False), ("1", True)):
        page = await developer.open(path)
        saved = await post(developer, page, path, kind="cas", cas_logout_requests=value)
        assert saved.status_code == 200
        assert headers_sent(city, "parkir-lama-sandbox").cas_logout_requests is expected
    await developer.http.aclose()
