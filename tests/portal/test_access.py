"""Who may see and change an application."""

from __future__ import annotations

import pytest

from sso.clients.models import Application
from sso.portal.access import Access, RequiredRole, TeamApplication, access_to


@pytest.mark.parametrize(
    ("required", "role", "sees_applications", "groups", "access"),
    [
        ("reader", "member", False, None, "member"),
        ("reader", None, False, None, "hidden"),
        ("reader", None, True, None, "viewer"),
        ("reader", None, True, {"E-Kesehatan"}, "viewer"),
        ("reader", None, True, {"E-Logistik"}, "hidden"),
        ("reader", "member", True, {"E-Logistik"}, "member"),
        ("member", "member", False, None, "member"),
        ("member", "owner", False, None, "member"),
        ("member", None, True, None, "hidden"),
        ("owner", "owner", False, None, "member"),
        ("owner", "member", False, None, "forbidden"),
        ("owner", "member", True, None, "forbidden"),
        ("owner", None, True, None, "hidden"),
    ],
)
def test_a_page_of_an_application_is_for_its_team_and_for_those_who_see_applications(
    required: RequiredRole, role: str | None, sees_applications: bool, groups: set[str] | None, access: Access
) -> None:
    seen = TeamApplication(Application(application_id="antrean", group="E-Kesehatan"), role, "")
    assert access_to(required, seen, sees_applications=sees_applications, groups=groups) == access


@pytest.mark.parametrize("required", ["reader", "member", "owner"])
def test_an_application_that_does_not_exist_is_like_one_that_is_hidden(required: RequiredRole) -> None:
    assert access_to(required, None, sees_applications=True, groups=None) == "hidden"
