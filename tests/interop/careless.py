"""A relying party as it must not be: it believes whatever comes. The relying-party check must find each fault."""

from __future__ import annotations

import base64
import json
import os
import secrets
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ISSUER, CLIENT_ID = os.environ["OIDC_ISSUER"], os.environ["OIDC_CLIENT_ID"]
REDIRECT_URI, SECRET = os.environ["OIDC_REDIRECT_URI"], os.environ["OIDC_CLIENT_SECRET"]
HERE = REDIRECT_URI.rpartition("/")[0]
people: dict[str, str] = {}


def part(token: str, number: int) -> dict[str, Any]:
    """Return a part of a JWT, unchecked."""
    text = token.split(".")[number]
    members: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return members


class Careless(BaseHTTPRequestHandler):
    """Signs in whoever comes."""

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path == "/login":
            parameters = {
                "response_type": "code",
                "client_id": CLIENT_ID,
                "redirect_uri": REDIRECT_URI,
                "scope": "openid",
            }
            parameters |= {"state": "always-the-same", "nonce": "always-the-same"}
            self.answer(303, Location=f"{ISSUER}/authorize?{urllib.parse.urlencode(parameters)}")
        elif parts.path == "/callback":
            form = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": REDIRECT_URI}
            form |= {"client_id": CLIENT_ID, "client_secret": SECRET}
            with urllib.request.urlopen(f"{ISSUER}/token", urllib.parse.urlencode(form).encode()) as answer:
                token = json.load(answer)["id_token"]
            session = secrets.token_urlsafe(8)
            people[session] = part(token, 1)["sub"]
            self.answer(303, Location="/", Set_Cookie=f"app={session}")
        else:
            session = (self.headers.get("Cookie") or "").partition("app=")[2].partition(";")[0]
            self.answer(200, f"Halo, {people[session]}" if session in people else "Gagal masuk")

    def do_POST(self) -> None:
        body = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        sub = part(body["logout_token"][0], 1)["sub"]
        for session in [session_id for session_id, person in people.items() if person == sub]:
            del people[session]
        self.answer(200, "")

    def answer(self, status: int, text: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", urllib.parse.urlsplit(REDIRECT_URI).port or 80), Careless).serve_forever()
