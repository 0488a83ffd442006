"""The rule who may give and end a role of an application, as a pure function (docs/decisions/0074).

Three kinds of people give roles: administrators with the permission ``assignments:write``; the team of the application,
where the application allows it; and administrators of units, the roles that the application lets them give, to the
people and units below them. Nobody gives a role to themselves.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Literal

from sso.clients.roles import UnitsGive

Refused = Literal["not_defined", "own_role", "not_allowed", "other_unit", "whole_role", "not_of_unit"]
"""Why a role may not be given: see ``REFUSALS``."""
REFUSALS: dict[Refused, str] = {
    "not_defined": "the application does not define this role",
    "own_role": "nobody gives or confirms a role for themselves: ask somebody else who may",
    "not_allowed": "you do not give the roles of this application",
    "other_unit": "you give roles only to users and units below a unit that you manage",
    "whole_role": "you give this role only for one of your units: name the unit",
    "not_of_unit": "you end only roles that are limited to one of your units, or that its administrators gave",
}


@dataclass(frozen=True, slots=True)
class Giver:
    """Who gives, ends or confirms a role.

    Args:
        user_id: the user; None: a command, or a program without a user.
        gives_all: whether they have the permission ``assignments:write``.
        in_team: whether they are in the team of the application.
        units: the units that they look after.
        reviews: whether they own the application, and an access review of it is running.
    """

    user_id: uuid.UUID | None
    gives_all: bool = False
    in_team: bool = False
    units: frozenset[uuid.UUID] = frozenset()
    reviews: bool = False


@dataclass(frozen=True, slots=True)
class Gift:
    """A role that is given, ended or confirmed.

    Args:
        is_defined: whether the application defines the role.
        units_give: whether administrators of units give it.
        team_gives: whether the team of the application gives its roles; True of a sandbox.
        is_sandbox: whether the application is a sandbox, where a role opens nothing.
        reached: the users who would have the role, as far as they act: the user, or the giver as a member of the group.
        where: the units in which the user is a member, or the group, each with every unit above it.
        limited_to: the unit that the role is limited to, with every unit above it; None: it is not limited.
        given_by_units: whether the giver, or another administrator of their units or of units below, gave it.
    """

    is_defined: bool
    units_give: UnitsGive
    team_gives: bool
    is_sandbox: bool
    reached: frozenset[uuid.UUID]
    where: frozenset[uuid.UUID]
    limited_to: frozenset[uuid.UUID] | None
    given_by_units: bool = False


def why_not(giver: Giver, gift: Gift) -> Refused | None:
    """Return why somebody may not give a role; None: they may.

    A role that the application does not define any more is only ended. A review lets an owner confirm and end roles,
    and not give them.
    """
    return why_not_confirm(replace(giver, reviews=False), gift)


def why_not_confirm(giver: Giver, gift: Gift) -> Refused | None:
    """Return why somebody may not confirm a role in an access review; None: they may."""
    if not gift.is_defined:
        return "not_defined"
    return _of_units(giver, gift) if not _of_application(giver, gift) else _of_oneself(giver, gift)


def why_not_end(giver: Giver, gift: Gift) -> Refused | None:
    """Return why somebody may not end a role; None: they may. One's own role can be ended.

    An administrator of units ends what is limited to one of their units, wherever the user is now, and what
    administrators of these units gave. A role that others gave to a member is not theirs.
    """
    if _of_application(giver, gift):
        return None
    if not giver.units or gift.units_give == "no":
        return "not_allowed"
    of_unit = gift.limited_to is not None and giver.units & gift.limited_to
    return None if of_unit or gift.given_by_units else "not_of_unit"


def _of_application(giver: Giver, gift: Gift) -> bool:
    """Tell whether somebody has a say in every role of the application."""
    return giver.gives_all or giver.reviews or (giver.in_team and (gift.team_gives or gift.is_sandbox))


def _of_units(giver: Giver, gift: Gift) -> Refused | None:
    """Return why an administrator of units may not give a role; None: they may."""
    if not giver.units or gift.units_give == "no":
        return "not_allowed"
    if not giver.units & gift.where:
        return "other_unit"
    if gift.limited_to is None:
        return _of_oneself(giver, gift) if gift.units_give == "whole" else "whole_role"
    return _of_oneself(giver, gift) if giver.units & gift.limited_to else "other_unit"


def _of_oneself(giver: Giver, gift: Gift) -> Refused | None:
    """Refuse a role for oneself. In a sandbox the team tries its application with its own accounts."""
    own = giver.user_id is not None and giver.user_id in gift.reached
    return "own_role" if own and not gift.is_sandbox else None
