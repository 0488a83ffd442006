"""Storage: engine, transactions, column types and the base class of tables.

Knows no domain: no table but the version counters lives here, and no rule.
"""

from sso.platform.db.base import INSERTS, Base, Json, UtcDateTime, insert_for, new_id, table_of
from sso.platform.db.database import Database, DatabaseUnavailable, TransactionConflict
from sso.platform.db.locks import lock_rows
from sso.platform.db.prepared import Executor, Work, session_of
from sso.platform.db.versions import bump_version, read_versions

__all__ = [
    "INSERTS",
    "Base",
    "Database",
    "DatabaseUnavailable",
    "Executor",
    "Json",
    "TransactionConflict",
    "UtcDateTime",
    "Work",
    "bump_version",
    "insert_for",
    "lock_rows",
    "new_id",
    "read_versions",
    "session_of",
    "table_of",
]
