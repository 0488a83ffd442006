"""A change that would give every user of an application a new ``sub`` is said, counted and refused, on every way to
change an application, until the sector is kept or the change is accepted by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.api.conftest import Api, person_with, program
from tests.arranged import signed_in
from tests.cli.conftest import Cli, cli
from tests.support import City
from tests.web.test_developer import post

from sso import clock
from sso.clients.metadata import ClientMetadata
from sso.clients.sectors import subject_basis, subject_change
from sso.oidc.store.models import Consent
from sso.platform.audit.models import AuditEvent
from sso.setup.examination import examine

__all__ = ["cli"]
OLD, NEW = "https://lama.example/cb", "https://baru.example/cb"
SECTOR = "https://lama.example/sektor.json"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"client_registration": "open", "relying_party_check": "offered"}


def metadata(**values: Any) -> dict[str, Any]:
    return {"type": "web", "client_name": "Ketiga", "redirect_uris": [OLD], **values}


def client_metadata(**values: Any) -> ClientMetadata:
    return ClientMetadata.model_validate(metadata(**values))


BOTH = [OLD, NEW]
CHANGES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, False),
    ({}, {"redirect_uris": ["https://lama.example/lain"]}, False),
    ({}, {"redirect_uris": [NEW]}, True),
    ({}, {"redirect_uris": [NEW], "kept_sector": "lama.example"}, False),
    ({}, {"redirect_uris": BOTH, "sector_identifier_uri": SECTOR}, False),
    ({}, {"redirect_uris": BOTH, "sector_identifier_uri": "https://baru.example/s"}, True),
    ({}, {"first_party": True}, True),
    ({}, {"subject_type": "public"}, True),
    ({"first_party": True}, {}, True),
    ({"first_party": True}, {"first_party": True, "redirect_uris": [NEW]}, False),
    ({"first_party": True, "redirect_uris": BOTH}, {"redirect_uris": BOTH, "subject_type": "public"}, False),
    ({"sector_identifier_uri": SECTOR}, {"sector_identifier_uri": "https://pusat.example/s"}, True),
    ({"sector_identifier_uri": "https://pusat.example/s"}, {}, True),
    ({"redirect_uris": [NEW], "kept_sector": "lama.example"}, {"redirect_uris": [NEW]}, True),
]


@pytest.mark.parametrize(("before", "after", "changes"), CHANGES)
def test_what_changes_every_sub(before: dict[str, Any], after: dict[str, Any], changes: bool) -> None:
    old, new = client_metadata(**before), client_metadata(**after)
    assert (subject_change("ketiga", old, new) is not None) == changes
    assert (subject_basis(old) != subject_basis(new)) == changes


async def used(city: City, client_id: str, *names: str) -> None:
    """Let people have allowed an application something."""
    async with city.provider.db.write() as session:
        for name in names:
            values = {"user_id": city.users[name], "client_id": client_id, "scopes": ["openid"]}
            session.add(Consent(**values, created_at=clock.now(), updated_at=clock.now()))


async def register(city: City) -> Api:
    api = await program(city)
    answer = await api("POST", "/clients", json={"client_id": "ketiga", "metadata": metadata()})
    assert answer.status_code == 201, answer.text
    return api


async def put(api: Api, document: dict[str, Any], **more: str) -> Any:
    tag = {"If-Match": await api.etag("/clients/ketiga")}
    return await api("PUT", "/clients/ketiga", json={"metadata": document, **more}, headers=tag)


async def test_the_api_refuses_and_keeps_every_sub(city: City) -> None:
    api = await register(city)
    # Nobody is affected yet: the change is made.
    assert (await put(api, metadata(redirect_uris=[NEW]))).status_code == 200
    assert (await put(api, metadata())).status_code == 200
    await used(city, "ketiga", "siti", "budi")
    client = city.provider.registry.get("ketiga")
    assert client is not None
    sub = city.provider.subject(client, city.users["siti"])
    for changed in (metadata(redirect_uris=[NEW]), metadata(first_party=True), metadata(subject_type="public")):
        answer = await put(api, changed)
        assert answer.status_code == 409, answer.text
        for part in ("every sub changes", "2 users", "sector_identifier_uri", "kept_sector: lama.example"):
            assert part in answer.text, answer.text
        assert (await put(api, changed, accept_new_subjects="lain")).status_code == 409
    # Several hosts without a sector_identifier_uri are an error of their own (Core section 8.1).
    assert (await put(api, metadata(redirect_uris=BOTH))).status_code == 422
    # Nobody takes over another's sector.
    assert (await put(api, metadata(kept_sector="warga.example"))).status_code == 409
    other = {"client_id": "lain", "metadata": metadata(kept_sector="lama.example")}
    assert (await api("POST", "/clients", json=other)).status_code == 409
    assert (await put(api, metadata(redirect_uris=[NEW], kept_sector="lama.example"))).status_code == 200
    client = city.provider.registry.get("ketiga")
    assert client is not None
    assert city.provider.subject(client, city.users["siti"]) == sub
    # It cannot be dropped in silence either; accepted by name it can.
    assert (await put(api, metadata(redirect_uris=[NEW]))).status_code == 409
    assert (await put(api, metadata(redirect_uris=[NEW]), accept_new_subjects="ketiga")).status_code == 200
    client = city.provider.registry.get("ketiga")
    assert client is not None
    assert city.provider.subject(client, city.users["siti"]) != sub
    async with city.provider.db.read() as session:
        mine = select(AuditEvent.data).where(AuditEvent.type == "client.subjects_changed").order_by(AuditEvent.id)
        events = (await session.execute(mine)).scalars().all()
    assert events[-1] == {"before": "lama.example", "after": "baru.example", "users": 2}


async def test_an_application_that_manages_itself_is_asked_too(city: City) -> None:
    async with city.client() as http:
        sent = {"redirect_uris": [OLD], "kept_sector": "warga.example"}
        registered = (await http.post("/register", json=sent)).json()
        client_id = registered["client_id"]
        assert "kept_sector" not in registered
        await used(city, client_id, "siti")
        uri, token = registered["registration_client_uri"], registered["registration_access_token"]
        headers = {"authorization": f"Bearer {token}"}
        changed = {"client_id": client_id, "redirect_uris": [NEW]}
        refused = await http.put(uri, json=changed, headers=headers)
        assert refused.status_code == 400
        text = refused.json()["error_description"]
        assert "every sub changes" in text
        assert "1 user" in text
        assert f"accept_new_subjects: {client_id}" in text
        wrong = await http.put(uri, json={**changed, "kept_sector": "warga.example"}, headers=headers)
        assert wrong.status_code == 400
        assert "sector_identifier_uri on the host lama.example" in text
        # A redirect URI on a host proves nothing, so the sector of that host cannot be taken along.
        answer = await http.put(uri, json={**changed, "kept_sector": "lama.example"}, headers=headers)
        assert answer.status_code == 400, answer.text
        assert "sector_identifier_uri" in answer.json()["error_description"]
        accepted = {**changed, "accept_new_subjects": client_id}
        assert (await http.put(uri, json=accepted, headers=headers)).status_code == 200


async def test_nobody_takes_the_sector_of_another_application_along(city: City) -> None:
    """In two steps: first a redirect URI on the host of the other one, then one's own host with the sector kept."""
    victim = city.provider.registry.get("mitra")
    assert victim is not None
    theirs = city.provider.subject(victim, city.users["siti"])
    there, here = "https://mitra.example/lain", "https://penyerang.example/cb"
    async with city.client() as http:
        registered = (await http.post("/register", json={"redirect_uris": [there]})).json()
        headers = {"authorization": f"Bearer {registered['registration_access_token']}"}
        for uri in (there, here):
            sent = {"client_id": registered["client_id"], "redirect_uris": [uri], "kept_sector": "mitra.example"}
            answer = await http.put(registered["registration_client_uri"], json=sent, headers=headers)
            assert answer.status_code == 400, answer.text
    api = await register(city)
    assert (await put(api, metadata(redirect_uris=[there]))).status_code == 200
    for uri in (there, here):
        answer = await put(api, metadata(redirect_uris=[uri], kept_sector="mitra.example"))
        assert answer.status_code == 409, answer.text
        assert "the sector of mitra too" in answer.text
    client = city.provider.registry.get("ketiga")
    assert client is not None
    assert client.meta.redirect_uris == [there]
    assert theirs == city.provider.subject(client, city.users["siti"]), "the tokens go to mitra.example alone"


async def test_a_team_and_administrators_are_asked(city: City) -> None:
    document = {
        "client_name": "Ketiga", "group": "E-Kesehatan", "contacts": ["a@ketiga.example"], "scope": "openid",
        "redirect_uris": [OLD],
    }  # fmt: skip
    sandbox = {"redirect_uris": ["http://localhost:3000/cb"]}
    team, admin = await person_with(city, "developer", name="budi"), await person_with(city, "admin", name="ratna")
    application = {"application_id": "ketiga", "kind": "web", "document": document, "sandbox": sandbox}
    assert (await team("POST", "/applications", json=application)).status_code == 201
    acts, review = "/applications/ketiga/acts", "/applications/ketiga/review"

    async def revision() -> int:
        return int((await team.get("/applications/ketiga"))["revision"])

    assert (await team("POST", acts, json={"act": "submit"})).status_code == 200
    decision = {"decision": "approve", "revision": await revision()}
    assert (await admin("POST", review, json=decision)).status_code == 200
    await used(city, "ketiga", "siti", "lengkap")
    changed = {"document": {**document, "redirect_uris": [NEW]}, "sandbox": sandbox, "revision": await revision()}
    assert (await team("PUT", "/applications/ketiga", json=changed)).status_code == 200
    refused = await team("POST", acts, json={"act": "submit"})
    assert refused.status_code == 409
    assert "every sub changes" in refused.text
    async with await signed_in(city, "budi") as budi:
        page = await budi.open("/developer/apps/ketiga")
        assert "lama.example" in page.text
        assert 'name="accept_new_subjects"' in page.text
        assert (await post(budi, page, choice="submit")).status_code == 409
        page = await post(budi, page, choice="submit", accept_new_subjects="ketiga")
        assert page.status_code == 303 or page.status_code == 200, page.text[:300]
    assert (await team.get("/applications/ketiga"))["state"] == "submitted"
    report = "; ".join(finding.text for finding in await examine(city.settings) if finding.about == "subjects")
    assert "not yet approved: ketiga: every sub changes from the sector lama.example" in report, report
    refused = await admin("POST", review, json={"decision": "approve", "revision": await revision()})
    assert refused.status_code == 409
    assert "2 users" in refused.text
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/applications/ketiga")
        assert 'name="accept_new_subjects"' in page.text
        assert "lama.example" in page.text
        where = "/admin/applications/ketiga/review"
        assert (await post(ratna, page, where, choice="approve")).status_code == 409
        assert (await post(ratna, page, where, choice="approve", accept_new_subjects="ketiga")).status_code == 200
        client = city.provider.registry.get("ketiga")
        assert client is not None
        assert client.meta.sector_identifier == "baru.example"
        # The page of settings asks as well, and takes a kept sector.
        settings = "/admin/applications/ketiga/settings"
        page = await ratna.open(settings)
        refused = await post(ratna, page, redirect_uris="https://ketiga.example/cb", note="pindah")
        assert refused.status_code == 409, refused.text[:300]
        assert 'name="accept_new_subjects"' in refused.text
        page = await ratna.open(settings)
        more = {"kept_sector": "baru.example", "redirect_uris": "https://ketiga.example/cb"}
        assert (await post(ratna, page, note="pindah", **more)).status_code == 200
        client = city.provider.registry.get("ketiga")
        assert client is not None
        assert client.meta.sector_identifier == "baru.example"


def test_a_catalogue_is_refused_until_it_keeps_the_sector(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "kota.yaml"

    def write(**values: Any) -> str:
        file.write_text(
            json.dumps({"catalogue": "mitra", "applications": [{"client_id": "ketiga", **metadata(**values)}]})
        )
        return str(file)

    created = cli("clients", "apply", write())
    assert created.code == 0, created.err
    assert "third party, subject_type pairwise (lama.example), client_secret_basic, PKCE required" in created.out
    # Nobody has used it: the plan says what changes, and it is applied.
    moved = cli("clients", "apply", write(redirect_uris=["https://sementara.example/cb"]))
    assert "every sub changes from the sector lama.example to the sector sementara.example: no user yet" in moved.out
    assert moved.code == 0
    assert cli("clients", "apply", write()).code == 0
    use(cli)
    for dry in ((), ("--dry-run",)):
        refused = cli("clients", "apply", write(redirect_uris=[NEW]), *dry)
        output = refused.out + refused.err
        assert refused.code == (0 if dry else 1)
        assert "every sub changes from the sector lama.example to the sector baru.example: 1 user" in output
        assert "kept_sector: lama.example" in output
        assert "--accept-new-subjects ketiga" in output
    assert "every sub" not in cli("clients", "apply", write(redirect_uris=[NEW], kept_sector="lama.example")).out
    assert "keep a sector: ketiga (lama.example)" in cli("doctor").out
    assert "public" in cli("clients", "apply", write(first_party=True), "--accept-new-subjects", "lain").err
    stolen = cli("clients", "apply", write(redirect_uris=[NEW], kept_sector="mitra.example"))
    assert stolen.code == 1
    assert "ketiga: kept_sector: must be the sector that the application has now, lama.example" in stolen.err
    new = {"client_id": "keempat", **metadata(kept_sector="mitra.example")}
    file.write_text(json.dumps({"catalogue": "lain", "applications": [new]}))
    assert "keempat: kept_sector: mitra.example is the sector of mitra" in cli("clients", "apply", str(file)).err
    accepted = cli("clients", "apply", write(redirect_uris=[NEW]), "--accept-new-subjects", "ketiga")
    assert accepted.code == 0, accepted.err
    assert "every sub changed in the last 30 days: ketiga" in cli("doctor").out


def use(cli: Cli) -> None:
    """Let somebody have allowed the application something, straight in the database of the command line."""
    import asyncio

    from sso.platform.db import Database
    from sso.settings import load_settings

    async def write() -> None:
        db = Database(load_settings())
        try:
            async with db.write() as session:
                who = cli.contents["users"]["siti"]
                values = {"user_id": who, "client_id": "ketiga", "scopes": ["openid"]}
                session.add(Consent(**values, created_at=clock.now(), updated_at=clock.now()))
        finally:
            await db.close()

    asyncio.run(write())


def test_a_plan_shows_what_holds_and_warns_of_misspelt_scopes(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "kota.yaml"

    def apply(**values: Any) -> Any:
        entry = {"client_id": "ketiga", **metadata(**values)}
        file.write_text(json.dumps({"catalogue": "mitra", "applications": [entry]}))
        return cli("clients", "apply", str(file), "--json").json

    first = apply(scope="openid emial", profile="legacy")
    assert first["warnings"] == ["ketiga: scope: emial is not a scope of this provider; email is probably meant"]
    fields = first["changes"][0]["fields"]
    assert fields["require_pkce"] == [None, False], "an effect of the profile"
    assert fields["token_endpoint_auth_method"] == [None, "client_secret_basic"]
    assert fields["subject_type"] == [None, "pairwise"]
    second = apply()["changes"][0]["fields"]
    assert second["scope"] == ["openid emial", "openid profile email"], "the default that holds"
    assert second["require_pkce"] == [False, True]
    assert apply()["changes"] == []
    longer = apply(access_token_seconds=86400)["warnings"]
    assert longer == ["ketiga: access_token_seconds: 86400 is more than SSO_ACCESS_TOKEN_LIFETIME allows: 600 is used"]
    assert "emial" not in json.dumps(apply(scope="openid kirim")["warnings"])
