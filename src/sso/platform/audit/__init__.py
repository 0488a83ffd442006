"""The audit log: append-only events, chained by a keyed hash so that a change or a gap is found.

Other rooms call :func:`record` or :func:`record_by` within the transaction of what they do. What an event means is not
known here.
"""

from sso.platform.audit.service import (
    AuditReport,
    append_to_chain,
    export,
    prune,
    record,
    record_by,
    redact,
    verify,
    verify_archive,
)

__all__ = [
    "AuditReport",
    "append_to_chain",
    "export",
    "prune",
    "record",
    "record_by",
    "redact",
    "verify",
    "verify_archive",
]
