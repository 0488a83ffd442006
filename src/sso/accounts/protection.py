"""How well an account is protected, and the one step that would help most: a pure decision."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How well an account is protected."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class NextStep(StrEnum):
    """What the user should do next."""

    ADD_CONTACT = "add_contact"
    ADD_PASSKEY = "add_passkey"
    MAKE_CODES = "make_codes"
    ADD_SECOND_CONTACT = "add_second_contact"
    NOTHING = "nothing"


class Protection(NamedTuple):
    """The level of an account, and the next step."""

    level: Level
    step: NextStep


def protection_of(kinds: Collection[str], verified_contacts: int) -> Protection:
    """Return how well an account is protected.

    Being able to recover the account comes first: every other step can lock out a user who has no contact.

    Args:
        kinds: the kinds of the credentials of the account.
        verified_contacts: how many verified e-mail addresses and phone numbers it has.
    """
    strong = "passkey" in kinds or "totp" in kinds
    if not verified_contacts:
        return Protection(Level.LOW, NextStep.ADD_CONTACT)
    if not strong:
        return Protection(Level.LOW, NextStep.ADD_PASSKEY)
    if "recovery_code" not in kinds:
        return Protection(Level.MEDIUM, NextStep.MAKE_CODES)
    if "passkey" not in kinds:
        return Protection(Level.MEDIUM, NextStep.ADD_PASSKEY)
    return Protection(Level.HIGH, NextStep.NOTHING if verified_contacts > 1 else NextStep.ADD_SECOND_CONTACT)
