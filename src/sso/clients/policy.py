"""Who may use an application, from where and when: what an administrator has decided, as pure functions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from sso.clients.metadata import ClientMetadata

Refused = Literal["role", "network", "hours"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
    rf"({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))? ([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII
)


def check_network(text: str) -> str:
    """Return a network in its usual form.

    Raises:
        ValueError: when it is none.
    """
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError(f"{text!r} is not an address or a network such as 10.20.0.0/16") from None


def check_hours(text: str) -> str:
    """Return hours of some days, such as ``mon-fri 07:00-17:00``.

    Raises:
        ValueError: when they cannot be read, or end before they begin.
    """
    found = _HOURS.fullmatch(text.strip().lower())
    if found is None or _minutes(found, 3) >= _minutes(found, 5) or _minutes(found, 5) > 24 * 60:
        raise ValueError(f"{text!r} must be days and hours such as mon-fri 07:00-17:00")
    return found[0]


def refused(meta: ClientMetadata, roles: Collection[str], address: str, moment: datetime, zone: str) -> Refused | None:
    """Return why somebody may not use an application now; None: they may.

    Args:
        meta: what is registered.
        roles: the person's.
        address: the network address that they come from.
        moment: now.
        zone: the city's time zone.
    """
    if meta.allowed_roles and not set(meta.allowed_roles) & set(roles):
        return "role"
    if meta.allowed_networks and not _within(address, meta.allowed_networks):
        return "network"
    if meta.allowed_hours and not any(_open(one, moment.astimezone(ZoneInfo(zone))) for one in meta.allowed_hours):
        return "hours"
    return None


def _within(address: str, networks: Collection[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in ipaddress.ip_network(one) for one in networks)


def _open(hours: str, local: datetime) -> bool:
    found = _HOURS.fullmatch(hours)
    if found is None:
        return False
    first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
    days = range(first, last + 1) if first <= last else (*range(first, 7), *range(last + 1))
    now = local.hour * 60 + local.minute
    return local.weekday() in days and _minutes(found, 3) <= now < _minutes(found, 5)


def _minutes(found: re.Match[str], group: int) -> int:
    return int(found[group]) * 60 + int(found[group + 1])
