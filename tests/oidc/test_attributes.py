"""Attributes that a city declares: who sees and writes them, what applications receive, and that nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from tests.api.conftest import ALL_SCOPES, person_with, program
from tests.citizens import form_at, here, post
from tests.conformance.parties import authorize, claims_of, go_on, registered, tokens, userinfo
from tests.oidc.test_claims_with_reasons import change
from tests.support import City, Statements

from sso import clock
from sso.accounts.attribute_file import DeclarationRefused, read_declaration
from sso.accounts.attributes import (
    NeedsConfirmation,
    Plan,
    ValuesInvalid,
    apply_attributes_file,
    apply_declaration,
    change_values,
    delete_old_values,
    reencrypt_attributes,
)
from sso.accounts.data_export import everything_about
from sso.accounts.deletion import delete_user
from sso.clients import store as clients
from sso.clients.metadata import ClientMetadata
from sso.clients.privileges import PrivilegeRefused, end_grant, held_by
from sso.clients.registry import stored_metadata
from sso.clients.secrets import replace_client
from sso.identity.attributes.models import AttributeValue
from sso.identity.authn.legacy_hashes import taken_over
from sso.identity.users import store as users
from sso.identity.users.importing import Options, Report, import_file
from sso.identity.users.models import User
from sso.identity.users.rows import Note
from sso.platform.actor import CLI, Actor
from sso.platform.audit.models import AuditEvent
from sso.platform.db import bump_version
from sso.platform.security.encryption import SecretBox

EXAMPLE = (Path(__file__).parents[2] / "docs" / "reference" / "attributes.example.yaml").read_text()
KK = "3671012345670001"


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Applications register themselves."""
    return {"client_registration": "open", "client_registration_profile": "certification"}


async def declare(city: City, document: str = EXAMPLE, *, confirmed: bool = False) -> Plan:
    """Put a declaration into effect."""
    async with city.provider.db.write() as session:
        declaration = read_declaration(document, "kota.yaml")
        plan = await apply_declaration(
            session, city.provider.box, declaration, reason="test", actor=CLI, confirmed=confirmed
        )
    await city.provider.refresh()
    return plan


async def give(city: City, values: dict[str, object], name: str = "lengkap", who: str = "import") -> list[str]:
    """Store values of a user."""
    async with city.provider.db.write() as session:
        user = await users.lock_user(session, city.users[name])
        assert user is not None
        return await change_values(session, city.provider.box, user.id, values, who=[who], actor=CLI)  # type: ignore[list-item]


async def stored(city: City, name: str = "lengkap") -> dict[str, str]:
    async with city.provider.db.read() as session:
        rows = await session.execute(select(AttributeValue).where(AttributeValue.user_id == city.users[name]))
        return {row.name: row.value for row in rows.scalars()}


async def register(city: City, client_id: str, scope: str) -> None:
    """Register other scopes of an application of the city, with the privileges among them."""
    async with city.provider.db.write() as session:
        row = await clients.lock_client(session, client_id)
        assert row is not None
        fields = stored_metadata(row.metadata_).stored() | {"scope": scope}
        metadata = ClientMetadata.model_validate(fields)
        await replace_client(session, row, metadata, catalogue=row.catalogue, actor=Actor("test"))
    await city.provider.refresh()


VALUES: dict[str, object] = {"family_card_number": KK, "household_size": "4", "blood_type": "AB"}


async def test_an_application_receives_attributes_by_their_scope_alone(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    async with city.client() as http:
        document = (await http.get("/.well-known/openid-configuration")).json()
    assert {"city_profile", "specific_health"} <= set(document["scopes_supported"])
    assert {"family_card_number", "bloodType", "display_name"} <= set(document["claims_supported"])
    party = await registered(city, scope="openid profile")
    await change(city, party, scope="openid profile city_profile", scope_claims_in_id_token=True)
    async with city.browser() as browser:
        page = await browser.sign_in(party, username="lengkap", scope="openid profile city_profile")
        for words in ("Nomor Kartu Keluarga", "Jumlah anggota keluarga"):
            assert words in page.text, words
        assert "Golongan darah" not in page.text
        token_response = (await party.exchange((await go_on(browser, page))["code"])).body
        row = await browser.open("/account/applications")
        assert "Nomor Kartu Keluarga" in row.text
    for about in (await userinfo(party, token_response["access_token"]), claims_of(token_response["id_token"])):
        assert about["family_card_number"] == KK
        assert about["household_size"] == 4
        assert not {"blood_type", "bloodType", "neighbourhood_guard"} & set(about)
    await change(city, party, scope="openid profile")
    assert "household_size" not in await userinfo(party, token_response["access_token"]), (
        "the scope is not registered any more"
    )


async def test_without_the_scope_nothing_is_received_and_no_statement_is_added(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    party = await registered(city, scope="openid profile")
    counts = []
    for scope in ("openid profile", "openid profile city_profile"):
        await change(city, party, scope=scope)
        requested = json.dumps({"userinfo": {"household_size": None, "bloodType": None}})
        async with city.browser() as browser:
            token_response = await tokens(browser, party, username="lengkap", scope=scope, claims=requested)
        await userinfo(party, token_response["access_token"])
        statements = Statements(city)
        about = await userinfo(party, token_response["access_token"])
        counts.append(len(statements.take()))
        assert ("household_size" in about) is ("city_profile" in scope)
        assert "bloodType" not in about
    assert counts[0] == counts[1] <= 2


async def test_an_attribute_is_asked_for_by_its_claim(city: City) -> None:
    """OpenID Connect Core section 5.5: without the scope in the request, but never without it in the registration."""
    await declare(city)
    await give(city, VALUES)
    party = await registered(city, scope="openid profile")
    await change(city, party, scope="openid profile city_profile")
    requested = {"userinfo": {"household_size": None, "bloodType": None}, "id_token": {"family_card_number": None}}
    async with city.browser() as browser:
        page = await browser.sign_in(party, username="lengkap", scope="openid", claims=json.dumps(requested))
        for words in ("Nomor Kartu Keluarga", "Jumlah anggota keluarga"):
            assert words in page.text, words
        assert "Bahasa" not in page.text.partition("<form")[2].partition("</form>")[0], "nothing else of the scope"
        token_response = (await party.exchange((await go_on(browser, page))["code"])).body
        again = {"scope": "openid", "prompt": "none"}
        assert "code" in await authorize(browser, party, claims=json.dumps(requested), **again)
        more = json.dumps({"userinfo": {"languages": None}})
        assert (await authorize(browser, party, claims=more, **again))["error"] == "consent_required"
        assert (await authorize(browser, party, scope="openid city_profile", prompt="none"))["error"] == (
            "consent_required"
        ), "a claim is not its scope"
    about, token = await userinfo(party, token_response["access_token"]), claims_of(token_response["id_token"])
    assert (about["household_size"], "family_card_number" in about) == (4, False)
    assert (token["family_card_number"], "household_size" in token) == (KK, False)
    assert not {"bloodType", "blood_type"} & {*about, *token}, "its scope is not registered"
    await change(city, party, scope="openid profile")
    assert "household_size" not in await userinfo(party, token_response["access_token"])


async def test_what_is_added_to_a_scope_is_asked_for_again(city: City) -> None:
    small = EXAMPLE.replace("    write: [user, import]\n    scope: city_profile", "    write: [user, import]")
    await declare(city, small)
    await give(city, VALUES)
    party = await registered(city, scope="openid profile")
    await change(city, party, scope="openid city_profile")
    async with city.browser() as browser:
        token_response = await tokens(browser, party, username="lengkap", scope="openid city_profile")
        assert "code" in await authorize(browser, party, scope="openid city_profile", prompt="none")
        await declare(city)
        about = await userinfo(party, token_response["access_token"])
        assert about["family_card_number"] == KK
        assert "household_size" not in about, "what was granted before does not grow"
        silent = await authorize(browser, party, scope="openid city_profile", prompt="none")
        assert silent["error"] == "consent_required"
        again = await tokens(browser, party, scope="openid city_profile")
    assert (await userinfo(party, again["access_token"]))["household_size"] == 4


async def test_specific_data_needs_a_grant_as_a_nik_does(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    party = await registered(city, scope="openid profile")
    with pytest.raises(ValueError, match="only for the city's own"):
        await change(city, party, scope="openid specific_health")
    own = city.relying_party("warga")
    await register(city, "warga", "openid profile specific_health")
    async with city.browser() as browser:
        token_response = await browser.tokens(own, username="lengkap", scope="openid specific_health")
        assert (await own.userinfo(token_response["access_token"])).json()["bloodType"] == "AB"
        async with city.provider.db.write() as session:
            row = await clients.lock_client(session, "warga")
            assert row is not None
            held = await held_by(session, "warga")
            end_grant(session, held["specific_health"], actor=Actor("test"), reason="test", stays=True)
            row.version = await bump_version(session, "clients")
        await city.provider.refresh()
        assert "bloodType" not in (await own.userinfo(token_response["access_token"])).json(), "the grant was revoked"
        refused = await browser.open(own.url(scope="openid specific_health"))
        assert "specific_health" in str(refused.headers.get("location", "")) + refused.text


async def test_a_scope_that_an_application_has_already_cannot_be_declared(city: City) -> None:
    party = await registered(city, scope="openid profile")
    await change(city, party, scope="openid city_profile")
    with pytest.raises(DeclarationRefused, match=f"{party.client_id} has registered this scope"):
        await declare(city)


async def test_mappers_of_city_and_application(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    party = await registered(city, scope="openid profile")
    mappers = [
        {"kind": "copy", "claim": "size", "source": "household_size"},
        {"kind": "rename", "claim": "kk", "source": "family_card_number"},
        {"kind": "first_of", "claim": "label", "sources": ["email", "name"]},
    ]
    with pytest.raises(PrivilegeRefused, match="household_size needs the scope city_profile"):
        await change(city, party, claim_mappers=mappers[:1])
    with pytest.raises(PrivilegeRefused, match="bloodType needs the scope specific_health"):
        await change(city, party, claim_mappers=[{"kind": "copy", "claim": "x", "source": "bloodType"}])
    with pytest.raises(PrivilegeRefused, match="is no claim of this provider"):
        await change(city, party, claim_mappers=[{"kind": "copy", "claim": "x", "source": "salary"}])
    with pytest.raises(PrivilegeRefused, match="household_size is the claim of an attribute"):
        await change(city, party, claim_mappers=[{"kind": "constant", "claim": "household_size", "value": 1}])
    await change(city, party, scope="openid profile email city_profile", claim_mappers=mappers)
    async with city.browser() as browser:
        token_response = await tokens(browser, party, username="lengkap", scope="openid profile city_profile")
        about = await userinfo(party, token_response["access_token"])
        assert about["size"] == about["household_size"] == 4
        assert about["kk"] == KK
        assert "family_card_number" not in about
        assert about["label"] == about["name"], "the e-mail address was not granted"
        assert about["display_name"]
        assert "is_health_worker" not in about
        some = await tokens(browser, party, username="lengkap", scope="openid")
    about = await userinfo(party, some["access_token"])
    assert set(about) == {"sub"}, "a mapper reveals nothing that was not granted"


async def test_a_removed_attribute_with_values_needs_confirmation(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    less = EXAMPLE.replace("  household_size:", "  other_size:")
    with pytest.raises(NeedsConfirmation, match=r"household_size \(1\)"):
        await declare(city, less)
    assert "household_size" in await stored(city)
    plan = await declare(city, less, confirmed=True)
    assert plan.deleted == {"household_size": 1}
    assert "household_size" not in await stored(city)
    assert (await declare(city, less)).lines == []


async def test_a_change_of_type_is_checked_against_the_values(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    with pytest.raises(DeclarationRefused, match="1 of 1 stored values do not fit"):
        await declare(city, EXAMPLE.replace("maximum: 30", "maximum: 3"))
    as_text = EXAMPLE.replace("type: integer", "type: text").replace("    minimum: 1\n    maximum: 30\n", "")
    await declare(city, as_text)
    assert (await stored(city))["household_size"] == '"4"'
    plain = EXAMPLE.replace("    personal_data: specific\n", "").replace("specific_health", "city_health")
    assert (await stored(city))["blood_type"].startswith("~")
    await declare(city, plain)
    assert (await stored(city))["blood_type"] == '"AB"'
    assert (await stored(city))["household_size"] == "4"


async def test_specific_values_are_encrypted_and_in_no_event(city: City) -> None:
    await declare(city)
    assert await give(city, VALUES) == ["blood_type", "family_card_number", "household_size"]
    assert await give(city, VALUES) == [], "nothing changed"
    assert "AB" not in (await stored(city))["blood_type"][:1]
    async with city.provider.db.read() as session:
        events = (await session.execute(select(AuditEvent))).scalars().all()
        changes = [event.data for event in events if event.type == "user.attributes_changed"]
        assert changes == [{"attributes": sorted(VALUES), "source": "import"}]
        assert not any(KK in json.dumps(event.data) for event in events)
    secrets = city.settings.secrets(create=False)
    newer = SecretBox([b"n" * 40, *secrets])
    async with city.provider.db.write() as session:
        assert await reencrypt_attributes(session, newer) == 1
        assert await reencrypt_attributes(session, newer) == 0


async def test_values_are_exported_deleted_with_the_user_and_by_time(city: City) -> None:
    await declare(city)
    guard = {"neighbourhood_guard": "ya"}
    await give(city, VALUES)
    await give(city, guard, who="user")
    provider = city.provider
    async with provider.db.read() as session:
        document = await everything_about(session, provider.box, provider.registry, city.users["lengkap"])
    exported = {row["name"]: row["value"] for row in document["attributes"]}  # type: ignore[attr-defined]
    assert exported == {
        "blood_type": "AB", "family_card_number": KK, "household_size": 4, "neighbourhood_guard": True,
    }  # fmt: skip
    clock.advance(timedelta(days=364))
    async with provider.db.write() as session:
        assert await delete_old_values(session, 10) == 0
    clock.advance(timedelta(days=2))
    async with provider.db.write() as session:
        assert await delete_old_values(session, 10) == 1
    assert sorted(await stored(city)) == sorted(VALUES)
    async with provider.db.write() as session:
        user = await users.lock_user(session, city.users["lengkap"])
        assert user is not None
        await delete_user(session, city.site.accounts.changes, user, actor=CLI)
    assert await stored(city) == {}


async def test_the_api_keeps_to_the_rights(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    path = f"/users/{city.users['lengkap']}/attributes"
    admin = await program(city)
    assert (await admin.get(path))["attributes"] == {"family_card_number": KK, "household_size": 4}
    body = {"family_card_number": None}
    for without in (path, path + "?reason=", path + "?reason=%20"):
        assert (await admin("PATCH", without, json=body)).status_code == 422, "the reason is missing"
    plain_path, path = path, path + "?reason=Surat%2012"
    answer = await admin("PATCH", path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["attributes"]["family_card_number"] is None
    for body, wrong in (
        ({"household_size": 5}, "household_size"),
        ({"blood_type": "O"}, "blood_type"),
        ({"__class__": "x"}, "__class__"),
        ({"family_card_number": "1"}, "family_card_number"),
        ({"family_card_number": "x" * 10_000}, "family_card_number"),
        ({"family_card_number": KK, "nothing": 1}, "nothing"),
        ({"family_card_number": {"$ne": 1}}, "family_card_number"),
    ):
        answer = await admin("PATCH", path, json=body)
        assert answer.status_code == 422, answer.text
        assert wrong in answer.text
        assert "x" * 100 not in answer.text
    assert "family_card_number" not in await stored(city)
    assert await recorded(city) == [("manual", "Surat 12")]
    helpdesk = await person_with(city, "helpdesk")
    assert (await helpdesk.get(plain_path))["attributes"] == {"family_card_number": None}
    assert (await helpdesk("PATCH", path, json={"family_card_number": KK})).status_code == 403
    auditor = await person_with(city, "auditor", name="siti")
    assert (await auditor.get(plain_path))["attributes"] == {}
    citizen = await person_with(city, "citizen", name="budi", scope=ALL_SCOPES)
    assert (await citizen("GET", plain_path)).status_code == 403


async def test_the_privacy_notice_lists_what_the_city_declared(city: City) -> None:
    await declare(city)
    for language, employee, specific in (
        ("id", "Jika Anda bekerja untuk kota: NIP Anda", "data pribadi spesifik"),
        ("en", "If you work for the city: your NIP", "specific personal data"),
    ):
        async with city.browser() as browser:
            page = (await browser.http.get("/privacy", headers={"Accept-Language": language})).text
        assert employee in page
        for name, attribute in city.provider.registry.city.declaration.attributes.items():
            line = page.partition(f"<li>{attribute.titled(language)}")[2].partition("</li>")[0]
            assert line.endswith("."), name
            assert (specific in line) == (attribute.personal_data == "specific"), name
            assert (str(attribute.retention_days) in line) == (attribute.retention_days is not None), name


async def recorded(city: City) -> list[tuple[str, str | None]]:
    """Return the source and the reason of each change by an administrator, from the audit log."""
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(AuditEvent).where(AuditEvent.type == "user.attributes_changed"))).scalars()
        return [(row.data["source"], row.data.get("note")) for row in rows if row.actor not in ("cli", None)]


async def test_a_user_reads_and_writes_what_the_city_lets_them(city: City) -> None:
    closed = EXAMPLE.replace("    read: [user]\n    write: [user, import]", "    read: [user]\n    write: [import]")
    await declare(city, closed)
    await give(city, VALUES)
    async with city.browser() as browser:
        await here(city, browser, "lengkap")
        page = await browser.open("/account/profile")
        assert "Nomor Kartu Keluarga" in page.text
        assert KK in page.text
        assert "Golongan darah" in page.text
        assert 'name="attribute blood_type"' not in page.text
        form = {"attribute household_size": "5", "attribute family_card_number": KK, "attribute languages": "id; jv"}
        form |= {"attribute neighbourhood_guard": "true", "attribute blood_type": "O", "attribute __class__": "x"}
        answer = await post(browser, "/account/profile/attributes", form, page)
        assert "Data Anda sudah disimpan." in answer.text
        now = await stored(city)
        assert now["household_size"] == "5"
        assert now["languages"] == '["id","jv"]'
        assert now["neighbourhood_guard"] == "true"
        page = await browser.open("/account/profile")
        assert "AB" in page.text
        answer = await post(browser, "/account/profile/attributes", {"attribute household_size": "99"}, page)
        assert answer.status_code == 400
        assert "Masukkan bilangan bulat" in answer.text
        assert (await stored(city))["household_size"] == "5"
    with pytest.raises(ValuesInvalid, match="may not be changed"):
        await give(city, {"blood_type": "O"}, who="user")


async def test_the_file_of_the_settings_is_applied_unless_values_would_be_lost(city: City, tmp_path: Path) -> None:
    path = tmp_path / "kota.yaml"
    path.write_text(EXAMPLE)
    provider: Any = city.provider
    values = {name: getattr(provider, name) for name in ("db", "box", "refresh")}
    services: Any = SimpleNamespace(settings=SimpleNamespace(attributes_file=path), **values)
    await apply_attributes_file(services)
    assert "city_profile" in city.provider.registry.city.claims
    await give(city, VALUES)
    for document in ("scopes: {}", "attributes: {a: 1}"):
        path.write_text(document)
        await apply_attributes_file(services)
        await city.provider.refresh()
        assert "city_profile" in city.provider.registry.city.claims
    assert await stored(city)


async def test_the_console_keeps_to_the_rights(city: City) -> None:
    await declare(city)
    await give(city, VALUES)
    path = f"/admin/people/{city.users['lengkap']}"
    async with city.browser() as browser:
        await here(city, browser, "ratna")
        page = await browser.open(path)
        assert KK in page.text
        assert "Golongan darah" not in page.text
        form = {"attribute household_size": "7", "attribute blood_type": "O", "note": "Diminta warga."}
        form |= {"attribute family_card_number": "3671012345670002"}
        fields = form_at(page, f"{path}/attributes")
        answer = await browser.http.post(f"{path}/attributes", data={**fields, **form})
        assert answer.status_code in (200, 303), answer.text
        now = await stored(city)
        assert now["family_card_number"] == '"3671012345670002"'
        assert now["household_size"] == "4", "only the user and an import may write it"
        answer = await browser.http.post(
            f"{path}/attributes", data={**fields, "attribute family_card_number": "12", "note": "x"}
        )
        assert answer.status_code == 400
        assert "Masukkan teks paling banyak" in answer.text
    assert (await stored(city))["family_card_number"] == '"3671012345670002"'
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(AuditEvent).where(AuditEvent.type == "user.administered"))).scalars()
        assert {"act": "attributes", "note": "Diminta warga."} in [row.data for row in rows]
    assert await recorded(city) == [("manual", "Diminta warga.")]


async def test_an_import_takes_attributes_by_the_names_of_columns(city: City, tmp_path: Path) -> None:
    await declare(city)
    declared = city.provider.registry.city.declaration.attributes
    options = Options("dinas", attributes={name: each for name, each in declared.items() if "import" in each.write})
    file = tmp_path / "warga.csv"
    file.write_text(
        "username,name,local_user_id,household_size,blood_type,languages,family_card_number\n"
        f"andi,Andi,1,3,AB,id,{KK}\n"
        "beni,Beni,2,99,X,id,-\n"
    )

    class Notes(Report):
        def rejected(self, line: int, local_user_id: str, reason: str) -> None:
            raise AssertionError(reason)

        def noted(self, line: int, local_user_id: str, note: Note) -> None:
            noted.append(f"{line}: {note.kind}: {note.text}")

    noted: list[str] = []
    provider = city.provider

    async def run(**changes: Any) -> None:
        chosen = replace(options, **changes)
        await import_file(provider.db, provider.box, file, chosen, taken_over, report=Notes())

    await run()
    async with provider.db.read() as session:
        ids = {row.name: row.id for row in (await session.execute(select(User))).scalars()}
    city.users |= {"andi": ids["Andi"], "beni": ids["Beni"]}
    now = await stored(city, "andi")
    assert now["household_size"] == "3"
    assert now["blood_type"].startswith("~")
    assert now["family_card_number"] == f'"{KK}"'
    assert "languages" not in now, "an import may not write it"
    assert await stored(city, "beni") == {}
    assert noted == [
        "3: left out: household_size: must be a number from 1 to 30",
        "3: left out: blood_type: must be one of A, B, AB, O",
    ]
    await give(city, {"family_card_number": "3671012345670009"}, "andi", "user")
    file.write_text(file.read_text().replace(f"andi,Andi,1,3,AB,id,{KK}", "andi,Andi,1,4,AB,id,3671012345670007"))
    noted.clear()
    await run(update=True)
    now = await stored(city, "andi")
    assert now["household_size"] == "4"
    assert now["family_card_number"] == '"3671012345670009"'
    assert "2: kept: family_card_number: differs, and was changed here since the import" in noted
