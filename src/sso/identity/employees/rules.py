"""Rules of employments: kinds, and when one is valid. Pure functions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

Status = Literal["pns", "cpns", "pppk", "honorer", "other"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""Civil servant, candidate civil servant, employee with a work agreement, contract worker without a NIP, and others."""
WITHOUT_NIP: tuple[Status, ...] = ("honorer", "other")
"""Who may have no NIP. They are found by their NIK."""
MAX_GRADE_CHARS, MAX_POSITION_CHARS = 40, 200
State = Literal["planned", "active", "ended"]


def state_of(valid_from: datetime | None, valid_until: datetime | None, now: datetime) -> State:
    """Return whether an employment is planned, active or ended."""
    if valid_until is not None and valid_until <= now:
        return "ended"
    return "planned" if valid_from is not None and valid_from > now else "active"
