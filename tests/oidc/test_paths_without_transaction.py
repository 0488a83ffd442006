"""A refresh and the exchange of a code on PostgreSQL are one statement where everything is as it should be, and a
transaction otherwise. Both paths must answer alike, and leave the same behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.support import City, RelyingParty

from sso import clock
from sso.clients import store as clients
from sso.clients.models import ClientRow
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.users.models import User
from sso.oidc.server import ProviderServer
from sso.oidc.store.models import Grant, RefreshToken
from sso.platform.db import bump_version
from sso.platform.security.tokens import token_hash

Change = Callable[[City], Awaitable[object]]


async def nothing(_: City) -> None:
    """Change nothing."""


def registered(**members: Any) -> Change:
    """Return what changes the registered metadata of the application."""

    async def change(city: City) -> None:
        async with city.provider.db.write() as session:
            row = await session.get(ClientRow, "warga")
            assert row is not None
            metadata = {**row.metadata_, **members}
            version = await bump_version(session, "clients")
            await clients.update_client(session, "warga", version, clock.now(), metadata_=metadata)
        await city.provider.refresh()

    return change


def stored(table: Any, **values: Any) -> Change:
    """Return what changes rows of a table."""

    async def change(city: City) -> None:
        async with city.provider.db.write() as session:
            await session.execute(update(table).values({name: _now(value) for name, value in values.items()}))

    return change


def _now(value: Any) -> Any:
    return clock.now() + value if isinstance(value, timedelta) else value


def later(seconds: int) -> Change:
    """Return what lets time pass."""

    async def wait(_: City) -> None:
        clock.advance(seconds)

    return wait


async def suspended(city: City) -> None:
    """Suspend the application."""
    async with city.provider.db.write() as session:
        version = await bump_version(session, "clients")
        await clients.update_client(session, "warga", version, clock.now(), status="suspended")
    await city.provider.refresh()


NOW = timedelta(0)
SIGNS = {"kty": "EC", "crv": "P-256", "use": "sig"}
NO_KEY = {
    "id_token_encrypted_response_alg": "RSA-OAEP-256",
    "id_token_encrypted_response_enc": "A128GCM",
    "jwks": {
        "keys": [
            {
                **SIGNS,
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            }
        ]
    },
}
CASES: dict[str, tuple[Change, dict[str, str]]] = {
    "as it should be": (nothing, {}),
    "less": (nothing, {"scope": "openid"}),
    "wider": (nothing, {"scope": "openid profile phone"}),
    "not registered": (nothing, {"scope": "openid nik"}),
    "separated by commas": (nothing, {"scope": "openid,profile"}),
    "another resource": (nothing, {"resource": "https://evil.example"}),
    "details": (nothing, {"authorization_details": "[]"}),
    "a code too": (nothing, {"code": "x"}),
    "another secret": (nothing, {"client_secret": "x"}),
    "grant revoked": (stored(Grant, revoked_at=NOW), {}),
    "session ended": (stored(SsoSession, ended_at=NOW), {}),
    "session over": (stored(SsoSession, expires_at=NOW), {}),
    "session idle": (later(40 * 86400), {}),
    "disabled": (stored(User, disabled_at=NOW), {}),
    "locked": (stored(User, locked_until=timedelta(hours=1)), {}),
    "leaving": (stored(User, delete_at=timedelta(days=1)), {}),
    "token expired": (stored(RefreshToken, expires_at=NOW), {}),
    "token of an earlier release": (stored(RefreshToken, format=None), {}),
    "suspended": (suspended, {}),
    "a role": (registered(allowed_roles=["admin"]), {}),
    "a level": (registered(minimum_acr="urn:sso:acr:code"), {}),
    "an identity": (registered(minimum_identity="urn:sso:identity:counter-verified"), {}),
    "a network": (registered(allowed_networks=["10.9.9.0/24"]), {}),
    "closed": (registered(allowed_hours=["Mon 00:00-00:01"]), {}),
    "fewer scopes": (registered(scope="openid"), {}),
    "no offline access": (registered(scope="openid profile"), {}),
    "no refresh tokens": (registered(grant_types=["authorization_code"]), {}),
    "another method": (registered(token_endpoint_auth_method="client_secret_post"), {}),
    "an encrypted ID token without a key": (registered(**NO_KEY), {}),
}


OFFLINE = "offline_access"
WITH_OFFLINE = ("as it should be", "session ended", "fewer scopes", "no offline access")


async def _left(city: City, token: str) -> list[Any]:
    """Return what is left of the family of a token, without times."""
    async with city.provider.db.read() as session:
        mine = select(RefreshToken.grant_id).where(RefreshToken.token_hash == token_hash(token))
        grant_id = (await session.execute(mine)).scalar_one()
        tokens = select(RefreshToken).where(RefreshToken.grant_id == grant_id).order_by(RefreshToken.created_at)
        rows = (await session.execute(tokens)).scalars().all()
        grant = await session.get(Grant, grant_id)
        assert grant is not None
        used = [(row.used_at is not None, row.successor_hash is not None, row.client_id, row.format) for row in rows]
        return [*used, grant.revoked_at is not None]


async def _answers(city: City, party: RelyingParty, token: str, form: dict[str, str]) -> list[Any]:
    """Refresh, again at once, and once more after the grace; return each answer and what was left behind."""
    answers: list[Any] = []
    for pause in (0, 1, 60):
        clock.advance(pause)
        answer = await party.refresh(token, **form)
        body = {name: value for name, value in answer.body.items() if "token" not in name or name == "token_type"}
        answers += [answer.status, body, sorted(answer.body), *await _left(city, token)]
    return answers


def together(cases: dict[str, tuple[Change, dict[str, str]]]) -> list[list[str]]:
    """Return the names of cases by provider: one for all that change nothing there, and one for each other case."""
    forms = [name for name, (change, _) in cases.items() if change is nothing]
    return [forms, *([name] for name in cases if name not in forms)]


@pytest.mark.locks_freely  # the table of changes writes as no use case does
@pytest.mark.parametrize("database_kind", ["postgresql"])
@pytest.mark.parametrize(
    ("names", "scope"),
    [
        *((names, "openid profile") for names in together(CASES)),
        *(([name], f"openid profile {OFFLINE}") for name in WITH_OFFLINE),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
async def test_both_paths_answer_alike(
    city: City, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests, names: list[str], scope: str
) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        for name in names:
            change, form = CASES[name]
            with subtests.test(name), monkeypatch.context() as patch:
                tokens = [(await browser.tokens(party, scope=scope))["refresh_token"] for _ in range(2)]
                await change(city)
                moment = clock.now()
                first = await _answers(city, party, tokens[0], form)
                clock.advance((moment - clock.now()).total_seconds())
                patch.setattr(ProviderServer, "_needs_no_transaction", lambda *_: False)
                assert await _answers(city, party, tokens[1], form) == first
                assert first[0] < 500, first


EXCHANGES: dict[str, tuple[Change, dict[str, str]]] = {
    **{name: (change, form) for name, (change, form) in CASES.items() if not name.startswith(("token ", "a code"))},
    "wrong verifier": (nothing, {"code_verifier": "v" * 43}),
    "no redirect URI": (nothing, {"redirect_uri": ""}),
    "code expired": (later(61), {}),
    "code used": (stored(Grant, code_used_at=NOW), {}),
}


async def _left_of_code(city: City, code: str) -> list[Any]:
    """Return what is left of a code, without times."""
    async with city.provider.db.read() as session:
        mine = select(Grant).where(Grant.code_hash == token_hash(code))
        grant = (await session.execute(mine)).scalar_one()
        known = SessionClient.session_id == grant.session_id, SessionClient.client_id == grant.client_id
        uses = (await session.execute(select(SessionClient.ended_at).where(*known))).scalars().all()
        tokens = await session.execute(select(RefreshToken.used_at).where(RefreshToken.grant_id == grant.id))
        ended = grant.code_used_at is not None, grant.revoked_at is not None
        return [*ended, list(uses), list(tokens.scalars().all())]


async def _exchanges(city: City, party: RelyingParty, code: str, form: dict[str, str]) -> list[Any]:
    """Exchange a code, and again; return each answer and what was left behind."""
    answers: list[Any] = []
    for _ in range(2):
        answer = await party.exchange(code, **form)
        body = {name: value for name, value in answer.body.items() if "token" not in name or name == "token_type"}
        answers += [answer.status, body, sorted(answer.body), *await _left_of_code(city, code)]
    return answers


@pytest.mark.locks_freely
@pytest.mark.parametrize("database_kind", ["postgresql"])
@pytest.mark.parametrize("names", together(EXCHANGES), ids=lambda names: names[0])
async def test_both_paths_of_an_exchange_answer_alike(
    city: City, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests, names: list[str]
) -> None:
    parties = [city.relying_party("warga") for _ in range(2)]
    async with city.browser() as first_browser, city.browser() as second_browser:
        for name in names:
            change, form = EXCHANGES[name]
            with subtests.test(name), monkeypatch.context() as patch:
                codes = [
                    await browser.code(party)
                    for browser, party in zip((first_browser, second_browser), parties, strict=True)
                ]
                await change(city)
                first = await _exchanges(city, parties[0], codes[0], form)
                patch.setattr(ProviderServer, "_needs_no_transaction", lambda *_: False)
                assert await _exchanges(city, parties[1], codes[1], form) == first
                assert first[0] < 500, first
