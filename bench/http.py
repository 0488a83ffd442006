"""A small HTTP/1.1 client over kept connections: it costs the machine little, so that the server has the cores."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(slots=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes


class Connection:
    """One connection to the server, and the cookies of one browser."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> Reply:
        """Send a GET request."""
        return await self._send("GET", path, b"", headers)

    async def post(self, path: str, form: dict[str, str], **headers: str) -> Reply:
        """Send a form."""
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return await self._send("POST", path, urlencode(form).encode(), headers)

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found, cookies = {}, []
        for line in head[1:-2]:
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie":
                cookies.append(value)
            found[name.lower()] = value
        content = await self._reader.readexactly(int(found.get("content-length", "0")))
        for cookie in cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return Reply(int(head[0].split()[1]), found, cookies, content)

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


def basic(client_id: str, secret: str) -> str:
    """Return Basic credentials."""
    return "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()
