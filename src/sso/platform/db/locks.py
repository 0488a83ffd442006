"""The order in which transactions lock rows.

Two transactions that lock the same rows in opposite orders wait for each other until the database rolls one of them
back (a deadlock). Every transaction therefore locks tables in the order of :data:`LOCK_ORDER`, and rows of one table in
the order of their primary key (:func:`lock_rows`). ``tests/lock_order.py`` checks both in every test.

Locks of PostgreSQL:

- INSERT with a foreign key takes FOR KEY SHARE on the parent's row. This waits for nothing but DELETE of the parent
  (and FOR UPDATE, which is therefore used for nothing else), so it has no place in the order. Only jobs delete parents,
  when they are not used any more, and skip locked rows.
- A transaction never updates a row that it has locked FOR SHARE: two transactions that do so wait for each other.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db.sql_types import SelectStatement

OF_A_PERSON = (
    "pending_flows",
    "user_roles",
    "identifiers",
    "identity_checks",
    "local_accounts",
    "merge_proposals",
    "credentials",
    "pictures",
    "favourites",
    "agreements",
    "attribute_values",
    "group_administrators",
    "memberships",
    "employments",
    "role_assignments",
    "unit_administrators",
    "saved_searches",
    "recoveries",
)
"""Tables whose rows belong to a person. A transaction that holds the row of the person locks them in any order."""
LOCK_ORDER = (
    # What a request presents, is used once, or must not be done twice.
    "idempotency_keys",
    "invitations",
    "user_invitations",
    "bulk_revocations",
    "pending_access_changes",
    "access_clock",
    "refresh_tokens",
    "device_codes",
    # Applications.
    "applications",
    "clients",
    "client_secrets",
    "client_registrations",
    "client_privileges",
    "versions",
    "access_reviews",
    # Units and groups.
    "groups",
    "group_ancestors",
    # People, and what proves who they are.
    "users",
    *OF_A_PERSON,
    # Sessions, and what was granted within them.
    "sessions",
    "consents",
    "grants",
    "access_tokens",
    "session_clients",
)
"""Tables in the order in which a transaction locks rows of them. Tables that are not named are locked after these; a
transaction locks rows of one of those alone, or rows that belong to a row that it holds already."""
WITHOUT_ORDER = frozenset({"ends", "replay"})
"""Tables that have no place in the order. ``ends``: rows are only inserted, with numbers that nobody else has.
``replay``: a row is inserted once for each value that is used, by transactions that all
come from the same place in the code, so two of them that meet at a row have locked the same tables before; or it is
inserted as the last act of its transaction, which waits for nobody any more."""


async def lock_rows(session: AsyncSession, statement: SelectStatement) -> list[Any]:
    """Lock the rows that ``statement`` selects until the transaction of ``session`` ends, and return its first column.

    The statement names the rows in the order of their primary key. Rows that another transaction changed meanwhile are
    looked at as they are afterwards. On SQLite, where one transaction writes at a time, nothing needs to be locked.
    """
    return list((await session.execute(statement.with_for_update(key_share=True))).scalars())
