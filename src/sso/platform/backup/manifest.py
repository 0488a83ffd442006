"""The manifest of a backup: what the database held, read in the same snapshot as the copy."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, column, func, inspect, select, table

from sso.errors import Refusal
from sso.platform.audit.models import AuditCheckpoint, AuditEvent
from sso.platform.backup.container import Reader, UnreadableBackup, Writer
from sso.platform.db.migrate import VERSION_TABLE, head_revision

LENGTH_BYTES = 4
MAX_BYTES = 1024 * 1024


class Contents(BaseModel):
    """What a database holds: its migration, the rows of each table, and the newest event of the audit chain."""

    model_config = ConfigDict(frozen=True)

    revision: str
    rows: dict[str, int]
    chain_seq: int
    chain_hash: str

    def differences(self, other: Contents) -> list[str]:
        """Return what differs in ``other``, one line each."""
        lines = [
            f"{name}: {_rows(other, name)}, the backup says {_rows(self, name).removesuffix(' rows')}"
            for name in sorted(self.rows | other.rows)
            if self.rows.get(name) != other.rows.get(name)
        ]
        if self.chain_seq != other.chain_seq:
            lines.append(f"the audit chain ends at {other.chain_seq}, the backup says {self.chain_seq}")
        elif self.chain_hash != other.chain_hash:
            lines.append(f"the audit chain ends at {other.chain_seq} with another entry")
        if self.revision != other.revision:
            lines.append(f"the schema is {other.revision}, the backup says {self.revision}")
        return lines


def _rows(contents: Contents, name: str) -> str:
    return f"{contents.rows[name]} rows" if name in contents.rows else "no table"


class Manifest(BaseModel):
    """What a backup says of itself. It is the first part of the encrypted stream."""

    model_config = ConfigDict(frozen=True)

    release: str
    issuer: str
    created_at: datetime
    database: Literal["sqlite", "postgresql"]
    server: str
    contents: Contents

    def write(self, writer: Writer) -> None:
        """Write the manifest at the beginning of the stream."""
        data = self.model_dump_json().encode()
        writer.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)

    @classmethod
    def read(cls, reader: Reader) -> Manifest:
        """Return the manifest at the beginning of the stream.

        Raises:
            UnreadableBackup: when there is none.
            Refusal: when a newer release made the backup.
        """
        size = int.from_bytes(reader.read(LENGTH_BYTES), "big")
        if size > MAX_BYTES:
            raise UnreadableBackup("the backup has no manifest")
        try:
            manifest = cls.model_validate_json(reader.read(size))
        except ValidationError:
            raise UnreadableBackup("the manifest of the backup cannot be read by this release") from None
        if manifest.contents.revision > (head_revision() or ""):
            raise Refusal(
                f"release {manifest.release} made the backup with schema {manifest.contents.revision}, this release "
                f"knows {head_revision()}: install {manifest.release} or newer"
            )
        return manifest


def look(connection: Connection) -> Contents | None:
    """Return what a database holds; None if it has no table."""
    names = sorted(inspect(connection).get_table_names())
    if not names:
        return None
    rows = {name: connection.execute(select(func.count()).select_from(table(name))).scalar_one() for name in names}
    seq, digest = 0, b""
    if AuditEvent.__tablename__ in rows:
        for source in (AuditEvent, AuditCheckpoint):
            newest = select(source.seq, source.hash).where(source.seq.is_not(None)).order_by(source.seq.desc()).limit(1)
            event = connection.execute(newest).first()
            if event is not None:
                seq, digest = event[0] or 0, event[1] or b""
                break
    revision = ""
    if rows.get(VERSION_TABLE):
        revision = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar_one()
    return Contents(revision=revision, rows=rows, chain_seq=seq, chain_hash=digest.hex())
