"""Each resource of the API: lists in pages, filters, changes that lose nobody's work, creations that are done once."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import or_, select
from tests.api.conftest import Api, person_with, program
from tests.demands import demand
from tests.support import ISSUER, PASSWORD, City, form_of
from tests.waiting import until, until_it_waits

from sso import clock
from sso.accounts.administration import disable_user
from sso.clients.models import HERE, ClientRow
from sso.identity.users.service import UserError, find, set_roles
from sso.jobs import clear_up, run_jobs
from sso.platform.actor import Actor
from sso.platform.audit import verify
from sso.platform.audit.models import AuditEvent
from sso.platform.outbox.models import Delivery
from sso.portal.audit_chain import chain_audit_events

CONTROL = {"client_id": "e-antrean", "metadata": {"type": "web", "client_name": "e-Antrean", "first_party": True}}
CONTROL["metadata"]["redirect_uris"] = ["https://antrean.example/cb"]  # type: ignore[index]


async def signed_in(city: City, *clients: str, name: str = "siti") -> dict[str, Any]:
    """Sign somebody in at applications, and return the tokens of each."""
    async with city.browser(headers={"user-agent": ANDROID}) as browser:
        return {client_id: await browser.tokens(city.relying_party(client_id), username=name) for client_id in clients}


ANDROID = "Mozilla/5.0 (Linux; Android 13; SM-A057F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile"


ADDRESS = "203.0.113.0/24"
"""The network of the test's requests, as the audit log stores it."""


async def events(city: City, type_: str) -> list[AuditEvent]:
    async with city.provider.db.read() as session:
        query = select(AuditEvent).where(AuditEvent.type == type_).order_by(AuditEvent.id)
        return list((await session.execute(query)).scalars())


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Check that an answer is a problem (RFC 9457) and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:sso:problem:{kind}"
    assert body["status"] == status
    assert body["instance"] == f"urn:sso:request:{answer.headers['x-request-id']}"
    assert body["title"]
    assert body["detail"]
    return body


async def test_a_session_says_who_where_how_and_which_applications(city: City, api: Api) -> None:
    await signed_in(city, "warga", "sehat")
    (session,) = await api.pages("/sessions", user_id=str(city.users["siti"]))
    assert session["person"] == {"id": str(city.users["siti"]), "name": "Siti Rahmawati"}
    assert session["status"] == "active"
    assert session["device"] == {"browser": "Chrome Mobile 120", "system": "Android 13", "model": "Samsung SM-A057F"}
    assert session["address"] == "203.0.113.0/24", "no more of it is kept than the network"
    assert session["amr"] == ["pwd"]
    assert [application["client_id"] for application in session["applications"]] == ["warga", "sehat"]
    assert len({application["sid"] for application in session["applications"]}) == 2, "each knows it by another name"
    assert (await api.get(f"/sessions/{session['id']}")) == session


async def test_a_session_is_ended_and_the_proof_is_the_answer(city: City, api: Api) -> None:
    tokens = await signed_in(city, "warga", "sehat")
    (session,) = await api.pages("/sessions", client_id="warga")
    problem(await api("GET", f"/sessions/{session['id']}/delivery-report"), 409, "not_ended")
    answer = await api("POST", f"/sessions/{session['id']}/end", json={"note": "Telepon dicuri"})
    assert answer.status_code == 200
    how = {
        application["client_id"]: (application["how"], application["state"])
        for application in answer.json()["applications"]
    }
    assert how == {"warga": ("back_channel", "waiting"), "sehat": ("token_lifetime", "unconfirmed")}
    for client_id, client_tokens in tokens.items():
        party = city.relying_party(client_id)
        assert (await party.introspect(client_tokens["access_token"])) == {"active": False}
        assert (await party.userinfo(client_tokens["access_token"])).status_code == 401
        assert (await party.refresh(client_tokens["refresh_token"])).status == 400
    assert await api.pages("/sessions", client_id="warga") == []
    (over,) = await api.pages("/sessions", status="ended")
    assert (over["status"], over["end_reason"]) == ("ended", "administrator")
    (event,) = await events(city, "session.ended")
    assert (event.actor, event.data["note"]) == ("petugas", "Telepon dicuri")
    again = await api("POST", f"/sessions/{session['id']}/end", json={})
    assert again.json()["ended_at"] == answer.json()["ended_at"], "it ends once"
    assert len(await events(city, "session.ended")) == 1


async def test_lists_come_in_pages_that_lose_and_repeat_nothing(city: City, api: Api) -> None:
    for _ in range(7):
        await signed_in(city, "warga")
    whole = await api.pages("/sessions", limit=200)
    assert len(whole) == 7
    assert await api.pages("/sessions", limit=2) == whole
    first = await api.get("/sessions", limit=2)
    await signed_in(city, "warga")
    second = await api.get("/sessions", limit=2, cursor=first["next_cursor"])
    assert second["items"] == whole[2:4], "what came meanwhile moves nothing"
    people = await api.pages("/users", limit=1)
    assert {person["name"] for person in people} >= {"Siti Rahmawati", "Budi Santoso", "Ratna Wulandari"}
    clients = await api.pages("/clients", limit=3)
    assert [client["client_id"] for client in clients] == sorted(client["client_id"] for client in clients)
    assert len(await api.pages("/audit-events", limit=5)) == len(await api.pages("/audit-events", limit=200))


async def test_a_cursor_that_is_not_ours_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    paths = ("/sessions", "/users", "/audit-events", "/deliveries", "/grants", "/session-endings")
    for path, cursor in itertools.product(paths, ("x", "....", "bm8=", "%00", "é", "a" * 401)):
        with subtests.test(f"{path} {cursor[:10]}"):
            details = problem(await api("GET", path, params={"cursor": cursor}), 422, "invalid_request")
            assert "cursor" in details["errors"][0]["pointer"]


@demand("RFC 9457 3", "errors are problems with type, title, status, detail and instance")
async def test_a_limit_out_of_bounds_and_unknown_filters_are_refused_in_words(city: City, api: Api) -> None:
    details = problem(await api("GET", "/sessions", params={"limit": 0, "status": "x"}), 422, "invalid_request")
    assert {error["pointer"] for error in details["errors"]} == {"limit", "status"}
    problem(await api("GET", "/sessions/not-a-uuid"), 422, "invalid_request")
    problem(await api("GET", f"/sessions/{uuid.uuid4()}"), 404, "not_found")
    problem(await api("GET", "/nothing/here"), 404, "not_found")
    problem(await api("PUT", "/sessions"), 405, "wrong_method")


async def test_a_body_that_is_no_json_is_a_problem(city: City, api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    problem(await api("POST", "/users", content=b"{", headers=headers), 422, "invalid_request")
    problem(await api("POST", "/users", content=b"x" * 70000, headers=headers), 413, "too_large")


async def test_many_sessions_are_ended_in_the_background_watched_and_stopped(city: City, api: Api) -> None:
    for name in ("siti", "budi"):
        await signed_in(city, "warga", name=name)
    answer = await api("POST", "/session-endings", json={"client_id": "warga", "note": "Kunci bocor"})
    assert answer.status_code == 202
    begun = answer.json()
    assert (begun["status"], begun["total"], begun["ended"]) == ("running", 2, 0)
    assert answer.headers["location"] == f"/api/v1/session-endings/{begun['id']}"
    stop = asyncio.Event()
    working = asyncio.create_task(run_jobs(city.provider, stop))

    async def is_done() -> bool:
        return bool((await api.get(f"/session-endings/{begun['id']}"))["status"] == "done")

    await until(is_done)
    now = await api.get(f"/session-endings/{begun['id']}")
    stop.set()
    await working
    assert (now["status"], now["ended"]) == ("done", 2)
    assert await api.pages("/sessions", client_id="warga") == []
    problem(await api("POST", f"/session-endings/{begun['id']}/stop"), 409, "not_running")
    second = (await api("POST", "/session-endings", json={"everything": True})).json()
    stopped = await api("POST", f"/session-endings/{second['id']}/stop")
    assert stopped.json()["status"] == "stopped"
    for type_, response in (("sessions.ending", answer), ("sessions.ending_stopped", stopped)):
        event = (await events(city, type_))[0]
        assert (event.request_id, event.address) == (response.headers["x-request-id"], ADDRESS), type_
    assert [ending["id"] for ending in await api.pages("/session-endings", limit=1)] == [second["id"], begun["id"]]


async def test_which_sessions_are_ended_must_be_clear(api: Api, subtests: pytest.Subtests) -> None:
    bodies: list[Any] = [{}, {"everything": False}, {"client_id": "warga", "everything": True}, {"user_id": 1}, []]
    for body in bodies:
        with subtests.test(str(body)):
            problem(await api("POST", "/session-endings", json=body), 422, "invalid_request")


async def test_a_person_is_made_changed_disabled_enabled_and_deleted(city: City, api: Api) -> None:
    body = {"username": "joko", "name": "Joko Susilo", "email": "Joko@Warga.example", "locale": "id"}
    for day in ("1990-02-30", "0000-00-00", "21-04-1990", "2990-01-01"):
        answer = await api("POST", "/users", json=body | {"profile": {"birthdate": day}})
        problem(answer, 422, "invalid_request")
    created = await api("POST", "/users", json=body)
    assert created.status_code == 201
    joko = created.json()
    path = created.headers["location"].removeprefix("/api/v1")
    assert joko["identifiers"][1] == {
        "kind": "email",
        "value": "joko@warga.example",
        "verified": False,
        "primary": True,
    }
    problem(await api("POST", "/users", json=body), 409, "refused")
    (listed,) = await api.pages("/users", identifier="JOKO@warga.example")
    assert joko.pop("warnings") == []
    assert listed == joko
    assert await api.pages("/users", identifier="nobody") == []

    tag = await api.etag(path)
    change = {"name": "Joko S.", "email": None, "phone_number": "0812 1111 2222", "phone_number_verified": True}
    answer = await api("PATCH", path, json=change, headers={"If-Match": tag})
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "Joko S."
    assert [identifier["value"] for identifier in answer.json()["identifiers"]] == ["joko", "+6281211112222"]
    assert answer.headers["etag"] != tag
    assert answer.headers["etag"] == await api.etag(path)
    problem(await api("PATCH", path, json=change, headers={"If-Match": tag}), 412, "precondition_failed")
    problem(await api("PATCH", path, json=change), 428, "precondition_required")
    taken = {"email": "siti@warga.example"}
    problem(await api("PATCH", path, json=taken, headers={"If-Match": await api.etag(path)}), 409, "refused")

    assert (await api("POST", f"{path}/disable")).json()["user"]["status"] == "disabled"
    assert (await api.get(path))["status"] == "disabled"
    assert [user["id"] for user in await api.pages("/users", status="disabled")] == [joko["id"]]
    assert (await api("POST", f"{path}/enable")).json()["status"] == "active"
    gone = await api("DELETE", path)
    assert gone.json()["user"]["status"] == "deleted"
    assert gone.json()["user"]["identifiers"] == []
    assert gone.json()["user"]["name"] == ""
    problem(await api("POST", f"{path}/enable"), 409, "deleted")
    assert (await api("POST", "/users", json=body)).status_code == 201, "the name is free again"


async def test_who_is_deleted_is_signed_out_everywhere_and_nothing_of_them_is_left(city: City, api: Api) -> None:
    tokens = await signed_in(city, "warga", "sehat")
    siti = city.users["siti"]
    (active,) = await api.pages("/sessions", user_id=str(siti))
    answer = await api("DELETE", f"/users/{siti}")
    assert answer.json()["sessions_ended"] == 1
    assert (await city.relying_party("warga").introspect(tokens["warga"]["access_token"])) == {"active": False}
    report = await api.get(f"/sessions/{active['id']}/delivery-report")
    assert (report["reason"], report["person"]["name"], len(report["applications"])) == ("user_deleted", "", 2)
    async with city.browser() as browser:
        page = await browser.open("/login")
        page = await browser.submit(page, username="siti", password=PASSWORD)
        assert page.status_code == 400
    from sqlalchemy import text

    async with city.provider.db.read() as session:
        for table in ("users", "identifiers", "credentials"):
            rows = (await session.execute(text(f"SELECT * FROM {table}"))).all()
            assert "Rahmawati" not in str(rows)
            assert "siti@warga.example" not in str(rows)


async def test_somebody_with_a_long_history_is_deleted_too(
    city: City, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sso.platform.audit.service.CHAIN_BATCH", 2)
    siti = str(city.users["siti"])
    for _ in range(5):
        await signed_in(city, "warga", "sehat")
    answer = await api("DELETE", f"/users/{siti}")
    assert (answer.status_code, answer.json()["user"]["status"]) == (200, "deleted"), answer.text
    await chain_audit_events(city.provider.db, city.provider.box)
    async with city.provider.db.read() as session:
        theirs = select(AuditEvent).where(or_(AuditEvent.actor == siti, AuditEvent.subject == siti))
        theirs = theirs.where(AuditEvent.type.like("session.%") | AuditEvent.type.like("sign_in.%"))
        events = (await session.execute(theirs)).scalars().all()
        assert len(events) > 2
        assert all((event.address, event.data) == (None, {}) for event in events)
        assert (await verify(session, city.provider.box)).broken_at is None


async def test_the_last_administrator_stays_one_whatever_is_tried(city: City, api: Api) -> None:
    ratna = f"/users/{city.users['ratna']}"
    tag = {"If-Match": await api.etag(ratna)}
    tries = [
        await api("PUT", f"{ratna}/roles", json={"roles": ["citizen"]}, headers=tag),
        await api("POST", f"{ratna}/disable"),
        await api("DELETE", ratna),
    ]
    for answer in tries:
        assert "last administrator" in problem(answer, 409, "refused")["detail"]
    assert (await api.get(ratna))["roles"] == ["admin"]
    await person_with(city, "admin", name="budi")
    assert (await api("POST", f"{ratna}/disable")).status_code == 200, "there is another one"
    budi = f"/users/{city.users['budi']}"
    problem(await api("POST", f"{budi}/disable"), 409, "refused")


async def test_two_administrators_who_remove_each_other_at_once_leave_one(city: City, api: Api) -> None:
    await person_with(city, "admin", name="budi")
    paths = [f"/users/{city.users[name]}" for name in ("ratna", "budi")]
    tags = [await api.etag(path) for path in paths]
    answers = await asyncio.gather(
        *(
            api("PUT", f"{path}/roles", json={"roles": []}, headers={"If-Match": tag})
            for path, tag in zip(paths, tags, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


@pytest.mark.parametrize("first", ["disable", "roles"])
async def test_who_comes_second_waits_and_sees_that_they_are_the_last(city: City, api: Api, first: str) -> None:
    """The same, with the first transaction held open in the middle."""
    await person_with(city, "admin", name="budi")
    provider = city.provider

    async def second() -> None:
        async with provider.db.write() as session:
            await disable_user(session, provider, await find(session, "budi"), actor=Actor("test"))

    async with provider.db.write() as session:
        ratna = await find(session, "ratna")
        if first == "disable":
            await disable_user(session, provider, ratna, actor=Actor("test"))
        else:
            await set_roles(session, ratna, [], actor=Actor("test"))
        await session.flush()
        waiting = asyncio.create_task(second())
        await until_it_waits(provider.db, waiting)
    with pytest.raises(UserError, match="last administrator"):
        await waiting


async def test_roles_are_given_and_recorded(city: City, api: Api) -> None:
    budi = f"/users/{city.users['budi']}"
    body = {"roles": ["helpdesk", "citizen"]}
    answer = await api("PUT", f"{budi}/roles", json=body, headers={"If-Match": await api.etag(budi)})
    assert answer.json()["roles"] == ["citizen", "helpdesk"]
    (event,) = await events(city, "user.roles_changed")
    assert event.data == {"added": ["helpdesk"], "removed": []}
    assert event.request_id == answer.headers["x-request-id"]
    assert [user["name"] for user in await api.pages("/users", role="helpdesk")] == ["Budi Santoso"]
    problem(
        await api("PUT", f"{budi}/roles", json={"roles": ["king"]}, headers={"If-Match": "*"}), 422, "invalid_request"
    )


async def test_an_application_is_registered_changed_suspended_resumed_and_removed(city: City, api: Api) -> None:
    created = await api("POST", "/clients", json=CONTROL)
    assert created.status_code == 201, created.text
    assert created.json()["client"]["catalogue"] == "api"
    city.secrets["e-antrean"] = created.json()["client_secret"]
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("e-antrean"))
        path = "/clients/e-antrean"
        assert "secret" not in str(await api.get(path)).replace("client_secret_basic", "")
        change = {"metadata": {**CONTROL["metadata"], "client_name": "Antrean Kota"}}  # type: ignore[dict-item]
        tag = await api.etag(path)
        answer = await api("PUT", path, json=change, headers={"If-Match": tag})
        assert answer.json()["name"] == "Antrean Kota"
        problem(await api("PUT", path, json=change, headers={"If-Match": tag}), 412, "precondition_failed")
        (event,) = await events(city, "client.updated")
        assert event.data == {"changed": ["client_name"]}

        secret = await api("POST", f"{path}/secrets", json={"overlap_seconds": 60})
        party = city.relying_party("e-antrean")
        assert (await party.introspect(tokens["access_token"]))["active"], "the old one is still good"
        city.secrets["e-antrean"] = secret.json()["client_secret"]
        assert (await party.introspect(tokens["access_token"]))["active"]

        assert (await api("POST", f"{path}/suspend", json={})).json()["status"] == "suspended"
        problem(await api("POST", f"{path}/suspend", json={}), 409, "refused")
        page = await browser.open(party.url())
        assert (page.status_code, "dinonaktifkan" in page.text) == (400, True)
        assert (await browser.open("/")).status_code == 200, "the person stays signed in"
        assert (await api("POST", f"{path}/resume")).json()["status"] == "active"
        assert (await party.refresh(tokens["refresh_token"])).status == 400, "what was granted stays over"
        assert (await browser.open(party.url())).is_redirect
    assert (await api("DELETE", path)).status_code == 204
    problem(await api("GET", path), 404, "not_found")
    assert "e-antrean" not in {client["client_id"] for client in await api.pages("/clients")}


async def test_what_a_catalogue_looks_after_is_changed_there(city: City, api: Api) -> None:
    tag = await api.etag("/clients/warga")
    change = {"metadata": CONTROL["metadata"]}
    details = problem(await api("PUT", "/clients/warga", json=change, headers={"If-Match": tag}), 409, "refused")
    assert "catalogue 'tests'" in details["detail"]


async def test_each_mistake_in_an_application_is_named_where_it_is(city: City, api: Api) -> None:
    metadata = {"type": "web", "client_name": "X<", "redirect_uris": ["http://x.example/cb"], "colour": "red"}
    answer = await api("POST", "/clients", json={"client_id": "baru", "metadata": metadata})
    details = problem(answer, 422, "invalid_client_metadata")
    pointers = {error["pointer"] for error in details["errors"]}
    assert pointers == {"/metadata/client_name", "/metadata/redirect_uris", "/metadata/colour"}


async def test_suspended_by_an_administrator_stays_so_whatever_the_catalogue_says(city: City, api: Api) -> None:
    from tests.conftest import CATALOGUE

    from sso.clients.catalogue import read_catalogue
    from sso.clients.catalogue_apply import make_plan
    from sso.portal.lifecycle import apply_catalogue

    await api("POST", "/clients/sehat/suspend", json={})
    async with city.provider.db.write() as session:
        plan = await make_plan(session, read_catalogue(CATALOGUE))
        assert plan.changes == []
        await apply_catalogue(session, city.provider, plan)
    assert (await api.get("/clients/sehat"))["status"] == "suspended"
    assert {client["client_id"] for client in await api.pages("/clients", status="suspended")} == {"sehat"}


async def test_an_application_is_told_that_its_part_is_over_and_others_go_on(city: City, api: Api) -> None:
    async with city.browser() as browser:
        warga = await browser.tokens(city.relying_party("warga"))
        sehat = await browser.tokens(city.relying_party("sehat"))
        await api("POST", "/clients/warga/suspend", json={})
        (session,) = await api.pages("/sessions")
        ended = {
            application["client_id"]: application["ended_at"] is not None for application in session["applications"]
        }
        assert ended == {"warga": True, "sehat": False}
        assert (await city.relying_party("sehat").userinfo(sehat["access_token"])).status_code == 200
        (notice,) = await api.pages("/deliveries", client_id="warga")
        assert (notice["kind"], notice["session_id"]) == ("backchannel_logout", session["id"])
        await api("POST", f"/sessions/{session['id']}/end", json={})
        assert len(await api.pages("/deliveries", client_id="warga")) == 1, "it was told already"
        report = await api.get(f"/sessions/{session['id']}/delivery-report")
        assert {application["client_id"] for application in report["applications"]} == {"warga", "sehat"}
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sehat"))
        await api("POST", "/clients/sehat/suspend", json={"end_sessions": True})
        assert (await api.pages("/session-endings"))[0]["what"] == "sessions"
    assert (await city.relying_party("warga").userinfo(warga["access_token"])).status_code == 401


async def managed_by_the_api(city: City, client_id: str) -> None:
    async with city.provider.db.write() as session:
        row = await session.get(ClientRow, client_id)
        assert row is not None
        row.catalogue = HERE


async def test_a_removed_application_is_told_and_forgotten_in_the_end(city: City, api: Api) -> None:
    await signed_in(city, "warga")
    refused = problem(await api("DELETE", "/clients/warga"), 409, "refused")
    assert refused["detail"].startswith("'warga' is managed by the catalogue 'tests': remove it from that file")
    assert city.provider.registry.get("warga") is not None
    await managed_by_the_api(city, "warga")
    assert (await api("DELETE", "/clients/warga")).status_code == 204
    (notice,) = await api.pages("/deliveries", client_id="warga")
    assert notice["status"] == "pending"
    async with city.browser() as browser:
        page = await browser.open(f"/authorize?client_id=warga&redirect_uri={ISSUER}")
        assert "Aplikasi ini tidak terdaftar" in page.text
    assert city.provider.registry.get("warga") is None
    assert city.provider.registry.known("warga") is not None, "so that the notice can be signed for it"
    clock.advance(91 * 86400)
    await clear_up(city.provider)
    await city.provider.refresh()
    assert city.provider.registry.known("warga") is None


async def test_what_was_granted_is_seen_and_revoked(city: City, api: Api) -> None:
    tokens = await signed_in(city, "warga", "sehat")
    grants = await api.pages("/grants", user_id=str(city.users["siti"]), limit=1)
    assert {grant["client_id"] for grant in grants} == {"warga", "sehat"}
    (grant,) = [candidate for candidate in grants if candidate["client_id"] == "warga"]
    assert (await api.get(f"/grants/{grant['id']}")) == grant
    assert (await api("DELETE", f"/grants/{grant['id']}")).status_code == 204
    problem(await api("DELETE", f"/grants/{grant['id']}"), 404, "not_found")
    assert (await city.relying_party("warga").introspect(tokens["warga"]["access_token"])) == {"active": False}
    assert (await city.relying_party("sehat").introspect(tokens["sehat"]["access_token"]))["active"]
    assert len(await api.pages("/sessions")) == 1, "the session goes on"


async def test_a_delivery_that_was_given_up_is_sent_once_more(city: City, api: Api) -> None:
    await signed_in(city, "warga")
    (active,) = await api.pages("/sessions")
    await api("POST", f"/sessions/{active['id']}/end", json={})
    await city.site.worker.drain()  # warga.example cannot be reached
    clock.advance(86401)
    await city.site.worker.drain()
    api = await program(city)
    (failed,) = await api.pages("/deliveries", status="given_up")
    assert failed["last_error"]
    assert "payload" not in failed, "what is sent may be personal"
    again = await api("POST", f"/deliveries/{failed['id']}/retry")
    assert (again.json()["status"], again.json()["finished_at"]) == ("pending", None)
    (event,) = await events(city, "delivery.given_up")
    assert event.client_id == "warga"
    async with city.provider.db.write() as session:
        delivery = await session.get(Delivery, uuid.UUID(failed["id"]))
        assert delivery is not None
        delivery.status = "done"
    problem(await api("POST", f"/deliveries/{failed['id']}/retry"), 409, "not_retried")


async def test_the_audit_log_is_searched(city: City, api: Api) -> None:
    await signed_in(city, "warga")
    await chain_audit_events(city.provider.db, city.provider.box)
    siti = str(city.users["siti"])
    (started,) = await api.pages("/audit-events", type="session.started", actor=siti)
    assert (started["address"], started["outcome"]) == ("203.0.113.0/24", "success")
    assert started["seq"] is not None
    assert (await api.get(f"/audit-events/{started['id']}")) == started
    later = (clock.now()).isoformat()
    assert await api.pages("/audit-events", type="session.started", since=later) == []
    assert await api.pages("/audit-events", type="session.started", until=later) == [started]
    problem(await api("GET", "/audit-events", params={"since": "2026-01-01T00:00:00"}), 422, "invalid_request")


@pytest.mark.parametrize("path", ["/users", "/clients", "/webhooks"])
async def test_a_creation_that_is_sent_twice_is_done_once(city: City, api: Api, path: str) -> None:
    bodies: dict[str, Any] = {
        "/users": {"username": "dua-kali", "name": "Dua Kali"},
        "/clients": CONTROL,
        "/webhooks": {"url": "https://hook.example/", "events": ["*"]},
    }
    headers = {"Idempotency-Key": "kunci-sekali-pakai"}
    first = await api("POST", path, json=bodies[path], headers=headers)
    second = await api("POST", path, json=bodies[path], headers=headers)
    assert first.status_code == 201, first.text
    assert (second.status_code, second.json()) == (201, first.json()), "the secret too, although it is kept only sealed"
    assert second.headers["location"] == first.headers["location"]
    changed = {**bodies[path], "description": "x"} if path == "/webhooks" else bodies["/users"] | {"username": "tiga"}
    if path != "/clients":
        problem(await api("POST", path, json=changed, headers=headers), 422, "idempotency_key_reused")
    clock.advance(86401)
    api = await program(city)
    again = await api("POST", path, json=bodies[path], headers=headers)
    assert again.status_code == (201 if path == "/webhooks" else 409), "after a day it is a new request"


async def test_the_same_creation_at_the_same_moment_is_done_once(city: City, api: Api) -> None:
    body, headers = {"username": "serentak", "name": "Serentak"}, {"Idempotency-Key": "serentak-1"}
    answers = await asyncio.gather(*(api("POST", "/users", json=body, headers=headers) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_key_of_one_caller_is_nothing_to_another(city: City, api: Api) -> None:
    body, headers = {"url": "https://hook.example/", "events": ["*"]}, {"Idempotency-Key": "sama-sama-1"}
    first = await api("POST", "/webhooks", json=body, headers=headers)
    other = await (await person_with(city, "admin"))("POST", "/webhooks", json=body, headers=headers)
    assert first.json()["secret"] != other.json()["secret"]


async def test_a_page_in_the_browser_is_no_way_in(city: City) -> None:
    """The cookie of a session opens nothing here: only an access token does (no cross-site forgery)."""
    async with city.browser() as browser:
        page = await browser.open("/login")
        await browser.submit(page, username="ratna", password=PASSWORD)
        assert (await browser.http.get("/api/v1/users")).status_code == 401
        assert form_of(await browser.open("/")).action
