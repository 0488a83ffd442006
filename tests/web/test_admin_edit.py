"""The page on which administrators change what is registered of an application."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests import arranged
from tests.arranged import signed_in
from tests.citizens import SENDING, sent
from tests.support import Browser, City
from tests.web.test_admin import admin
from tests.web.test_developer import OFFERED, dimas, person, post

from sso.clients import store as clients
from sso.clients.claims import data_of
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE
from sso.clients.secrets import create_client
from sso.identity.users import store
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditEvent
from sso.portal import applications as apps
from sso.portal import teams

__all__ = ["admin", "dimas"]
PATH = "/admin/applications/antrean/settings"


def registered(city: City, client_id: str = "antrean") -> dict[str, Any]:
    """Return what is registered of an application, with the scopes of one that named none."""
    client = city.provider.registry.get(client_id)
    assert client is not None
    return {**client.meta.stored(), "scope": client.meta.scope}


@pytest.mark.parametrize("overrides", [{**SENDING, "relying_party_check": "offered"}])
async def test_what_is_saved_is_in_production_at_once_and_the_team_reads_why(
    city: City, dimas: Browser, admin: Browser
) -> None:
    await arranged.register(city, "dimas")
    await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="Mulai Januari.")
    page = await admin.open("/admin/applications/antrean")
    await post(admin, page, "/admin/applications/antrean/review", choice="approve", text="Baik.")
    await post(dimas, await dimas.open("/developer/apps/antrean/settings"), description="Belum diajukan.")
    before, sandbox = registered(city), registered(city, "antrean-sandbox")
    page = await admin.open(PATH)
    assert f'href="{PATH}"' in (await admin.open("/admin/applications/antrean")).text
    change = {"client_name": "Antrean Kota", "redirect_uris": "https://antrean.example/baru"}
    done = await post(admin, page, **change, note="Nama resmi")
    assert done.url.path == PATH
    assert "berlaku seketika" in done.text
    after = registered(city)
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed == {"client_name", "redirect_uris"}
    assert after["client_name"] == "Antrean Kota"
    assert after["redirect_uris"] == ["https://antrean.example/baru"]
    follows = registered(city, "antrean-sandbox")
    assert {**sandbox, "client_name": "Antrean Kota"} == follows, "its own addresses stay"
    overview = await dimas.open("/developer/apps/antrean")
    assert "Nama resmi" in overview.text
    settings = await dimas.open("/developer/apps/antrean/settings")
    assert 'value="Antrean Kota"' in settings.text
    assert 'value="Belum diajukan."' in settings.text, "what was not submitted is not lost"
    async with city.provider.db.read() as session:
        types = ("client.settings_set", "client.updated")
        events = (
            (await session.execute(select(AuditEvent).where(AuditEvent.type.in_(types)).order_by(AuditEvent.id)))
            .scalars()
            .all()
        )
    decided = [message for message in await sent(city) if message["about"] == "application_decided"]
    assert len(decided) == 2, "the team is told of the approval, and of this"
    about = {event.type: event.data for event in events}
    assert about["client.settings_set"] == {"note": "Nama resmi"}
    assert about["client.updated"] == {"changed": ["client_name", "redirect_uris"]}


REFUSED: tuple[tuple[dict[str, str], str], ...] = (
    ({"note": ""}, 'id="note-wrong"'),
    ({"client_name": ""}, 'id="client_name-wrong"'),
    ({"redirect_uris": "http://antrean.example/cb"}, "<code>https://antrean.example/cb</code>"),
    ({"redirect_uris": "https://*.antrean.example/cb"}, 'id="redirect_uris-advice"'),
    ({"redirect_uris": "https://1ama.example/cb"}, "https://lama.example/cb"),
    ({"initiate_login_uri": "https://1ama.example/masuk"}, "https://lama.example/masuk"),
    ({"logo_uri": "gambar"}, 'id="logo_uri-advice"'),
    ({"jwks": "{"}, 'id="jwks-wrong"'),
    ({"revision": "1"}, 'role="alert"'),
)


@OFFERED
async def test_what_cannot_be_is_said_beside_the_field_and_nothing_is_lost_or_changed(
    city: City, dimas: Browser, admin: Browser
) -> None:
    await arranged.approved(city, "dimas", "ratna")
    before, page = registered(city), await admin.open(PATH)
    for change, text in REFUSED:
        answer = await post(admin, page, **{"description": "Tetap di sini.", "note": "Karena", **change})
        assert answer.status_code == (409 if "revision" in change else 400), change
        assert text in answer.text, change
        assert 'value="Tetap di sini."' in answer.text, change
        assert registered(city) == before, change
    assert (await post(admin, answer, note="Sekali lagi")).status_code == 200, "what was typed can be saved then"
    assert registered(city)["description"] == "Tetap di sini."


@OFFERED
async def test_scopes_and_their_reasons_come_from_one_hand(city: City, dimas: Browser, admin: Browser) -> None:
    await arranged.approved(city, "dimas", "ratna")
    more = {"ask phone_number": "1", "reason phone_number": "Panggilan.", "description": "Belum diajukan."}
    await post(dimas, await dimas.open("/developer/apps/antrean/settings"), **more)
    assert "phone" in registered(city, "antrean-sandbox")["scope"]
    answer = await post(admin, await admin.open(PATH), **{"reason name": "Nama di layar."}, note="Lebih tepat")
    assert answer.status_code == 200, answer.text
    for client_id in ("antrean", "antrean-sandbox"):
        metadata = registered(city, client_id)
        assert (metadata["scope"], metadata["claim_reasons"]) == ("openid profile", {"name": "Nama di layar."})
        assert "scope_reasons" not in metadata
    assert registered(city, "antrean-sandbox")["description"] == "Belum diajukan."


async def test_scopes_that_were_never_named_are_shown_and_do_not_count_as_changed(
    city: City, dimas: Browser, admin: Browser
) -> None:
    await post(admin, await admin.open("/admin/applications/sehat"), "/admin/applications/sehat/owner", who="dimas")
    for page in (
        await admin.open("/admin/applications/sehat/settings"),
        await dimas.open("/developer/apps/sehat/settings"),
    ):
        for name in ("email", *data_of("profile")):
            assert f'name="ask {name}" value="1" checked' in page.text, "its file names none: these it has"
    async with city.provider.db.write() as session:
        values = {"type": "web", "client_name": "Lama", "redirect_uris": ["https://kelurahan.example/cb"]}
        metadata = ClientMetadata.model_validate(values)
        await create_client(session, city.provider.box, "kelurahan", metadata, catalogue=HERE, actor=Actor("test"))
        row = await clients.get_client(session, "kelurahan")
        assert row is not None
        await session.flush()
        await apps.adopt(session, row, actor=Actor("test"))
        await teams.add_member(session, "kelurahan", city.users["dimas"], "owner", actor=Actor("test"))
    await city.provider.refresh()
    path = "/developer/apps/kelurahan/settings"
    reasons = {f"reason {name}": "Kabar." for name in ("email", "phone_number", *data_of("profile"))}
    sandbox = {"sandbox.redirect_uris": "http://localhost:3000/cb"}
    await post(dimas, await dimas.open(path), **reasons, **sandbox, **{"ask phone_number": "1"})
    done = await post(admin, await admin.open("/admin/applications/kelurahan/settings"), note="x", description="Baru.")
    assert done.status_code == 200, done.text
    settings = await dimas.open(path)
    assert 'value="Baru."' in settings.text
    assert 'name="ask phone_number" value="1" checked' in settings.text, "the scopes are the team's still"


OTHERS: tuple[dict[str, Any], ...] = (
    {
        "type": "web", "profile": "legacy", "redirect_uris": ["https://lama.example/cb"], "scope": "email openid nik",
        "first_party": True, "minimum_acr": "urn:sso:acr:mfa", "allowed_roles": ["officer"], "require_pkce": False,
        "frontchannel_logout_uri": "https://lama.example/keluar", "default_max_age": 600,
    },
    {"type": "android", "redirect_uris": ["id.go.tangerang.lama:/masuk"], "scope": "openid offline_access profile"},
    {"type": "service", "scope": "sso:clients:read", "first_party": True},
    {
        "type": "web", "redirect_uris": ["https://lama.example/cb"], "scope": "openid profile email phone nik",
        "claim_reasons": {"name": "Nama.", "gender": "Poli.", "nik": "Bukti."}, "scope_reasons": {"email": "Kabar."},
        "first_party": True,
    },
    {
        "type": "web", "redirect_uris": ["https://lama.example/cb"], "scope": "openid email",
        "claim_reasons": {"email": "Kabar."},
    },
    {"type": "single_page", "redirect_uris": ["https://lama.example/cb"], "scope": "openid profile phone"},
    {
        "type": "web", "redirect_uris": ["https://lama.example/cb"], "token_endpoint_auth_method": "client_secret_jwt",
        "id_token_signed_response_alg": "ES256", "contacts": ["a@lama.example"],
    },
)  # fmt: skip


async def test_saving_without_a_change_changes_nothing(city: City, admin: Browser, subtests: pytest.Subtests) -> None:
    async with city.provider.db.write() as session:
        for number, values in enumerate(OTHERS):
            metadata = ClientMetadata.model_validate({**values, "client_name": "Lama", "group": "Kelurahan"})
            name = f"kelurahan-{number}"
            await create_client(session, city.provider.box, name, metadata, catalogue=HERE, actor=Actor("test"))
    await city.provider.refresh()
    for number, values in enumerate(OTHERS):
        with subtests.test(values=values):
            name = f"kelurahan-{number}"
            before, path = registered(city, name), f"/admin/applications/{name}/settings"
            answer = await post(admin, await admin.open(path), note="Dilihat saja")
            assert answer.status_code == 200, answer.text
            assert registered(city, name) == before


async def test_what_a_catalogue_file_looks_after_is_shown_and_not_changed(city: City, admin: Browser) -> None:
    before, path = registered(city, "warga"), "/admin/applications/warga/settings"
    page = await admin.open(path)
    assert "sso clients apply" in page.text
    assert "<fieldset disabled" in page.text
    assert path not in (await admin.open("/admin/applications/warga")).text
    answer = await post(admin, page, client_name="Lain", note="x")
    assert answer.status_code == 409
    assert registered(city, "warga") == before


async def test_a_sandbox_leads_to_its_application_and_a_draft_is_its_teams(
    city: City, dimas: Browser, admin: Browser
) -> None:
    await arranged.register(city, "dimas")
    assert (await admin.open("/admin/applications/antrean-sandbox/settings")).status_code == 404
    assert PATH not in (await admin.open("/admin/applications/antrean")).text, "nothing is in production yet"


@OFFERED
async def test_an_administrator_of_a_group_keeps_what_they_look_after_in_their_group(
    city: City, dimas: Browser, admin: Browser
) -> None:
    await person(city, "kepala", "group_admin")
    async with city.provider.db.write() as session:
        await store.replace_groups(session, city.users["kepala"], ["E-Kesehatan"])
    kepala = await signed_in(city, "kepala")
    await arranged.approved(city, "dimas", "ratna")
    page = await kepala.open(PATH)
    refused = await post(kepala, page, group="E-Pendidikan", note="Pindah")
    assert refused.status_code == 400
    assert registered(city)["group"] == "E-Kesehatan"
    saved = await post(kepala, page, description="Dari grup.", note="Lebih jelas")
    assert saved.status_code == 200, saved.text
    assert registered(city)["description"] == "Dari grup."
    await post(admin, await admin.open(PATH), group="E-Pendidikan", note="Pindah")
    assert (await kepala.open(PATH)).status_code == 404
    await kepala.http.aclose()
