"""Storage: engine, transactions, column types and the base class of tables.

Knows no domain: no table but the version counters lives here, and no rule.
"""

from sso.db.base import Base, UtcDateTime, new_id, table_of
from sso.db.database import Database, DatabaseUnavailable
from sso.db.versions import bump_version, read_versions

__all__ = [
    "Base",
    "Database",
    "DatabaseUnavailable",
    "UtcDateTime",
    "bump_version",
    "new_id",
    "read_versions",
    "table_of",
]
