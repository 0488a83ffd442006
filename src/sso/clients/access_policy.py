"""Who may use an application, from where and when: what an administrator has decided, as pure functions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import get_args
from zoneinfo import ZoneInfo

from sso.clients.roles import BELOW, check_interest, check_role_name
from sso.platform.permissions import RoleName

OWN_ROLE, GROUP, UNIT = "app", "group", "unit"
"""What stands before the colon in an entry of ``allowed_roles`` that is no role of this service."""

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
    match = _HOURS.fullmatch(text.strip().lower())
    if match is None or _minutes(match, 3) >= _minutes(match, 5) or _minutes(match, 5) > 24 * 60:
        raise ValueError(f"{text!r} must be days and hours such as mon-fri 07:00-17:00")
    return match[0]


def check_allowed(text: str) -> str:
    """Return an entry of the users that an application is for: a role of this service (``officer``), a role of the
    application (``app:operator``), a group (``group:CODE``), a unit (``unit:CODE``), or a unit with those below it
    (``unit:CODE/*``).

    Raises:
        ValueError: when it is none.
    """
    kind, separator, name = text.partition(":")
    if not separator:
        if text not in get_args(RoleName):
            raise ValueError(
                f"{text!r} is not a role: one of {', '.join(get_args(RoleName))}, or app:ROLE, group:CODE, unit:CODE, "
                "unit:CODE/*"
            )
        return text
    if kind == OWN_ROLE:
        check_role_name(name)
    elif kind == UNIT or (kind == GROUP and not name.endswith(BELOW)):
        check_interest(name)
    else:
        raise ValueError(f"{text!r} must be a role, app:ROLE, group:CODE, unit:CODE or unit:CODE/*")
    return text


def is_by_access(entry: str) -> bool:
    """Tell whether an entry of :func:`check_allowed` is about roles or groups in the application."""
    return ":" in entry


@dataclass(frozen=True, slots=True)
class RolesAndGroups:
    """What a user has, as far as ``allowed_roles`` asks for it.

    Args:
        roles: roles of this service.
        own_roles: roles of the application, whether limited to a unit or not.
        member_of: codes of the units and groups that the user is a member of.
        within: codes of these, and of the units above them.
    """

    roles: Collection[str] = ()
    own_roles: Collection[str] = ()
    member_of: Collection[str] = ()
    within: Collection[str] = ()


def codes_named(allowed_roles: Collection[str], groups_of_interest: Collection[str]) -> set[str]:
    """Return the codes of units and groups that an application names."""
    return {*groups_in(allowed_roles), *(entry.removesuffix(BELOW) for entry in groups_of_interest)}


def groups_in(allowed_roles: Collection[str]) -> list[str]:
    """Return the codes of the units and groups in ``allowed_roles``."""
    entries = (entry.partition(":") for entry in allowed_roles)
    return [name.removesuffix(BELOW) for kind, _, name in entries if kind in (UNIT, GROUP)]


def may_use(allowed_roles: Collection[str], defined: Collection[str], held: RolesAndGroups) -> bool:
    """Tell whether a user has one of what a client is limited to; empty: it is not limited.

    Args:
        allowed_roles: entries of :func:`check_allowed`.
        defined: the roles that the application defines. Others count for nothing.
        held: what the user has.
    """
    return not allowed_roles or any(_is_met(entry, defined, held) for entry in allowed_roles)


def _is_met(entry: str, defined: Collection[str], held: RolesAndGroups) -> bool:
    kind, separator, name = entry.partition(":")
    if not separator:
        return entry in held.roles
    if kind == OWN_ROLE:
        return name in defined and name in held.own_roles
    if kind == UNIT and name.endswith(BELOW):
        return name.removesuffix(BELOW) in held.within
    return kind in (UNIT, GROUP) and name in held.member_of


def is_open(allowed_hours: Collection[str], moment: datetime, zone: str) -> bool:
    """Tell whether ``moment`` is within the hours of a client, in the time zone ``zone``; empty: it has none."""
    if not allowed_hours:
        return True
    local = moment.astimezone(ZoneInfo(zone))
    return any(_open(hours, local) for hours in allowed_hours)


def network_of(networks: Collection[str], address: str) -> str | None:
    """Return the smallest of ``networks`` that holds the network address ``address``, or None."""
    if not networks:
        return None
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return None
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    holding = [network for network in networks if parsed in ipaddress.ip_network(network)]
    return max(holding, key=lambda network: ipaddress.ip_network(network).prefixlen, default=None)


def is_within(network: str, networks: Collection[str]) -> bool:
    """Tell whether one of ``networks`` holds the whole of ``network``."""
    try:
        inner = ipaddress.ip_network(network)
    except ValueError:
        return False
    outer = [ipaddress.ip_network(network) for network in networks]
    return any(network.version == inner.version and inner.subnet_of(network) for network in outer)  # type: ignore[arg-type]


def _open(hours: str, local: datetime) -> bool:
    match = _HOURS.fullmatch(hours)
    if match is None:
        return False
    first, last = DAYS.index(match[1]), DAYS.index(match[2] or match[1])
    days = range(first, last + 1) if first <= last else (*range(first, 7), *range(last + 1))
    now = local.hour * 60 + local.minute
    return local.weekday() in days and _minutes(match, 3) <= now < _minutes(match, 5)


def _minutes(match: re.Match[str], group: int) -> int:
    return int(match[group]) * 60 + int(match[group + 1])
