"""One record of a file of people, as every reader in :mod:`sso.identity.users.readers` yields it."""

from __future__ import annotations

from dataclasses import dataclass

MAX_RECORD_BYTES = 64 * 1024
"""How long a record may be; a longer one is refused, and reading goes on after it."""


class SchemeUnknown(ValueError):
    """``password_scheme`` names a scheme that is not known; the message says so and names the column. The row is
    rejected; another refused hash costs only the password."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        line: the number of the line where the record begins; the first line of the file is 1.
        row: the values, under the column names of :data:`sso.identity.users.importing.COLUMNS` or those of the file.
            None: the record is rejected.
        reason: why the record is rejected.
        read: how many bytes of the file are read so far.
        lines: how many lines of the file the record takes.
        notes: values that the reader left out, each as ``column: reason``.
        rejected_id: of a record that was read and rejected: the id of the user in the other system, or nothing where
            it has none. None: the record cannot be read.
    """

    line: int
    row: dict[str, object] | None
    reason: str = ""
    read: int = 0
    lines: int = 1
    notes: tuple[str, ...] = ()
    rejected_id: str | None = None
