"""Storage: engine, transactions, column types and the base class of tables.

Knows no domain: no tables but the version counters and the runs of the jobs live here, and no rule.
"""

from sso.platform.db.base import INSERTS, Base, InsertFor, Json, UtcDateTime, index_where, insert_for, new_id, table_of
from sso.platform.db.batches import count_roughly, delete_batch
from sso.platform.db.database import Database, DatabaseUnavailable, TransactionConflict, TransactionLost
from sso.platform.db.fetch import each_of, fetch, fetch_object, fetch_objects, make_object, one_of, run_bridged
from sso.platform.db.job_runs import JobRun
from sso.platform.db.locks import lock_rows
from sso.platform.db.prepared import Executor, Work, session_of
from sso.platform.db.times import not_ended, valid_at
from sso.platform.db.versions import bump_version, read_versions

__all__ = [
    "INSERTS",
    "Base",
    "Database",
    "DatabaseUnavailable",
    "Executor",
    "InsertFor",
    "JobRun",
    "Json",
    "TransactionConflict",
    "TransactionLost",
    "UtcDateTime",
    "Work",
    "bump_version",
    "count_roughly",
    "delete_batch",
    "each_of",
    "fetch",
    "fetch_object",
    "fetch_objects",
    "index_where",
    "insert_for",
    "lock_rows",
    "make_object",
    "new_id",
    "not_ended",
    "one_of",
    "read_versions",
    "run_bridged",
    "session_of",
    "table_of",
    "valid_at",
]
