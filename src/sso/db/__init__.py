"""Storage: engine, transactions, column types and the base class of tables.

Knows no domain: no table but the version counters lives here, and no rule.
"""

from sso.db.base import INSERTS, Base, UtcDateTime, insert_for, new_id, table_of
from sso.db.database import Database, DatabaseUnavailable, TransactionConflict
from sso.db.locks import lock_rows
from sso.db.versions import bump_version, read_versions

__all__ = [
    "INSERTS",
    "Base",
    "Database",
    "DatabaseUnavailable",
    "TransactionConflict",
    "UtcDateTime",
    "bump_version",
    "insert_for",
    "lock_rows",
    "new_id",
    "read_versions",
    "table_of",
]
