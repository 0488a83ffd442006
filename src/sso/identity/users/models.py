"""Tables of people."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, new_id


class User(Base):
    """A person. ``profile`` holds the standard claims of OpenID Connect Core section 5.1 that are kept as they are.

    ``security_version`` counts how often everything that opens the account was ended (a changed password, a disabled
    account): a sign-in that began before is refused.

    Of somebody who was deleted only the id is kept, for the record of what happened; ``disabled_at`` is set too.
    ``delete_at`` is when a person who asked for it is deleted. Until ``locked_until`` nothing that opens the
    account can
    be changed: somebody said that a sign-in was not theirs.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("ix_users_name_words", func.to_tsvector(text("'simple'"), text("name")), postgresql_using="gin").ddl_if(
            dialect="postgresql"
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)
    locale: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    delete_at: Mapped[datetime | None] = mapped_column(index=True)
    locked_until: Mapped[datetime | None]
    identity_checked_at: Mapped[datetime | None]
    preferences: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    security_version: Mapped[int] = mapped_column(default=0, server_default="0")


class Identifier(Base):
    """What a person signs in with. ``lookup`` is the normalised form; verified, it is unique among all people and
    kinds.

    Of a NIK ``value`` is masked, ``lookup`` a keyed hash, and ``encrypted`` the number. ``asserted_at`` is when
    somebody else, an administrator or a program, last added it to an account that was there already or marked it as
    verified; None: the person proved it, or it came with the account.
    """

    __tablename__ = "identifiers"
    __table_args__ = (
        Index(
            "uq_identifiers_verified_lookup",
            "lookup",
            unique=True,
            sqlite_where=text("verified_at IS NOT NULL"),
            postgresql_where=text("verified_at IS NOT NULL"),
        ),
        UniqueConstraint("user_id", "lookup"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[str] = mapped_column(String(320))
    lookup: Mapped[str] = mapped_column(String(320), index=True)
    is_primary: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    asserted_at: Mapped[datetime | None]


class Credential(Base):
    """What proves who a person is.

    ``kind`` is password (``secret`` is its hash), passkey (``secret`` is the public key, ``external_id`` the credential
    id), totp (``secret`` is the seed, encrypted) or recovery_code (``secret`` is its hash; it goes when it is used).
    """

    __tablename__ = "credentials"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    secret: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    name: Mapped[str | None] = mapped_column(String(100))
    external_id: Mapped[bytes | None] = mapped_column(LargeBinary(1024), unique=True)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    last_used_at: Mapped[datetime | None]


class UserRole(Base):
    """A role that a person holds."""

    __tablename__ = "user_roles"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(32), primary_key=True)


class GroupAdministrator(Base):
    """That somebody with the role ``group_admin`` looks after a group of applications."""

    __tablename__ = "group_administrators"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group: Mapped[str] = mapped_column("city_group", String(60), primary_key=True)


class IdentityCheck(Base):
    """That an officer compared a person with a document. ``document`` is its kind; of its number the end is kept."""

    __tablename__ = "identity_checks"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    officer: Mapped[str] = mapped_column(String(200))
    document: Mapped[str] = mapped_column(String(32))
    document_end: Mapped[str] = mapped_column(String(8))
    place: Mapped[str] = mapped_column(String(200))
    checked_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class LocalAccount(Base):
    """The id by which an application knew a person before: told to that application, so that it finds its own row.

    ``imported_at`` is when an import with ``--update`` last looked at the person; None: the import that made them did.
    """

    __tablename__ = "local_accounts"

    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True)
    local_user_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    imported_at: Mapped[datetime | None]


class ImportRun(Base):
    """A file of people that is being imported, or was: how far, so that it can go on after a stop.

    ``digest`` is of the file, the application and the options; ``content`` of the file alone; ``options`` as
    :meth:`sso.identity.users.rows.Options.named` returns them.
    """

    __tablename__ = "import_runs"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    client_id: Mapped[str | None] = mapped_column(String(100))
    rows_done: Mapped[int]
    made: Mapped[int]
    proposed: Mapped[int]
    rejected: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    content: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    options: Mapped[dict[str, Any] | None]
    updated: Mapped[int] = mapped_column(default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")


class MergeProposal(Base):
    """Somebody who was to be imported and seems to be here already. ``encrypted`` is the whole row; ``reasons`` name
    the kinds of identifier that are the same. ``status`` is open, merged, separate or dropped."""

    __tablename__ = "merge_proposals"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    client_id: Mapped[str | None] = mapped_column(String(100))
    local_user_id: Mapped[str | None] = mapped_column(String(200))
    reasons: Mapped[list[str]]
    encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[str] = mapped_column(String(16), index=True)
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None] = mapped_column(String(200))


class Picture(Base):
    """A person's picture, made small and anew. ``id`` is in its address and tells nothing."""

    __tablename__ = "pictures"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(43), unique=True)
    image: Mapped[bytes] = mapped_column(LargeBinary)
    updated_at: Mapped[datetime]


class Favourite(Base):
    """An application that a person put in front."""

    __tablename__ = "favourites"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(
        ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Agreement(Base):
    """That a person agreed to a version of the terms and was shown the privacy notice."""

    __tablename__ = "agreements"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    document: Mapped[str] = mapped_column(String(16), primary_key=True)
    version: Mapped[str] = mapped_column(String(32), primary_key=True)
    agreed_at: Mapped[datetime]
