"""Webhooks of applications: what a team receives at its own server, and what it never receives."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from tests import arranged
from tests.arranged import signed_in
from tests.citizens import SENDING
from tests.scheduled import run_jobs
from tests.support import Browser, City, query_of
from tests.web.test_developer import person, post, ratna, secret_of

from sso import clock
from sso.http.developer.webhooks import EVENT_TEXTS
from sso.jobs import clear_up
from sso.platform.actor import CLI
from sso.platform.audit import record
from sso.platform.outbox.models import Delivery, DeliveryKind
from sso.portal.applications import lock_application
from sso.portal.audit_chain import chain_audit_events
from sso.portal.webhooks import service
from sso.portal.webhooks.events import EVENT_TYPES, FROM_AUDIT
from sso.portal.webhooks.models import ApplicationWebhook
from sso.portal.webhooks.sending import FAILING

LOCAL: dict[str, Any] = {
    "issuer": "http://localhost:8000",
    "outbound_networks": ["127.0.0.0/8"],
    "relying_party_check": "offered",
}
PAGE = "/developer/apps/antrean/webhooks"


class Receiver:
    """A server of a team, with several addresses; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((self.path, headers, body))
                self.send_response(receiver.status)
                if receiver.status == 302:
                    self.send_header("Location", "/other")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def events(self) -> list[dict[str, Any]]:
        """Return the received events, and forget them."""
        events = [json.loads(body) for _, _, body in self.got]
        self.got.clear()
        return events


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def overrides() -> dict[str, Any]:
    return LOCAL


@pytest.fixture
async def dimas(city: City) -> Any:
    await person(city, "dimas", "developer")
    browser = await signed_in(city, "dimas")
    await arranged.register(city, "dimas")
    yield browser
    await browser.http.aclose()


async def add(browser: Browser, url: str, page: str = PAGE, **changes: str) -> tuple[str, str]:
    """Add a webhook for every event; return its id and its secret."""
    answer = await post(browser, await browser.open(page), choice="add", url=url, **changes)
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", answer.text)
    assert secret, answer.text
    assert "whsec_" not in (await browser.open(page)).text, "the secret is shown once"
    return re.findall(r'value="remove ([0-9a-f-]{36})"', answer.text)[-1], secret[0]


async def deliver(city: City) -> None:
    """Send every event that there is."""
    await chain_audit_events(city.provider.db, city.provider.box)
    await city.site.worker.drain()


async def every_event(city: City, client_id: str) -> None:
    """Write every audit event that a team can receive, with details that it must not receive."""
    hidden = {
        "text": "rahasia",
        "note": "rahasia",
        "reason": "rahasia",
        "error": "rahasia",
        "granted": {"x": "rahasia"},
    }
    known = {"kind": "backchannel_logout", "new": True, "role": "member", "hint": "abcd", "privilege": "nik"}
    async with city.provider.db.write() as session:
        for type_ in FROM_AUDIT:
            record(
                session,
                type_,
                actor=str(city.users["dimas"]),
                subject=str(city.users["siti"]),
                client_id=client_id,
                address="203.0.113.9",
                request_id="abc123",
                data={**hidden, **known},
            )


async def test_a_team_receives_every_event_of_its_application_and_of_no_other(
    city: City, dimas: Browser, receiver: Receiver
) -> None:
    await arranged.register(city, "dimas", "parkir", client_name="Parkir Kota")
    _, secret = await add(dimas, receiver.url + "/antrean")
    _, other = await add(dimas, receiver.url + "/parkir", "/developer/apps/parkir/webhooks")
    await deliver(city)
    receiver.got.clear()
    assert set(EVENT_TEXTS) == set(EVENT_TYPES)
    for client_id, environment in (("antrean", "production"), ("antrean-sandbox", "sandbox")):
        await every_event(city, client_id)
        await deliver(city)
        assert {path for path, _, _ in receiver.got} == {"/antrean"}
        for _, headers, body in receiver.got:
            assert Verifier(secret).verify(body, headers) == json.loads(body)
            with pytest.raises(WebhookVerificationError):
                Verifier(other).verify(body, headers)
            for unknown in ("rahasia", "203.0.113.9", "abc123", str(city.users["dimas"]), str(city.users["siti"])):
                assert unknown not in body.decode()
        events = receiver.events()
        assert {event["type"] for event in events} == set(EVENT_TYPES)
        assert len(events) == len(FROM_AUDIT)
        for event in events:
            assert event["data"]["environment"] == environment
            assert (event["data"]["application"], event["data"]["client_id"]) == ("antrean", client_id)
            assert event["data"]["actor"] == {"kind": "member", "name": "Dimas"}
    await every_event(city, "sehat")
    await every_event(city, "antre")
    async with city.provider.db.write() as session:
        record(session, "session.started", client_id="antrean")
        record(session, "delivery.given_up", client_id="antrean", data={"kind": "ssf_push"})
        record(session, "team.member_set", client_id="antrean", data={"role": "owner", "new": False})
    await deliver(city)
    assert receiver.events() == []


async def test_events_of_the_portal_arrive_with_their_actor(city: City, dimas: Browser, receiver: Receiver) -> None:
    admin = await ratna(city)
    chosen = {f"event {name}": "" for name in EVENT_TYPES if name.startswith("member.")}
    await add(dimas, receiver.url, **chosen)
    await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="Tolong")
    review = await admin.open("/admin/applications/antrean")
    await post(admin, review, "/admin/applications/antrean/review", choice="approve", text="Baik")
    await deliver(city)
    actors = {event["type"]: event["data"]["actor"] for event in receiver.events()}
    assert actors["application.submitted"] == {"kind": "member", "name": "Dimas"}
    assert actors["application.approved"] == {"kind": "administrator", "name": None}
    page = await admin.open("/admin/applications/antrean")
    assert receiver.url in page.text, "administrators see the webhooks of an application"
    page = await admin.open(PAGE)
    assert receiver.url in page.text
    assert 'name="choice"' not in page.text.split("<main", 1)[1].split("</main>")[0]


async def test_a_secret_is_rotated_with_overlap(city: City, dimas: Browser, receiver: Receiver) -> None:
    webhook, old = await add(dimas, receiver.url)
    answer = await post(dimas, await dimas.open(PAGE), choice=f"rotate {webhook}")
    match = re.search(r"whsec_[A-Za-z0-9+/=]+", answer.text)
    assert match
    new = match[0]
    assert new != old
    await post(dimas, await dimas.open(PAGE), choice=f"test {webhook}")
    await city.site.worker.drain()
    ((_, headers, body),) = receiver.got
    assert json.loads(body)["type"] == "webhook.test"
    for secret in (old, new):
        Verifier(secret).verify(body, headers)
    async with city.provider.db.write() as session:
        stored = (await session.execute(select(ApplicationWebhook))).scalar_one()
        assert new.removeprefix("whsec_").encode() not in stored.secret
        assert await service.reencrypt_application_webhooks(session, city.provider.box) == 0
    receiver.got.clear()
    clock.advance(service.OVERLAP.total_seconds() + 60)
    dimas = await signed_in(city, "dimas")
    await post(dimas, await dimas.open(PAGE), choice=f"test {webhook}")
    await city.site.worker.drain()
    ((_, headers, body),) = receiver.got
    assert len(headers["webhook-signature"].split()) == 1
    clock.reset()


@pytest.mark.parametrize("overrides", [{**LOCAL, **SENDING, "risk_based_second_factor": "none"}])
async def test_a_webhook_that_fails_is_disabled_and_its_team_is_told(
    city: City, dimas: Browser, receiver: Receiver, overrides: dict[str, Any]
) -> None:
    webhook, _ = await add(dimas, receiver.url)

    async def test_event() -> str:
        browser = await signed_in(city, "dimas")
        await post(browser, await browser.open(PAGE), choice=f"test {webhook}")
        await city.site.worker.drain()
        return (await browser.open(PAGE)).text

    receiver.status = 302
    page = await test_event()
    assert [path for path, _, _ in receiver.got] == ["/"], "a redirect is not followed"
    assert "Penerima menjawab dengan status 302" in page
    receiver.status = 500
    clock.advance(FAILING.total_seconds() + 60)
    await test_event()
    page = (await (await signed_in(city, "dimas")).open(PAGE)).text
    assert "tidak menerima satu peristiwa pun" in page

    async def notices() -> list[str]:
        async with city.provider.db.read() as session:
            rows = (await session.execute(select(Delivery).where(Delivery.kind == DeliveryKind.NOTICE))).scalars()
            return [row.payload["notice"] for row in rows if row.payload["notice"] == "webhook_disabled"]

    assert len(await notices()) == 1
    receiver.got.clear()
    browser = await signed_in(city, "dimas")
    await post(browser, await browser.open(PAGE), choice=f"enable {webhook}")
    receiver.status = 410
    page = await test_event()
    assert len(await notices()) == 2
    assert "410" in page
    receiver.got.clear()
    await every_event(city, "antrean")
    await deliver(city)
    assert receiver.events() == [], "a disabled webhook receives nothing"
    receiver.status = 200
    browser = await signed_in(city, "dimas")
    await post(browser, await browser.open(PAGE), choice=f"enable {webhook}")
    page = (await browser.open(PAGE)).text
    delivery = re.findall(r'value="again ([0-9a-f-]{36})"', page)[0]
    await post(browser, await browser.open(PAGE), choice=f"again {delivery}")
    await city.site.worker.drain()
    ids = [headers["webhook-id"] for _, headers, _ in receiver.got]
    assert ids.count(f"msg_{delivery.replace('-', '')}") == 1, "the same event has the same id"
    clock.reset()


async def test_only_owners_of_the_team_change_webhooks(city: City, dimas: Browser, receiver: Receiver) -> None:
    webhook, _ = await add(dimas, receiver.url)
    await person(city, "budi2", "developer")
    await person(city, "sri", "developer")
    sri = await signed_in(city, "sri")
    await arranged.register(city, "sri", "parkir", client_name="Parkir Kota")
    theirs = "/developer/apps/parkir/webhooks"
    _, _ = await add(sri, receiver.url + "/parkir", theirs)
    assert (await sri.open(PAGE)).status_code == 404, "somebody of another team"
    form = await sri.open(theirs)
    for choice in ("remove", "rotate", "enable", "test"):
        answer = await post(sri, form, choice=f"{choice} {webhook}")
        assert answer.status_code == 409, choice
    await post(dimas, await dimas.open(PAGE), choice=f"test {webhook}")
    await city.site.worker.drain()
    async with city.provider.db.read() as session:
        delivery = (await session.execute(select(Delivery.id).where(Delivery.client_id == "antrean"))).scalars().first()
    assert (await post(sri, form, choice=f"again {delivery}")).status_code == 409
    fields = dict(re.findall(r'name="(csrf_token|csrf)" value="([^"]+)"', form.text))
    assert fields
    replayed = await dimas.http.post(PAGE, data={**fields, "choice": f"remove {webhook}"})
    assert replayed.status_code == 400, "the form of another person's page"
    async with city.provider.db.write() as session:
        from sso.platform.actor import Actor
        from sso.portal import teams

        await teams.add_member(session, "antrean", city.users["budi2"], "member", actor=Actor("test"))
    budi = await signed_in(city, "budi2")
    page = await budi.open(PAGE)
    assert receiver.url in page.text, "members see webhooks"
    assert f"remove {webhook}" not in page.text
    assert (await budi.http.post(PAGE, data={"choice": f"remove {webhook}"})).status_code == 403
    async with city.provider.db.read() as session:
        assert len(await service.webhooks_of(session, "antrean")) == 1


@pytest.mark.parametrize("overrides", [{}])
async def test_addresses_and_numbers_are_limited(city: City, dimas: Browser, overrides: dict[str, Any]) -> None:
    page = await dimas.open(PAGE)
    for url in (
        "http://a.example/", "https://u:p@a.example/", "https://a.example/#x", "javascript:alert(1)", "https://",
        "https://a.example:99999/", "https://[::1", "https://a.example/ x", "https://" + "a" * 300 + ".example/",
    ):  # fmt: skip
        answer = await post(dimas, page, choice="add", url=url)
        assert answer.status_code == 422, url
        assert "whsec_" not in answer.text
    none = {f"event {name}": "" for name in EVENT_TYPES}
    assert (await post(dimas, page, choice="add", url="https://a.example/", **none)).status_code == 422
    webhook, _ = await add(dimas, "https://127.0.0.1:9/x")
    await post(dimas, page, choice=f"test {webhook}")
    await city.site.worker.drain()
    assert "Penerima tidak dapat dihubungi" in (await dimas.open(PAGE)).text
    async with city.provider.db.write() as session:
        application = await lock_application(session, "antrean")
        assert application is not None
        for number in range(service.MAX_WEBHOOKS - 1):
            await service.add_webhook(
                session, city.provider.box, application, url=f"https://a.example/{number}", events=EVENT_TYPES,
                allow_http_loopback=False, actor=CLI,
            )  # fmt: skip
    assert (await post(dimas, page, choice="add", url="https://a.example/six")).status_code == 422
    async with city.provider.db.write() as session:
        for _ in range(service.TESTS_PER_HOUR - 2):
            await service.send_test(session, "antrean", UUID(webhook), actor=CLI)
    assert (await post(dimas, page, choice=f"test {webhook}")).status_code == 200
    assert (await post(dimas, page, choice=f"test {webhook}")).status_code == 409


async def test_webhooks_are_removed_with_the_application(city: City, dimas: Browser, receiver: Receiver) -> None:
    await add(dimas, receiver.url)
    await deliver(city)
    receiver.got.clear()
    async with city.provider.db.write() as session:
        from sso.portal.lifecycle import COMMAND_LINE, remove_client

        await remove_client(session, city.provider, "antrean", actor=COMMAND_LINE)
    await deliver(city)
    (event,) = receiver.events()
    assert (event["type"], event["data"]["actor"]) == ("application.retired", {"kind": "system", "name": None})
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert len(await service.webhooks_of(session, "antrean")) == 1
    clock.advance(city.settings.delivery_retention.total_seconds() + 3600)
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert await service.webhooks_of(session, "antrean") == []
    clock.reset()


async def test_what_the_jobs_find_is_told_once(city: City, dimas: Browser, receiver: Receiver) -> None:
    """The first sign-in in production, and a client secret that expires soon."""
    admin = await ratna(city)
    await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="")
    review = await admin.open("/admin/applications/antrean")
    await post(admin, review, "/admin/applications/antrean/review", choice="approve", text="")
    secrets = await dimas.open("/developer/apps/antrean/secrets")
    city.secrets["antrean"] = secret_of(await post(dimas, secrets, choice="make antrean", valid="90"))
    await add(dimas, receiver.url)
    await deliver(city)
    receiver.got.clear()
    production = city.relying_party("antrean", "https://antrean.example/callback")
    await run_jobs(city.provider, "secret_reminders", "first_sign_ins")
    await deliver(city)
    assert receiver.events() == [], "no user has signed in"
    consent = await dimas.open(production.url(scope="openid profile"))
    answer = await dimas.submit(consent, choice="allow")
    assert (await production.exchange(query_of(answer.headers["location"])["code"])).status == 200
    for expected in (["sign_in.first"], []):
        await run_jobs(city.provider, "secret_reminders", "first_sign_ins")
        await deliver(city)
        events = receiver.events()
        assert [event["type"] for event in events] == expected
        assert all(event["data"]["environment"] == "production" for event in events)
    clock.advance(80 * 86400)
    for expected in (["secret.expires_soon"], []):
        await run_jobs(city.provider, "secret_reminders", "first_sign_ins")
        await deliver(city)
        events = receiver.events()
        assert [event["type"] for event in events] == expected
        assert all(len(event["data"]["hint"]) == 4 for event in events)
    clock.reset()
