"""Fixtures: a city's provider on each of the two databases, filled once and copied for every test."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import itertools
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from scripts.compile_catalogues import compile_catalogues
from tests.databases import (
    Connections,
    Databases,
    SqliteFile,
    new_data_directory,
    new_database,
    run_statement,
    start_postgres,
    take_snapshot,
)
from tests.fixed_costs import leave_out_fixed_costs
from tests.lock_order import Watch, in_words
from tests.ports import free_ports
from tests.sharing import create_app_with, load_what_is_known, load_what_workers_need, share_what_never_changes
from tests.sources import read_all
from tests.starts import Start, look_at_start
from tests.support import ISSUER, PASSWORD, PEOPLE, SECRET_KEY, City
from tests.waiting import follow_nothing, wait_for
from tests.workers import NAME, group_by_database, pytest_addoption, pytest_runtestloop  # noqa: F401  (hooks)

from sso import clock
from sso.app import GC_THRESHOLDS
from sso.clients.catalogue import read_catalogue
from sso.clients.catalogue_apply import apply_plan, make_plan
from sso.clients.secrets import new_secret
from sso.identity.authn.passwords import Passwords
from sso.identity.users import store
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import create_users
from sso.oidc import provider
from sso.oidc.provider import Provider
from sso.platform.db import Database
from sso.platform.db.migrate import upgrade
from sso.settings import Settings

TESTS = Path(__file__).parent
CATALOGUE = TESTS / "clients.yaml"
SECRETS_FOR = (
    "warga", "sehat", "mitra", "mitra-lain", "lama", "buram", "api", "surat", "mesin", "mesin-buram", "konsol",
    "petugas", "sinyal", "aman", "dinas",
)  # fmt: skip
ARGON2_BYTES = 256 * 1024
_settings: dict[str, Settings] = {}
_numbers = itertools.count()
_directories = itertools.count()


NEEDS_MUCH = frozenset({"city", "cli", "database_kind", "postgres", "redis", "serve", "sqlite_template"})
"""Fixtures with a provider, a database or another server."""
WHOLE = ("api", "cli", "fuzz", "interop", "journeys")
"""Directories whose tests run the whole program."""
WHOLE_RUN = 2000
"""A run of more tests than this has most of those that read the source of the program."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the directories without unit tests where only those are asked for."""
    return True if config.option.markexpr == "unit" and collection_path in {TESTS / name for name in WHOLE} else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs neither provider nor database as ``unit``: `make check` runs that."""
    group_by_database(items)
    for item in items:
        directory = item.path.relative_to(TESTS).parts[0]
        if directory not in WHOLE and NEEDS_MUCH.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.unit)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Collect no garbage while there is none: see :func:`pytest_collection_finish`."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what the collection made out of garbage collection, and collect as seldom as the server does: the modules
    and tests of a worker are 300 MB, which each full collection went through."""
    option = session.config.option
    if option.workers > 1 and not option.collectonly and option.markexpr != "unit":
        base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        load_what_workers_need(settings_for(f"sqlite:///{base / 'none.db'}", base))
        if len(session.items) > WHOLE_RUN:
            read_all()
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def run_apart(work: Coroutine[Any, Any, Any]) -> Any:
    """Run ``work`` in a thread of its own: fixtures may be asked for while a test's event loop runs."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def pytest_configure() -> None:
    leave_out_fixed_costs()
    compile_catalogues()
    share_what_never_changes()
    provider.USAGE_SECONDS = 3600.0  # a test counts statements: those of a flush after five seconds are not its own


@pytest.fixture(autouse=True)
def _real_time() -> Iterator[None]:
    clock.reset()
    yield
    clock.reset()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of this test's own. That of pytest looks through the directories of all tests before it, and makes a
    link to the newest."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    path = tmp_path_factory.getbasetemp() / f"{name}-{next(_directories)}"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that every worker of this run shares."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if NAME in os.environ else base


@pytest.fixture(scope="session")
def postgres(run_dir: Path) -> str:
    """The address of a real PostgreSQL, started once for every worker; a database's name is put in for DATABASE."""
    return start_postgres(Path(once_for_all_workers(run_dir, "postgres", new_data_directory)))


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server."""
    server = shutil.which("valkey-server") or shutil.which("redis-server")
    if server is None:
        pytest.fail("no redis-server on this machine: run `make test`, which installs it")
    port = free_ports(1)
    directory: Path = tmp_path_factory.mktemp("redis")
    log = directory / "log"
    with log.open("w") as output:
        command = [server, "--port", str(port), "--save", "", "--dir", str(directory)]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(60)


def settings_for(database_url: str, data_dir: Path, **overrides: Any) -> Settings:
    """Return strict settings, but with hashes that are quick to compute and no work in the background."""
    environment = sorted(item for item in os.environ.items() if item[0].startswith("SSO_"))
    plain = {name: getattr(value, "get_secret_value", lambda value=value: value)() for name, value in overrides.items()}
    known = repr((environment, sorted(plain.items())))
    if known not in _settings:  # reading and checking them takes 5 ms
        _settings[known] = _read_settings(database_url, data_dir, **overrides)
    places = {"database_url": database_url, "data_dir": data_dir}
    return _settings[known].model_copy(update={name: value for name, value in places.items() if name not in overrides})


def _read_settings(database_url: str, data_dir: Path, **overrides: Any) -> Settings:
    values: dict[str, Any] = {
        "issuer": ISSUER,
        "database_url": database_url,
        "data_dir": data_dir,
        "secret_key": [SECRET_KEY],
        "argon2_memory": "8MiB",
        "argon2_iterations": 1,
        "database_pool_size": 4,
        "run_worker": False,
        "signing_alg": "ES256",
        "second_factor_roles": [],
        **overrides,
    }
    settings = Settings(_env_file=None, **values)  # type: ignore[call-arg]
    # Less than the least that a city may choose: a hash of 8 MiB takes 8 ms, and most tests make two or three.
    return settings if "argon2_memory" in overrides else settings.model_copy(update={"argon2_memory": ARGON2_BYTES})


async def fill(settings: Settings) -> dict[str, Any]:
    """Make schema, keys, applications and people; return secrets and user ids."""
    db = Database(settings)
    await upgrade(db)
    provider = Provider(settings, db)
    await provider.load()
    contents: dict[str, Any] = {"secrets": {}, "users": {}}
    hashed = await Passwords(settings).hash(PASSWORD)
    catalogue = read_catalogue(CATALOGUE)
    async with db.write() as session:
        await apply_plan(session, await make_plan(session, catalogue))
        await session.flush()
        for client_id in (*SECRETS_FOR, "rahasia-jwt"):
            contents["secrets"][client_id] = await new_secret(session, provider.box, client_id)
        for user in await create_users(session, [NewUser.model_validate(person) for person in PEOPLE]):
            await store.set_password_hash(session, user.id, hashed, clock.now())
            contents["users"][user.name.split()[0].lower()] = user.id
    await db.close()
    return contents


def once_for_all_workers(run_dir: Path, name: str, work: Callable[[], Any]) -> Any:
    """Do ``work`` in the worker that comes first, and return what it returned there."""
    with (run_dir / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pickled = run_dir / f"{name}.pickle"
        if not pickled.exists():
            pickled.write_bytes(pickle.dumps(work()))
        return pickle.loads(pickled.read_bytes())


@pytest.fixture(scope="session")
def server_start(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """What a start of the server imports."""
    start: Start = once_for_all_workers(run_dir, "start", lambda: look_at_start(tmp_path_factory.mktemp("start")))
    return start


@pytest.fixture(scope="session")
def sqlite_template(run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """A filled SQLite database, which every worker copies, and what is in it."""
    path = run_dir / "template.db"

    def make() -> dict[str, Any]:
        contents: dict[str, Any] = run_apart(fill(settings_for(f"sqlite:///{path}", run_dir)))
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return contents

    return path, once_for_all_workers(run_dir, "sqlite", make)


@pytest.fixture(scope="session")
async def connections() -> AsyncIterator[Connections]:
    """Connections that stay open from test to test."""
    open_connections = Connections()
    yield open_connections
    await open_connections.close()


@pytest.fixture(scope="session")
def sqlite_file(
    sqlite_template: tuple[Path, dict[str, Any]], connections: Connections, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SqliteFile]:
    """A filled database, lent to one test at a time."""
    file = SqliteFile(sqlite_template[0], tmp_path_factory.mktemp("lent"), connections)
    yield file
    file.close()


@pytest.fixture(scope="session")
def postgres_databases(postgres: str, connections: Connections, run_dir: Path) -> tuple[Databases, dict[str, Any]]:
    """Filled databases, lent to one test at a time, and what is in them."""
    url = postgres.replace("DATABASE", "template")

    def make() -> dict[str, Any]:
        run_apart(run_statement(postgres, "CREATE DATABASE template"))
        contents: dict[str, Any] = run_apart(fill(settings_for(url, run_dir)))
        run_apart(take_snapshot(url))
        return contents

    contents = once_for_all_workers(run_dir, "postgresql", make)
    return Databases(postgres, "template", f"lent_{os.getpid()}", connections), contents


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def empty_database(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> AsyncIterator[str]:
    """The address of an empty database."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    postgres = request.getfixturevalue("postgres")
    name = f"empty_{os.getpid()}_{next(_numbers)}"
    await run_statement(postgres, f"CREATE DATABASE {name}")
    yield postgres.replace("DATABASE", name)
    await run_statement(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def migrated_database(
    request: pytest.FixtureRequest, database_kind: str, tmp_path: Path, connections: Connections
) -> AsyncIterator[str]:
    """The address of a filled database whose schema a test may change."""
    if database_kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template")[0], tmp_path / "migrated.db")
        yield f"sqlite:///{tmp_path / 'migrated.db'}"
        return
    databases: Databases = request.getfixturevalue("postgres_databases")[0]
    name = await databases.lend()
    yield databases.url(name)
    await databases.drop(name)


def _keeps_connections(request: pytest.FixtureRequest) -> bool:
    """Tell whether a test may use the connections of the test before it."""
    return "city" in request.fixturenames and request.node.get_closest_marker("own_connections") is None


@pytest.fixture
async def database(
    request: pytest.FixtureRequest, database_kind: str, tmp_path: Path, connections: Connections
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The address of a filled database of this test's own, and what is in it."""
    keeps = _keeps_connections(request)
    if database_kind == "sqlite":
        template, contents = request.getfixturevalue("sqlite_template")
        if keeps:
            file = request.getfixturevalue("sqlite_file")
            yield file.lend(), contents
            await file.take_back()
        else:
            shutil.copy(template, tmp_path / "sso.db")
            yield f"sqlite:///{tmp_path / 'sso.db'}", contents
        return
    databases, contents = request.getfixturevalue("postgres_databases")
    name = await databases.lend()
    yield databases.url(name), contents
    await databases.take_back(name, by_kept=keeps)


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Settings that differ in one test: override with ``@pytest.mark.parametrize("overrides", [...])``."""
    return {}


@pytest.fixture
async def city(
    request: pytest.FixtureRequest,
    database: tuple[str, dict[str, Any]],
    tmp_path: Path,
    overrides: dict[str, Any],
    connections: Connections,
) -> AsyncIterator[City]:
    """A running provider. Its transactions must lock rows in order, but for tests marked ``locks_freely``, which make
    transactions of their own."""
    url, contents = database
    others = asyncio.all_tasks()
    settings = settings_for(url, tmp_path, **overrides)
    open_database = connections.database if _keeps_connections(request) else new_database
    app, watch = create_app_with(open_database, settings), Watch()
    watch.listen(app.state.site.provider.db)
    load_what_is_known(app.state.site.provider, contents)
    async with app.router.lifespan_context(app):
        yield City(app, settings, contents["secrets"], contents["users"])
    await _end_tasks(others)
    assert not watch.wrong or request.node.get_closest_marker("locks_freely"), in_words(watch.wrong.values())


async def _end_tasks(others: set[asyncio.Task[Any]]) -> None:
    """End what a test has begun and left, as the end of an event loop does: every task but ``others``."""
    left = asyncio.all_tasks() - others - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture
def reads_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider of ``city`` reads changes of the database where the test says so, and not each second as well: name
    it with ``@pytest.mark.usefixtures``, so that it comes first."""
    follow_nothing(monkeypatch)


@pytest.fixture
async def http(city: City) -> AsyncIterator[httpx.AsyncClient]:
    """A program that speaks to the provider: keeps no cookies of note, follows nothing."""
    async with city.client() as client:
        yield client
