"""What the commands share: settings, the database, output, exit codes."""

from __future__ import annotations

import asyncio
import gc
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import orjson
import typer

from sso.errors import Refusal, SettingsError
from sso.platform.messages import N_, _, is_english
from sso.platform.security.numbers import read_uuid

if TYPE_CHECKING:
    from sso.oidc.provider import Provider
    from sso.platform.db import Database
    from sso.platform.security.encryption import SecretBox
    from sso.platform.services import Storage
    from sso.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
T = TypeVar("T")

CANNOT, WRONG = 1, 2
START_GC_THRESHOLD = 500_000
"""New objects before garbage is collected while a command imports what it needs: more than that makes."""
GC_THRESHOLD = 50_000
"""The same when its work begins. A short command makes fewer; an import of a million users many more."""


def group(help_text: str | None = None) -> typer.Typer:
    """Return an empty group of commands. What help says of a group at the top is in :data:`sso.cli.GROUPS`."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)


def guarded(command: Callable[[], object]) -> None:
    """Run ``command`` and turn the failures that we know into one line each and an exit code."""
    try:
        command()
    except SettingsError as error:
        complain(_("The settings cannot be used:"), *error.mistakes)
        raise SystemExit(WRONG) from None
    except Refusal as error:
        complain(*_in_language(error.mistakes))
        raise SystemExit(CANNOT) from None
    except BrokenPipeError:
        raise SystemExit(CANNOT) from None
    except OSError as error:
        complain(_("A file or a connection cannot be used: %(error)s") % {"error": error})
        raise SystemExit(CANNOT) from None
    except Exception as error:
        if not type(error).__module__.startswith("sqlalchemy."):
            raise
        complain(_("The database cannot be used:") + f" {getattr(error, 'orig', None) or error}")
        raise SystemExit(CANNOT) from None


def _in_language(mistakes: Sequence[str]) -> Sequence[str]:
    """Return the lines of a refusal in the language of this command. Use cases refuse in English."""
    if is_english():
        return mistakes
    from sso.accounts.refusal_texts import refusal_text  # imported here: English needs no patterns
    from sso.accounts.role_refusal_texts import TEXTS

    texts = [TEXTS.get(mistake, mistake) for mistake in mistakes]
    return [_(refusal_text(text, _)) if text else text for text in texts]


@dataclass(frozen=True, slots=True)
class CommandStorage:
    """What most commands need: see :class:`sso.platform.services.Storage`."""

    db: Database
    settings: Settings
    box: SecretBox


def run(work: Callable[[Storage], Coroutine[object, object, T]], *, begins: bool = False) -> T:
    """Run ``work`` with the database of the settings in effect.

    Args:
        work: what to do.
        begins: the command may begin an installation: it creates the embedded database and the secret key where there
            are none. Any other command refuses there and creates nothing.

    Raises:
        SettingsError: when the settings cannot be used, or there is no secret key.
        NoDatabase: when there is no database, and the command does not begin an installation.
    """
    from sso.settings import load_settings  # imported here: help needs no settings

    settings = load_settings()

    async def inside() -> T:
        from sso.platform.db.database_clock import DatabaseClock

        async with opened_storage(settings, begins=begins) as storage:
            await DatabaseClock(storage.db).compare()
            return await work(storage)

    return asyncio.run(inside())


def run_loaded(work: Callable[[Provider], Coroutine[object, object, T]], *, begins: bool = False) -> T:
    """Run ``work`` as :func:`run` does, after the keys and the applications were read.

    Raises:
        CannotDecrypt: when SSO_SECRET_KEY does not fit the database.
    """
    from sso.settings import load_settings  # imported here: help needs no settings

    settings = load_settings()

    async def inside() -> T:
        async with opened_provider(settings, begins=begins) as provider:
            return await work(provider)

    return asyncio.run(inside())


@asynccontextmanager
async def opened_storage(settings: Settings, *, begins: bool = False) -> AsyncIterator[CommandStorage]:
    """Yield the database of ``settings``, whose schema is current, and its encryption.

    Raises:
        NoDatabase: when there is no embedded database, and the command does not begin an installation.
    """
    # Imported here: commands that need no database, and help, do not wait for SQLAlchemy.
    from sso.platform.db import Database
    from sso.platform.db.database import NoDatabase
    from sso.platform.db.migrate import check_schema, current_revision
    from sso.platform.security.encryption import SecretBox
    from sso.platform.stored_settings.store import stored_values

    db = Database(settings, create=begins)
    try:
        if not begins and db.is_sqlite and await current_revision(db) is None:
            text = _("the database at %(place)s is empty; run: sso db upgrade")
            raise NoDatabase(text % {"place": db.url.database})
        await check_schema(db, settings)
        async with db.read() as session:
            for mistake in settings.adopt(await stored_values(session)):
                complain(_("A setting in the database is not used:") + f" {mistake}")
        if gc.get_threshold()[0] == START_GC_THRESHOLD:  # a process of this command alone
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD)
        yield CommandStorage(db, settings, SecretBox(settings.secrets(create=begins)))
    finally:
        await db.close()


@asynccontextmanager
async def opened_provider(settings: Settings, *, begins: bool = False) -> AsyncIterator[Provider]:
    """Yield the provider of ``settings`` with its keys and applications, on a database whose schema is current."""
    from sso.oidc.provider import Provider  # imported here: most commands need no provider

    async with opened_storage(settings, begins=begins) as storage:
        provider = Provider(settings, storage.db, create=begins)
        await provider.load()
        yield provider


def print_json(value: object) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


STATES = frozenset({"outcome", "secret", "state", "status"})
"""The columns whose values are words of the provider, which are translated (``sso.cli.language.VALUES``)."""


def print_table(titles: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Print rows in columns. Titles and words of the provider are translated (``sso.cli.language``)."""
    lines = [tuple(map(_, titles)), *[tuple(map(_cell, titles, row)) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if len(lines) == 1:
        complain(_("The list is empty."))


def _cell(title: str, value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    text = "" if value is None else str(value)
    return _(text) if text and title in STATES else text


def print_rows(titles: tuple[str, ...], rows: Sequence[Mapping[str, object]], *, json: bool) -> None:
    """Print rows as JSON, or the columns of ``titles`` as a table."""
    if json:
        print_json(rows)
    else:
        print_table(titles, [tuple(row[title] for title in titles) for row in rows])


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show how far something is, on standard error where that is a terminal; yield what is told how far, in bytes."""
    from rich.console import Console  # read only where something takes long
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as progress_bar:
        task = progress_bar.add_task("", total=total)
        yield lambda done: progress_bar.update(task, completed=done)


def first_of(rows: Sequence[T], limit: int, then: str) -> list[T]:
    """Return the first ``limit`` rows of a list, and say on standard error where there are more.

    Args:
        rows: one row more than ``limit`` where there are more.
        limit: how many are shown.
        then: how to see the others.
    """
    if len(rows) > limit:
        complain(_("Only the first %(count)s are shown.") % {"count": limit} + f" {then}")
    return list(rows[:limit])


def check_choice(option: str, value: str, allowed: Iterable[str]) -> None:
    """End the command where ``value`` is not one of ``allowed``."""
    if value not in allowed:
        refuse(_("%(option)s must be one of %(values)s") % {"option": option, "values": ", ".join(allowed)})


def complain(*lines: str) -> None:
    """Print lines to standard error."""
    for line in lines:
        print(line, file=sys.stderr)


def refuse(message: str) -> NoReturn:
    """End the command with ``message`` and exit code 1."""
    raise Refusal(message)


def an_id(text: str, what: str) -> uuid.UUID:
    """Return an id that somebody typed; end the command where it is none."""
    try:
        return read_uuid(text)
    except ValueError:
        refuse(_("%(value)s is not a valid ID (%(what)s)") % {"value": repr(text), "what": _(what)})


def read_password(from_stdin: bool, what: str = N_("Password")) -> str:
    """Return a password: the first line of standard input, or typed twice without being shown."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        refuse(_("There is no terminal at which the password can be typed: use --password-stdin."))
    return str(typer.prompt(_(what), hide_input=True, confirmation_prompt=True))
