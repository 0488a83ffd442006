"""Webhooks: verified by the standard's own library, at a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from tests.demands import demand
from tests.support import City

from sso import clock
from sso.platform.actor import Actor
from sso.platform.outbox import webhooks as rules
from sso.platform.outbox.models import Delivery, Webhook
from sso.platform.outbox.webhooks import WebhookError
from sso.portal.audit_chain import chain_audit_events


class Hook:
    """Somebody's server."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hook.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def hook() -> Iterator[Hook]:
    listener = Hook()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"issuer": "http://localhost:8000", "outbound_networks": ["127.0.0.0/8"]}


async def add(city: City, hook: Hook, *events: str) -> str:
    async with city.provider.db.write() as session:
        _, secret = await rules.add_webhook(
            session, city.provider.box, url=hook.url, events=events, description="", actor=Actor("test")
        )
    await chain_audit_events(city.provider.db, city.provider.box)
    await city.site.worker.drain()
    hook.got.clear()
    return secret


async def sign_in(city: City) -> None:
    from sso.platform.audit import record

    async with city.provider.db.write() as session:
        for type_ in ("session.started", "token.issued"):
            record(session, type_, actor="siti", subject="siti", data={"amr": ["pwd"]})


@demand("Standard Webhooks Headers", "id, timestamp and signature, which the standard's library verifies")
async def test_an_event_arrives_signed(city: City, hook: Hook) -> None:
    secret = await add(city, hook, "session.started")
    await sign_in(city)
    await chain_audit_events(city.provider.db, city.provider.box)
    await city.site.worker.drain()
    ((headers, body),) = hook.got
    assert headers["content-type"] == "application/json"
    assert Verifier(secret).verify(body, headers) == json.loads(body)
    event = json.loads(body)
    assert event["type"] == "session.started"
    assert event["timestamp"] == event["data"]["at"]
    assert event["data"]["actor"] == "siti"
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace(b"siti", b"budi"), headers)


@demand("Standard Webhooks Delivery", "what failed is sent again with the same id and a new signature")
async def test_what_failed_is_sent_again(city: City, hook: Hook) -> None:
    secret = await add(city, hook, "*")
    hook.status = 500
    await sign_in(city)
    await chain_audit_events(city.provider.db, city.provider.box)
    await city.site.worker.drain()
    assert len(hook.got) == 2, "every event"
    hook.status = 204
    clock.advance(30)
    await city.site.worker.drain()
    ids = [headers["webhook-id"] for headers, _ in hook.got]
    assert len(ids) == 4
    assert sorted(ids[:2]) == sorted(ids[2:])
    stamps = {headers["webhook-timestamp"] for headers, _ in hook.got}
    assert len(stamps) >= 2
    clock.reset()
    for headers, body in hook.got[:2]:
        Verifier(secret).verify(body, headers)


async def test_a_server_that_answers_410_is_left_alone(city: City, hook: Hook) -> None:
    await add(city, hook, "session.started")
    hook.status = 410
    for _ in range(2):
        await sign_in(city)
        await chain_audit_events(city.provider.db, city.provider.box)
        await city.site.worker.drain()
    assert len(hook.got) == 1
    async with city.provider.db.read() as session:
        (webhook,) = (await session.execute(select(Webhook))).scalars()
    assert not webhook.enabled


async def test_what_a_webhook_cannot_take_is_not_told_to_webhooks(city: City, hook: Hook) -> None:
    """Or one failure would be told, and fail, and be told."""
    await add(city, hook, "*")
    hook.status = 500
    await sign_in(city)
    await chain_audit_events(city.provider.db, city.provider.box)
    await city.site.worker.drain()
    clock.advance(86401)
    await city.site.worker.drain()
    before = len(hook.got)
    await chain_audit_events(city.provider.db, city.provider.box)
    await city.site.worker.drain()
    assert len(hook.got) == before
    async with city.provider.db.read() as session:
        statuses = (await session.execute(select(Delivery.status))).scalars().all()
    assert set(statuses) >= {"given_up"}


async def test_the_secret_is_stored_sealed_and_sealed_anew(city: City, hook: Hook) -> None:
    secret = await add(city, hook, "session.started")
    async with city.provider.db.read() as session:
        (webhook,) = (await session.execute(select(Webhook))).scalars()
    import base64

    assert base64.b64decode(secret.removeprefix("whsec_")) not in webhook.secret
    async with city.provider.db.write() as session:
        assert await rules.reencrypt_webhooks(session, city.provider.box) == 0, "it has the newest key"


@pytest.mark.parametrize("overrides", [{}])
@pytest.mark.parametrize(
    "url",
    ["http://a.example/", "https://u:p@a.example/", "https://a.example/#x", "ftp://a.example/", "javascript:alert(1)"],
)
def test_an_address_that_we_do_not_send_to_is_refused(url: str, overrides: dict[str, Any]) -> None:
    with pytest.raises(WebhookError, match="url"):
        rules.check_webhook(url, ["*"], allow_http_loopback=False)


@pytest.mark.parametrize("overrides", [{}])
async def test_an_address_inside_is_not_reached(city: City, hook: Hook, overrides: dict[str, Any]) -> None:
    url = "https://127.0.0.1:9/x"
    async with city.provider.db.write() as session:
        webhook, _ = await rules.add_webhook(
            session, city.provider.box, url=url, events=["*"], description="", actor=Actor("test")
        )
        rules.say(session, webhook, "webhook.test", {}, "now")
    await city.site.worker.drain()
    async with city.provider.db.read() as session:
        (sent,) = (await session.execute(select(Delivery))).scalars()
    assert sent.status == "given_up"
    assert "not a public address" in (sent.last_error or "")
