"""The check of the order of locks finds what it is for."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects import postgresql
from tests.lock_order import Locks, Watch, locks_of

from sso.oidc.store.store import _EXCHANGE, _RENEW, _USE_CODE
from sso.platform.db.locks import LOCK_ORDER
from sso.schema import metadata


def test_every_table_of_the_order_is_there_once() -> None:
    assert len(set(LOCK_ORDER)) == len(LOCK_ORDER)
    assert set(LOCK_ORDER) <= set(metadata.tables)


def test_the_exchange_of_a_code_locks_the_session_before_the_grant() -> None:
    statement = str(_USE_CODE["postgresql"].compile(dialect=postgresql.dialect()))
    assert locks_of(statement) == (("sessions", "share"), ("grants", "write"))


def test_the_exchange_in_one_statement_locks_in_the_same_order() -> None:
    statement = str(_EXCHANGE[True].compile(dialect=postgresql.dialect()))
    assert locks_of(statement) == (
        ("sessions", "share"), ("grants", "lock"), ("session_clients", "write"), ("grants", "write"),
        ("refresh_tokens", "insert"),
    )  # fmt: skip


def test_a_refresh_locks_the_token_before_the_grant() -> None:
    statement = str(_RENEW.compile(dialect=postgresql.dialect()))
    insert = ("refresh_tokens", "insert")
    assert locks_of(statement) == (("refresh_tokens", "lock"), ("grants", "lock"), ("refresh_tokens", "write"), insert)


@pytest.mark.parametrize(
    ("statements", "reports"),
    [
        (["UPDATE sessions SET a = 1", "UPDATE grants SET a = 1", "UPDATE sessions SET b = 1"], []),
        (["UPDATE grants SET a = 1", "UPDATE sessions SET a = 1"], ["sessions after grants"]),
        (["UPDATE grants SET a = 1", "SELECT s.id FROM sessions FOR SHARE"], ["sessions after grants"]),
        (["DELETE FROM grants", "INSERT INTO sessions (a) VALUES (1)"], []),
        (["UPDATE grants SET a = 1", "SELECT id FROM sessions FOR UPDATE SKIP LOCKED"], []),
        (["UPDATE outbox SET a = 1", "DELETE FROM users"], ["users after outbox"]),
        (
            ["SELECT 1 FROM users JOIN sessions ON a = b FOR SHARE OF sessions, users"],
            ["users after sessions"],
        ),
        (
            ["SELECT id FROM sessions FOR SHARE", "UPDATE sessions SET a = 1"],
            ["sessions is held FOR SHARE and then changed"],
        ),
        (
            ["INSERT INTO versions (a) VALUES (1) ON CONFLICT DO NOTHING", "UPDATE clients SET a = 1"],
            ["clients after versions"],
        ),
    ],
)  # fmt: skip
def test_what_is_out_of_order_is_found(statements: list[str], reports: list[str]) -> None:
    watch, mine = Watch(), Locks()
    for statement in statements:
        watch.add(mine, statement)
    assert list(watch.wrong) == reports
