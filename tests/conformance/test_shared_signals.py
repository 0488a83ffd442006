"""Shared Signals: an application that opted in is told of ends as CAEP and RISC events, pushed or polled."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2 as httpx
import jwt
import pyotp
import pytest
from sqlalchemy import select
from tests.citizens import Authenticator, add_passkey, here, post, set_up_app
from tests.conformance.conftest import World
from tests.demands import demand
from tests.support import ISSUER, PASSWORD, City, Statements
from tests.waiting import until

from sso import clock
from sso.accounts.administration import disable_user, enable_user
from sso.accounts.credentials import change_password, recover, require_new_password, reset_factors
from sso.accounts.deletion import delete_user
from sso.http.admin.sessions import REASONS
from sso.http.protocol import ssf as shared_signals
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.reasons import EndReason, initiator
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.logout.delivery_report import delivery_report_of
from sso.logout.end_sessions import end_sessions
from sso.oidc.models import ExcludedSubject
from sso.platform.actor import Actor
from sso.platform.outbox.models import Delivery
from sso.ssf import streams
from sso.ssf.events import (
    ACCOUNT_DISABLED,
    ACCOUNT_ENABLED,
    ACCOUNT_PURGED,
    CREDENTIAL_CHANGE,
    EVENTS,
    SESSION_REVOKED,
    VERIFICATION,
)

POLL, PUSH = "urn:ietf:rfc:8936", "urn:ietf:rfc:8935"


@dataclass
class Receiver:
    """The application ``sinyal``."""

    city: City
    token: str

    async def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.city.client() as http:
            return await http.request(method, path, json=body, params=query, headers=headers)

    async def make_stream(self, *events: str, **delivery: Any) -> dict[str, Any]:
        """Make a stream that wants these events."""
        body: dict[str, Any] = {"events_requested": list(events or EVENTS)}
        if delivery:
            body["delivery"] = delivery
        answer = await self("POST", "/ssf/stream", body)
        assert answer.status_code == 201, answer.text
        stream: dict[str, Any] = answer.json()
        return stream

    async def poll(self, stream: dict[str, Any], **body: Any) -> dict[str, Any]:
        """Fetch events."""
        path = stream["delivery"]["endpoint_url"].removeprefix(ISSUER)
        answer = await self("POST", path, {"returnImmediately": True, **body})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        got: dict[str, Any] = answer.json()
        return got

    async def checked(self, token: str) -> dict[str, Any]:
        """Check a SET as a receiver does, and return its claims."""
        async with self.city.client() as http:
            keys = (await http.get("/jwks")).json()
        key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
        assert jwt.get_unverified_header(token)["typ"] == "secevent+jwt"
        about: dict[str, Any] = {"audience": "sinyal", "issuer": ISSUER, "options": {"verify_iat": False}}
        claims: dict[str, Any] = jwt.decode(token, key, [key.algorithm_name], **about)
        assert claims["iat"] <= clock.timestamp()
        return claims


@pytest.fixture
async def receiver(city: City) -> Receiver:
    tokens = await city.relying_party("sinyal").token(grant_type="client_credentials", scope="ssf.read ssf.manage")
    assert tokens.status == 200, tokens.body
    return Receiver(city, tokens["access_token"])


async def signed_in(city: City, name: str = "siti") -> Any:
    async with city.browser() as browser:
        return await browser.tokens(city.relying_party("sinyal"), username=name)


async def end_all(city: City, reason: str = "administrator") -> list[UUID]:
    async with city.provider.db.write() as session:
        ids = list((await session.execute(select(SsoSession.id).where(SsoSession.ended_at.is_(None)))).scalars())
        await end_sessions(session, city.provider, ids, reason, actor=Actor("test"))
    return ids


async def user(city: City, session: Any, name: str = "siti") -> User:
    person = await session.get(User, city.users[name])
    assert isinstance(person, User)
    return person


@demand("Shared Signals 7.1", "the transmitter says where everything is, and all of it is there")
async def test_the_configuration_of_the_transmitter(city: City, http: httpx.AsyncClient, receiver: Receiver) -> None:
    document = (await http.get("/.well-known/ssf-configuration")).json()
    assert document["issuer"] == ISSUER
    assert document["spec_version"] == "1_0"
    assert document["delivery_methods_supported"] == [PUSH, POLL]
    assert document["authorization_schemes"] == [{"spec_urn": "urn:ietf:rfc:6749"}]
    assert (await http.get(document["jwks_uri"])).status_code == 200
    for name, method in (
        ("configuration_endpoint", "GET"),
        ("status_endpoint", "GET"),
        ("add_subject_endpoint", "POST"),
        ("remove_subject_endpoint", "POST"),
        ("verification_endpoint", "POST"),
    ):
        path = document[name].removeprefix(ISSUER)
        assert (await receiver(method, path, {} if method == "POST" else None)).status_code in (200, 400, 404)
        assert (await http.request(method, path)).status_code == 401


@demand("Shared Signals 8.1.1", "a stream is made, read, changed, replaced and deleted by its application")
async def test_the_life_of_a_stream(city: City, receiver: Receiver) -> None:
    assert (await receiver("GET", "/ssf/stream")).json() == []
    stream = await receiver.make_stream(SESSION_REVOKED, "urn:something:else")
    assert stream["aud"] == "sinyal"
    assert stream["iss"] == ISSUER
    assert stream["events_supported"] == list(EVENTS)
    assert stream["events_requested"] == [SESSION_REVOKED, "urn:something:else"]
    assert stream["events_delivered"] == [SESSION_REVOKED]
    assert stream["delivery"]["method"] == POLL
    query = {"stream_id": stream["stream_id"]}
    assert (await receiver("GET", "/ssf/stream", **query)).json() == stream
    assert (await receiver("GET", "/ssf/stream")).json() == [stream]
    assert (await receiver("POST", "/ssf/stream", {})).status_code == 409, "one is enough"
    changed = await receiver("PATCH", "/ssf/stream", {**query, "description": "Pusat keamanan"})
    assert changed.json() == {**stream, "description": "Pusat keamanan"}, "what is not named stays"
    replaced = await receiver("PUT", "/ssf/stream", {**query, "events_requested": [ACCOUNT_DISABLED]})
    assert replaced.json()["events_delivered"] == [ACCOUNT_DISABLED]
    assert "description" not in replaced.json(), "what is not named goes"
    assert (await receiver("PATCH", "/ssf/stream", {})).status_code == 400
    assert (await receiver("DELETE", "/ssf/stream", **query)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await receiver(method, "/ssf/stream", **query)).status_code == 404


@demand("Shared Signals 8.1.1", "only applications that opted in have one: a scope says so")
@pytest.mark.parametrize(
    ("client_id", "scope", "status"), [("petugas", "sso:users:read", 403), ("sinyal", "ssf.read", 403)]
)
async def test_a_stream_needs_the_scope(city: City, client_id: str, scope: str, status: int) -> None:
    tokens = await city.relying_party(client_id).token(grant_type="client_credentials", scope=scope)
    caller = Receiver(city, tokens["access_token"])
    answer = await caller("POST", "/ssf/stream", {})
    assert answer.status_code == status
    assert "insufficient_scope" in answer.headers["www-authenticate"]
    assert (await Receiver(city, "x")("GET", "/ssf/stream")).status_code == 401
    if client_id == "sinyal":
        assert (await caller("GET", "/ssf/stream")).status_code == 200


REFUSED: list[Any] = [
    {"delivery": {"method": "urn:x"}},
    {"delivery": {"method": PUSH}},
    {"delivery": {"method": PUSH, "endpoint_url": "http://x.example/"}},
    {"delivery": {"method": PUSH, "endpoint_url": "https://a@x.example/"}},
    {"delivery": {"method": PUSH, "endpoint_url": "https://x.example/", "authorization_header": "a\r\nb: c"}},
    {"events_requested": "all"},
    [],
]


async def test_what_makes_no_sense_is_refused_in_words(receiver: Receiver, subtests: pytest.Subtests) -> None:
    for body in REFUSED:
        with subtests.test(str(body)):
            answer = await receiver("POST", "/ssf/stream", body)
            assert answer.status_code == 400
            assert answer.json()["error_description"]
    assert (await receiver("GET", "/ssf/stream")).json() == []


@demand("CAEP 3.1", "the end of a session is an event with the session and the person as the application knows them")
@demand("RFC 8936 2.3", "events that wait are given, signed, until they are acknowledged")
@demand("RFC 8417 2.2", "an event has iss, aud, iat, jti and events, and no exp")
@demand("RFC 9493 3.2.7", "a session is a complex subject with its person")
async def test_a_session_that_ends_is_an_event(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream()
    id_token = (await signed_in(city)).claims()
    assert await receiver.poll(stream) == {"sets": {}}
    (session_id,) = await end_all(city)
    got = await receiver.poll(stream)
    ((jti, token),) = got["sets"].items()
    claims = await receiver.checked(token)
    assert claims["jti"] == jti
    assert claims["sub_id"] == {
        "format": "complex",
        "user": {"format": "iss_sub", "iss": ISSUER, "sub": id_token["sub"]},
        "session": {"format": "opaque", "id": id_token["sid"]},
    }
    assert list(claims["events"]) == [SESSION_REVOKED]
    assert claims["events"][SESSION_REVOKED]["initiating_entity"] == "admin"
    assert claims["events"][SESSION_REVOKED]["event_timestamp"] <= clock.timestamp()
    assert not {"exp", "sub", "nonce"} & set(claims)
    assert list((await receiver.poll(stream))["sets"]) == [jti], "it is given again until it is acknowledged"
    async with city.provider.db.read() as session:
        proof = await delivery_report_of(session, city.provider.registry, session_id)
    assert proof is not None
    assert [(application.how, application.state) for application in proof.applications] == [
        ("shared_signals", "waiting")
    ]
    assert await receiver.poll(stream, ack=[jti]) == {"sets": {}}
    async with city.provider.db.read() as session:
        proof = await delivery_report_of(session, city.provider.registry, session_id)
    assert proof is not None
    assert [(application.how, application.state) for application in proof.applications] == [
        ("shared_signals", "confirmed")
    ]
    assert proof.seconds_to_last_confirmation is not None


@demand("CAEP 3.3", "a changed password is an event")
@demand("RISC 2.3", "a disabled, enabled or deleted account is an event")
async def test_what_happens_to_an_account_is_an_event(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream(CREDENTIAL_CHANGE, ACCOUNT_DISABLED, ACCOUNT_ENABLED, ACCOUNT_PURGED)
    sub = (await signed_in(city)).claims()["sub"]
    provider = city.provider
    async with provider.db.write() as session:
        await change_password(session, provider, await user(city, session), "hash", actor=Actor("cli"))
    async with provider.db.write() as session:
        await disable_user(session, provider, await user(city, session), actor=Actor("cli"))
    async with provider.db.write() as session:
        await enable_user(session, provider, await user(city, session), actor=Actor("cli"))
    async with provider.db.write() as session:
        await delete_user(session, provider, await user(city, session), actor=Actor("cli"))
    events = [await receiver.checked(token) for token in (await receiver.poll(stream))["sets"].values()]
    kinds = [next(iter(event["events"])) for event in events]
    assert kinds == [CREDENTIAL_CHANGE, ACCOUNT_DISABLED, ACCOUNT_ENABLED, ACCOUNT_PURGED]
    assert {str(event["sub_id"]) for event in events} == {str({"format": "iss_sub", "iss": ISSUER, "sub": sub})}
    change = events[0]["events"][CREDENTIAL_CHANGE]
    assert (change["credential_type"], change["change_type"]) == ("password", "update")


async def test_who_never_used_the_application_is_none_of_its_business(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream()
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"), username="budi")
    async with city.provider.db.write() as session:
        await disable_user(session, city.provider, await user(city, session, "budi"), actor=Actor("cli"))
    assert await receiver.poll(stream) == {"sets": {}}


@demand("RFC 8935 2", "events are pushed as application/secevent+jwt, with the header that was agreed on")
@demand("RFC 8935 2.2", "2xx is an acknowledgement")
async def test_events_are_pushed(city: City, receiver: Receiver, world: World) -> None:
    url = world.publish("/events", b"", status=202)
    stream = await receiver.make_stream(method=PUSH, endpoint_url=url, authorization_header="Bearer rahasia")
    assert "authorization_header" not in stream["delivery"], "it is not shown again"
    await signed_in(city)
    await end_all(city)
    await city.site.worker.drain()
    ((path, headers, body),) = world.posts
    assert path == "/events"
    assert headers["Content-Type"] == "application/secevent+jwt"
    assert headers["Authorization"] == "Bearer rahasia"
    claims = await receiver.checked(body.decode())
    assert SESSION_REVOKED in claims["events"]
    async with city.provider.db.read() as session:
        (sent,) = (await session.execute(select(Delivery))).scalars()
    assert (sent.status, sent.kind, sent.client_id) == ("done", "ssf_push", "sinyal")


@demand("RFC 8935 2.3", "400 with an error is a refusal: it is not sent again, and the error is kept")
@demand("RFC 8935 2.4", "any other failure is tried again later, with the same jti")
async def test_a_push_that_is_refused_and_one_that_fails(city: City, receiver: Receiver, world: World) -> None:
    url = world.publish("/events", b'{"err": "invalid_audience", "description": "wrong"}', status=400)
    await receiver.make_stream(method=PUSH, endpoint_url=url)
    await signed_in(city)
    await end_all(city)
    await city.site.worker.drain()
    async with city.provider.db.read() as session:
        (sent,) = (await session.execute(select(Delivery))).scalars()
    assert sent.status == "given_up"
    assert "invalid_audience wrong" in (sent.last_error or "")
    world.publish("/events", b"", status=503)
    world.posts.clear()
    await signed_in(city)
    await end_all(city)
    await city.site.worker.drain()
    world.publish("/events", b"", status=202)
    clock.advance(10)
    await city.site.worker.drain()
    first, second = [(await receiver.checked(body.decode())) for _, _, body in world.posts]
    assert first["jti"] == second["jti"]


@demand("Shared Signals 8.1.2", "a stream is paused, enabled and disabled: events wait, come, or there are none")
@pytest.mark.parametrize("method", [POLL, PUSH])
async def test_the_status_of_a_stream(city: City, receiver: Receiver, world: World, method: str) -> None:
    push = {"endpoint_url": world.publish("/events", b"", status=202)} if method == PUSH else {}
    stream = await receiver.make_stream(method=method, **push)
    named = {"stream_id": stream["stream_id"]}

    async def arrived() -> int:
        if method == POLL:
            got = (await receiver.poll(stream))["sets"]
            await receiver.poll(stream, ack=list(got), maxEvents=0)
            return len(got)
        world.posts.clear()
        await city.site.worker.drain()
        return len(world.posts)

    assert (await receiver("GET", "/ssf/status", **named)).json() == {**named, "status": "enabled"}
    body = {**named, "status": "paused", "reason": "Pemeliharaan"}
    assert (await receiver("POST", "/ssf/status", body)).json() == body
    await signed_in(city)
    await end_all(city)
    assert await arrived() == 0
    await receiver("POST", "/ssf/status", {**named, "status": "enabled"})
    assert await arrived() == 1
    await receiver("POST", "/ssf/status", {**named, "status": "disabled"})
    await signed_in(city)
    await end_all(city)
    await receiver("POST", "/ssf/status", {**named, "status": "enabled"})
    assert await arrived() == 0, "what happened meanwhile is not told"
    assert (await receiver("POST", "/ssf/status", {**named, "status": "tired"})).status_code == 400


@demand("Shared Signals 8.1.3", "of a person that was removed nothing is told, until they are added again")
@demand(
    "RFC 9493 3.2",
    "a person is named by iss and sub, opaquely, by a verified e-mail address or phone number, or by several of these",
)
async def test_people_are_left_out_and_taken_in_again(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream()
    sub = (await signed_in(city)).claims()["sub"]
    by_sub = {"format": "iss_sub", "iss": ISSUER, "sub": sub}
    email = {"format": "email", "email": "Siti@Warga.example"}
    nobody = {"format": "opaque", "id": "nobody"}
    for subject in (
        by_sub,
        {"format": "complex", "user": by_sub},
        {"format": "opaque", "id": sub},
        email,
        {"format": "complex", "user": email},
        {"format": "phone_number", "phone_number": "+62 812 3456 7890"},
        {"format": "aliases", "identifiers": [nobody, email]},
    ):
        body = {"stream_id": stream["stream_id"], "subject": subject}
        assert (await receiver("POST", "/ssf/subjects/remove", body)).status_code == 204
        assert (await receiver("POST", "/ssf/subjects/remove", body)).status_code == 204, "twice is as good as once"
        await end_all(city)
        assert await receiver.poll(stream) == {"sets": {}}, subject
        by_another = {"stream_id": stream["stream_id"], "subject": by_sub}
        assert (await receiver("POST", "/ssf/subjects/add", by_another)).status_code == 200, "by any name"
        await signed_in(city)
        await end_all(city)
        sets = (await receiver.poll(stream))["sets"]
        assert len(sets) == 1, subject
        await receiver.poll(stream, ack=list(sets))
        await signed_in(city)
    async with city.provider.db.write() as session:  # as the release before left somebody out
        session.add(ExcludedSubject(stream_id=UUID(stream["stream_id"]), user_id=city.users["siti"]))
    await end_all(city)
    assert await receiver.poll(stream) == {"sets": {}}
    assert (await receiver("POST", "/ssf/subjects/add", by_another)).status_code == 200
    await signed_in(city)
    await end_all(city)
    assert len((await receiver.poll(stream))["sets"]) == 1


async def test_whom_a_subject_names_costs_the_same_however_many_people_there_are(
    city: City, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No `sub` is computed to find a person by it; and a stream cannot leave out names without end."""
    stream = await receiver.make_stream()
    computed_for: list[UUID] = []
    subject_of = city.provider.subject

    def counted(client: Any, user_id: UUID) -> str:
        computed_for.append(user_id)
        return subject_of(client, user_id)

    monkeypatch.setattr(city.provider, "subject", counted)
    monkeypatch.setattr(streams, "MAX_EXCLUDED", 3)
    statements, seen = Statements(city), []
    for subject_id in ("a", "b", "c", "d"):
        body = {"stream_id": stream["stream_id"], "subject": {"format": "opaque", "id": subject_id}}
        seen.append((await receiver("POST", "/ssf/subjects/remove", body)).status_code)
    assert seen == [204, 204, 204, 403]
    assert computed_for == []
    assert not [
        statement for statement in statements.take() if "FROM grants" in statement and "client_id" not in statement
    ]


@demand("CAEP 3.3.1", "credential-change has the type of the credential, and what happened to it")
async def test_every_change_of_a_credential_is_an_event(city: City, receiver: Receiver) -> None:
    """An app, recovery codes, passkeys on a device and on a key, the password; set up, replaced, removed and reset."""
    stream = await receiver.make_stream(CREDENTIAL_CHANGE)
    await signed_in(city)
    provider = city.provider

    async def delivered_changes() -> list[tuple[str, str, str]]:
        sets = (await receiver.poll(stream))["sets"]
        events = [(await receiver.checked(token))["events"][CREDENTIAL_CHANGE] for token in sets.values()]
        await receiver.poll(stream, ack=list(sets))
        return sorted((event["credential_type"], event["change_type"], event["initiating_entity"]) for event in events)

    device, key, synced = Authenticator(), Authenticator(), Authenticator()
    device.transports, key.transports = ["internal", "hybrid"], ["usb", "nfc"]
    async with city.browser() as browser:
        await here(city, browser)
        await set_up_app(city, browser)
        assert await delivered_changes() == [("app", "create", "user"), ("recovery-code", "create", "user")]
        await add_passkey(browser, device, "Ponsel")
        assert await delivered_changes() == [("fido2-platform", "create", "user")]
        await add_passkey(browser, key, "Kunci")
        assert await delivered_changes() == [("fido2-roaming", "create", "user")]
        await add_passkey(browser, synced, "Lama")
        assert await delivered_changes() == [("fido2-roaming", "create", "user")], "nothing is known of where it is"
        page = await browser.open("/account/security")
        await post(browser, "/account/security", {"choice": "codes"}, page)
        assert await delivered_changes() == [("recovery-code", "update", "user")]
        async with provider.db.read() as session:
            known = await users.credentials_of(session, city.users["siti"])
        chosen = next(credential for credential in known if credential.name == "Ponsel")
        page = await browser.open("/account/security")
        await post(browser, "/account/security", {"choice": f"remove {chosen.id}"}, page)
        assert await delivered_changes() == [("fido2-platform", "delete", "user")]
    async with provider.db.write() as session:
        await reset_factors(session, provider, await user(city, session), actor=Actor("cli"))
    kinds = ["app", "fido2-roaming", "recovery-code"]
    assert await delivered_changes() == [(kind, "revoke", "admin") for kind in kinds]
    async with provider.db.write() as session:
        await require_new_password(session, provider, await user(city, session), actor=Actor("cli"))
    assert await delivered_changes() == [("password", "revoke", "admin")]
    async with provider.db.write() as session:
        await require_new_password(session, provider, await user(city, session), actor=Actor("cli"))
    assert await delivered_changes() == [], "there is no password any more"
    async with provider.db.write() as session:
        person = await user(city, session)
        await recover(session, provider, person, "hash", actor=Actor(str(person.id)), long=True, drop_factors=True)
    assert await delivered_changes() == [("password", "create", "user")]
    async with provider.db.write() as session:
        await change_password(session, provider, await user(city, session), "hash", actor=Actor("cli"))
    assert await delivered_changes() == [("password", "update", "admin")]


async def test_every_reason_has_its_own_name(city: City, receiver: Receiver) -> None:
    """A reset of second factors, a required password and a recovery are not a changed password."""
    stream = await receiver.make_stream(SESSION_REVOKED)
    provider = city.provider
    change = EndReason.PASSWORD_CHANGED
    acts: list[tuple[EndReason, str, Any]] = [
        (
            EndReason.FACTORS_RESET,
            "admin",
            lambda session, person: reset_factors(session, provider, person, actor=Actor("cli")),
        ),
        (
            change,
            "user",
            lambda session, person: change_password(session, provider, person, "hash", actor=Actor(str(person.id))),
        ),
        (
            change,
            "admin",
            lambda session, person: change_password(session, provider, person, "hash", actor=Actor("cli")),
        ),
        (
            EndReason.RECOVERED,
            "user",
            lambda session, person: recover(
                session, provider, person, "hash", actor=Actor(str(person.id)), long=True, drop_factors=False
            ),
        ),
        (
            EndReason.PASSWORD_REQUIRED,
            "admin",
            lambda session, person: require_new_password(session, provider, person, actor=Actor("cli")),
        ),
    ]
    async with provider.db.read() as session:
        known = await users.credentials_of(session, city.users["siti"])
    right = next(credential.secret for credential in known if credential.kind == "password")
    for reason, by, act in acts:
        async with provider.db.write() as session:
            await users.set_password_hash(session, city.users["siti"], right, clock.now())
        await signed_in(city)
        async with provider.db.write() as session:
            await act(session, await user(city, session))
        async with provider.db.read() as session:
            last = select(SsoSession).order_by(SsoSession.created_at.desc(), SsoSession.id.desc()).limit(1)
            ended = (await session.execute(last)).scalar_one()
        assert ended.end_reason == reason
        sets = (await receiver.poll(stream))["sets"]
        (event,) = [(await receiver.checked(token))["events"][SESSION_REVOKED] for token in sets.values()]
        assert event["initiating_entity"] == by
        await receiver.poll(stream, ack=list(sets))
    assert set(REASONS) == set(EndReason), "every reason has words on the pages"
    assert {initiator(end_reason) for end_reason in EndReason} == {"user", "admin", "policy"}


async def test_whom_shared_signals_tell_is_not_listed_as_not_reached(city: City, receiver: Receiver) -> None:
    await receiver.make_stream(SESSION_REVOKED)
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"))
        await browser.tokens(city.relying_party("buram"))
        page = await browser.open("/logout")
        done = await browser.submit(page)
    reached, _, unreached = done.text.partition("Token Buram")
    assert "Pusat Sinyal" in reached
    assert "Pusat Sinyal" not in unreached


async def test_nobody_learns_who_exists(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream()
    for sub in (str(city.users["ratna"]), "nobody", ""):
        body = {"stream_id": stream["stream_id"], "subject": {"format": "iss_sub", "iss": ISSUER, "sub": sub}}
        assert (await receiver("POST", "/ssf/subjects/add", body)).status_code == 200
    for subject in (
        {"format": "email", "email": "siti@warga.example"},
        {"format": "email", "email": "nobody@warga.example"},
        {"format": "email", "email": "no address"},
        {"format": "phone_number", "phone_number": "+620000"},
        {"format": "opaque", "id": "nobody"},
        {"format": "aliases", "identifiers": [{"format": "opaque", "id": "nobody"}]},
    ):
        for path, status in (("/ssf/subjects/remove", 204), ("/ssf/subjects/add", 200)):
            answer = await receiver("POST", path, {**body, "subject": subject})
            assert (answer.status_code, answer.text) == (status, ""), subject
    for subject in (
        {"format": "account", "uri": "acct:siti@warga.example"},
        {"format": "email"},
        {"format": "email", "email": ["siti@warga.example"]},
        {"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": []}]},
        {"format": "aliases", "identifiers": ["siti"]},
        {"format": "complex", "user": {"format": "complex", "user": {}}},
        {"email": "siti@warga.example"},
    ):
        answer = await receiver("POST", "/ssf/subjects/remove", {**body, "subject": subject})
        assert answer.status_code == 400, subject
        assert "subject" in answer.json()["error_description"]


@demand("Shared Signals 8.1.4", "verification is an event about the stream with the state that was sent")
async def test_verification(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream(SESSION_REVOKED)
    body = {"stream_id": stream["stream_id"], "state": "acak-123"}
    assert (await receiver("POST", "/ssf/verify", body)).status_code == 204
    (token,) = (await receiver.poll(stream))["sets"].values()
    claims = await receiver.checked(token)
    assert claims["sub_id"] == {"format": "opaque", "id": stream["stream_id"]}
    assert claims["events"][VERIFICATION]["state"] == "acak-123"
    many = await asyncio.gather(*(receiver("POST", "/ssf/verify", body) for _ in range(5)))
    assert {(answer.status_code, int(answer.headers["retry-after"]) > 0) for answer in many} == {(429, True)}
    clock.advance(stream["min_verification_interval"] + 1)
    body = {"stream_id": stream["stream_id"]}
    many = await asyncio.gather(*(receiver("POST", "/ssf/verify", body) for _ in range(10)))
    assert sorted(answer.status_code for answer in many) == [204] + 9 * [429]


@demand("RFC 8936 2.2", "maxEvents bounds an answer, and moreAvailable says that there are more")
@demand("RFC 8936 2.4", "an event that the receiver cannot use is settled by setErrs")
async def test_polling_many(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream()
    for _ in range(3):
        await signed_in(city)
    await end_all(city)
    got = await receiver.poll(stream, maxEvents=2)
    assert len(got["sets"]) == 2
    assert got["moreAvailable"] is True
    acknowledged, failed = got["sets"]
    rest = await receiver.poll(
        stream, ack=[acknowledged], setErrs={failed: {"err": "invalid_key", "description": "old"}}
    )
    assert len(rest["sets"]) == 1
    assert "moreAvailable" not in rest
    async with city.provider.db.read() as session:
        deliveries = {row.id.hex: row for row in (await session.execute(select(Delivery))).scalars()}
    assert (deliveries[acknowledged].status, deliveries[failed].status) == ("done", "given_up")
    assert "invalid_key old" in (deliveries[failed].last_error or "")
    assert await receiver.poll(stream, ack=["not-a-jti", acknowledged], maxEvents=0) == {"sets": {}}


@demand("RFC 8936 2.4", "a receiver that would rather wait is answered as soon as there is something")
async def test_long_polling(city: City, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_signals, "LOOK_SECONDS", 0.02)
    stream = await receiver.make_stream()
    await signed_in(city)
    looks, look = [0], shared_signals.streams.poll

    async def counted(*given: Any) -> Any:
        looks[0] += 1
        return await look(*given)

    monkeypatch.setattr(shared_signals.streams, "poll", counted)
    waiting = asyncio.create_task(receiver.poll(stream, returnImmediately=False))
    await until(lambda: looks[0] > 2 or waiting.done())
    assert not waiting.done()
    await end_all(city)
    assert len((await asyncio.wait_for(waiting, 60))["sets"]) == 1
    monkeypatch.setattr(shared_signals, "WAIT_SECONDS", 0.05)
    await receiver.poll(stream, ack=[], maxEvents=0)
    sets = (await receiver.poll(stream))["sets"]
    assert await receiver.poll(stream, ack=list(sets), returnImmediately=False) == {"sets": {}}


async def test_a_stream_that_changes_its_way_loses_nothing(city: City, receiver: Receiver, world: World) -> None:
    stream = await receiver.make_stream()
    await signed_in(city)
    await end_all(city)
    url = world.publish("/events", b"", status=202)
    delivery = {"method": PUSH, "endpoint_url": url}
    await receiver("PATCH", "/ssf/stream", {"stream_id": stream["stream_id"], "delivery": delivery})
    await city.site.worker.drain()
    assert len(world.posts) == 1


async def test_a_pairwise_application_is_told_by_its_own_names(city: City, world: World) -> None:
    from tests.delivery.test_proof import add

    scope = {"scope": "openid ssf.manage ssf.read", "subject_type": "pairwise"}
    await add(city, "berpasangan", grant_types=["authorization_code", "refresh_token", "client_credentials"], **scope)
    async with city.provider.db.write() as session:
        from sso.clients.secrets import new_secret

        secret = await new_secret(session, city.provider.box, "berpasangan")
    await city.provider.refresh()
    city.secrets["berpasangan"] = secret
    party = city.relying_party("berpasangan")
    token = (await party.token(grant_type="client_credentials"))["access_token"]
    receiver = Receiver(city, token)
    stream = await receiver.make_stream()
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid")
    sub = tokens.claims()["sub"]
    assert sub != str(city.users["siti"])
    body = {"stream_id": stream["stream_id"], "subject": {"format": "iss_sub", "iss": ISSUER, "sub": sub}}
    await receiver("POST", "/ssf/subjects/remove", body)
    await end_all(city)
    assert await receiver.poll(stream) == {"sets": {}}
    await receiver("POST", "/ssf/subjects/add", body)
    async with city.browser() as browser:
        page = await browser.open("/login")
        await browser.submit(page, username="siti", password=PASSWORD)
        await browser.tokens(party, scope="openid")
    await end_all(city)
    (token,) = (await receiver.poll(stream))["sets"].values()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["sub_id"]["user"]["sub"] == sub
    assert claims["aud"] == "berpasangan"


async def test_without_any_stream_nothing_is_looked_up(city: City) -> None:
    from tests.support import Statements

    await signed_in(city)
    statements = Statements(city)
    await end_all(city)
    assert not [statement for statement in statements.take() if "event_stream" in statement]


@pytest.mark.parametrize("overrides", [{"risk_based_second_factor": "none"}], ids=[""])
async def test_an_app_that_is_set_up_at_sign_in_is_told_with_its_recovery_codes(city: City, receiver: Receiver) -> None:
    stream = await receiver.make_stream(CREDENTIAL_CHANGE)
    await signed_in(city)
    requested = json.dumps({"id_token": {"acr": {"essential": True, "value": "urn:sso:acr:mfa"}}})
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("sinyal").url(claims=requested))
        page = await browser.submit(page, username="siti", password=PASSWORD)
        seed = re.search(r'class="key" translate="no">([A-Z2-7 ]+)<', page.text)
        assert seed is not None, page.text
        code = pyotp.TOTP(seed.group(1).replace(" ", "")).at(int(clock.now().timestamp()))
        await post(browser, "/login/second", {"code": code}, page)
    sets = (await receiver.poll(stream))["sets"]
    events = [(await receiver.checked(token))["events"][CREDENTIAL_CHANGE] for token in sets.values()]
    assert sorted(event["credential_type"] for event in events) == ["app", "recovery-code"]
