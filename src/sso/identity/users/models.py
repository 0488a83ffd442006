"""Tables of users."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, new_id

CREDENTIAL_KINDS = ("password", "passkey", "totp", "recovery_code")
"""Every value of ``Credential.kind``."""


class User(Base):
    """A user. ``profile``: the stored standard claims (OpenID Connect Core section 5.1).

    ``security_version`` increases when all sign-ins of the account become invalid (a changed password, a disabled
    account): a sign-in that began before is refused.

    Of a deleted user only the id is kept, for the audit log; ``disabled_at`` is set too. ``delete_at``: when a
    requested deletion is due. ``locked_until``: until then no credential can be changed, because the user reported a
    sign-in.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("ix_users_name_words", func.to_tsvector(text("'simple'"), text("name")), postgresql_using="gin").ddl_if(
            dialect="postgresql"
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    profile: Mapped[dict[str, object]] = mapped_column(default=dict)
    locale: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    delete_at: Mapped[datetime | None] = mapped_column(index=True)
    locked_until: Mapped[datetime | None]
    identity_checked_at: Mapped[datetime | None]
    preferences: Mapped[dict[str, object]] = mapped_column(default=dict, server_default="{}")
    security_version: Mapped[int] = mapped_column(default=0, server_default="0")


class Identifier(Base):
    """An identifier with which a user signs in. ``lookup``: the normalised form; verified lookups are unique.

    For a NIK, ``value`` is masked, ``lookup`` a keyed hash, and ``encrypted`` the number. ``asserted_at``: when an
    administrator or a program last added the identifier to an existing account or marked it as verified; None if the
    user verified it or it came with the account. ``channel``: of a telephone number, ``sms`` or ``whatsapp`` where the
    user has chosen how messages reach it. ``valid_from`` and ``valid_until``: of a NIP, the time of the employment;
    outside of it nobody signs in with the NIP.
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
    channel: Mapped[str | None] = mapped_column(String(16))
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]


class Credential(Base):
    """A credential of a user.

    ``kind``: password (``secret`` is the hash), passkey (``secret`` is the public key, ``external_id`` the credential
    id), totp (``secret`` is the encrypted seed) or recovery_code (``secret`` is the hash; deleted when it is used).
    """

    __tablename__ = "credentials"
    __table_args__ = (Index("ix_credentials_kind_user_id", "kind", "user_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    secret: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    name: Mapped[str | None] = mapped_column(String(100))
    external_id: Mapped[bytes | None] = mapped_column(LargeBinary(1024), unique=True)
    data: Mapped[dict[str, object]] = mapped_column(default=dict, server_default="{}")
    last_used_at: Mapped[datetime | None]


class UserRole(Base):
    __tablename__ = "user_roles"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(32), primary_key=True)


class GroupAdministrator(Base):
    """A group of applications that a user with the role ``group_admin`` manages."""

    __tablename__ = "group_administrators"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group: Mapped[str] = mapped_column("city_group", String(60), primary_key=True)


class IdentityCheck(Base):
    """The check of a document of a user by an officer. ``document``: its kind; of its number only the end is stored."""

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
    """The id that an application used for a user before the import; the application receives it to find its own row.

    ``imported_at``: when an import with ``--update`` last read the user; None if only the first import did.
    """

    __tablename__ = "local_accounts"

    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True)
    local_user_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    imported_at: Mapped[datetime | None]


class ImportRun(Base):
    """The progress of an import, with which the import continues after an interruption.

    ``digest``: of the file, the application and the options; ``content``: of the file alone; ``options``: from
    :meth:`sso.identity.users.rows.Options.named`.
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
    options: Mapped[dict[str, object] | None]
    updated: Mapped[int] = mapped_column(default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")


class MergeProposal(Base):
    """An imported row that may belong to an existing user. ``encrypted``: the whole row; ``reasons``: the kinds of
    identifier that are the same; ``status``: open, merged, separate or dropped."""

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
    """The picture of a user, re-encoded in a small size. ``id``: a random value in its URL."""

    __tablename__ = "pictures"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(43), unique=True)
    image: Mapped[bytes] = mapped_column(LargeBinary)
    updated_at: Mapped[datetime]


class Favourite(Base):
    """A favourite application of a user."""

    __tablename__ = "favourites"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(
        ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Agreement(Base):
    """The agreement of a user to a version of the terms and of the privacy notice."""

    __tablename__ = "agreements"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    document: Mapped[str] = mapped_column(String(16), primary_key=True)
    version: Mapped[str] = mapped_column(String(32), primary_key=True)
    agreed_at: Mapped[datetime]


class UserInvitation(Base):
    """The invitation of a person who has no account yet. The account is created when the invitation is accepted, with
    ``email`` as a verified address. ``token_hash``: of the link that was sent last; ``created_by``: the administrator,
    who must still have the power over the roles then."""

    __tablename__ = "user_invitations"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    username: Mapped[str | None] = mapped_column(String(64))
    roles: Mapped[list[str]]
    locale: Mapped[str | None] = mapped_column(String(16))
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime]
    times_sent: Mapped[int] = mapped_column(default=1)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SavedSearch(Base):
    """A filter of a list of the console that an administrator named. ``query``: the part of the address after ``?``."""

    __tablename__ = "saved_searches"
    __table_args__ = (UniqueConstraint("user_id", "page", "name"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    page: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(80))
    query: Mapped[str] = mapped_column(String(2000))
    created_at: Mapped[datetime]
