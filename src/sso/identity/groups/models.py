"""Tables of units, groups, memberships and role assignments."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from sso.platform.db import Base, Json, index_where, new_id


class Group(Base):
    """A unit (``kind`` unit) or a group (``kind`` group). ``code`` is its name in tokens.

    ``valid_from`` and ``valid_until``: outside of this time nobody counts as a member.
    """

    __tablename__ = "groups"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(8))
    code: Mapped[str] = mapped_column(String(64), unique=True)
    name_id: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str | None] = mapped_column(String(200))
    parent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("groups.id", ondelete="RESTRICT"), index=True)
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class GroupAncestor(Base):
    """That a unit is below another one, or is that unit itself (``depth`` 0): one row for each pair.

    With these rows a question about all units above or below is one look-up in an index, and the move of a subtree
    changes no row of its units but the parent of its root.
    """

    __tablename__ = "group_ancestors"
    __table_args__ = (Index("ix_group_ancestors_ancestor_id_group_id", "ancestor_id", "group_id"),)

    group_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    ancestor_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    depth: Mapped[int]


class Membership(Base):
    """That a user belongs to a unit or group. ``source``: manual, import, upstream or scim."""

    __tablename__ = "memberships"
    __table_args__ = (index_where("ix_memberships_valid_from", "valid_from", where="valid_from IS NOT NULL"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), index=True)
    position: Mapped[str | None] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(String(16))
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None] = mapped_column(index=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(200))


class RoleAssignment(Base):
    """That a user, or every member of a group, has a role of an application.

    ``with_units_below``: the members of the units below the group have it too. ``unit_id``: the role is limited to this
    unit. ``confirmed_at``: when an access review last confirmed it. ``ended_by`` and ``end_reason``: who ended it
    before its time, and why.
    """

    __tablename__ = "role_assignments"
    __table_args__ = (
        CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name="user_or_group"),
        Index("ix_role_assignments_client_id_user_id", "client_id", "user_id"),
        Index("ix_role_assignments_client_id_group_id", "client_id", "group_id"),
        index_where("ix_role_assignments_valid_from", "valid_from", where="valid_from IS NOT NULL"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    group_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), index=True)
    with_units_below: Mapped[bool] = mapped_column(default=False, server_default="0")
    unit_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), index=True)
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None] = mapped_column(index=True)
    reason: Mapped[str] = mapped_column(String(500))
    given_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    ended_by: Mapped[str | None] = mapped_column(String(200))
    end_reason: Mapped[str | None] = mapped_column(String(500))


class UnitAdministrator(Base):
    """That a user looks after a unit and every unit below it: who belongs to them, and which roles they have."""

    __tablename__ = "unit_administrators"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(200))


class AccessReview(Base):
    """A review of who has which role of an application: each assignment is confirmed or ended by ``ends_at``.

    ``status``: running, done, or cancelled. ``reminders``: how many reminders were sent. ``unconfirmed``: at the end,
    how many assignments nobody confirmed. ``ended_unconfirmed``: whether these were ended.
    """

    __tablename__ = "access_reviews"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(String(500))
    started_by: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    reminders: Mapped[int] = mapped_column(default=0, server_default="0")
    unconfirmed: Mapped[int | None]
    ended_unconfirmed: Mapped[bool] = mapped_column(default=False, server_default="0")


class PendingAccessChange(Base):
    """Users whose roles or groups changed, whom a job has yet to compare and tell applications of.

    ``user_ids``: at most a hundred. ``client_ids``: the applications; None: all. ``since``: the time before the change.
    ``before``: by user and application, the roles and groups that the application was told before; None: the rows of
    the users say what they had.
    """

    __tablename__ = "pending_access_changes"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_ids: Mapped[list[str]] = mapped_column(Json)
    client_ids: Mapped[list[str] | None] = mapped_column(Json)
    since: Mapped[datetime]
    before: Mapped[dict[str, dict[str, list[list[str]]]] | None] = mapped_column(Json)
    actor: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime]


class AccessClock(Base):
    """Until when a job has looked: for roles and groups that began or ended by time (``roles``), and for members who
    left a unit (``left``, ``left_all``)."""

    __tablename__ = "access_clock"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    looked_until: Mapped[datetime]
