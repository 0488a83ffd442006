"""Reasons for which sessions end: one list for pages, API and events."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Initiator = Literal["user", "admin", "policy"]


class EndReason(StrEnum):
    """Why a session, or its use by an application, ended."""

    SIGNED_OUT = "signed_out"
    BY_PERSON = "by_person"
    OTHER_PERSON = "other_person"
    EXPIRED = "expired"
    TOO_MANY = "too_many"
    ADMINISTRATOR = "administrator"
    USER_DISABLED = "user_disabled"
    USER_DELETED = "user_deleted"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_REQUIRED = "password_required"
    FACTORS_RESET = "factors_reset"
    RECOVERED = "recovered"
    NOT_ME = "not_me"
    DELETION_PLANNED = "deletion_planned"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CLIENT_SUSPENDED = "client_suspended"
    CLIENT_REMOVED = "client_removed"
    ROLE_LOST = "role_lost"


_BY_ADMINISTRATOR = frozenset(
    {
        EndReason.ADMINISTRATOR,
        EndReason.USER_DISABLED,
        EndReason.USER_DELETED,
        EndReason.PASSWORD_REQUIRED,
        EndReason.FACTORS_RESET,
        EndReason.CLIENT_SUSPENDED,
        EndReason.CLIENT_REMOVED,
    }
)
_BY_POLICY = frozenset({EndReason.EXPIRED, EndReason.TOO_MANY, EndReason.ROLE_LOST})
_BY_EITHER = frozenset({EndReason.PASSWORD_CHANGED, EndReason.DELETION_PLANNED})
"""Actions of the user, or of an administrator for the user."""


def initiator(reason: EndReason, *, by_another: bool = False) -> Initiator:
    """Return who ended a session, in the words of CAEP section 2 (``initiating_entity``).

    Args:
        reason: why it ended.
        by_another: whether somebody other than the user ended it.
    """
    if reason in _BY_ADMINISTRATOR or (by_another and reason in _BY_EITHER):
        return "admin"
    return "policy" if reason in _BY_POLICY else "user"
