"""Connections to PostgreSQL: each host of the address with its own time limit, limits of statements and locks, options
of the socket, and a pool that waits where the database has no connection to give.

The driver (asyncpg) reads addresses of several hosts too, but one time limit covers all of them: a host that answers
nothing would use it up. Each host is therefore tried by a call of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self
from urllib.parse import quote, urlencode

import asyncpg
from sqlalchemy import URL, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util.concurrency import await_

from sso.platform.db.pool import KeepingPool, read_json
from sso.platform.db.prepared import OUTDATED
from sso.settings import DatabaseAddress, Settings
from sso.settings.database_address import Host

ANSWER_SECONDS = 1.0
"""How much longer than the limit of a statement its answer may take."""
CLOSE_SECONDS = 0.5
"""How long closing a connection may take. A host that has vanished does not answer to it."""
SILENT_SECONDS = 30.0
"""How long a host that did not answer is tried after the others."""
FULL_SECONDS = 0.1
"""How long a process asks for no new connection after the database had none to give."""
TOO_MANY = "53300"
POOLER_IS_FULL = "no more connections allowed"
"""What PgBouncer says at its limit ``max_client_conn``; its SQLSTATE says only that the connection failed."""
LOST_STATES = ("57P01", "57P02", "57P03", "57P05", "25P03", "25P04")
"""SQLSTATE values after which PostgreSQL closes the connection."""
READ_ONLY = "25006"
UNITS = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Units of times in settings of PostgreSQL, in seconds."""
REFUSED_PARAMETER = "unsupported startup parameter"


class CannotConnect(ConnectionError):
    """No host of the address can be used; the text says why, host by host."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of connections, in seconds; 0: no limit."""

    connect: float
    statement: float
    lock: float
    idle_in_transaction: float
    keepalive: int
    user_timeout: float
    firm: bool = False
    """They hold also where the options of the address set others."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        return cls(
            connect=settings.database_connect_timeout.total_seconds(),
            statement=settings.database_statement_timeout.total_seconds(),
            lock=settings.database_lock_timeout.total_seconds(),
            idle_in_transaction=settings.database_idle_in_transaction_timeout.total_seconds(),
            keepalive=settings.database_tcp_keepalive // timedelta(seconds=1),
            user_timeout=settings.database_tcp_user_timeout.total_seconds(),
        )

    @property
    def of_server(self) -> dict[str, str]:
        """The limits that PostgreSQL keeps, and what belongs to them: settings and their values."""
        milliseconds = {
            "statement_timeout": self.statement,
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle_in_transaction,
        }
        return {"jit": "off", **{name: str(round(seconds * 1000)) for name, seconds in milliseconds.items()}}


class PostgresConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that is closed quickly, and whose transactions may begin with limits."""

    beginning = ""
    """What is sent with BEGIN."""
    pooled = False
    """PgBouncer is between."""
    connector: Connector
    """What opened it."""
    host: Host
    """The host to which it leads."""
    generation = 0
    """How many faults the connector had seen before it was opened."""

    def is_over(self) -> bool:
        """Tell whether the connection was closed, or is older than the last fault. A statement on an older one could
        wait for its whole limit. It is closed without a message, because nobody may answer."""
        if self.generation != self.connector.generation:
            self.terminate()
        return bool(self.is_closed())

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        """Run a statement; set the limits of a transaction in the message that begins it."""
        if self.beginning and query.startswith("BEGIN"):
            query += self.beginning
        result: str = await super().execute(query, *args, timeout=timeout)
        return result

    def _cancel_current_command(self, waiter: asyncio.Future[None], *arguments: object) -> None:
        """Give a statement up that took too long or whose task was cancelled. The driver asks the server to cancel it,
        over a connection of its own. PgBouncer 1.18 ends itself ("bad client state") where such a connection is closed
        early, which takes every connection down: behind it, only this connection is closed."""
        if not self.pooled:
            super()._cancel_current_command(waiter, *arguments)
            return
        self._loop.call_soon(self.terminate)
        if not waiter.done():
            waiter.set_result(None)

    async def close(self, *, timeout: float | None = None) -> None:
        """Close the connection within :data:`CLOSE_SECONDS`."""
        await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))


class Connector:
    """Opens connections to one of the hosts of an address.

    Args:
        address: of the database.
        limits: of connections and statements.
        pooler: PgBouncer is between: only parameters that it accepts are sent at the start.
        prepared: the server keeps prepared statements.
    """

    def __init__(self, address: DatabaseAddress, limits: Limits, *, pooler: bool, prepared: bool) -> None:
        self._address, self._limits = address, limits
        self.generation = 0
        """How many faults were reported: a connection that was opened before the last one is not lent again."""
        self._limit_checked = pooler or not limits.statement
        self._silent: dict[Host, float] = {}
        self._full: Exception | None = None
        self._full_until = 0.0
        numbers = address.numbers
        self._limit = float(numbers["connect_timeout"]) if "connect_timeout" in numbers else limits.connect
        server = {"application_name": address.application_name or "sso"}
        self._beginning, self._pooled = "", pooler
        statement = limits.statement
        if pooler:
            self._beginning = "".join(f" SET LOCAL {name} = {value};" for name, value in limits.of_server.items())
        else:
            # Where the address sets one of the limits by its options, it stands.
            given = {} if limits.firm else _read_options(address.options or "")
            statement = _seconds(given.get("statement_timeout", ""), limits.statement)
            own = {name: value for name, value in limits.of_server.items() if name not in given}
            server |= {**own, **_of_lost_clients(limits)}
            if address.options:
                server["options"] = address.options
        query = urlencode(address.driver, quote_via=quote)
        self._arguments: dict[str, Any] = {
            "dsn": f"postgresql://?{query}" if query else None,
            "user": address.user,
            "password": address.password,
            "database": address.database,
            "server_settings": server,
            "command_timeout": statement + ANSWER_SECONDS if statement else None,
            "statement_cache_size": 100 if prepared else 0,
            "connection_class": PostgresConnection,
            "timeout": self._limit,
        }

    async def connect(self) -> PostgresConnection:
        """Return a connection to the first host that can be used.

        Raises:
            CannotConnect: when no host can be used.
            asyncpg.PostgresError: when a host refuses, such as the password, or has no connection to give.
        """
        if self._full is not None and time.monotonic() < self._full_until:
            raise self._full.with_traceback(None)
        attributes = self._address.target_session_attrs
        reasons: dict[Host, str] = {}
        for target in ("standby", "any") if attributes == "prefer-standby" else (attributes,):
            for host in self._order():
                if target == "any" and not reasons.get(host, "not a").startswith("not a"):
                    continue  # it could not be reached a moment ago
                try:
                    return await self._connect(host, target)
                except (asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, OSError) as error:
                    reasons[host] = self._reason(host, error)
                except asyncpg.TargetServerAttributeNotMatched:
                    reasons[host] = f"not a {target} host"
        raise CannotConnect("; ".join(f"{host}: {reason}" for host, reason in reasons.items()))

    def report(self, connection: PostgresConnection, *, silent: bool) -> None:
        """Take note that a connection failed: those that are as old are replaced before anybody gets one.

        Args:
            connection: which failed.
            silent: nothing answered, so that its host is tried last for a while.
        """
        if connection.generation == self.generation:  # older ones are replaced already
            self.generation += 1
        if silent:
            self._silent[connection.host] = time.monotonic()

    async def _connect(self, host: Host, target: str) -> PostgresConnection:
        generation = self.generation
        place = {name: value for name, value in (("host", host.name), ("port", host.port)) if value}
        try:
            connection = await asyncpg.connect(**self._arguments, **place, target_session_attrs=target)
        except asyncpg.PostgresError as error:
            if error.sqlstate == TOO_MANY or POOLER_IS_FULL in str(error):
                self._full, self._full_until = error, time.monotonic() + FULL_SECONDS
            if REFUSED_PARAMETER in str(error):
                raise CannotConnect(f"{host}: {error}; set SSO_DATABASE_POOLER=pgbouncer") from error
            raise
        self._silent.pop(host, None)
        try:
            await self._check_limit(connection, host)
        except BaseException:
            connection.terminate()
            raise
        connection.beginning, connection.pooled = self._beginning, self._pooled
        connection.connector, connection.host, connection.generation = self, host, generation
        transport_socket = connection._transport.get_extra_info("socket")
        if transport_socket is not None and transport_socket.family != socket.AF_UNIX:
            self._set_options(transport_socket.fileno())
        opened: PostgresConnection = connection
        return opened

    async def _check_limit(self, connection: PostgresConnection, host: Host) -> None:
        """Check once that the limits of the first message are kept. A PgBouncer that is told to ignore them would also
        lend the connection to others between two statements, with what was prepared on it."""
        if self._limit_checked:
            return
        expected = self._arguments["server_settings"].get("statement_timeout")
        setting = await connection.fetchval("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'")
        if expected is not None and setting != expected:
            raise CannotConnect(f"{host}: the limits are ignored on the way; set SSO_DATABASE_POOLER=pgbouncer")
        self._limit_checked = True

    def _order(self) -> list[Host]:
        """Return the hosts in the order in which they are tried: those that were silent a moment ago last."""
        now, hosts = time.monotonic(), list(self._address.hosts)
        if self._address.shuffle:
            random.shuffle(hosts)
        return sorted(hosts, key=lambda host: now - self._silent.get(host, -SILENT_SECONDS) < SILENT_SECONDS)

    def _reason(self, host: Host, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            self._silent[host] = time.monotonic()
            return f"no answer within {self._limit:g} seconds"
        return str(error) or type(error).__name__

    def _set_options(self, file_number: int) -> None:
        """Set how soon the operating system notices that the host has vanished."""
        numbers: Mapping[str, int] = self._address.numbers
        idle = numbers.get("keepalives_idle", self._limits.keepalive)
        user_timeout = numbers.get("tcp_user_timeout", round(self._limits.user_timeout * 1000))
        options: dict[str, int] = {}
        if idle and self._address.keepalives:
            options = {
                "TCP_KEEPIDLE": idle,
                "TCP_KEEPINTVL": numbers.get("keepalives_interval", 1),
                "TCP_KEEPCNT": numbers.get("keepalives_count", max(1, user_timeout // 1000 - idle)),
            }
        if user_timeout:
            options["TCP_USER_TIMEOUT"] = user_timeout
        with socket.socket(fileno=os.dup(file_number)) as opened:
            if "TCP_KEEPIDLE" in options:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in options.items():
                if hasattr(socket, name):  # TCP_USER_TIMEOUT is of Linux
                    opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _read_options(options: str) -> dict[str, str]:
    """Return the settings in the parameter ``options`` of an address, and their values: ``-c NAME=VALUE`` or
    ``--NAME=VALUE`` (PostgreSQL documentation, ``postgres`` command)."""
    settings = re.findall(r"(?:^|\s)(?:-c\s*|--)([\w.-]+)=(\S*)", options)
    return {name.replace("-", "_").lower(): value for name, value in settings}


def _seconds(value: str, otherwise: float) -> float:
    """Return a time as PostgreSQL writes it, in seconds; a number without a unit is in milliseconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|)", value.strip("'\""))
    return float(match[1]) * UNITS[match[2]] if match else otherwise


def _of_lost_clients(limits: Limits) -> dict[str, str]:
    """Return the settings by which PostgreSQL notices that this host has vanished, and ends its transactions."""
    settings: dict[str, str] = {}
    if limits.keepalive:
        settings |= {"tcp_keepalives_idle": str(limits.keepalive), "tcp_keepalives_interval": "1"}
    if limits.user_timeout:
        settings["tcp_user_timeout"] = str(round(limits.user_timeout * 1000))
    return settings


class WaitingPool(KeepingPool):
    """A pool that waits within its time limit where the database has too many connections: for one of its own that is
    returned, or for the database to have one."""

    _sqla_logger_namespace = "sqlalchemy.pool.WaitingPool"  # otherwise SQLAlchemy takes the name of our module

    @staticmethod
    def is_over(driver: Any) -> bool:
        over: bool = driver.is_over()
        return over

    def connect(self) -> PoolProxiedConnection:
        """Return a connection.

        Raises:
            sqlalchemy.exc.TimeoutError: when all connections of the pool are in use for too long.
        """
        end = time.monotonic() + self.timeout()
        while True:
            try:
                return super().connect()
            except InvalidRequestError as error:  # what was opened was older than a fault again, twice in a row
                if time.monotonic() > end:
                    raise PoolTimeoutError(str(error)) from error
            except Exception as error:
                if not _is_full(error) or time.monotonic() > end:
                    raise
            await_(asyncio.sleep(FULL_SECONDS * random.uniform(0.1, 0.5)))  # noqa: S311  (not a secret)


def _is_full(error: BaseException) -> bool:
    return getattr(error, "sqlstate", "") == TOO_MANY or POOLER_IS_FULL in str(error)


def make_engine(
    settings: Settings, address: DatabaseAddress, *, limits: Limits | None = None, size: int | None = None
) -> AsyncEngine:
    """Return the engine of a PostgreSQL database.

    Args:
        settings: the size of the pool, the limits, and whether PgBouncer is between.
        address: of the database.
        limits: instead of those of the settings.
        size: of the pool, instead of that of the settings.
    """
    pooler = settings.database_pooler == "pgbouncer"
    prepared = settings.database_prepared_statements == "on" or (
        settings.database_prepared_statements == "auto" and not pooler
    )
    connector = Connector(address, limits or Limits.of(settings), pooler=pooler, prepared=prepared)
    cache_size = address.numbers.get("prepared_statement_cache_size", 100)

    def create() -> object:
        driver: Any = engine.dialect.loaded_dbapi
        return driver.connect(async_creator_fn=connector.connect, prepared_statement_cache_size=cache_size)

    first = address.hosts[0]
    engine = create_async_engine(
        URL.create(
            "postgresql+asyncpg",
            address.user,
            address.password,
            None if first.name.startswith("/") else first.name or None,
            first.port,
            address.database,
            {"host": first.name} if first.name.startswith("/") else {},
        ),
        creator=create,
        json_deserializer=read_json,
        poolclass=WaitingPool,
        pool_size=size or settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout.total_seconds(),
    )
    several = len(address.hosts) > 1 and address.target_session_attrs in ("read-write", "primary")
    event.listen(engine.sync_engine, "handle_error", _OnError(READ_ONLY if several else ""))
    event.listen(engine.sync_engine, "checkout", _replace_closed)
    return engine


class _OnError:
    """Decides which errors end a connection: it hangs or was closed, a migration changed what a prepared statement
    returns, or (of several hosts) it leads to a host that has become a standby."""

    def __init__(self, read_only: str) -> None:
        self._states = (*LOST_STATES, read_only) if read_only else LOST_STATES

    def __call__(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if context.connection is None:
            return
        outdated = type(error).__name__ == OUTDATED
        if isinstance(error, TimeoutError) or outdated or getattr(error, "sqlstate", "") in self._states:
            context.is_disconnect = True
        if context.is_disconnect and not context.connection.invalidated:
            self._report(context, context.connection.connection.driver_connection)

    @staticmethod
    def _report(context: ExceptionContext, driver: Any) -> None:
        """Let the connections that are as old as a lost one be replaced. SQLAlchemy would do so by the clock of the
        host, which may be set, and not where a statement took too long. A cancelled task says nothing of the others."""
        if context.invalidate_pool_on_disconnect or isinstance(context.original_exception, TimeoutError):
            driver.connector.report(driver, silent=_was_silent(context.original_exception))
        context.invalidate_pool_on_disconnect = False


def _was_silent(error: BaseException | None) -> bool:
    """Tell whether nothing answered: to a statement within its limit, or to the packets of the operating system."""
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = error.__cause__
    return False


def _replace_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Replace a connection that was closed while nobody used it, or is older than a fault, before a statement is
    sent."""
    if connection.driver_connection.is_over():
        raise DisconnectionError("the connection was closed")
