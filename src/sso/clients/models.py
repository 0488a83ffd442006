"""Tables of registered applications."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, new_id

SELF_REGISTERED = "registered"
"""The catalogue of the applications that registered themselves (RFC 7591): no file's."""


HERE = "api"
"""The catalogue of the applications that are looked after in the portal and through the API: no file's."""
OF_NO_FILE = frozenset({HERE, SELF_REGISTERED})
"""The catalogues of applications that no file manages."""
SANDBOX = "sandbox"
"""The status of an application's sandbox, in which only its team can sign in. No release before knows it, and lets
nobody in there."""
SANDBOX_END = "-sandbox"
"""What the name of a sandbox ends with: before it stands the name of its application."""
BLOCKED = "blocked"
"""The status of an application that an administrator suspended: no catalogue brings it back."""
REMOVED = "removed"
"""The status of an application that was removed: kept for a while, because it is told that its sessions are over."""


class ClientRow(Base):
    """A registered application.

    ``catalogue`` names the file family that owns its configuration. ``version`` is the value of the counter
    ``clients`` at its last change: processes read only what is newer than what they have.
    """

    __tablename__ = "clients"

    client_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    catalogue: Mapped[str] = mapped_column(String(100), index=True)
    status: Mapped[str] = mapped_column(String(16))
    metadata_: Mapped[dict[str, object]] = mapped_column("metadata")
    version: Mapped[int] = mapped_column(BigInteger, index=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ClientSecret(Base):
    """A secret of an application: 256 random bits, stored as SHA-256.

    ``encrypted`` is kept only for client_secret_jwt, which needs the secret itself to check a signature, and for the
    gate, which sends it to the application in Basic credentials.
    """

    __tablename__ = "client_secrets"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    hint: Mapped[str | None] = mapped_column(String(8))
    created_by: Mapped[str | None] = mapped_column(String(200))
    last_used_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]


class ClientPrivilege(Base):
    """That an application was granted a privilege: the scope of a permission, or of restricted data.

    It holds until ``revoked_at``. ``without_person``: also in tokens without a person, where that is not a matter of
    course (``GIVES_POWER``). ``stays_revoked``: somebody decided to revoke it, so a catalogue does not grant it again.
    """

    __tablename__ = "client_privileges"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    privilege: Mapped[str] = mapped_column(String(60))
    without_person: Mapped[bool]
    granted_by: Mapped[str] = mapped_column(String(200))
    granted_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(String(500))
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None] = mapped_column(String(200))
    revoked_reason: Mapped[str | None] = mapped_column(String(500))
    stays_revoked: Mapped[bool]


class Application(Base):
    """An application that a team looks after in the portal: what is wanted of it, and how far it is.

    ``application_id`` is its client_id in production; ``sandbox_id`` tells that of its sandbox. ``document`` is the
    metadata that the team wants, perhaps unfinished; ``sandbox`` is what differs there; ``granted`` is what only
    administrators decide. ``revision`` grows with each change, so that nobody overwrites what somebody else wrote.
    An application that a catalogue file looks after has one only where it has a team; its ``document`` is empty.
    """

    __tablename__ = "applications"

    application_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(100))
    group: Mapped[str | None] = mapped_column("city_group", String(60), index=True)
    document: Mapped[dict[str, object]]
    sandbox: Mapped[dict[str, object]]
    granted: Mapped[dict[str, object]]
    revision: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    approved_at: Mapped[datetime | None]
    request_log_until: Mapped[datetime | None]
    first_sign_in_at: Mapped[datetime | None]


class TeamMember(Base):
    """Somebody who looks after an application: ``role`` is owner or member."""

    __tablename__ = "team_members"

    application_id: Mapped[str] = mapped_column(
        ForeignKey("applications.application_id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]


class TeamInvitation(Base):
    """That somebody may join a team: the person ``user_id``, who was invited by the user name ``lookup`` that they had
    then; or, without ``user_id``, whoever has verified the e-mail address or telephone number ``lookup``."""

    __tablename__ = "team_invitations"

    application_id: Mapped[str] = mapped_column(
        ForeignKey("applications.application_id", ondelete="CASCADE"), primary_key=True
    )
    lookup: Mapped[str] = mapped_column(String(320), primary_key=True, index=True)
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    invited_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApplicationNote(Base):
    """What happened to an application, and what its team and the administrators say to each other about it."""

    __tablename__ = "application_notes"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    application_id: Mapped[str] = mapped_column(
        ForeignKey("applications.application_id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class RelyingPartyCheck(Base):
    """That we played a dishonest provider against an application's sandbox: what it accepted and what it refused.

    ``revision`` is the application's at that time, and ``digest`` of what was checked: the check holds for that alone.
    ``play`` is what is being played now, or was played last, encrypted: the next check signs with the same key.
    """

    __tablename__ = "relying_party_checks"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    application_id: Mapped[str] = mapped_column(
        ForeignKey("applications.application_id", ondelete="CASCADE"), index=True
    )
    revision: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    started_by: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    results: Mapped[dict[str, object]]
    play: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class ClientRegistration(Base):
    """That an application registered itself, and the hash of the token with which it manages itself (RFC 7592)."""

    __tablename__ = "client_registrations"

    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime]


class Invitation(Base):
    """An initial access token (RFC 7591 section 3): who has it may register applications with ``profile``."""

    __tablename__ = "invitations"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    profile: Mapped[str] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(String(200))
    uses_left: Mapped[int | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


def application_of(client_id: str) -> str:
    """Return the application of which ``client_id`` is the sandbox, or its client_id in production."""
    return client_id.removesuffix(SANDBOX_END)
