"""Callers of the administration API: a program, and people with roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import pytest
from tests.arranged import signed_in
from tests.support import City

from sso.identity.users.service import find, set_roles
from sso.platform.permissions import GRANTING, PERMISSIONS

ALL_SCOPES = " ".join(permission.scope for permission in PERMISSIONS.values())
PROGRAM_SCOPES = " ".join(permission.scope for permission in PERMISSIONS.values() if permission.name != GRANTING)
"""What a program can have: giving privileges to applications always needs a person."""


@dataclass
class Api:
    """One caller."""

    city: City
    token: str

    async def __call__(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", **options.pop("headers", {})}
        async with self.city.client() as http:
            return await http.request(method, f"/api/v1{path}", headers=headers, **options)

    async def get(self, path: str, **query: Any) -> Any:
        """Return what is at ``path``."""
        answer = await self("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def etag(self, path: str) -> str:
        """Return the tag of what is at ``path``."""
        answer = await self("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.headers["etag"]

    async def pages(self, path: str, **query: Any) -> list[Any]:
        """Return the items of every page."""
        items, cursor = [], None
        for _ in range(100):
            page = await self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items
        raise AssertionError("the pages never end")


async def program(city: City, scope: str = PROGRAM_SCOPES) -> Api:
    """Return a program of the city that calls."""
    tokens = await city.relying_party("petugas").token(grant_type="client_credentials", scope=scope)
    assert tokens.status == 200, tokens.body
    return Api(city, tokens["access_token"])


async def person_with(city: City, *roles: str, name: str = "budi", scope: str = ALL_SCOPES) -> Api:
    """Return somebody with these roles who calls through the city's console."""
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, name), roles)
    async with await signed_in(city, name) as browser:
        tokens = await browser.tokens(city.relying_party("konsol"), scope=f"openid {scope}")
    return Api(city, tokens["access_token"])


@pytest.fixture
async def api(city: City) -> Api:
    """A program of the city that may do everything that a program may do."""
    return await program(city)
