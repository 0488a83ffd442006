"""``sso demo``: everything on one machine, to try."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, NoReturn

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.employees import EmploymentDetails, employ_in_change
from sso.accounts.services import AccountChanges
from sso.cli.common import complain, opened_provider, refuse
from sso.clients.catalogue import read_catalogue
from sso.clients.catalogue_apply import apply_plan, make_plan
from sso.clients.secrets import new_secret
from sso.identity.authn.passwords import Passwords
from sso.identity.groups.models import Group
from sso.identity.groups.store import add_group
from sso.identity.users import store
from sso.identity.users.models import User
from sso.identity.users.nip import read_nip
from sso.identity.users.schemas import Address, NewUser, Profile
from sso.identity.users.service import create_users
from sso.logs import configure_logging
from sso.platform.actor import CLI
from sso.platform.db import Database, new_id
from sso.platform.db.migrate import upgrade
from sso.platform.messages import _
from sso.settings import Settings, load_settings
from sso.setup.applications import example_catalogue, examples_dir

APPS = {"contoh-layanan-warga": "Layanan Warga", "contoh-puskesmas": "Antrean Puskesmas"}
DEMO_FILES = ("sso.db", "sso.db-wal", "sso.db-shm", "secret.key", "demo.yaml")
LOCK_FILE = "demo.lock"
WRITTEN_PORTS = (8001, 8002)
APP_SECONDS = 5
"""How long a sample app may take to end before it is killed."""
START_SECONDS = 20
"""How long the start waits for its ports before it prints the addresses all the same."""
LOOK_SECONDS = 0.05
WORDS = (
    "angin",
    "bambu",
    "cahaya",
    "damar",
    "embun",
    "fajar",
    "garuda",
    "hujan",
    "intan",
    "jambu",
    "kelapa",
    "lontar",
    "melati",
    "nanas",
    "ombak",
    "pandan",
    "ranting",
    "sagu",
    "teratai",
    "ulin",
    "wayang",
    "zamrud",
)


# Authlib says at every start that it would rather have another HTTP library; that is for us to know, not for a trial.
RUN_APP = (
    "import runpy, sys, warnings, authlib.deprecate; warnings.simplefilter('ignore'); "
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to try as."""

    username: str
    name: str
    email: str
    role: str
    password: str
    nip: str = ""
    position: str = ""


def demo(
    port: Annotated[
        int, typer.Option(help="Port of the provider. The two sample applications use the next two ports.")
    ] = 8000,
) -> None:
    """Start a demonstration with example data.

    It has a new SQLite database, the 122 example applications, five users and two sample
    applications.

    For loopback addresses only. Each start deletes the data of the previous one, in var/demo below the working
    directory. While a demonstration runs in it, a second one is refused.
    """
    ports = [port, port + 1, port + 2]
    _check_free(ports)
    data = Path("var/demo").absolute()
    data.mkdir(parents=True, exist_ok=True)
    with _locked(data):
        _demonstrate(data, ports)


def _demonstrate(data: Path, ports: list[int]) -> None:
    for name in DEMO_FILES:
        (data / name).unlink(missing_ok=True)
    shutil.rmtree(data / "outbox", ignore_errors=True)
    os.environ |= {
        "SSO_ISSUER": f"http://localhost:{ports[0]}",
        "SSO_DATA_DIR": str(data),
        "SSO_DATABASE_URL": f"sqlite:///{data / 'sso.db'}",
        "SSO_LOG_LEVEL": "WARNING",
        "SSO_DEVELOPMENT_OUTBOX": "true",
        "SSO_RISK_BASED_SECOND_FACTOR": "new_country",
        "SSO_SECOND_FACTOR_ROLES": "none",
    }
    settings = load_settings()
    people = _people()
    app_secrets = asyncio.run(_fill(settings, data, ports, people))
    _serve(settings, ports, people, app_secrets)


@contextlib.contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Hold the lock of a directory of demonstrations, so that a second one does not delete the data of the first."""
    with (data / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = _("a demonstration runs in %(folder)s: end it, or start this one in another directory")
            refuse(text % {"folder": data})
        yield


def _check_free(ports: list[int]) -> None:
    for port in ports:
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                text = _("port %(port)s is in use; choose another with --port (three ports in a row are needed)")
                refuse(text % {"port": port})


def _people() -> list[Person]:
    return [
        Person("siti", "Siti Rahmawati", "siti@warga.tangerang.example", "citizen", _password()),
        Person("dimas", "Dimas Prasetyo", "dimas@pengembang.tangerang.example", "developer", _password()),
        Person("ratna", "Ratna Wulandari", "ratna@admin.tangerang.example", "admin", _password()),
        Person(
            "bima",
            "Bima Saputra",
            "bima@dinas.tangerang.example",
            "citizen",
            _password(),
            "198703122011011004",
            "Perawat",
        ),
        Person(
            "wati",
            "Wati Lestari",
            "wati@dinas.tangerang.example",
            "citizen",
            _password(),
            "199208302024212007",
            "Bidan",
        ),
    ]


def _password() -> str:
    return "-".join([*(secrets.choice(WORDS) for _ in range(3)), str(secrets.randbelow(900) + 100)])


async def _fill(settings: Settings, data: Path, ports: list[int], people: list[Person]) -> dict[str, str]:
    """Fill the fresh database and return the secrets of the sample apps."""
    db = Database(settings)
    await upgrade(db)
    await db.close()
    own = data / "demo.yaml"
    text = (examples_dir() / "demo.yaml").read_text()
    for written, port in zip(WRITTEN_PORTS, ports[1:], strict=True):
        text = text.replace(f"localhost:{written}", f"localhost:{port}")
    own.write_text(text)
    catalogues = [read_catalogue(path, allow_http_loopback=True) for path in (example_catalogue(), own)]
    async with opened_provider(settings, begins=True) as provider:
        hashes = [await Passwords(settings).hash(person.password) for person in people]
        async with provider.db.write() as session:
            for catalogue in catalogues:
                await apply_plan(session, await make_plan(session, catalogue))
            await session.flush()
            secrets = {app: await new_secret(session, provider.box, app) for app in APPS}
            users = await create_users(session, [_new_user(person) for person in people])
            for user, hashed in zip(users, hashes, strict=True):
                await store.set_password_hash(session, user.id, hashed, clock.now())
            await session.flush()
            await _employ(session, provider, dict(zip(people, users, strict=True)))
        _say_what_was_made(provider.settings, sum(len(catalogue.applications) for catalogue in catalogues))
        return secrets


async def _employ(session: AsyncSession, provider: AccountChanges, users: dict[Person, User]) -> None:
    """Add two units, and let the people with a NIP work in the second one."""
    now = clock.now()
    agency = Group(kind="unit", code="DINKES", name_id="Dinas Kesehatan", name_en="Health Agency")
    clinic = Group(kind="unit", code="PKM-CPD", name_id="Puskesmas Cipondoh", name_en="Cipondoh Health Centre")
    for unit in (agency, clinic):
        unit.id, unit.created_at, unit.updated_at = new_id(), now, now
        unit.parent_id = agency.id if unit is clinic else None
        await add_group(session, unit)
    for person, user in users.items():
        if not person.nip:
            continue
        nip = read_nip(person.nip)
        details = EmploymentDetails(
            "pppk" if nip.is_pppk else "pns",
            person.nip,
            grade="IX" if nip.is_pppk else "III/b",
            unit_id=clinic.id,
            position=person.position,
            valid_from=datetime(nip.year, nip.month or 1, 1, tzinfo=UTC),
        )
        await employ_in_change(session, provider, user, details, source="import", actor=CLI, reason="demonstration")


def _say_what_was_made(settings: Settings, applications: int) -> None:
    created = {"file": settings.data_dir / "sso.db", "count": applications}
    print(_("Created %(file)s with %(count)s applications") % created, flush=True)


def _new_user(person: Person) -> NewUser:
    given, _, family = person.name.partition(" ")
    return NewUser(
        username=person.username,
        name=person.name,
        email=person.email,
        email_verified=True,
        locale="id",
        roles=[person.role],
        profile=_profile(person, given, family),
        phone_number="+62 21 5555 0100" if person.username == "siti" else None,
        phone_number_verified=True,
        password_hash=None,
    )


def _profile(person: Person, given: str, family: str) -> Profile:
    """Return a profile; the citizen's has every standard claim (OpenID Connect Core section 5.1)."""
    if person.username != "siti":
        return Profile(given_name=given, family_name=family, zoneinfo="Asia/Jakarta")
    home = f"https://{person.username}.tangerang.example"
    return Profile(
        given_name=given,
        family_name=family,
        middle_name="Ayu",
        nickname=given,
        profile=f"{home}/profil",
        picture=f"{home}/foto.png",
        website=f"{home}/",
        gender="female",
        birthdate="1990-04-21",
        zoneinfo="Asia/Jakarta",
        address=Address(
            formatted="Jalan Satria Sudirman 1\nTangerang 15111\nIndonesia",
            street_address="Jalan Satria Sudirman 1",
            locality="Tangerang",
            region="Banten",
            postal_code="15111",
            country="ID",
        ),
    )


def _serve(settings: Settings, ports: list[int], people: list[Person], app_secrets: dict[str, str]) -> None:
    import uvicorn

    configure_logging(settings)
    # By default these two signals end this process at once, and the sample apps would go on running.
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))  # uvicorn stops in order at SIGTERM
    apps: list[subprocess.Popen[bytes]] = []
    ended = Event()
    try:
        for (client_id, name), port, other in zip(APPS.items(), ports[1:], reversed(ports[1:]), strict=True):
            values = {
                "APP_ISSUER": settings.issuer,
                "APP_CLIENT_ID": client_id,
                "APP_CLIENT_SECRET": app_secrets[client_id],
                "APP_NAME": name,
                "APP_PORT": str(port),
                "APP_OTHER": f"http://localhost:{other}",
            }
            environment = {key: value for key, value in os.environ.items() if not key.startswith("SSO_")}
            command = [sys.executable, "-c", RUN_APP, str(examples_dir() / "app.py")]
            apps.append(subprocess.Popen(command, env={**environment, **values}))  # noqa: S603
        announcing = Thread(target=_announce, args=(_banner(settings, ports, people), ports, apps, ended), daemon=True)
        announcing.start()
        uvicorn.run(
            "sso.app:app_from_environment",
            factory=True,
            host="127.0.0.1",
            port=ports[0],
            http="sso.http.common.server_protocol:BoundedProtocol",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
    finally:
        ended.set()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for app in apps:
            app.terminate()
        for app in apps:
            _wait_for(app)


def _announce(text: str, ports: list[int], apps: list[subprocess.Popen[bytes]], ended: Event) -> None:
    """Print where everything is, as soon as it can be opened there; at last after 20 seconds."""
    until = time.monotonic() + START_SECONDS
    waiting = dict(zip(ports, (None, *apps), strict=True))
    while waiting and time.monotonic() < until:
        waiting = {port: app for port, app in waiting.items() if not (_has_ended(app) or _listens(port))}
        if waiting and ended.wait(LOOK_SECONDS):
            return
    print(text, flush=True)
    for port, app in zip(ports[1:], apps, strict=True):
        if _has_ended(app):
            complain(_("The sample app at %(address)s did not start.") % {"address": f"http://localhost:{port}"})


def _has_ended(app: subprocess.Popen[bytes] | None) -> bool:
    return app is not None and app.poll() is not None


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)


def _wait_for(app: subprocess.Popen[bytes]) -> None:
    try:
        app.wait(APP_SECONDS)
    except subprocess.TimeoutExpired:
        app.kill()
        app.wait()


def _called(person: Person) -> str:
    return _("employee, NIP %(nip)s") % {"nip": person.nip} if person.nip else _(person.role)


def _banner(settings: Settings, ports: list[int], people: list[Person]) -> str:
    place = {"name": settings.service_name, "address": settings.issuer}
    lines = ["", _("%(name)s is at %(address)s") % place, "", _("Open the two sample apps:")]
    lines += [f"  http://localhost:{port}  {name}" for name, port in zip(APPS.values(), ports[1:], strict=True)]
    lines += ["", _("Sign in once, for both, as:")]
    width = max(len(person.username) for person in people)
    wide = max(len(person.password) for person in people)
    lines += [f"  {person.username:<{width}}  {person.password:<{wide}}  {_called(person)}" for person in people]
    lines += [_("Employees can also sign in with the NIP.")]
    lines += ["", _("Mails and SMS are kept, not sent: %(address)s") % {"address": f"{settings.issuer}/outbox"}]
    developer, console = f"{settings.issuer}/developer", f"{settings.issuer}/admin"
    lines += [_("As developer, register applications at %(address)s") % {"address": developer}]
    lines += [_("As admin, manage everything at %(address)s") % {"address": console}]
    lines += [
        "",
        _("Everything listens on this machine only. Ctrl-C ends it; the next start begins with new data."),
        "",
    ]
    return "\n".join(lines)
