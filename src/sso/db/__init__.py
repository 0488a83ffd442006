"""Storage: engine, transactions, column types and the base class of tables.

Knows no domain: no table but the version counters lives here, and no rule.
"""

from sso.db.base import INSERTS, Base, UtcDateTime, insert_for, new_id, table_of
from sso.db.database import Database, DatabaseUnavailable
from sso.db.versions import bump_version, read_versions

__all__ = [
    "INSERTS",
    "Base",
    "Database",
    "DatabaseUnavailable",
    "UtcDateTime",
    "bump_version",
    "insert_for",
    "new_id",
    "read_versions",
    "table_of",
]
