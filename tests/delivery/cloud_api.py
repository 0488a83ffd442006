"""A fake of Meta's WhatsApp Cloud API and of an SMS gateway: one HTTP server, and the receipts that Meta would send."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import itertools
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
from tests.support import City

from sso import clock

NUMBER_ID = "106540352242922"
APP_SECRET, VERIFY_TOKEN, TOKEN = "app-secret-of-meta", "verify-token-0123456789", "EAAB-token"
RECEIPTS = "/receipts/whatsapp"


@dataclass
class Reply:
    """An answer of the API that is none of success."""

    status: int
    code: int = 0
    retry_after: int = 0


@dataclass
class CloudApi:
    """The server: what it received, and what it answers next."""

    whatsapp: list[dict[str, Any]] = field(default_factory=list)
    sms: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    replies: list[Reply] = field(default_factory=list)
    gateway_replies: list[Reply] = field(default_factory=list)

    def __post_init__(self) -> None:
        api, numbers = self, itertools.count(1)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/sms":
                    reply = api.gateway_replies.pop(0) if api.gateway_replies else None
                    if reply is None:
                        api.sms.append(body)
                    self._answer({}, reply)
                    return
                assert self.path == f"/v23.0/{NUMBER_ID}/messages"
                api.tokens.add(self.headers["Authorization"])
                reply = api.replies.pop(0) if api.replies else None
                message_id = f"wamid.{next(numbers)}"
                if reply is None:
                    api.whatsapp.append({**body, "id": message_id})
                self._answer({"messages": [{"id": message_id}]}, reply)

            def do_GET(self) -> None:
                reply = api.replies.pop(0) if api.replies else None
                self._answer({"verified_name": "Tangerang Satu", "quality_rating": "GREEN"}, reply)

            def _answer(self, content: object, reply: Reply | None) -> None:
                self.send_response(reply.status if reply else 200)
                if reply and reply.retry_after:
                    self.send_header("Retry-After", str(reply.retry_after))
                self.end_headers()
                error = {"error": {"code": reply.code, "message": "to +6281200000000"}} if reply else content
                self.wfile.write(json.dumps(error).encode())

            def log_message(self, *_: Any) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def forget(self) -> None:
        """Begin anew, for another test."""
        for collection in (self.whatsapp, self.sms, self.tokens, self.replies, self.gateway_replies):
            collection.clear()

    @property
    def address(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a provider that uses this server."""
        return {
            "issuer": "http://localhost:8000",
            "outbound_networks": ["127.0.0.0/8"],
            "sms_url": f"{self.address}/sms",
            "smtp_url": "smtp://127.0.0.1:1",
            "whatsapp_api_url": f"{self.address}/v23.0",
            "whatsapp_phone_number_id": NUMBER_ID,
            "whatsapp_token": TOKEN,
            "whatsapp_app_secret": APP_SECRET,
            "whatsapp_verify_token": VERIFY_TOKEN,
        }


def status_of(message: dict[str, Any], status: str, code: int = 0, *, at: int | None = None, **changes: Any) -> Any:
    """Return what the webhook says about a message that the API accepted."""
    entry = {
        "id": message["id"],
        "status": status,
        "timestamp": str(at or clock.timestamp()),
        "recipient_id": "6281234567890",
    }
    if status == "failed":
        entry["errors"] = [{"code": code, "title": "?"}]
    else:
        entry["biz_opaque_callback_data"] = message["biz_opaque_callback_data"]
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID}, "statuses": [entry | changes]}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
    }


async def tell(city: City, document: Any, *, secret: str = APP_SECRET) -> int:
    """Send a signed request to the webhook; return the status."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    async with city.client() as client:
        answer: httpx.Response = await client.post(RECEIPTS, content=body, headers=headers)
    return answer.status_code
