"""Addresses of PostgreSQL: as libpq and SQLAlchemy write them; a mistake is one line without the password."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest

from sso.http.admin.setting_texts import masked
from sso.platform.db.postgres import Connector, Limits
from sso.settings import Settings, SettingsError, load_settings
from sso.settings.database_address import Host, read_address

REAL = {"issuer": "https://masuk.kota.example", "secret_key": "x" * 32}
ADDRESSES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "postgresql://sso@db.internal/sso": (("db.internal",), {"user": "sso", "password": None, "database": "sso"}),
    "postgres://u:p@h:5433/d": (("h:5433",), {"user": "u", "password": "p", "database": "d"}),
    "postgresql+asyncpg://u:p%40%2F%3A@h/d": (("h",), {"password": "p@/:"}),
    "postgresql://u:p/w?#+:@h/d": (("h",), {"password": "p/w?#+:"}),
    "postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write": (
        ("h1:5432", "h2:5433"), {"target_session_attrs": "read-write"},
    ),
    "postgresql://u@/d?host=h1,h2&port=5432,5433": (("h1:5432", "h2:5433"), {}),
    "postgresql://u@/d?host=h1,h2&port=6432": (("h1:6432", "h2:6432"), {}),
    "postgresql+asyncpg://u@/d?host=h1:5432&host=h2:5433": (("h1:5432", "h2:5433"), {}),
    "postgresql+asyncpg://u@/d?host=h1&port=1&host=h2&port=2": (("h1:1", "h2:2"), {}),
    "postgresql://u@h1,h2:5433,[::1]:5434/d?port=6000": (("h1:6000", "h2:5433", "[::1]:5434"), {}),
    "postgresql://u@[2001:db8::5]/d": (("[2001:db8::5]",), {}),
    "postgresql://u@[fe80::1%25eth0]:5433/d": (("[fe80::1%eth0]:5433",), {}),
    "postgresql:///d?host=fe80::1%25eth0": (("[fe80::1%eth0]",), {}),
    "postgresql://u@[::1]:5432,[::2],h/d": (("[::1]:5432", "[::2]", "h"), {}),
    "postgresql:///d?host=2001:db8::5": (("[2001:db8::5]",), {"user": None, "database": "d"}),
    "postgresql:///d?host=/run/postgresql&user=u&password=p%26": (("/run/postgresql",), {"password": "p&"}),
    "postgresql://u@%2Frun%2Fpostgresql:5433/d": (("/run/postgresql:5433",), {}),
    "postgresql://": (("the local socket",), {"user": None, "database": None}),
    "postgresql://h/d%20e?dbname=f": (("h",), {"database": "f"}),
    "postgresql://h/d?options=-csearch_path%3Da+b%20-cx%3D1&application_name=x": (
        ("h",), {"options": "-csearch_path=a+b -cx=1", "application_name": "x"},
    ),
    "postgresql://h/d?sslmode=require&sslnegotiation=direct": (
        ("h",), {"driver": {"sslmode": "require", "sslnegotiation": "direct"}},
    ),
    "postgresql+asyncpg://h/d?ssl=require": (("h",), {"driver": {"sslmode": "require"}}),
    "postgresql://h/d?connect_timeout=3&keepalives=0&tcp_user_timeout=4000": (
        ("h",), {"numbers": {"connect_timeout": 3, "tcp_user_timeout": 4000}, "keepalives": False},
    ),
    "postgresql://h1,h2/d?load_balance_hosts=random&target_session_attrs=prefer-standby": (
        ("h1", "h2"), {"shuffle": True, "target_session_attrs": "prefer-standby"},
    ),
    "postgresql://h/d?target_session_attrs=standby": (("h",), {"target_session_attrs": "standby"}),
    "postgresql://h/d?options=-c%20statement_timeout%3D5s": (("h",), {"options": "-c statement_timeout=5s"}),
    "postgresql://h/d?fallback_application_name=x&sslcertmode=allow&max_protocol_version=latest": (
        ("h",), {"application_name": "x"},
    ),
    "postgresql://h/d?gssencmode=disable&channel_binding=prefer&client_encoding=utf8&sslsni=1": (("h",), {}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ADDRESSES.items(), ids=ADDRESSES.keys())
def test_addresses_are_read(text: str, expected: tuple[tuple[str, ...], dict[str, Any]]) -> None:
    address = read_address(text)
    assert tuple(map(str, address.hosts)) == expected[0]
    for name, value in expected[1].items():
        assert getattr(address, name) == value
    assert Settings(_env_file=None, **REAL, database_url=text).database_address == address  # type: ignore[call-arg]


MISTAKES = {
    "postgresql://u:geheim@h@h/d": "write @ : / ? # in a username or password as %40",
    "postgresql://u:geheim@h:port/d": "the port of host 1 must be a number from 1 to 65535",
    "postgresql://u:geheim@h:99999/d": "the port of host 1 must be a number from 1 to 65535",
    "postgresql://u:geheim@h1,,h2/d": "host 2 cannot be read",
    "postgresql://u:geheim@[::1/d": "host 1 cannot be read",
    "postgresql://u:geheim@h1,h2,h3/d?port=1,2": "port lists 2 ports for 3 hosts",
    "postgresql://u:geheim@h/d?port=x": "the port of host 1 must be a number",
    "postgresql://u:geheim@h/d?sslmod=require": "the parameter 'sslmod' is not known: did you mean sslmode?",
    "postgresql://u:geheim@h/d?statement_timeout=5": "a setting of the server is written options=-cNAME%3DVALUE",
    "postgresql://u:geheim@h/d?sslmode=on": "sslmode must be disable or allow or prefer or require or verify-ca or",
    "postgresql://u:geheim@h/d?target_session_attrs=master": "target_session_attrs must be any or read-write or",
    "postgresql://u:geheim@h/d?connect_timeout=0": "connect_timeout must be a whole number, at least 1",
    "postgresql://u:geheim@h/d?sslrootcert=/nowhere/ca.pem": "sslrootcert: there is no file /nowhere/ca.pem",
    "postgresql://u:geheim@h/d?sslmode=verify-full": "sslmode=verify-full needs sslrootcert=FILE",
    "postgresql://u:geheim@h/d?sslkey=/dev/null": "sslkey: there is no file /dev/null",
    "postgresql://u:geheim@h/d?channel_binding=require": "channel_binding must be disable or prefer",
    "postgresql://u:geheim@h/d?service=city": "the parameter service is not supported: write the address out instead",
    "postgresql://u:geheim@h/d?geheim": "parameter 1 has no value",
    "postgresql://u:geheim@h%00/d": "holds a control character",
    "postgresql://u%00:geheim@h/d": "holds a control character",
    "postgresql://u:geheim@h/d?options=-cx%3D1%0A": "holds a control character",
    "postgresql://u:geheim@a..b/d": "host 1 is no name of a host",
    f"postgresql://u:geheim@h1,{'x' * 64}/d": "host 2 is no name of a host",
    "postgresql://u:geheim@%ff/d": "host 1 is no name of a host",
    "postgresql://u:geheim@h/d?connect_timeout=٣": "connect_timeout must be a whole number, at least 1",
    "postgresql://u:geheim@h/d?passfile=/etc/passwd": "passfile: others may read /etc/passwd, so that it is not used",
    "postgresql://u:geheim@h/d?requirepeer=root": "the parameter requirepeer is not supported: name the host with",
    "postgresql://u:geheim@h/d?sslrootcert=system&sslmode=require": "sslrootcert=system needs sslmode=verify-full",
    "postgresql:u:geheim@h/d": "must begin with postgresql:// or sqlite:///",
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items(), ids=MISTAKES.values())
def test_a_mistake_is_one_line_without_the_password(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    with pytest.raises(SettingsError) as caught:
        load_settings(**REAL, database_url=text)
    (line,) = caught.value.mistakes
    assert line.startswith("SSO_DATABASE_URL: ")
    assert expected in line
    assert "geheim" not in line
    assert "\n" not in line


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    wrong, certificate, key = tmp_path / "wrong.pem", tmp_path / "client.pem", tmp_path / "client.key"
    wrong.write_text("no certificate")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-subj", "/CN=sso", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    for query, expected in (
        (f"sslrootcert={wrong}", f"sslrootcert: {wrong} cannot be used as PEM"),
        (f"sslcert={certificate}&sslkey={wrong}", f"sslcert: {certificate} and its key {wrong} cannot be used as PEM"),
        (f"sslkey={key}", "sslkey needs sslcert=FILE"),
    ):
        with pytest.raises(ValueError, match=expected):
            read_address(f"postgresql://h/d?{query}")
    read = read_address(
        f"postgresql://h/d?sslmode=verify-full&sslrootcert={certificate}&sslcert={certificate}&sslkey={key}"
    )
    assert read.driver["sslmode"] == "verify-full"
    assert read_address("postgresql://h/d?sslrootcert=system").driver["sslrootcert"].startswith("/etc/")


def test_a_connection_older_than_a_fault_reports_no_other_one() -> None:
    """Statements of a silent host end one after the other: the connections that replace theirs stay."""
    limits = Limits(connect=2, statement=8, lock=5, idle_in_transaction=30, keepalive=3, user_timeout=6)
    connector = Connector(read_address("postgresql://h/d"), limits, pooler=False, prepared=True)
    host = connector._address.hosts[0]
    old = [SimpleNamespace(generation=connector.generation, host=host) for _ in range(3)]
    for connection in old:
        connector.report(cast(Any, connection), silent=True)
    assert connector.generation == 1
    connector.report(cast(Any, SimpleNamespace(generation=1, host=host)), silent=False)
    assert connector.generation == 2


def test_options_replace_only_the_limits_that_they_name() -> None:
    limits = Limits(connect=2, statement=8, lock=5, idle_in_transaction=30, keepalive=3, user_timeout=6)

    def arguments(options: str, limits: Limits = limits) -> dict[str, Any]:
        address = read_address(f"postgresql://h/d?options={quote(options)}")
        return Connector(address, limits, pooler=False, prepared=True)._arguments

    def limits_sent(options: str) -> set[str]:
        return limits.of_server.keys() & arguments(options)["server_settings"].keys()

    every = {"jit", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}
    assert limits_sent("-c deadlock_timeout=2s -cjit_above_cost=1 -c log_line_prefix=--lock_timeout") == every
    assert limits_sent("-clock_timeout=77 -c jit=on") == every - {"lock_timeout", "jit"}
    assert limits_sent("--statement-timeout=5s") == every - {"statement_timeout"}
    # What waits for the answer waits as long as PostgreSQL may take.
    for options, seconds in (
        ("-c statement_timeout=5s", 6.0),
        ("-c statement_timeout=60000", 61.0),
        ("-cstatement_timeout=2min", 121.0),
        ("-c statement_timeout=0", None),
        ("-c statement_timeout=odd", 9.0),
        ("-c jit=on", 9.0),
    ):
        assert arguments(options)["command_timeout"] == seconds
    without = replace(limits, statement=0, firm=True)
    migrating = arguments("-c statement_timeout=5s", without)
    assert (migrating["server_settings"]["statement_timeout"], migrating["command_timeout"]) == ("0", None)


def test_pgbouncer_and_options_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="PgBouncer refuses the parameter options"):
        load_settings(**REAL, database_url="postgresql://h/d?options=-cx%3D1", database_pooler="pgbouncer")


def test_limits_have_defaults_that_find_a_lost_host_within_ten_seconds() -> None:
    settings = load_settings(**REAL, database_url="postgresql://h/d")
    noticed = settings.database_tcp_user_timeout + settings.database_connect_timeout
    assert noticed <= timedelta(seconds=10)
    assert settings.database_statement_timeout + timedelta(seconds=1) <= timedelta(seconds=10)


def test_the_console_shows_no_password_of_an_address() -> None:
    address = masked("postgresql://u:geheim@h1:5432,h2:5433/d?sslpassword=geheim&password=geheim")
    assert "geheim" not in address
    assert "h1:5432,h2:5433" in address
    assert masked("postgresql://u@h/d") == "postgresql://u@h/d"


def test_a_host_is_named_as_it_is_written() -> None:
    assert [str(Host("h")), str(Host("::1", 5432)), str(Host(""))] == ["h", "[::1]:5432", "the local socket"]
