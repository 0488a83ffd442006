"""What tests share: see :mod:`tests.sharing`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError
from tests.conftest import settings_for
from tests.sharing import OF_ITS_OWN, KnownRoutes, load_what_is_known, parts_of
from tests.support import City, Statements

from sso.app import create_app
from sso.clients.registry import Registry
from sso.clients.secrets import new_secret
from sso.oidc.provider import Provider
from sso.platform.security.encryption import CannotDecrypt


async def loaded(city: City, rows: object) -> Provider:
    provider = Provider(city.settings, city.provider.db)
    load_what_is_known(provider, rows)
    await provider.load()
    return provider


def comparable(provider: Provider) -> list[dict[str, Any]]:
    """Return what a provider holds that can be compared: texts, numbers, rows and keys."""
    plain = (str, bytes, int, bool, dict, list, frozenset, type(None))
    return [
        {name: value for name, value in vars(part).items() if isinstance(value, plain) and name not in OF_ITS_OWN}
        for part in parts_of(provider)
    ]


async def test_a_provider_takes_over_what_the_first_one_read(city: City) -> None:
    rows, statements = object(), Statements(city)
    first = await loaded(city, rows)
    assert len(statements.take()) > 8
    second = await loaded(city, rows)
    assert len(statements.take()) < 3
    assert comparable(second) == comparable(first)
    assert second.loaded
    assert second.health.reasons() == first.health.reasons()
    assert len(second.registry) == len(first.registry) == len(city.provider.registry) > 0
    fresh = Provider(city.settings, city.provider.db)
    await fresh.load()
    assert fresh.keys.jwks() == second.keys.jwks()
    assert second.nik_key == fresh.nik_key != b""


async def test_a_provider_reads_itself_what_has_changed(city: City) -> None:
    rows = object()
    first = await loaded(city, rows)
    async with city.provider.db.write() as session:
        await new_secret(session, city.provider.box, "warga")
    second = await loaded(city, rows)
    of_warga = [provider.registry.get("warga") for provider in (first, second)]
    assert all(of_warga)
    before, after = ({secret.id for secret in client.secrets} for client in of_warga if client)
    assert after - before


async def test_what_one_changes_reaches_no_other(city: City) -> None:
    rows = object()
    first = await loaded(city, rows)
    second = await loaded(city, rows)
    second.registry._rows.clear()
    second.keys._by_kid.clear()
    third = await loaded(city, rows)
    assert comparable(third) == comparable(first)


@pytest.mark.parametrize("secret", ["another secret key for tests of more than 32 characters"])
async def test_another_secret_key_takes_over_nothing(city: City, secret: str) -> None:
    rows = object()
    await loaded(city, rows)
    other = Provider(city.settings.model_copy(update={"secret_key": [SecretStr(secret)]}), city.provider.db)
    load_what_is_known(other, rows)
    with pytest.raises(CannotDecrypt):
        await other.load()


def looked_up(app: FastAPI) -> dict[Any, Any]:
    """Return the routes that an application looks up."""
    shell: Any = app.build_middleware_stack()
    routes: dict[Any, Any] = shell._direct._routes
    return routes


def test_applications_share_the_look_up_of_their_routes(tmp_path: Path) -> None:
    """Filling it takes 2 ms, and each test has an application."""
    settings = settings_for(f"sqlite:///{tmp_path / 'sso.db'}", tmp_path)
    first = looked_up(create_app(settings))
    known = len(KnownRoutes.known)
    assert looked_up(create_app(settings)) is first
    assert len(KnownRoutes.known) == known


def test_an_application_with_other_routes_looks_up_its_own(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path / 'sso.db'}", tmp_path)
    plain, other = create_app(settings), create_app(settings)
    jwks = next(route for route in other.router.routes if getattr(route, "path", "") == "/jwks")
    other.router.routes.remove(jwks)
    assert ("/jwks", "GET") in looked_up(plain)
    assert ("/jwks", "GET") not in looked_up(other)


async def test_registries_share_the_metadata_of_an_application(city: City) -> None:
    """Reading and checking those of twenty took 1 ms, and each registry did it again."""
    first, second = Registry(), Registry()
    for registry in (first, second):
        registry._rows["warga"] = city.provider.registry._rows["warga"]
    mine, other = first.get("warga"), second.get("warga")
    assert mine is not None
    assert other is not None
    assert mine is not other
    assert mine.meta is other.meta
    metadata: Any = mine.meta
    with pytest.raises(ValidationError, match="frozen"):
        metadata.client_name = "Another"
