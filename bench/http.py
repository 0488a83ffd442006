"""A small HTTP/1.1 client over one kept connection. It uses little processor time, so that the server has the cores."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

FORM = "application/x-www-form-urlencoded"
IDLE_SECONDS = 1.5
"""A connection that was idle for longer is opened again: servers close idle ones, both of ours after 5 seconds."""


@dataclass(slots=True)
class Reply:
    """A response. Names of headers are in lower case; `cookies` holds the values of `Set-Cookie`."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes


class Connection:
    """One connection to a server. A request fails when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._used = 0.0

    async def get(self, path: str, **headers: str) -> Reply:
        """Send a GET request."""
        return await self.send("GET", path, b"", headers)

    async def post(self, path: str, form: dict[str, str], **headers: str) -> Reply:
        """Send a form."""
        return await self.send("POST", path, urlencode(form).encode(), {"Content-Type": FORM, **headers})

    async def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Send a request and read the response.

        Raises:
            OSError: when the server is not there.
            asyncio.IncompleteReadError: when the server has closed the connection.
        """
        if time.monotonic() - self._used > IDLE_SECONDS:
            self.close()
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {headers.get('Host', f'localhost:{self._port}')}"]
        if method != "GET":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers.items() if name != "Host"]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        received: dict[str, str] = {}
        cookies = []
        for line in head[1:-2]:
            name, _, value = line.partition(": ")
            name = name.lower()
            if name == "set-cookie":
                cookies.append(value)
            received[name] = value
        if "transfer-encoding" in received:
            raise NotImplementedError(f"{path}: a response in chunks")
        content = await self._reader.readexactly(int(received.get("content-length", "0")))
        self._used = time.monotonic()
        return Reply(int(head[0].split()[1]), received, cookies, content)

    def close(self) -> None:
        """Close the connection. The next request opens another one."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@dataclass(slots=True)
class CookieJar:
    """The cookies of one browser, by path and name."""

    values: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, cookies: list[str]) -> None:
        """Keep the cookies of a response, and drop those that it deletes."""
        for cookie in cookies:
            pair, _, rest = cookie.partition(";")
            name, _, value = pair.partition("=")
            attributes = {}
            for part in rest.split(";"):
                attribute, _, content = part.strip().partition("=")
                attributes[attribute.lower()] = content
            key = (attributes.get("path") or "/", name)
            if attributes.get("max-age") == "0" or "1970" in attributes.get("expires", ""):
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def header(self, path: str) -> dict[str, str]:
        """Return the `Cookie` header for a path."""
        pairs = [f"{name}={value}" for (prefix, name), value in self.values.items() if path.startswith(prefix)]
        return {"Cookie": "; ".join(pairs)} if pairs else {}


def basic(client_id: str, secret: str) -> str:
    """Return the value of `Authorization` for a client (RFC 6749 section 2.3.1)."""
    return "Basic " + b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()
