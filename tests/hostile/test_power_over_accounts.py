"""No path to more rights than one's own, by way of somebody's account.

Every act on an account, of the API and of the administrators' pages, is tried by every kind of caller on every kind of
account, and compared with one pure rule: the caller needs the permission of the act and all of the power over the
account. The acts are read from the routing tables: a new one that is not in the model makes a test fail.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

import httpx2 as httpx
import jinja2
import pytest
from fastapi.routing import APIRoute
from tests.api.conftest import Api, person_with, program
from tests.api.test_access import BODIES, ROUTES, permission_of
from tests.arranged import sign_in
from tests.citizens import NEW_PASSWORD, SENDING, last_code, post, sent
from tests.covering import covering
from tests.routes import ROUTERS
from tests.support import ONE_DATABASE, PASSWORD, Browser, City, forms_in

from sso import clock
from sso.accounts import user_actions
from sso.accounts.attributes import staff_of
from sso.accounts.power import TooPowerful, check_power, power_over
from sso.accounts.user_actions import ACTIONS
from sso.clients.models import Application
from sso.clients.privileges import OPERATOR
from sso.http.admin import imports as admin_imports
from sso.http.admin import selected_rows
from sso.http.admin import sessions as admin_sessions
from sso.http.admin import users as admin_users
from sso.http.api import attributes as api_attributes
from sso.http.api import identity_checks as api_citizens
from sso.http.api import sessions as api_sessions
from sso.http.api import users as api_users
from sso.identity import test_users as fictional
from sso.identity.sessions.models import SsoSession
from sso.identity.users import store
from sso.identity.users.importing import PURPOSE
from sso.identity.users.models import MergeProposal
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import UserError, create_users, set_roles
from sso.platform.actor import Actor
from sso.platform.permissions import GRANTING, GROUP_PERMISSIONS, PERMISSIONS, ROLES, permissions_of
from sso.portal import teams

REACHED = "the rule let the act through"
TRIED = 120
"""How many acts are tried at least."""
POWERFUL = "petugas"
"""A program of the city with every scope; some people are in its team."""
ABOUT_ACCOUNTS = ("/users/", "/sessions/", "/session-endings", "/merge-proposals/", "/grants/")
"""What the paths of the API begin with that act on an account that is there."""
ABOUT_OTHER_THINGS = (
    "/users",
    "/user-invitations",
    "/session-endings/{ending_id}/stop",
    "/applications",
    "/clients",
    "/webhooks",
    "/deliveries",
    "/settings",
    "/groups",
    "/role-assignments",
    "/access-reviews",
    "/employees",
)
"""What the others begin with. ``POST /users`` makes an account: the roles that it gets are tried below. Invitations are
tried in tests/api/test_team_webhooks.py. Applications, their teams and secrets are another model's."""
PAGES_ABOUT_ACCOUNTS = {
    "/admin/people/{user_id}/{act}", "/admin/people/selected", "/admin/sessions/selected",
    "/admin/sessions/{session_id}", "/admin/endings", "/admin/imports",
}  # fmt: skip
PAGES_ABOUT_OTHER_THINGS = (
    "/admin/applications", "/admin/keys", "/admin/deliveries", "/admin/audit", "/admin/endings/{ending_id}",
    "/admin/invitations", "/admin/searches", "/admin/people/download", "/admin/sessions/download", "/admin/setup/",
    "/admin/imports/download", "/admin/system/", "/admin/groups", "/admin/unit-roles/", "/admin/employees",
)  # fmt: skip
ACTORS = [[role] for role in ROLES] + [
    ["helpdesk", "developer"], ["helpdesk", "officer"], ["helpdesk", "group_admin"], ["helpdesk", "auditor"],
    ["officer", "developer"], ["officer", "auditor"], ["officer", "group_admin"],
]  # fmt: skip
"""Each role alone, and the pairs of which one may do anything with accounts; whoever is admin may do everything."""
TARGETS: dict[str, list[str]] = {
    "citizen": ["citizen"],
    "developer": ["citizen", "developer"],
    "member": ["citizen"],
    "invited": ["citizen"],
    "helpdesk": ["helpdesk"],
    "officer": ["officer"],
    "both": ["helpdesk", "officer"],
    "auditor": ["auditor"],
    "group_admin": ["group_admin"],
    "admin": ["admin"],
}


def power_in_model(target: str) -> frozenset[str]:
    """What somebody could do who takes the account over."""
    if target in ("member", "invited"):
        return frozenset(PERMISSIONS) - {GRANTING}  # what a program can have
    more = GROUP_PERMISSIONS if target == "group_admin" else frozenset()
    return permissions_of(TARGETS[target]) | more


def allowed_in_model(rights: frozenset[str], permission: str, target: str) -> bool:
    """The whole rule."""
    return permission in rights and power_in_model(target) <= rights


@dataclass(frozen=True)
class Case:
    """A caller with roles, or a program with scopes, does something that needs a permission to an account of a kind."""

    caller: tuple[str, ...]
    rights: frozenset[str]
    permission: str
    act: str
    kind: str


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def people(city: City, roles_by_name: Mapping[str, Sequence[str]]) -> list[uuid.UUID]:
    """Make people with user names and roles."""
    hashed = await city.site.passwords.hash(PASSWORD)
    about = [
        {"username": name, "name": name.title(), "email": f"{name}@warga.example", "email_verified": True}
        | {"roles": list(roles), "password_hash": hashed}
        for name, roles in roles_by_name.items()
    ]
    async with city.provider.db.write() as session:
        users = await create_users(session, [NewUser.model_validate(values) for values in about])
    city.users = {**city.users, **{name: user.id for name, user in zip(roles_by_name, users, strict=True)}}
    return [user.id for user in users]


async def a_team(city: City) -> None:
    """Let the powerful program have a team: one member, and one who is invited."""
    now = clock.now()
    async with city.provider.db.write() as session:
        application = Application(
            application_id=POWERFUL, state="approved", kind="service", name="Petugas", document={}, sandbox={},
            granted={}, revision=1, created_at=now, updated_at=now,
        )  # fmt: skip
        session.add(application)
        await session.flush()
        await teams.add_member(session, POWERFUL, city.users["ratna"], "owner", actor=Actor("test"))
        if "t-member" in city.users:
            await teams.add_member(session, POWERFUL, city.users["t-member"], "member", actor=Actor("test"))
        await teams.invite(
            session,
            POWERFUL,
            "t-invited@warga.example",
            "member",
            user_id=None,
            actor=Actor("test"),
            authority=OPERATOR,
        )


async def be(city: City, name: str, roles: list[str]) -> None:
    async with city.provider.db.write() as session:
        user = await store.lock_user(session, city.users[name])
        assert user is not None
        await set_roles(session, user, roles)


async def targets(city: City) -> dict[str, dict[str, uuid.UUID]]:
    """Make one account of each kind, with a session and a proposal."""
    ids_of = await people(city, {f"t-{kind}": roles for kind, roles in TARGETS.items()})
    accounts = {kind: {"user": user_id} for kind, user_id in zip(TARGETS, ids_of, strict=True)}
    await a_team(city)
    now = clock.now()
    row = city.provider.box.encrypt(json.dumps({"name": "X", "identifiers": []}).encode(), PURPOSE)
    async with city.provider.db.write() as session:
        for ids in accounts.values():
            about = {
                "auth_time": now,
                "created_at": now,
                "last_seen_at": now,
                "expires_at": now + timedelta(days=3650),
            }
            live = SsoSession(user_id=ids["user"], token_hash=uuid.uuid4().bytes * 2, acr="x", amr=[], **about)
            proposal = MergeProposal(user_id=ids["user"], reasons=[], encrypted=row, status="open", created_at=now)
            session.add_all([live, proposal])
            await session.flush()
            ids |= {"session": live.id, "proposal": proposal.id}
    return accounts


@pytest.fixture
def _nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no act change anything: what comes as far as that is told by a refusal of its own."""

    async def reached(*_: Any, **__: Any) -> None:
        raise UserError(REACHED)

    for name in ("change_person", "give_roles", "disable_user", "enable_user", "delete_user"):
        monkeypatch.setattr(api_users, name, reached)
    monkeypatch.setattr(api_attributes, "change_values", reached)
    monkeypatch.setattr(api_users, "check_etag", lambda *_, **__: None)
    for name in ("check_identity", "revoke_identity_check", "merge_users", "start_recovery", "decide_proposal"):
        monkeypatch.setattr(api_citizens, name, reached)
    monkeypatch.setattr(selected_rows, "end_session_of_person", reached)
    for module in (api_sessions, admin_sessions):
        monkeypatch.setattr(module, "end_session_of_person", reached)
        monkeypatch.setattr(module.mass_ending, "begin", reached)
    monkeypatch.setattr(admin_imports, "decide_proposal", reached)
    for act, (permission, work) in ACTIONS.items():
        monkeypatch.setitem(ACTIONS, act, (permission, work if act in ("roles", "merge") else reached))
    monkeypatch.setattr(user_actions, "give_roles", reached)
    monkeypatch.setattr(user_actions, "merge_users", reached)


def was_let_through(answer: httpx.Response) -> bool:
    """Tell whether the rule let an act through."""
    assert answer.status_code in (403, 409, 500), f"{answer.request.url}: {answer.status_code} {answer.text[:300]}"
    return answer.status_code != 403


def api_calls(ids: dict[str, uuid.UUID], other: uuid.UUID) -> Iterator[tuple[APIRoute, str, Any]]:
    """Yield every act of the API on an account: the route, its address, its body."""
    bodies: dict[str, Any] = {
        **BODIES,
        "patch_user": {"email": "lain@warga.example", "email_verified": True},
        "merge": {"other_id": str(other)},
        "begin_ending": {"user_id": str(ids["user"])},
    }
    for route in ROUTES:
        if not acts_on_an_account(route) or "/grants/" in route.path:
            continue
        path = route.path.replace("{user_id}", str(ids["user"])).replace("{session_id}", str(ids["session"]))
        path = path.replace("{proposal_id}", str(ids["proposal"]))
        assert "{" not in path, f"{path}: name what it acts on"
        reason = "?reason=x" if any(field.name == "reason" for field in route.dependant.query_params) else ""
        yield route, path.removeprefix("/api/v1") + reason, bodies.get(route.name)


def acts_on_an_account(route: APIRoute) -> bool:
    """Tell whether a route of the API acts on an account that is there."""
    path = route.path.removeprefix("/api/v1")
    if route.methods == {"GET"} or path == "/session-endings/{ending_id}/stop":
        return False
    return path.startswith(ABOUT_ACCOUNTS)


def test_every_act_on_an_account_is_in_the_model() -> None:
    for route in ROUTES:
        known = acts_on_an_account(route) or route.path.removeprefix("/api/v1").startswith(ABOUT_OTHER_THINGS)
        about = f"{route.methods} {route.path}: say whether it acts on somebody's account"
        assert route.methods == {"GET"} or known, about
    pages = {
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path.startswith("/admin") and "POST" in route.methods
    }
    unknown = {path for path in pages - PAGES_ABOUT_ACCOUNTS if not path.startswith(PAGES_ABOUT_OTHER_THINGS)}
    assert not unknown, f"say whether they act on somebody's account: {unknown}"
    assert pages >= PAGES_ABOUT_ACCOUNTS


def each_pair(case: Case) -> Iterator[Hashable]:
    """Yield what of a case must be tried: each caller with each account, each caller with each act let through and
    refused, and each act on each account let through and refused."""
    expected = allowed_in_model(case.rights, case.permission, case.kind)
    yield from (
        ("caller, account", case.caller, case.kind),
        ("caller, act", case.caller, case.act, expected),
        ("act, account", case.act, case.kind, expected),
    )


async def check_the_function(city: City, accounts: dict[str, dict[str, uuid.UUID]]) -> None:
    """Try the function that decides with each caller and each account: the acts below call it."""
    callers = [permissions_of(roles) for roles in ACTORS] + [frozenset({permission}) for permission in PERMISSIONS]
    async with city.provider.db.read() as session:
        for kind, ids in accounts.items():
            power = await power_over(session, city.provider.registry, ids["user"])
            assert power == power_in_model(kind), kind
            for rights in callers:
                missing = sorted(power - rights)
                assert missing_of(rights, power) == (missing[0] if missing else None), f"{kind} {rights}"


def missing_of(rights: frozenset[str], power: frozenset[str]) -> str | None:
    """Return the permission that the rule names where it refuses an act."""
    try:
        check_power(rights, power)
    except TooPowerful as refused:
        return refused.permission
    return None


@ONE_DATABASE
@pytest.mark.usefixtures("_nothing_is_done")
async def test_the_api_follows_the_model(city: City) -> None:
    accounts = await targets(city)
    await check_the_function(city, accounts)
    others = (await people(city, {"lain": ["citizen"]}))[0]
    person = await person_with(city, "admin")
    calls = {
        (kind, route.name): (route, path, body)
        for kind, ids in accounts.items()
        for route, path, body in api_calls(ids, others)
    }

    def cases(caller: Sequence[str], rights: frozenset[str], kinds: Sequence[str]) -> list[Case]:
        mine = tuple(caller)
        every = [Case(mine, rights, permission_of(route), act, kind) for (kind, act), (route, _, _) in calls.items()]
        # The permission of each route is tried in tests/api/test_access.py.
        return [case for case in every if case.kind in kinds and case.permission in rights]

    async def check(api: Api, chosen: Iterable[Case]) -> None:
        for case in chosen:
            route, path, body = calls[case.kind, case.act]
            answer = await api(next(iter(route.methods)), path, **({"json": body} if body is not None else {}))
            expected = allowed_in_model(case.rights, case.permission, case.kind)
            if route.name == "put_roles":
                assert body == {"roles": ["citizen"]}
            assert was_let_through(answer) == expected, f"{case.caller} {route.name} {case.kind}: {answer.text}"
            if not expected:
                missing = sorted(power_in_model(case.kind) - case.rights)[0]
                assert missing in answer.json()["detail"], "the missing permission is named"
                assert answer.json()["type"] == "urn:sso:problem:no_permission"

    few = ["citizen", "member", "admin"]
    table = [
        case
        for roles in ACTORS
        for case in cases(roles, permissions_of(roles), few if roles == ["admin"] else list(TARGETS))
    ]
    chosen = covering(table, each_pair)
    for roles, mine in groupby(chosen, attrgetter("caller")):
        await be(city, "budi", list(roles))
        await check(person, mine)
    some = ["citizen", "developer", "member", "auditor"]
    acting = sorted({permission_of(route) for route, _, _ in calls.values()})
    table = [case for permission in acting for case in cases([permission], frozenset({permission}), some)]
    programs = covering(table, each_pair)
    for (permission,), mine in groupby(programs, attrgetter("caller")):
        await check(await program(city, PERMISSIONS[permission].scope), mine)
    await be(city, "budi", ["admin"])  # a console's token: the role and the scope
    limited = await person_with(city, "admin", scope="sso:users:write sso:users:read")
    console = cases(["console"], frozenset({"users:write", "users:read"}), some)
    await check(limited, console)
    assert len(chosen) + len(programs) + len(console) > TRIED


@ONE_DATABASE
@pytest.mark.usefixtures("_nothing_is_done")
async def test_the_pages_follow_the_model(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = await targets(city)
    other = (await people(city, {"lain": ["citizen"]}))[0]
    await be(city, "budi", ["admin"])
    async with city.browser() as browser:
        await sign_in(city, browser, "budi")
        tokens = {kind: await csrf_token(browser, f"/admin/people/{ids['user']}") for kind, ids in accounts.items()}
        ending, listed = (
            await csrf_token(browser, "/admin/endings"),
            await csrf_token(browser, "/admin/sessions", "selected"),
        )
        imports = await csrf_token(browser, "/admin/imports", "imports")
        session_csrf = await csrf_token(browser, f"/admin/sessions/{accounts['citizen']['session']}")

        # The status says what came of it, and the page that says it too is read and written for nothing.
        monkeypatch.setattr(jinja2.Template, "render", lambda *_, **__: "")
        account = await admin_users._read_account(city.provider, accounts["citizen"]["user"], staff_of(frozenset()))

        async def read_account(*_: Any) -> Any:
            return account

        monkeypatch.setattr(admin_users, "_read_account", read_account)

        calls: dict[tuple[str, str], tuple[str, str, str, dict[str, str]]] = {}
        for kind, ids in accounts.items():
            for act, (permission, _) in ACTIONS.items():
                more = {"other": str(other), "role helpdesk": "1", "sure": "1"}
                calls[kind, act] = (permission, f"/admin/people/{ids['user']}/{act}", tokens[kind], more)
            chosen = {"id": str(ids["session"]), "choice": f"dropped {ids['proposal']}"}
            selected, named = {**chosen, "act": "end", "sure": "1"}, {"person": str(ids["user"])}
            calls |= {
                (kind, "selected"): ("sessions:end", "/admin/sessions/selected", listed, selected),
                (kind, "session"): ("sessions:end", f"/admin/sessions/{ids['session']}", session_csrf, {}),
                (kind, "ending"): ("sessions:end_many", "/admin/endings", ending, named),
                (kind, "import"): ("users:merge", "/admin/imports", imports, chosen),
            }
        table = [
            Case(tuple(roles), permissions_of(roles), permission, act, kind)
            for roles in ACTORS
            for (kind, act), (permission, _, _, _) in calls.items()
            if permission in permissions_of(roles)
            if act not in ACTIONS or "users:read" in permissions_of(roles)
            if roles != ["admin"] or kind in ("citizen", "invited", "admin")
        ]
        tried = covering(table, each_pair)
        for roles, mine in groupby(tried, attrgetter("caller")):
            await be(city, "budi", list(roles))
            for case in mine:
                _, path, token, fields = calls[case.kind, case.act]
                answer = await browser.http.post(path, data={"csrf_token": token, "note": "sebab", **fields})
                expected = allowed_in_model(case.rights, case.permission, case.kind)
                assert was_let_through(answer) == expected, f"{roles} {path} {case.kind}"
        assert len(tried) > TRIED


async def csrf_token(browser: Browser, path: str, end: str = "") -> str:
    """Return the token of the forms of a page."""
    page = await browser.open(path)
    tokens = [
        form.fields["csrf_token"]
        for form in forms_in(page.text)
        if form.method == "post" and form.action.startswith("/admin") and form.action.endswith(end)
    ]
    assert tokens, page.text[:500]
    return tokens[-1]


# Roles, groups and new accounts


async def test_what_was_granted_to_somebody_who_may_more_is_not_revoked(city: City) -> None:
    api = await program(city, "sso:grants:read sso:grants:revoke")
    for name, expected in (("siti", 204), ("ratna", 403)):
        async with city.browser() as browser:
            await browser.tokens(city.relying_party("warga"), username=name)
        (granted,) = (await api.get("/grants", user_id=str(city.users[name])))["items"]
        assert (await api("DELETE", f"/grants/{granted['id']}")).status_code == expected


async def test_nobody_gives_or_takes_a_role_that_may_more_than_they(city: City) -> None:
    siti, budi = city.users["siti"], city.users["budi"]
    giver = await program(city, "sso:users:roles sso:users:read sso:users:check_identity sso:users:write")

    async def put(user: uuid.UUID, *roles: str) -> int:
        tag = await giver.etag(f"/users/{user}")
        answer = await giver("PUT", f"/users/{user}/roles", json={"roles": roles}, headers={"If-Match": tag})
        return answer.status_code

    mine = frozenset({"users:roles", "users:read", "users:check_identity", "users:write"})
    for role, permissions in ROLES.items():
        yields = permissions | (GROUP_PERMISSIONS if role == "group_admin" else frozenset())
        assert await put(siti, role) == (200 if yields <= mine else 403), role
    await be(city, "budi", ["auditor"])
    assert await put(budi, "citizen") == 403, "taking a role needs its permissions too"
    for role, permissions in ROLES.items():
        person = {"username": f"baru-{role.replace('_', '-')}", "name": "Baru", "roles": [role]}
        yields = permissions | (GROUP_PERMISSIONS if role == "group_admin" else frozenset())
        answer = await giver("POST", "/users", json=person)
        assert answer.status_code == (201 if yields <= mine else 403), f"{role}: {answer.text}"
    async with city.provider.db.read() as session:
        assert await store.roles_of(session, budi) == ["auditor"]


async def test_no_account_gets_an_identifier_that_a_powerful_team_invited(city: City) -> None:
    await a_team(city)
    api = await program(city, "sso:users:write sso:users:read")
    contact = {"email": "t-invited@warga.example", "email_verified": True}
    tag = await api.etag(f"/users/{city.users['siti']}")
    changed = await api("PATCH", f"/users/{city.users['siti']}", json=contact, headers={"If-Match": tag})
    assert changed.status_code == 403
    refused = await api("POST", "/users", json={"username": "kaki-tangan", "name": "Kaki Tangan", **contact})
    assert refused.status_code == 403


async def test_only_who_checks_identities_marks_a_nik_as_verified(city: City) -> None:
    person = {"username": "ber-nik", "name": "Ber Nik", "nik": "3671014104900001", "nik_verified": True}
    assert (await (await program(city, "sso:users:write"))("POST", "/users", json=person)).status_code == 403
    both = await program(city, "sso:users:write sso:users:check_identity")
    assert (await both("POST", "/users", json=person)).status_code == 201


async def test_a_test_person_gets_no_rights_and_no_contacts(city: City) -> None:
    """Every team signs in as a test person in its sandbox."""
    async with city.provider.db.write() as session:
        user = await fictional.test_person(session, "uji-nama")
        city.users = {**city.users, "uji-nama": user.id}
    api = await program(city)
    tag = {"If-Match": await api.etag(f"/users/{user.id}")}
    refused = [
        await api("PUT", f"/users/{user.id}/roles", json={"roles": ["helpdesk"]}, headers=tag),
        await api("PATCH", f"/users/{user.id}", json={"email": "a@warga.example", "email_verified": True}, headers=tag),
        await api("POST", f"/users/{user.id}/recovery"),
        await api("POST", f"/users/{user.id}/identity-checks", json=BODIES["check"]),
        await api("POST", f"/users/{city.users['siti']}/merge", json={"other_id": str(user.id)}),
    ]
    assert [answer.status_code for answer in refused] == [409] * 5, [answer.text for answer in refused]


# Two steps: change a contact, then recover


async def with_program(city: City, name: str, **change: Any) -> httpx.Response:
    api = await program(city, "sso:users:write sso:users:read")
    tag = await api.etag(f"/users/{city.users[name]}")
    return await api("PATCH", f"/users/{city.users[name]}", json=change, headers={"If-Match": tag})


async def test_a_program_that_changes_users_takes_no_account_over(city: City) -> None:
    answer = await with_program(city, "ratna", email="jahat@warga.example", email_verified=True)
    assert answer.status_code == 403
    assert "applications:create" in answer.json()["detail"]
    answer = await with_program(city, "siti", email="jahat@warga.example", email_verified=True)
    assert answer.status_code == 200
    notified = {(message["about"], message["to"]) for message in await sent(city) if "to" in message}
    for about in ("contact_added", "contact_removed"):
        assert {(about, "siti@warga.example"), (about, "+6281234567890"), (about, "jahat@warga.example")} <= notified
    async with city.browser() as thief:
        page = await post(thief, "/recover", {"username": "jahat@warga.example"}, await thief.open("/recover"))
        page = await post(thief, "/recover", {"code": await last_code(city)}, page)
        assert 'name="password"' not in page.text, "a contact that somebody else added opens nothing by itself"
    waits = [message["to"] for message in await sent(city) if message["about"] == "recovery_waits"]
    assert {"+6281234567890", "jahat@warga.example"} <= set(waits), "every contact is told, and can stop it"
    clock.advance(city.settings.recovery_delay + timedelta(minutes=1))
    async with city.browser() as owner:
        page = await post(owner, "/recover", {"username": "jahat@warga.example"}, await owner.open("/recover"))
        page = await post(owner, "/recover", {"code": await last_code(city)}, page)
        assert (await post(owner, "/recover", {"password": NEW_PASSWORD}, page)).status_code == 200


async def test_the_helpdesk_adds_nothing_to_a_contact_that_a_program_added(city: City) -> None:
    assert (await with_program(city, "siti", email="jahat@warga.example", email_verified=True)).status_code == 200
    api = await person_with(city, "helpdesk")
    code = (await api("POST", f"/users/{city.users['siti']}/recovery")).json()["code"]
    async with city.browser() as thief:
        page = await post(thief, "/recover", {"username": "jahat@warga.example"}, await thief.open("/recover"))
        page = await post(thief, "/recover", {"code": code}, page)
        assert 'name="password"' not in page.text
