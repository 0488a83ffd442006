"""Who may see and do what on the pages of developers and administrators: generated from the routing table, so that a
page without a rule fails."""

from __future__ import annotations

import html
import re
import uuid
from datetime import timedelta
from functools import cache
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from tests import arranged
from tests.arranged import signed_in
from tests.routes import ROUTERS
from tests.support import ONE_DATABASE, PASSWORD, Browser, City, query_of
from tests.web.test_developer import OFFERED

from sso import clock
from sso.accounts.user_actions import ACTIONS
from sso.http.admin.csv_download import Downloads
from sso.http.common.i18n import translations
from sso.http.common.labels import PERMISSION_TEXTS
from sso.http.console.access import Needs, Team
from sso.http.console.entries import ADMIN, ADMIN_PAGES, DEVELOPER
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import create_users, set_roles
from sso.platform.permissions import GROUP_PERMISSIONS, PERMISSIONS, ROLES, permissions_of

PAGES = [
    route
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and re.match(rf"({ADMIN}|{DEVELOPER})(/|$)", route.path)
]
EVERYWHERE = [
    route
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and not route.path.startswith("/api/")
]


def rules_of(dependant: Dependant) -> list[Needs | Team]:
    """Return the rules of a route, and of what it depends on."""
    rules: list[Needs | Team] = [
        dependency.call for dependency in dependant.dependencies if isinstance(dependency.call, (Needs, Team))
    ]
    return rules + [rule for dependency in dependant.dependencies for rule in rules_of(dependency)]


def rule_of(route: APIRoute) -> Needs | Team:
    """Return the one rule of a route."""
    if id(route) not in _rules:
        rules = rules_of(route.dependant)
        assert len(rules) == 1, f"{route.methods} {route.path} has {len(rules)} rules: give it one of Needs and Team"
        _rules[id(route)] = rules[0]
    return _rules[id(route)]


_rules: dict[int, Needs | Team] = {}
"""The rules that were read, by the identities of their routes, which live as long as this module."""


def test_every_page_of_developers_and_administrators_has_a_rule() -> None:
    assert len(PAGES) > 45
    for route in PAGES:
        rule = rule_of(route)
        if route.path.startswith(ADMIN):
            assert isinstance(rule, Needs), route.path
            assert rule.permissions, route.path
            assert set(rule.permissions) <= set(PERMISSIONS), route.path
        elif isinstance(rule, Needs) and rule.permission is not None:
            assert rule.permission in PERMISSIONS
    for permission, _ in ACTIONS.values():
        assert permission in PERMISSIONS


def address(route: APIRoute, application: str = "antrean") -> str:
    """Return an address of a route: of an application that is there, and of people and sessions that are not."""
    path = route.path.replace("{application_id}", application).replace("{client_id}", application)
    path = path.replace("{stack}", "python")
    return re.sub(r"{[^}]*}", str(uuid.UUID(int=7)), path)


async def user_with(city: City, *roles: str) -> str:
    """Create a user with these roles; return the user name."""
    name = f"orang-{uuid.uuid4().hex[:8]}"
    async with city.provider.db.write() as session:
        (user,) = await create_users(session, [NewUser.model_validate({"username": name, "name": "Orang"})])
        await set_roles(session, user, roles)
        city.users[name] = user.id
    return name


async def browser_of(city: City, *roles: str) -> Browser:
    """Return a browser in which somebody with these roles is signed in."""
    return await signed_in(city, await user_with(city, *roles))


async def with_application(city: City, *roles: str) -> str:
    """Register an application of a user with these roles; return the user name."""
    name = await user_with(city, *roles)
    await arranged.register(city, name)
    return name


async def answer_of(browser: Browser, route: APIRoute, path: str) -> Any:
    """Open a page, or send a form that we did not make."""
    method = next(iter(route.methods))
    return await browser.http.request(method, path, **({"data": {"x": "1"}} if method == "POST" else {}))


def allowed(role: str) -> frozenset[str]:
    """Return the permissions of a role, on its groups of applications too."""
    return permissions_of([role]) | (GROUP_PERMISSIONS if role == "group_admin" else frozenset())


def lets_in(rule: Needs | Team, role: str) -> bool:
    """Tell whether a rule lets a role in that has no part in the team of the application."""
    may = allowed(role)
    if isinstance(rule, Needs):
        return rule.allows(may)
    return rule.role == "reader" and "clients:read" in may and role != "group_admin"


@cache
def alike(rule: Needs | Team) -> str:
    """Return what rules that decide alike have in common: their kind and everything that they were made with."""
    return f"{type(rule).__name__} {sorted(vars(rule).items())}"


def asked_of(role: str) -> list[APIRoute]:
    """Return the routes that are asked for by a role: every route that lets the role in. What refuses the role is
    decided by the rule before the code of the page runs: of that, a route of each rule, and such a share of the others
    that every route refuses some role."""
    refusing: dict[str, list[APIRoute]] = {}
    for route in PAGES:
        refusing.setdefault(alike(rule_of(route)), []).append(route)
    chosen = [route for route in PAGES if lets_in(rule_of(route), role)]
    for routes in refusing.values():
        roles = [candidate for candidate in ROLES if not lets_in(rule_of(routes[0]), candidate)]
        if role in roles:
            place = roles.index(role)
            chosen += routes[place :: len(roles)] or [routes[place % len(routes)]]
    return chosen


def test_every_route_refuses_some_role_and_every_rule_each_role_that_it_does_not_let_in() -> None:
    routes = {role: asked_of(role) for role in ROLES}
    for route in PAGES:
        rule = rule_of(route)
        refused = [role for role in ROLES if not lets_in(rule, role)]
        assert not refused or any(route in routes[role] for role in refused), route.path
        assert all(route in routes[role] for role in ROLES if role not in refused), route.path
        for role in refused:
            assert any(alike(rule_of(requested)) == alike(rule) for requested in routes[role]), (role, route.path)


@ONE_DATABASE
async def test_a_role_sees_and_does_what_the_table_says_and_nothing_else(city: City, subtests: pytest.Subtests) -> None:
    await with_application(city, "developer")
    for role in ROLES:
        with subtests.test(role):
            async with await browser_of(city, role) as browser:
                for route in asked_of(role):
                    await asked_by(browser, role, route)


async def asked_by(browser: Browser, role: str, route: APIRoute) -> None:
    """Check that a route answers somebody with a role as its rule says."""
    rule, answer = rule_of(route), await answer_of(browser, route, address(route))
    about = f"{role} {route.methods} {route.path}: {answer.status_code}"
    if isinstance(rule, Needs):
        assert (answer.status_code != 403) == lets_in(rule, role), about
    elif lets_in(rule, role):
        assert answer.status_code == 200, about
    else:
        assert answer.status_code == 404, f"{about}: whether there is one is for its team to know"


@ONE_DATABASE
async def test_an_act_on_a_person_needs_its_own_permission(city: City, subtests: pytest.Subtests) -> None:
    """Who may not see users is refused by the rule of the route, which every act has: they try one each."""
    for place, role in enumerate(ROLES):
        may = permissions_of([role])
        acts = list(ACTIONS) if "users:read" in may else list(ACTIONS)[place : place + 1]
        assert acts, role
        with subtests.test(role):
            async with await browser_of(city, role) as browser:
                for act in acts:
                    answer = await browser.http.post(f"{ADMIN}/people/{city.users['siti']}/{act}", data={"note": "x"})
                    allowed = "users:read" in may and ACTIONS[act][0] in may
                    assert answer.status_code == (400 if allowed else 403), f"{role} {act}"


def links_of(page: httpx.Response) -> list[str]:
    """Return the addresses of ours to which a page links, without those of the other language."""
    links = [html.unescape(link) for link in re.findall(r'<a [^>]*?href="(/[^"#]*)', page.text)]
    return [link for link in dict.fromkeys(links) if "lang=" not in link and not link.startswith("/login")]


@ONE_DATABASE
@OFFERED
async def test_the_first_page_links_to_what_a_role_may_open_and_to_nothing_else(city: City) -> None:
    await with_application(city, "developer")
    async with city.browser() as siti:
        await siti.sign_in(city.relying_party("warga"))
    for role in ROLES:
        may = allowed(role)
        async with await browser_of(city, role) as browser:
            first = await browser.open("/admin")
            account, home = await browser.open("/account"), await browser.open("/")
            administers = bool(may - {"applications:create"})
            for page in (account, home):
                assert ('href="/admin"' in page.text) == administers, role
            if not may:
                assert first.status_code == 403, role
                continue
            assert first.status_code == 200, role
            for permission, text in PERMISSION_TEXTS.items():  # it says what the role may do, and nothing else
                assert (text_in_indonesian(text) in first.text) == (permission in may), (role, permission)
            for name, address, _, permission in ADMIN_PAGES:  # every page that it may open, and no other
                linked = f'href="{address}"' in first.text
                assert linked == (not permission or permission in may), (role, name)
            seen: set[str] = set()
            kinds: set[tuple[str, ...]] = set()
            todo = links_of(first)
            while todo:
                address = todo.pop(0)
                kind = tuple(re.sub(r"[0-9a-f-]{36}|/applications/[a-z0-9-]+", "*", address).split("?")[0].split("/"))
                if address in seen or kind in kinds or not address.startswith(("/admin", "/developer", "/account")):
                    continue
                seen.add(address)
                kinds.add(kind)
                page = await browser.open(address)
                assert page.status_code == 200, f"{role}: {address} is {page.status_code}"
                if page.url.path.startswith("/admin/people") and role in ("officer", "helpdesk", "auditor"):
                    todo += links_of(page)
            if role == "admin":
                assert len(kinds) > 10, kinds


def text_in_indonesian(text: str) -> str:
    """Return a text as an Indonesian page shows it."""
    return html.escape(translations("id").gettext(text))


async def test_nobody_who_is_not_signed_in_sees_any_of_it(city: City) -> None:
    async with city.browser() as browser:
        for route in PAGES:
            answer = await answer_of(browser, route, address(route))
            assert answer.status_code == 303, route.path
            assert answer.headers["location"].startswith("/login?then="), route.path


async def test_a_form_that_we_did_not_make_changes_nothing(city: City) -> None:
    browser = await signed_in(city, await with_application(city, "admin", "developer"))
    for route in PAGES:
        if "POST" in route.methods:
            answer = await answer_of(browser, route, address(route))
            assert answer.status_code in (400, 404), f"{route.path}: {answer.status_code}"
    await browser.http.aclose()


async def test_dangerous_acts_need_somebody_who_signed_in_a_moment_ago(city: City) -> None:
    browser = await signed_in(city, await with_application(city, "admin", "developer"))
    clock.advance(city.settings.reauthentication_age + timedelta(seconds=1))
    for route in PAGES:
        rule, path = rule_of(route), address(route)
        dangerous = (
            isinstance(rule, Needs)
            and rule.permission
            and (PERMISSIONS[rule.permission].dangerous or isinstance(rule, Downloads))
        ) or (isinstance(rule, Team) and rule.recent)
        if "POST" in route.methods and dangerous:
            answer = await answer_of(browser, route, path)
            assert answer.status_code == 303, path
            back = query_of(answer.headers["location"])["then"]
            assert any(address(page) == back and "GET" in page.methods for page in PAGES), (
                f"{path} leads back to {back}"
            )
    for act, (permission, _) in ACTIONS.items():
        if PERMISSIONS[permission].dangerous:
            answer = await browser.http.post(f"{ADMIN}/people/{city.users['siti']}/{act}", data={"note": "x"})
            assert answer.status_code == 303, act
    await browser.http.aclose()


async def test_signing_in_leads_back_to_the_page_and_nowhere_else(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/admin/people")
        answer = await browser.submit(page, username="ratna", password=PASSWORD)
        assert answer.url.path == "/admin/people"
    async with city.browser() as browser:  # a link to what somebody searched for leads there
        page = await browser.open("/admin/people?q=siti%40warga.example&x=a+b")
        answer = await browser.submit(page, username="ratna", password=PASSWORD)
        assert str(answer.url).endswith("/admin/people?q=siti%40warga.example&x=a+b")
        assert "Siti Rahmawati" in answer.text
    async with city.browser() as browser:  # whatever was searched for
        page = await browser.open("/admin/people?q=sit*,(x)!")
        answer = await browser.submit(page, username="ratna", password=PASSWORD)
        assert answer.url.path == "/admin/people"
        assert answer.url.params["q"] == "sit*,(x)!"
    for evil in (
        "//evil.example/admin",
        "/admin/../logout",
        "https://evil.example",
        "/admin?x=<b>",
        "/logout?x=1",
        "/adminx",
        "/admin//e",
    ):
        async with city.browser() as browser:
            page = await browser.open(f"/login?then={evil}")
            answer = await browser.submit(page, username="ratna", password=PASSWORD)
            assert answer.url.path == "/", evil
    async with city.browser() as browser:  # control characters are let in nowhere
        assert (await browser.http.get("/login?then=/admin?x=1%0d%0aSet-Cookie:a=b")).status_code == 400
