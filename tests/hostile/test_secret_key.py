"""Replacing SSO_SECRET_KEY host by host, in the order of docs/how-to/operations.md, and a retry that waited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.conftest import settings_for
from tests.support import SECRET_KEY, City, query_of

from sso import clock
from sso.app import create_app
from sso.cli.keys import reencrypt_all
from sso.oidc.store.models import RefreshToken
from sso.platform.keys import rotate
from sso.platform.security.tokens import token_hash

OLD, NEW = SECRET_KEY, "another secret key for tests of more than 32 characters"
STEPS = (
    ("each host learns the new secret", [OLD, NEW]),
    ("each host encrypts with the new secret", [NEW, OLD]),
    ("each host forgets the old secret", [NEW]),
)


@asynccontextmanager
async def host(city: City, directory: Path, secrets: list[str]) -> AsyncIterator[City]:
    """A host with these secrets on the database of the test."""
    directory.mkdir(exist_ok=True)
    settings = settings_for(str(city.settings.database_url), directory, secret_key=secrets)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield City(app, settings, city.secrets, city.users)


async def _check(here: City, there: City, signed_in: list[dict[str, Any]]) -> None:
    """What one host begins the other goes on with; both are ready and follow."""
    party, other = here.relying_party("warga"), there.relying_party("warga")
    other.verifier = party.verifier
    # Pages and forms that one host wrote are read by the other.
    async with here.browser() as browser:
        page = await browser.open(party.url())
        browser.http._transport = there.browser().http._transport
        answer = await browser.submit(page, username="siti", password="kuda-laut-terbang-91")
        tokens = await other.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.status == 200
        signed_in.append({"cookies": browser.http.cookies, "refresh_token": tokens["refresh_token"]})
    for host_city in (here, there):
        for sign_in in signed_in[:1] + signed_in[1:][-1:]:  # the first and the last
            async with host_city.browser() as browser:
                browser.http.cookies = sign_in["cookies"]
                assert (await browser.open(party.url())).is_redirect, "signed in still"
            # A refresh at one host, and its retry at the other.
            first = await here.relying_party("warga").refresh(sign_in["refresh_token"])
            retried = await there.relying_party("warga").refresh(sign_in["refresh_token"])
            assert (first.status, first["refresh_token"]) == (200, retried["refresh_token"])
            sign_in["refresh_token"] = retried["refresh_token"]
        async with host_city.client() as http:
            assert (await http.get("/readyz")).json() == {"status": "ready"}
    clock.advance(600)
    async with here.provider.db.write() as session:
        await rotate(session, here.provider.box, algs=["ES256"], force=True)
    for host_city in (here, there):
        await host_city.provider.refresh()  # as each host does by itself: test_faults.py
    assert _signing_keys(there) == _signing_keys(here)
    async with there.client() as http:
        assert (await http.get("/readyz")).status_code == 200


def _signing_keys(city: City) -> set[str]:
    return {key.kid for key in city.provider.keys._by_kid.values() if key.status == "active"}


async def test_the_secret_is_replaced_host_by_host(city: City, tmp_path: Path) -> None:
    """At each step one host is changed and then the other, and both serve meanwhile."""
    now, signed_in = [OLD], list[dict[str, Any]]()
    for name, following in STEPS:
        for first, second in ((following, now), (following, following)):
            async with host(city, tmp_path / "a", first) as host_a, host(city, tmp_path / "b", second) as host_b:
                await _check(host_a, host_b, signed_in)
                if first != second:
                    await _check(host_b, host_a, signed_in)
        now = following
        if now[0] == NEW and OLD in now:
            async with host(city, tmp_path / "a", now) as host_a:
                assert await reencrypt_all(host_a.provider) > 0, name


async def test_a_successor_of_an_unknown_secret_ends_no_family(city: City, tmp_path: Path) -> None:
    """The wrong order: one host encrypts with a secret that the other does not know."""
    party = city.relying_party("warga")
    async with city.browser() as browser, host(city, tmp_path / "b", [NEW, OLD]) as other:
        tokens = await browser.tokens(party)
        newer = await other.relying_party("warga").refresh(tokens["refresh_token"])
        assert (await party.refresh(tokens["refresh_token"])).status == 503
        assert (await party.refresh(newer["refresh_token"])).status == 200


@pytest.mark.parametrize(("finished", "status"), [(-1, 200), (-11, 400)])
async def test_the_grace_lasts_from_the_end_of_a_refresh_that_waited(city: City, finished: int, status: int) -> None:
    """The refresh began a minute ago and waited for a lock; its successor was stored a moment ago, or longer ago."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        newer = await party.refresh(tokens["refresh_token"])
        async with city.provider.db.write() as session:
            for token, values in (
                (tokens["refresh_token"], {"used_at": clock.now() - timedelta(seconds=60)}),
                (newer["refresh_token"], {"created_at": clock.now() + timedelta(seconds=finished)}),
            ):
                mine = RefreshToken.token_hash == token_hash(token)
                await session.execute(update(RefreshToken).where(mine).values(values))
        assert (await party.refresh(tokens["refresh_token"])).status == status
