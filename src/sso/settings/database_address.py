"""Addresses of PostgreSQL as libpq and SQLAlchemy write them (PostgreSQL documentation, section 34.1.1.2).

:func:`read_address` checks an address and takes it apart. A mistake is a ``ValueError`` of one line, which never
repeats a part of the address that may hold the password.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
PROTOCOL_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": SSL_MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": PROTOCOL_VERSIONS,
    "ssl_max_protocol_version": PROTOCOL_VERSIONS,
    "target_session_attrs": SESSION_ATTRIBUTES,
    "load_balance_hosts": ("disable", "random"),
    "gsslib": ("gssapi",),
    "keepalives": ("0", "1"),
    # What libpq can do and the driver cannot: only the values that ask for nothing are accepted.
    "gssencmode": ("disable", "prefer"),
    "channel_binding": ("disable", "prefer"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8", "auto"),
    "sslcompression": ("0",),
    "sslsni": ("1",),
    "sslcertmode": ("allow",),
    "gssdelegation": ("0",),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "latest"),
}
_NUMBERS = (
    "connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "prepared_statement_cache_size",
)  # fmt: skip
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_TEXTS = ("options", "application_name", "fallback_application_name", "sslpassword", "krbsrvname")
_PLACE = ("host", "port", "user", "password", "dbname", "database")
_DRIVER = (
    "sslmode", "sslnegotiation", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "passfile", "krbsrvname", "gsslib",
)  # fmt: skip
"""Parameters that the driver reads as libpq does."""
_UNSUPPORTED: Mapping[str, str] = {
    "service": "write the address out instead",
    "hostaddr": "write the IP address as the host",
    "servicefile": "write the address out instead",
    "require_auth": "allow one method in pg_hba.conf instead",
    "requirepeer": "name the host with sslmode=verify-full instead",
    "sslcrldir": "use sslcrl=FILE instead",
    "replication": "leave it out",
}
PARAMETERS = (*_CHOICES, *_NUMBERS, *_FILES, *_TEXTS, *_PLACE)
_URL = re.compile(
    r"[a-z+]+://(?:(?P<user>[^:/?#@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<name>[^:\[\]@\s]*))(?::(?P<port>\w*))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SYSTEM_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class Host:
    """One of the hosts: a name, an IP address or the directory of a socket; empty: what the driver finds by itself."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name or "the local socket"
        return f"{name}:{self.port}" if self.port else name


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """An address of PostgreSQL. ``driver``: what the driver reads as libpq does. ``numbers``: limits that the address
    sets, in the units of libpq. None and empty: the address does not say."""

    hosts: tuple[Host, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    target_session_attrs: str = "any"
    shuffle: bool = False
    options: str | None = None
    application_name: str | None = None
    keepalives: bool = True
    driver: Mapping[str, str] = field(default_factory=dict, repr=False)
    numbers: Mapping[str, int] = field(default_factory=dict)


def read_address(text: str) -> DatabaseAddress:
    """Return the parts of an address of PostgreSQL.

    Raises:
        ValueError: when the address cannot be used: one line that says what to do.
    """
    if _CONTROL.search(unquote(text)):
        raise ValueError("holds a control character, such as a line break or %00")
    parts = _URL.fullmatch(text)
    if parts is None or "@" in parts["hosts"]:
        raise ValueError("cannot be read: write @ : / ? # in a username or password as %40 %3A %2F %3F %23")
    query = _read_query(parts["query"] or "")
    for name, value in query.items():
        _check(name, value)
    hosts = _hosts(query["host"], raw=True) if "host" in query else _hosts(parts["hosts"], raw=False)
    database = query.get("dbname", query.get("database", unquote(parts["database"] or "")))
    numbers = {name: int(query[name]) for name in _NUMBERS if name in query}
    driver = {name: query[name] for name in _DRIVER if query.get(name)}
    _check_certificates(driver)
    return DatabaseAddress(
        hosts=_with_ports(hosts, query.get("port", "")),
        user=query.get("user", unquote(parts["user"] or "")) or None,
        password=query.get("password", unquote(parts["password"] or "")) or None,
        database=database or None,
        target_session_attrs=query.get("target_session_attrs", "any"),
        shuffle=query.get("load_balance_hosts") == "random",
        options=query.get("options"),
        application_name=query.get("application_name", query.get("fallback_application_name")),
        keepalives=query.get("keepalives") != "0",
        driver=driver,
        numbers=numbers,
    )


def _read_query(query: str) -> dict[str, str]:
    """Return the parameters. As libpq reads them: a plus sign is one. ``ssl`` is SQLAlchemy's name of ``sslmode``; a
    host or port that is given several times is a list."""
    parameters: dict[str, str] = {}
    for number, pair in enumerate((part for part in query.split("&") if part), 1):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"parameter {number} has no value: write NAME=VALUE, and & in a value as %26")
        name, value = unquote(name), unquote(value)
        name = "sslmode" if name == "ssl" else name
        parameters[name] = f"{parameters[name]},{value}" if name in ("host", "port") and name in parameters else value
    return parameters


def _check(name: str, value: str) -> None:
    if name in _UNSUPPORTED:
        raise ValueError(f"the parameter {name} is not supported: {_UNSUPPORTED[name]}")
    if name not in PARAMETERS:
        similar = difflib.get_close_matches(name, PARAMETERS, n=1, cutoff=0.75)
        hint = f"did you mean {similar[0]}?" if similar else "a setting of the server is written options=-cNAME%3DVALUE"
        raise ValueError(f"the parameter {name[:40]!r} is not known: {hint}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"{name} must be {' or '.join(_CHOICES[name])}")
    if name in _NUMBERS:
        minimum = 0 if name == "prepared_statement_cache_size" else 1
        if not (value.isascii() and value.isdecimal()) or not minimum <= int(value[:11]) < 2**31:
            raise ValueError(f"{name} must be a whole number, at least {minimum}")
    if name in _FILES and value and (name, value) != ("sslrootcert", "system"):
        if not Path(value).is_file():
            raise ValueError(f"{name}: there is no file {value}")
        if not os.access(value, os.R_OK):
            raise ValueError(f"{name}: {value} cannot be read by this user")
        if name == "passfile" and Path(value).stat().st_mode & 0o077:
            raise ValueError(f"passfile: others may read {value}, so that it is not used: chmod 600 {value}")


def _hosts(text: str, *, raw: bool) -> list[Host]:
    """Return the hosts of a list that is separated by commas.

    Args:
        text: the list.
        raw: it was a parameter: already decoded, and an IPv6 address needs no brackets.
    """
    hosts = []
    for number, part in enumerate(text.split(","), 1):
        if raw and (part.startswith("/") or (part.count(":") > 1 and not part.startswith("["))):
            hosts.append(Host(part))
            continue
        match = _HOST.fullmatch(part)
        if match is None or ("," in text and not part):
            raise ValueError(
                f"host {number} cannot be read: write NAME:PORT or [IPV6]:PORT with a port from 1 to 65535, "
                "and / in the directory of a socket as %2F"
            )
        name = match["ipv6"] or match["name"]
        name = name if raw else unquote(name)
        _check_name(name, number)
        hosts.append(Host(name, _port(match["port"], number) if match["port"] else None))
    return hosts


def _check_name(name: str, number: int) -> None:
    """Check that the system can look a name up: it has no empty label, and none of more than 63 bytes."""
    if not name.startswith("/"):
        try:
            name.encode("idna")
        except UnicodeError:
            raise ValueError(f"host {number} is no name of a host") from None


def _port(text: str, number: int) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:6]) < 65536:
        raise ValueError(f"the port of host {number} must be a number from 1 to 65535")
    return int(text)


def _with_ports(hosts: list[Host], ports: str) -> tuple[Host, ...]:
    """Return the hosts with the ports of the parameter ``port``: one for all, or one for each."""
    if not ports:
        return tuple(hosts)
    listed = ports.split(",")
    if len(listed) not in (1, len(hosts)):
        raise ValueError(f"port lists {len(listed)} ports for {len(hosts)} hosts: write one port, or one for each host")
    listed = listed * len(hosts) if len(listed) == 1 else listed
    return tuple(
        Host(host.name, host.port or _port(port, number))
        for number, (host, port) in enumerate(zip(hosts, listed, strict=True), 1)
    )


def _check_certificates(driver: dict[str, str]) -> None:
    """Check that the certificates can be used; put the file of the system's certificates in place of ``system``."""
    if driver.get("sslrootcert") == "system":
        bundle = next((path for path in _SYSTEM_CERTIFICATES if Path(path).is_file()), None)
        if bundle is None:
            raise ValueError("sslrootcert=system: this system has no certificates: install ca-certificates")
        driver["sslrootcert"] = bundle
        if driver.setdefault("sslmode", "verify-full") != "verify-full":
            raise ValueError("sslrootcert=system needs sslmode=verify-full")
    own = Path("~/.postgresql/root.crt").expanduser()
    if driver.get("sslmode", "").startswith("verify-") and not (
        driver.get("sslrootcert") or os.environ.get("PGSSLROOTCERT") or own.is_file()
    ):
        raise ValueError(f"sslmode={driver['sslmode']} needs sslrootcert=FILE, the certificates to trust")
    if driver.get("sslkey") and not driver.get("sslcert"):
        raise ValueError("sslkey needs sslcert=FILE, its certificate")
    if driver.keys() & {"sslrootcert", "sslcert", "sslcrl"}:
        _load_certificates(driver)


def _load_certificates(driver: Mapping[str, str]) -> None:
    import ssl  # read only where certificates are named

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    loads: dict[str, Callable[[str], None]] = {
        "sslrootcert": lambda path: context.load_verify_locations(cafile=path),
        "sslcrl": lambda path: context.load_verify_locations(cafile=path),
        "sslcert": lambda path: context.load_cert_chain(
            path, driver.get("sslkey"), password=driver.get("sslpassword", "")
        ),
    }
    for name, load in loads.items():
        if path := driver.get(name):
            try:
                load(path)
            except (OSError, ValueError) as error:
                key = f" and its key {driver['sslkey']}" if name == "sslcert" and "sslkey" in driver else ""
                reason = " ".join(str(getattr(error, "reason", None) or error).split())
                raise ValueError(f"{name}: {path}{key} cannot be used as PEM ({reason})") from None
