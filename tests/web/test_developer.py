"""The developers' portal: from a draft to production, teams, secrets. Through the forms, as a developer does."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select
from tests import arranged
from tests.arranged import signed_in as signed_in
from tests.citizens import SENDING
from tests.conftest import CATALOGUE
from tests.oidc.test_attributes import declare
from tests.scheduled import run_jobs
from tests.support import ISSUER, PASSWORD, Browser, City, forms_in, query_of

from sso import clock
from sso.clients.catalogue import read_catalogue
from sso.clients.catalogue_apply import CatalogueConflict, make_plan
from sso.clients.claims import data_of
from sso.http.developer.quick_start import STACKS
from sso.identity.users import store
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import create_users, set_roles
from sso.platform.outbox.models import Delivery
from sso.portal.redirect_uri_advice import advise

NEW: dict[str, str] = {
    "client_name": "Antrean Puskesmas",
    "client_name#en": "Health centre queue",
    "client_id": "antrean",
    "description": "Ambil nomor antrean dari rumah.",
    "group": "E-Kesehatan",
    "contacts": "tim@antrean.example",
    "redirect_uris": "https://antrean.example/callback",
    "backchannel_logout_uri": "https://antrean.example/logout",
    "sandbox.redirect_uris": "http://localhost:3000/callback",
    "ask name": "1",
    "reason name": "Nama di karcis antrean.",
    "token_endpoint_auth_method": "client_secret_basic",
}


async def person(city: City, username: str, *roles: str) -> None:
    """Make somebody with a user name, a proven e-mail address and roles."""
    hashed = await city.site.passwords.hash(PASSWORD)
    values = {"username": username, "name": username.title(), "email": f"{username}@warga.example"}
    async with city.provider.db.write() as session:
        (user,) = await create_users(session, [NewUser.model_validate({**values, "email_verified": True})])
        await store.set_password_hash(session, user.id, hashed, clock.now())
        await set_roles(session, user, roles)
        city.users[username] = user.id


@pytest.fixture
async def dimas(city: City) -> Any:
    """A developer's browser."""
    await person(city, "dimas", "developer")
    browser = await signed_in(city, "dimas")
    yield browser
    await browser.http.aclose()


async def post(browser: Browser, seen: httpx.Response, action: str = "", **fields: str) -> httpx.Response:
    """Send the form of a page that leads to ``action``, with the fields that it has."""
    path = seen.url.path
    forms = [form for form in forms_in(seen.text) if form.method == "post" and form.action == (action or path)]
    assert forms, f"no form to {action or path}: {seen.text[:3000]}"
    every = {name: value for form in forms for name, value in form.fields.items()}
    return await browser._follow(await browser.http.post(forms[0].action, data={**every, **fields}))


async def register(browser: Browser, **changes: str) -> httpx.Response:
    """Register an application in the sandbox."""
    page = await browser.open("/developer/new?kind=web")
    assert page.status_code == 200, page.text[:500]
    return await post(browser, page, "/developer/new", **{**NEW, "choice": "sandbox", **changes})


def secret_of(page: httpx.Response) -> str:
    """Return the secret that a page shows."""
    match = re.search(r'id="client-secret">([^<]+)<', page.text)
    assert match, page.text
    return match[1]


async def test_an_application_gets_its_sandbox_at_once_and_its_team_signs_in(city: City, dimas: Browser) -> None:
    page = await register(dimas)
    secret = secret_of(page)
    city.secrets["antrean-sandbox"] = secret
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    consent = await dimas.open(party.url(scope="openid profile"))
    answer = await dimas.submit(consent, choice="allow")
    assert answer.headers["location"].startswith("http://localhost:3000/callback?code="), answer.text
    tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    assert tokens.status == 200
    assert (await city.browser().open(city.relying_party("antrean-sandbox").url())).status_code == 200


OFFERED = pytest.mark.parametrize("overrides", [{"relying_party_check": "offered"}])


async def ratna(city: City) -> Browser:
    """Return an administrator's browser."""
    return await signed_in(city, "ratna")


async def test_whoever_is_not_in_the_team_is_told_that_it_is_a_sandbox(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    async with city.browser() as siti:
        page = await siti.sign_in(party)
        assert page.status_code == 200
        assert "sandbox" in page.text
        back = next(form for form in forms_in(page.text) if form.action == "/identity")
        answer = await siti.http.post("/identity", data=back.fields)
        assert query_of(answer.headers["location"])["error"] == "access_denied"
        silent = await siti.http.get(party.url(prompt="none"))
        assert query_of(silent.headers["location"])["error"] == "access_denied"


REFUSED = {
    "http://antrean.example/cb": "https://antrean.example/cb",
    "https://*.antrean.example/cb": "https://antrean.example/cb",
    "https://antrean.example/cb#x": "https://antrean.example/cb",
    "https://admin@antrean.example/cb": "https://antrean.example/cb",
    "https://Antrean.example/cb": "https://antrean.example/cb",
    "antrean.example/cb": "https://antrean.example/cb",
    "http://localhost:3000/cb": "",
    "https://antrean.example/a/../cb": "",
    "id.go.antrean:/cb": "",
    "https://warga-tangerang.example/cb": "https://warga.tangerang.example/cb",
}


@pytest.mark.parametrize("uri", list(REFUSED))
def test_an_address_is_refused_with_a_suggestion(uri: str) -> None:
    advice = advise(uri, "web", False, {"warga.tangerang.example"})
    assert advice is not None
    assert (advice.refused, advice.suggestion) == (True, REFUSED[uri])


async def test_a_refused_address_is_explained_beside_its_field_and_nothing_is_lost(
    city: City, dimas: Browser, subtests: pytest.Subtests
) -> None:
    for uri, suggestion in REFUSED.items():
        if "warga" in uri:
            continue  # there is no such host in the catalogue of these tests; the form is the same
        with subtests.test(uri=uri):
            await _explained(city, dimas, uri, suggestion)


async def _explained(city: City, dimas: Browser, uri: str, suggestion: str) -> None:
    page = await register(dimas, redirect_uris=uri)
    assert page.status_code == 400
    assert 'id="redirect_uris-advice"' in page.text
    assert 'href="#redirect_uris"' in page.text
    if suggestion:
        assert f"<code>{suggestion}</code>" in page.text
    assert "Ambil nomor antrean dari rumah." in page.text
    assert city.provider.registry.get("antrean-sandbox") is None


async def test_a_slash_at_the_end_is_only_asked_about(city: City, dimas: Browser) -> None:
    secret_of(await register(dimas, redirect_uris="https://antrean.example/callback/"))
    page = await dimas.open("/developer/apps/antrean/settings?check=1")
    assert "<code>https://antrean.example/callback</code>" in page.text


async def test_an_administrator_who_looks_has_no_form_of_the_team(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    admin = await ratna(city)
    page = await admin.open("/developer/apps/antrean")
    assert page.status_code == 200
    assert '<textarea id="text"' not in page.text
    assert '<textarea id="text"' in (await dimas.open("/developer/apps/antrean")).text
    await admin.http.aclose()


async def test_a_draft_is_kept_unfinished_and_becomes_a_sandbox(city: City, dimas: Browser) -> None:
    page = await dimas.open("/developer/new?kind=web")
    fields = {**NEW, "redirect_uris": "http://antrean.example/cb", "sandbox.redirect_uris": "", "reason name": ""}
    await post(dimas, page, "/developer/new", **fields, choice="draft")
    assert city.provider.registry.get("antrean-sandbox") is None
    page = await dimas.open("/developer/apps/antrean/settings?check=1")
    assert "http://antrean.example/cb" in page.text
    assert 'id="scope_reasons-wrong"' in page.text
    refused = await post(dimas, await dimas.open("/developer/apps/antrean"), choice="sandbox")
    assert refused.url.path.endswith("/settings")
    await post(dimas, page, **{**NEW, "kind": "web"})
    opened = await post(dimas, await dimas.open("/developer/apps/antrean"), choice="sandbox")
    assert len(secret_of(opened)) == 43


async def test_each_claim_is_asked_for_with_its_reason_and_no_other_is_had(city: City, dimas: Browser) -> None:
    claim_fields = {
        "ask birthdate": "1",
        "reason birthdate": "Usia di poli anak.",
        "ask email": "1",
        "reason email": "Kabar.",
    }
    refused = await register(dimas, **{**claim_fields, "reason birthdate": " "})
    assert refused.status_code == 400
    assert re.search(r'id="reason-birthdate"[^>]*aria-invalid="true"', refused.text)
    assert not re.search(r'id="reason-name"[^>]*aria-invalid="true"', refused.text)
    await post(dimas, refused, "/developer/new", choice="sandbox", **{"reason birthdate": "Usia di poli anak."})
    client = city.provider.registry.get("antrean-sandbox")
    assert client is not None
    meta = client.meta
    assert meta.scope == "openid profile email"
    assert meta.claim_reasons == {"name": "Nama di karcis antrean.", "birthdate": "Usia di poli anak."}
    assert meta.scope_reasons == {"email": "Kabar."}
    page = await dimas.open("/developer/apps/antrean/settings")
    fields = next(form for form in forms_in(page.text) if form.action == "/developer/apps/antrean/settings").fields
    assert (fields["ask birthdate"], fields["reason birthdate"]) == ("1", "Usia di poli anak.")
    assert "ask gender" not in fields
    assert fields["reason gender"] == "", "nothing is put into what is not asked for"
    all_of_it = {f"ask {name}": "1" for name in data_of("profile")}
    one_reason = {f"reason {name}": "Kartu keluarga." for name in data_of("profile")}
    await post(dimas, page, **all_of_it, **one_reason)
    client = city.provider.registry.get("antrean-sandbox")
    assert client is not None
    assert client.meta.claim_reasons == {}
    assert client.meta.scope_reasons == {"profile": "Kartu keluarga.", "email": "Kabar."}, "one reason for all of it"


async def test_attributes_of_the_city_are_asked_for_by_their_scope(city: City, dimas: Browser) -> None:
    await declare(city)
    scope_fields = {
        "ask city_profile": "1",
        "reason city_profile": "Jumlah karcis sekeluarga.",
        "ask specific_health": "1",
    }
    refused = await register(dimas, **{**scope_fields, "reason city_profile": ""})
    assert refused.status_code == 400
    assert "Data warga dari kota" in refused.text
    assert "city_profile: family_card_number, household_size, languages" in refused.text
    assert "specific_health" not in refused.text, "an administrator grants that"
    await post(dimas, refused, "/developer/new", choice="sandbox", **scope_fields)
    client = city.provider.registry.get("antrean-sandbox")
    assert client is not None
    assert client.meta.scope == "openid profile city_profile"
    assert client.meta.scope_reasons == {"city_profile": "Jumlah karcis sekeluarga."}
    page = await dimas.open("/developer/apps/antrean/settings")
    await post(dimas, page, "/developer/apps/antrean/settings", **{"reason city_profile": "Lain."})
    client = city.provider.registry.get("antrean-sandbox")
    assert client is not None
    assert client.meta.scope_reasons == {"city_profile": "Lain."}


async def test_mistakes_of_roles_stand_at_their_row(city: City, dimas: Browser) -> None:
    """In Indonesian, at the field of the row; and at the field of units and groups."""
    await arranged.register(city, "dimas")
    page = await dimas.open("/developer/apps/antrean/settings")
    rows = {
        "role-0-name": "Petugas Loket", "role-0-title": "Petugas", "role-1-name": "reader", "role-1-title": "",
        "role-2-name": "reader", "role-2-title": "Pembaca", "groups_of_interest": "dinas kesehatan!",
    }  # fmt: skip
    fields = next(form for form in forms_in(page.text) if form.action == "/developer/apps/antrean/settings").fields
    answer = await dimas.http.post("/developer/apps/antrean/settings", data={**fields, **rows}, follow_redirects=True)
    for name, text in (
        ("role-0-name", "Masukkan nama dengan huruf kecil"), ("role-1-title", "Masukkan judul dalam bahasa Indonesia"),
        ("role-2-name", "Peran lain memakai nama ini"), ("groups_of_interest", "Masukkan satu kode per baris"),
    ):  # fmt: skip
        assert text in answer.text.partition(f'id="{name}-wrong"')[2].partition("</p>")[0], name
    assert 'id="role-2-title-wrong"' not in answer.text
    interest = {"role-0-name": "petugas", "role-0-title": "Petugas", "groups_of_interest": "TIDAK-ADA/*"}
    fields = next(form for form in forms_in(page.text) if form.action == "/developer/apps/antrean/settings").fields
    await dimas.http.post("/developer/apps/antrean/settings", data={**fields, **interest})
    page = await dimas.open("/developer/apps/antrean/settings")
    assert "Tidak ada unit atau grup dengan kode TIDAK-ADA" in page.text, "a hint, and no refusal"
    assert "must be" not in answer.text


async def test_production_needs_the_check_where_the_city_requires_it(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    page = await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="Mulai Januari.")
    assert page.status_code == 409
    assert "Mulai Januari." in page.text, "what was typed is not lost"


@OFFERED
async def test_an_administrator_sees_the_difference_and_approves_it(city: City, dimas: Browser) -> None:
    admin = await ratna(city)
    await arranged.register(city, "dimas")
    await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="Mulai Januari.")
    waiting = await admin.open("/admin/applications?shown=waiting")
    assert "/admin/applications/antrean" in waiting.text
    page = await admin.open("/admin/applications/antrean")
    assert "<ins>https://antrean.example/callback</ins>" in page.text
    assert "Mulai Januari." in page.text
    sent = await post(admin, page, "/admin/applications/antrean/review", choice="send_back", text="Logo apa?")
    assert sent.status_code == 200
    page = await dimas.open("/developer/apps/antrean")
    assert "Logo apa?" in page.text
    settings = await dimas.open("/developer/apps/antrean/settings")
    await post(dimas, settings, **{**NEW, "kind": "web", "logo_uri": "https://antrean.example/logo.png"})
    await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="")
    page = await admin.open("/admin/applications/antrean")
    await post(admin, page, "/admin/applications/antrean/review", choice="approve", first_party="1", text="")
    client = city.provider.registry.get("antrean")
    assert client is not None
    assert (client.enabled, client.meta.first_party) == (True, True)
    secret_page = await post(
        dimas, await dimas.open("/developer/apps/antrean/secrets"), choice="make antrean", valid="365"
    )
    city.secrets["antrean"] = secret_of(secret_page)
    async with city.browser() as siti:
        tokens = await siti.tokens(city.relying_party("antrean"), scope="openid profile")
        assert tokens.status == 200
    await admin.http.aclose()


@OFFERED
async def test_what_changes_after_approval_waits_for_approval_again(city: City, dimas: Browser) -> None:
    admin = await ratna(city)
    await arranged.approved(city, "dimas", "ratna")
    settings = await dimas.open("/developer/apps/antrean/settings")
    await post(dimas, settings, **{**NEW, "kind": "web", "redirect_uris": "https://antrean.example/baru"})
    production, sandbox = city.provider.registry.get("antrean"), city.provider.registry.get("antrean-sandbox")
    assert production is not None
    assert sandbox is not None
    assert production.meta.redirect_uris == ["https://antrean.example/callback"]
    await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="")
    page = await admin.open("/admin/applications/antrean")
    assert "<del>https://antrean.example/callback</del>" in page.text
    assert "<ins>https://antrean.example/baru</ins>" in page.text
    stale = {"choice": "approve", "text": "", "revision": "1"}
    answer = await post(admin, page, "/admin/applications/antrean/review", **stale)
    assert answer.status_code == 409, "what was not looked at is not approved"
    await post(admin, page, "/admin/applications/antrean/review", choice="approve", text="")
    production = city.provider.registry.get("antrean")
    assert production is not None
    assert production.meta.redirect_uris == ["https://antrean.example/baru"]
    await admin.http.aclose()


@OFFERED
async def test_what_a_team_has_not_submitted_stays_when_policies_are_set(city: City, dimas: Browser) -> None:
    admin, path = await ratna(city), "/admin/applications/antrean"
    await arranged.approved(city, "dimas", "ratna")
    settings = await dimas.open("/developer/apps/antrean/settings")
    await post(dimas, settings, description="Nomor antrean tanpa datang.")
    page = await admin.open(path)
    await post(admin, page, f"{path}/policies", minimum_acr="urn:sso:acr:mfa", note="Data kesehatan")
    reopened = await dimas.open("/developer/apps/antrean/settings")
    assert 'value="Nomor antrean tanpa datang."' in reopened.text, "nothing is lost"
    assert 'value="urn:sso:acr:mfa" selected' in reopened.text, "and the team sees what was decided"
    client = city.provider.registry.get("antrean")
    assert client is not None
    assert client.meta.minimum_acr == "urn:sso:acr:mfa"
    assert client.meta.description != "Nomor antrean tanpa datang.", "that waits for approval"
    assert "Data kesehatan" in (await dimas.open("/developer/apps/antrean")).text, "and why"
    await admin.http.aclose()


async def test_two_who_change_at_once_do_not_overwrite_each_other(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    first = await dimas.open("/developer/apps/antrean/settings")
    second = await dimas.open("/developer/apps/antrean/settings")
    await post(dimas, first, **{**NEW, "kind": "web", "description": "Dari yang pertama."})
    answer = await post(dimas, second, **{**NEW, "kind": "web", "description": "Dari yang kedua."})
    assert answer.status_code == 409
    assert "Dari yang kedua." in answer.text
    assert "Dari yang pertama." in (await dimas.open("/developer/apps/antrean/settings")).text


async def test_a_team_invites_joins_and_is_never_without_an_owner(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    await person(city, "wayan")
    wayan = await signed_in(city, "wayan")
    assert (await wayan.open("/developer/apps/antrean")).status_code == 404, "it is not theirs to know"
    team = await dimas.open("/developer/apps/antrean/team")
    await post(dimas, team, choice="invite", who="wayan@warga.example", role="member")
    page = await wayan.open("/developer")
    assert "Antrean Puskesmas" in page.text
    joined = await post(wayan, page, "/developer/invitations", choice="accept antrean")
    assert joined.status_code == 200
    assert (
        await post(wayan, await wayan.open("/developer/apps/antrean"), choice="comment", text="Halo.")
    ).status_code == 200
    refused = await wayan.open("/developer/apps/antrean/end")
    assert refused.status_code == 403, "only owners end it"
    team = await dimas.open("/developer/apps/antrean/team")
    left = await post(dimas, team, "/developer/apps/antrean/leave")
    assert left.status_code == 409
    await post(dimas, team, choice=f"owner {city.users['wayan']}")
    await post(dimas, await dimas.open("/developer/apps/antrean/team"), "/developer/apps/antrean/leave")
    assert (await dimas.open("/developer/apps/antrean")).status_code == 404
    await wayan.http.aclose()


async def test_two_secrets_are_valid_at_a_time_and_a_revoked_one_is_worth_nothing(city: City, dimas: Browser) -> None:
    first = secret_of(await register(dimas))
    path = "/developer/apps/antrean/secrets"
    second = secret_of(await post(dimas, await dimas.open(path), choice="make antrean-sandbox", valid="90"))
    full = await post(dimas, await dimas.open(path), choice="make antrean-sandbox", valid="90")
    assert full.status_code == 409
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    for secret in (first, second):
        city.secrets["antrean-sandbox"] = secret
        assert (await party.post("/introspect", {"token": "x"})).status_code == 200
    await city.provider.write_usage()
    page = await dimas.open(path)
    assert page.text.count("Belum pernah") + page.text.count("belum pernah") == 0, "when each was used is seen"
    button = re.search(
        rf"revoke antrean-sandbox [0-9a-f-]+(?=\" class=\"plain bad\" aria-label=\"Cabut: …{first[-4:]})", page.text
    )
    assert button, page.text
    await post(dimas, page, choice=button[0])
    city.secrets["antrean-sandbox"] = first
    assert (await party.post("/introspect", {"token": "x"})).status_code == 401
    city.secrets["antrean-sandbox"] = second
    assert (await party.post("/introspect", {"token": "x"})).status_code == 200
    clock.advance(timedelta(days=91).total_seconds())
    assert (await party.post("/introspect", {"token": "x"})).status_code == 401


async def test_an_application_that_is_over_lets_nobody_in_and_keeps_its_name(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    page = await dimas.open("/developer/apps/antrean/end")
    assert (await post(dimas, page, name="lain", note="Selesai.")).status_code == 400
    await post(dimas, page, name="antrean", note="Selesai.")
    party = "/authorize?client_id=antrean-sandbox&redirect_uri=http://localhost:3000/callback&response_type=code"
    assert (await dimas.open(party)).status_code == 400
    again = await register(dimas)
    assert again.status_code == 400


async def test_a_catalogue_and_the_portal_never_fight(city: City, dimas: Browser) -> None:

    page = await dimas.open("/developer/new?kind=web")
    await post(dimas, page, "/developer/new", **{**NEW, "client_id": "baru"}, choice="draft")
    catalogue = read_catalogue(CATALOGUE)
    warga = catalogue.applications["warga"]
    mine = type(catalogue)(catalogue.name, {**catalogue.applications, "baru": warga})
    async with city.provider.db.read() as session:
        with pytest.raises(CatalogueConflict, match="baru"):
            await make_plan(session, mine)
    taken = await register(dimas, client_id="warga")
    assert taken.status_code == 400
    admin = await ratna(city)
    await post(admin, await admin.open("/admin/applications/warga"), "/admin/applications/warga/owner", who="dimas")
    settings = await dimas.open("/developer/apps/warga/settings")
    assert f"<code>{catalogue.name}</code>" in settings.text
    assert "<fieldset disabled>" in settings.text
    refused = await post(dimas, settings, **{**NEW, "kind": "web"})
    assert refused.status_code == 409
    await admin.http.aclose()


async def test_mistakes_are_told_with_what_came_and_what_is_nearest(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    assert (await dimas.open(party.url(redirect_uri="http://localhost:3000/Callback"))).status_code == 400
    city.secrets["antrean-sandbox"] = "rahasia-yang-keliru"
    await party.token(
        grant_type="authorization_code", code="x", redirect_uri=party.redirect_uri, code_verifier="v" * 43
    )
    await city.provider.write_usage()
    page = await dimas.open("/developer/apps/antrean/diagnosis")
    assert "redirect_uri=http://localhost:3000/Callback" in page.text
    assert "huruf besar dan kecil" in page.text
    assert "token_endpoint_auth_method: client_secret_basic" in page.text
    assert "rahasia-yang-keliru" not in page.text, "no secret is kept"


async def test_quick_starts_hold_the_values_of_the_application(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    for stack in ("python", "node", "php", "laravel", "spring", "dotnet", "apache"):
        page = await dimas.open(f"/developer/apps/antrean/quick-start?stack={stack}")
        assert ISSUER in page.text
        assert "antrean-sandbox" in page.text
        assert "{{" not in page.text
        other_method = "client_secret_post" in page.text
        assert other_method == (stack == "dotnet"), "it says which authentication the library needs"


@pytest.mark.parametrize("overrides", [SENDING])
async def test_an_owner_is_reminded_before_a_secret_ends(city: City, dimas: Browser) -> None:

    await arranged.register(city, "dimas")
    path = "/developer/apps/antrean/secrets"
    await post(dimas, await dimas.open(path), choice="make antrean-sandbox", valid="90")
    for days, count in ((60, 0), (20, 1), (1, 1)):
        clock.advance(timedelta(days=days).total_seconds())
        await run_jobs(city.provider, "secret_reminders")
        async with city.provider.db.read() as session:
            deliveries = (await session.execute(select(Delivery).where(Delivery.kind == "notice"))).scalars().all()
        assert len([delivery for delivery in deliveries if delivery.payload["notice"] == "secret_expires"]) == count


async def test_the_playground_signs_in_for_real_and_shows_each_step(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    path = "/developer/apps/antrean/try"
    consent = await post(dimas, await dimas.open(path), choice="begin", **{"scope profile": "1"})
    page = await dimas.submit(consent, choice="allow")
    assert page.url.path == path, page.text[-1500:]
    for part in (
        "GET /authorize?",
        "POST /token",
        "Authorization: Basic …",
        "GET /userinfo",
        "&#34;name&#34;: &#34;Dimas&#34;",
    ):
        assert part in page.text, part
    assert page.text.count('<li class="right">') == 9
    assert '<li class="wrong">' not in page.text
    token = re.search(r'name="t" value="([^"]+)"', page.text)
    assert token
    renewed = await post(dimas, page, path, choice="refresh", t=token[1])
    assert "grant_type=refresh_token" in renewed.text
    introspected = await post(dimas, renewed, path, choice="introspect", t=token[1])
    assert "&#34;active&#34;: true" in introspected.text
    await post(dimas, introspected, path, choice="revoke", t=token[1])
    introspected = await post(dimas, introspected, path, choice="introspect", t=token[1])
    assert "&#34;active&#34;: false" in introspected.text
    secrets = await dimas.open("/developer/apps/antrean/secrets")
    assert secrets.text.count("revoke antrean-sandbox") == 1, "its own secret is nobody's to look after"
    async with city.browser() as stranger:
        await arranged.sign_in(city, stranger, "siti")
        assert (await stranger.open(f"/developer/try?state={token[1]}&code=x")).status_code == 400


async def test_the_playground_shows_an_error_as_it_comes_back(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    path = "/developer/apps/antrean/try"
    page = await post(dimas, await dimas.open(path), choice="begin", prompt="none")
    assert "error=consent_required" in page.text


@pytest.mark.parametrize("document", [{"redirect_uris": 5}, {"scope_reasons": []}, {"client_name": {}}, {"x": 1}])
async def test_what_is_of_the_wrong_form_is_refused_by_the_api_and_breaks_no_page(
    city: City, dimas: Browser, document: dict[str, Any]
) -> None:
    from tests.api.conftest import person_with

    api = await person_with(city, "developer", name="budi")
    body = {"application_id": "antrean", "kind": "web", "document": document, "draft": True}
    answer = await api("POST", "/applications", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == f"/document/{next(iter(document))}"


async def test_the_check_opens_no_address_that_is_not_registered(city: City, dimas: Browser) -> None:
    await register(dimas, **{"sandbox.initiate_login_uri": "http://localhost:3000/login"})
    path = "/developer/apps/antrean/check"
    for page in ("https://elsewhere.example/", "http://localhost:3001/", ISSUER, "file:///etc/passwd"):
        answer = await post(dimas, await dimas.open(path), page=page)
        assert answer.status_code == 409, page
    assert (await dimas.open("/check/antrean/.well-known/openid-configuration")).json()[
        "issuer"
    ] == f"{ISSUER}/check/antrean"
    async with city.client() as http:
        form = {"grant_type": "authorization_code", "code": "x"}
        assert (await http.post("/check/antrean/token", data=form)).json()["error"] == "invalid_grant"
        assert (await http.get("/check/antrean/jwks")).json() == {"keys": []}
        assert (await http.get("/check/lain/.well-known/openid-configuration")).status_code == 404


async def test_a_test_person_signs_in_at_sandboxes_and_nowhere_else(city: City, dimas: Browser) -> None:
    await arranged.register(city, "dimas")
    path = "/developer/apps/antrean"
    page = await dimas.open(f"{path}/try")
    form = {"person": "uji-lengkap", "acr": "urn:sso:acr:mfa"}
    page = await post(dimas, page, f"{path}/test-person", **form)
    assert page.url.path == f"{path}/try", "the developer stays who they are"
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    choose = await dimas.open(party.url(scope="openid profile"))
    chosen = re.search(r'value="([0-9a-f-]{36})"[^>]*>[^<]*Uji Lengkap', choose.text)
    assert chosen, choose.text
    consent = await dimas.submit(choose, choice=chosen[1])
    answer = await dimas.submit(consent, choice="allow")
    city.secrets["antrean-sandbox"] = ""
    secrets = await dimas.open(f"{path}/secrets")
    assert secrets.status_code in (200, 403), "the account that was chosen is the present one now"
    assert "code" in query_of(answer.headers["location"])
    for refused in ("/account", "/account/security", "/developer", "/admin"):
        assert (await dimas.http.get(refused)).status_code == 403, f"{refused} is nobody's"
    production = city.relying_party("warga")
    page = await dimas.open(production.url())
    assert "Anda tidak dapat menggunakan aplikasi ini" in page.text
    silent = await dimas.http.get(production.url(prompt="none"))
    assert query_of(silent.headers["location"])["error"] == "access_denied"


async def test_a_test_person_has_every_claim_and_the_level_that_was_chosen(city: City, dimas: Browser) -> None:
    claim_fields = {"ask email": "1", "reason email": "Kabar.", "ask birthdate": "1", "reason birthdate": "Usia."}
    secret = secret_of(await register(dimas, **claim_fields))
    path = "/developer/apps/antrean"
    form = {"person": "uji-lengkap", "acr": "urn:sso:acr:passkey"}
    await post(dimas, await dimas.open(f"{path}/try"), f"{path}/test-person", **form)
    party = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    choose = await dimas.open(party.url(scope="openid profile email", acr_values="urn:sso:acr:passkey"))
    chosen = re.search(r'value="([0-9a-f-]{36})"[^>]*>[^<]*Uji Lengkap', choose.text)
    assert chosen, choose.text
    answer = await dimas.submit(await dimas.submit(choose, choice=chosen[1]), choice="allow")
    city.secrets["antrean-sandbox"] = secret
    tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    claims = tokens.claims()
    assert (claims["acr"], claims["amr"]) == ("urn:sso:acr:passkey", ["test"])
    person = (await party.userinfo(tokens["access_token"])).json()
    assert (person["email"], person["email_verified"], person["birthdate"]) == (
        "uji-lengkap@uji.example", True, "1990-01-31",
    )  # fmt: skip


@pytest.mark.parametrize("overrides", [SENDING])
async def test_a_test_person_is_neither_signed_in_nor_recovered(city: City, dimas: Browser) -> None:
    from sso.identity.test_users import test_person as create_test_person

    async with city.provider.db.write() as session:
        user = await create_test_person(session, "uji-lengkap")
        await store.set_password_hash(session, user.id, await city.site.passwords.hash(PASSWORD), clock.now())
    async with city.browser() as browser:
        answer = await browser.submit(await browser.open("/login"), username="uji-lengkap", password=PASSWORD)
        assert answer.status_code == 400
        await browser.submit(await browser.open("/recover"), username="uji-lengkap@uji.example")
    async with city.provider.db.read() as session:
        sent = (await session.execute(select(Delivery).where(Delivery.kind == "message"))).scalars().all()
    assert sent == []


@pytest.mark.unit
def test_a_quick_start_says_of_itself_only_what_a_test_does() -> None:
    """The page said of .NET that its requests were sent by a test. There was none."""
    tests = Path(__file__).parents[1]
    libraries = {"android": "docs/how-to/android.md", "dotnet": "Microsoft.AspNetCore.Authentication.OpenIdConnect"}
    replayed = {name: stack.replayed for name, stack in STACKS.items() if stack.replayed}
    assert set(replayed) == set(libraries)
    for name, file in replayed.items():
        assert libraries[name] in (tests / file).read_text(), name
        assert not STACKS[name].tested
