"""`sso clients apply`: plan, all or nothing, the same again changes nothing, secrets are never touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.clients.test_catalogue import ROOT, many
from tests.conftest import settings_for
from tests.support import City

from sso.clients.catalogue import Catalogue, read_catalogue
from sso.clients.catalogue_apply import CatalogueConflict, Plan, apply_plan, make_plan
from sso.clients.models import ClientRow, ClientSecret
from sso.clients.registry import Registry
from sso.platform.db import Database, read_versions
from sso.platform.db.migrate import upgrade


def catalogue(tmp_path: Path, *names: str, kind: str = "web", title: str = "Nama", own: str = "kota") -> Catalogue:
    text = f"catalogue: {own}\napplications:\n" + "".join(
        f"  - {{client_id: {name}, type: {kind}, client_name: {title}, redirect_uris: ['https://{name}.example/cb']}}\n"
        for name in names
    )
    (tmp_path / "own.yaml").write_text(text)
    return read_catalogue(tmp_path / "own.yaml")


async def applied(city: City, declared: Catalogue, *, delete: bool = False) -> Plan:
    async with city.provider.db.write() as session:
        plan = await make_plan(session, declared, delete=delete)
        await apply_plan(session, plan)
    await city.provider.refresh()
    return plan


async def test_what_is_new_changed_gone_and_back(city: City, tmp_path: Path) -> None:
    first = await applied(city, catalogue(tmp_path, "a", "b", "c"))
    assert first.counted() == {"create": 3, "update": 0, "resume": 0, "suspend": 0, "delete": 0, "unchanged": 0}
    again = await applied(city, catalogue(tmp_path, "a", "b", "c"))
    assert (again.changes, again.unchanged) == ([], 3)
    changed = await applied(city, catalogue(tmp_path, "a", "b", "c", title="Baru"))
    assert changed.counted()["update"] == 3
    assert changed.changes[0].fields == {"client_name": ("Nama", "Baru")}
    gone = await applied(city, catalogue(tmp_path, "a", title="Baru"))
    assert gone.counted()["suspend"] == 2
    suspended = city.provider.registry.get("b")
    assert suspended is not None
    assert not suspended.enabled
    assert city.provider.registry.enabled("b") is None
    back = await applied(city, catalogue(tmp_path, "a", "b", title="Baru"))
    assert back.counted() == {"create": 0, "update": 0, "resume": 1, "suspend": 0, "delete": 0, "unchanged": 1}
    deleted = await applied(city, catalogue(tmp_path, "a", title="Baru"), delete=True)
    assert deleted.counted()["delete"] == 2
    assert city.provider.registry.get("b") is None
    assert city.provider.registry.get("warga") is not None, "another catalogue's applications are left alone"


async def test_secrets_survive_and_are_never_made(city: City, tmp_path: Path) -> None:
    async def secrets() -> list[bytes]:
        async with city.provider.db.read() as session:
            return list((await session.execute(select(ClientSecret.secret_hash).order_by(ClientSecret.id))).scalars())

    before = await secrets()
    await applied(city, catalogue(tmp_path, "a", "b"))
    await applied(city, read_catalogue(Path(__file__).parents[1] / "clients.yaml"))
    assert await secrets() == before


async def test_an_application_of_another_catalogue_is_a_conflict(city: City, tmp_path: Path) -> None:
    with pytest.raises(CatalogueConflict, match="warga belongs to the catalogue 'tests'"):
        await applied(city, catalogue(tmp_path, "a", "warga"))
    assert city.provider.registry.get("a") is None


async def test_a_failure_half_way_changes_nothing(city: City, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        async with city.provider.db.write() as session:
            await apply_plan(session, await make_plan(session, catalogue(tmp_path, "a", "b")))
            raise RuntimeError("power is gone")
    await city.provider.refresh()
    assert city.provider.registry.get("a") is None


async def test_a_change_reaches_a_registry_with_only_what_changed(city: City, tmp_path: Path) -> None:
    await applied(city, catalogue(tmp_path, "a", "b", "c"))
    registry = Registry()
    async with city.provider.db.read() as session:
        everything = await registry.load(session, await read_versions(session))
    assert everything == len(city.provider.registry)
    await applied(city, catalogue(tmp_path, "a", "b", "c", "d"))
    async with city.provider.db.read() as session:
        assert await registry.load(session, await read_versions(session)) == 1
    assert registry.get("d") is not None


async def test_the_122_applications_are_applied(city: City) -> None:
    plan = await applied(city, read_catalogue(ROOT / "clients.example.yaml"))
    assert plan.counted()["create"] == 122
    assert (await applied(city, read_catalogue(ROOT / "clients.example.yaml"))).unchanged == 122


async def test_thousands_of_applications_are_applied_in_few_statements(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text(many(3000))
    declared = read_catalogue(tmp_path / "big.yaml")
    db = Database(settings_for(empty_database, tmp_path))
    await upgrade(db)
    async with db.write() as session:
        await apply_plan(session, await make_plan(session, declared))
    async with db.read() as session:
        assert (await session.execute(select(func.count()).select_from(ClientRow))).scalar_one() == 3000
    await db.close()
