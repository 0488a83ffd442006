"""The rule who may give, end and confirm a role, and what changed for a user: pure functions."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sso.accounts.access_changes import compare
from sso.accounts.role_rules import Gift, Giver, why_not, why_not_confirm, why_not_end
from sso.clients.metadata import ClientMetadata
from sso.clients.registry import Client
from sso.identity.groups.changes import HeldRole, ReachedGroup, Span

ME, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
CITY, AGENCY, CLINIC, ELSEWHERE = (uuid.UUID(int=number) for number in range(10, 14))
IN_CLINIC = frozenset({CLINIC, AGENCY, CITY})
"""A member of the clinic, or the clinic: below the agency, below the city."""
FACTS: dict[str, Any] = {
    "is_defined": True,
    "units_give": "no",
    "team_gives": False,
    "is_sandbox": False,
    "reached": frozenset[uuid.UUID](),
    "where": frozenset[uuid.UUID](),
    "limited_to": None,
}
COMMAND, ADMIN = Giver(None, True), Giver(ME, True)
TEAM = Giver(ME, in_team=True)
UNIT = Giver(ME, units=frozenset({AGENCY}))
NOBODY = Giver(ME)
SELF = frozenset({ME})
CASES: list[tuple[str, Giver, dict[str, Any], str | None, str | None]] = [
    # name, giver, facts, why not give, why not end
    ("a command gives every role", COMMAND, {}, None, None),
    ("an administrator gives every role", ADMIN, {}, None, None),
    ("nobody else gives", NOBODY, {"units_give": "whole", "team_gives": True}, "not_allowed", "not_allowed"),
    ("an undefined role is only ended", ADMIN, {"is_defined": False}, "not_defined", None),
    ("an administrator does not give to themselves", ADMIN, {"reached": SELF}, "own_role", None),
    ("a command has no self", COMMAND, {"reached": SELF}, None, None),
    ("the team gives where its owner allows it", TEAM, {"team_gives": True}, None, None),
    ("the team does not give otherwise", TEAM, {}, "not_allowed", "not_allowed"),
    ("the team does not give to itself", TEAM, {"team_gives": True, "reached": SELF}, "own_role", None),
    ("the team gives in its sandbox", TEAM, {"is_sandbox": True}, None, None),
    ("the team tries its sandbox with its own account", TEAM, {"is_sandbox": True, "reached": SELF}, None, None),
    ("a unit gives nothing by default", UNIT, {"where": IN_CLINIC}, "not_allowed", "not_allowed"),
    ("a unit names the unit", UNIT, {"units_give": "limited", "where": IN_CLINIC}, "whole_role", "not_of_unit"),
    (
        "a unit gives a limited role to its people",
        UNIT,
        {"units_give": "limited", "where": IN_CLINIC, "limited_to": IN_CLINIC},
        None,
        None,
    ),
    (
        "a unit does not limit it to another unit",
        UNIT,
        {"units_give": "limited", "where": IN_CLINIC, "limited_to": frozenset({ELSEWHERE, CITY})},
        "other_unit",
        "not_of_unit",
    ),
    (
        "a unit does not limit it to the unit above",
        UNIT,
        {"units_give": "whole", "where": IN_CLINIC, "limited_to": frozenset({CITY})},
        "other_unit",
        "not_of_unit",
    ),
    ("a unit gives a whole role where it may", UNIT, {"units_give": "whole", "where": IN_CLINIC}, None, "not_of_unit"),
    (
        "a unit ends what it gave",
        UNIT,
        {"units_give": "whole", "where": IN_CLINIC, "given_by_units": True},
        None,
        None,
    ),
    (
        "a unit ends what is limited to it of a user who has left",
        UNIT,
        {"units_give": "limited", "limited_to": IN_CLINIC},
        "other_unit",
        None,
    ),
    (
        "a unit does not give to people of others",
        UNIT,
        {"units_give": "whole", "where": frozenset({ELSEWHERE, CITY})},
        "other_unit",
        "not_of_unit",
    ),
    ("a unit does not give to nobody's people", UNIT, {"units_give": "whole"}, "other_unit", "not_of_unit"),
    (
        "a unit's administrator does not give to themselves",
        UNIT,
        {"units_give": "whole", "where": IN_CLINIC, "reached": SELF, "given_by_units": True},
        "own_role",
        None,
    ),
]


@pytest.mark.parametrize(("name", "giver", "facts", "give", "end"), CASES, ids=[case[0] for case in CASES])
def test_who_gives_a_role(name: str, giver: Giver, facts: dict[str, Any], give: str | None, end: str | None) -> None:
    gift = Gift(**{**FACTS, **facts})
    assert why_not(giver, gift) == give
    assert why_not_confirm(giver, gift) == give
    assert why_not_end(giver, gift) == end


def test_a_review_lets_an_owner_confirm_and_end_but_not_give() -> None:
    owner = Giver(ME, in_team=True, reviews=True)
    gift = Gift(**FACTS)
    assert (why_not(owner, gift), why_not_confirm(owner, gift), why_not_end(owner, gift)) == ("not_allowed", None, None)
    assert why_not_confirm(owner, Gift(**{**FACTS, "reached": SELF})) == "own_role"


NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALWAYS = Span(None, None, NOW - HOUR)
OVER, NEW, LATER = Span(None, NOW, NOW - HOUR), Span(None, None, NOW), Span(NOW + HOUR, None, NOW)
CLIENT = Client(
    "app",
    "active",
    ClientMetadata.model_validate(
        {
            "type": "web",
            "client_name": "App",
            "redirect_uris": ["https://app.example/cb"],
            "application_roles": {"operator": {"title": "Operator"}},
            "groups_of_interest": ["AGENCY/*"],
        }
    ),
    (),
)


def _role(span: Span, role: str = "operator", code: str | None = None) -> HeldRole:
    return HeldRole(OTHER, "app", role, code, span, by_group=False)


def _member(span: Span, code: str) -> list[ReachedGroup]:
    return [ReachedGroup(OTHER, code, upper, depth, span) for depth, upper in enumerate((code, "AGENCY", "CITY"))]


@pytest.mark.parametrize(
    ("roles", "groups", "changed", "lost", "now"),
    [
        ([_role(ALWAYS)], [], False, False, (("operator",), ())),
        ([_role(OVER)], [], True, True, ((), ())),
        ([_role(NEW)], [], True, False, (("operator",), ())),
        ([_role(LATER)], [], False, False, ((), ())),
        ([_role(OVER), _role(ALWAYS)], [], False, False, (("operator",), ())),
        ([_role(OVER, code="CLINIC"), _role(ALWAYS)], [], True, True, (("operator",), ())),
        ([_role(OVER, role="undefined")], [], False, False, ((), ())),
        ([], _member(OVER, "CLINIC"), True, True, ((), ())),
        ([], [*_member(OVER, "CLINIC"), *_member(ALWAYS, "SCHOOL")], True, True, ((), ("AGENCY", "SCHOOL"))),
        ([], [ReachedGroup(OTHER, "FREE", "FREE", 0, OVER)], False, False, ((), ())),
    ],
)
def test_what_changed_for_a_user(
    roles: list[HeldRole],
    groups: list[ReachedGroup],
    changed: bool,
    lost: bool,
    now: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    result = compare(CLIENT, roles, groups, NOW - timedelta(microseconds=1), NOW)
    assert (result.changed, result.lost_at is not None, (result.now.roles, result.now.groups)) == (changed, lost, now)
