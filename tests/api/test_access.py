"""Who may call what: every route of the API against every role, generated from the routes themselves."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.routing import APIRoute
from tests.api.conftest import ALL_SCOPES, Api, person_with, program
from tests.demands import demand
from tests.support import ONE_DATABASE, City, form_of, query_of

from sso import clock
from sso.http.api.openapi import description
from sso.http.api.resources import RESOURCES
from sso.identity.users.schemas import Role
from sso.platform.permissions import PERMISSIONS, ROLES, permissions_of

ROUTES: list[APIRoute] = [route for router in RESOURCES for route in router.routes if isinstance(route, APIRoute)]
BODIES: dict[str, Any] = {
    "end_session": {},
    "begin_ending": {"client_id": "warga"},
    "create_user": {"username": "orang-baru", "name": "Orang Baru"},
    "invite": {"name": "Orang Baru", "email": "baru@kota.example"},
    "patch_user": {"name": "Nama Lain"},
    "patch_attributes": {},
    "merge": {"other_id": "00000000-0000-0000-0000-000000000008"},
    "check": {"document": "passport", "document_number": "A1234567", "place": "MPP"},
    "decide": {"decision": "dropped"},
    "put_roles": {"roles": ["citizen"]},
    "create": {"client_id": "baru", "metadata": {"type": "service", "client_name": "Baru"}},
    "put_client": {"metadata": {"type": "service", "client_name": "Baru"}},
    "make_secret": {},
    "add_privilege": {"privilege": "nik", "reason": "x"},
    "end_privilege": {"reason": "x"},
    "suspend": {},
    "begin": {"application_id": "antrean", "kind": "web", "document": {}, "draft": True},
    "put_application": {"document": {}, "revision": 1},
    "act": {"act": "submit"},
    "review": {"decision": "approve", "revision": 1},
    "begin_rp_check": {},
    "put_member": {"role": "member"},
    "patch_settings": {"values": {"city_name": "Kota Lain"}, "reason": "x"},
    "create_group": {"code": "DINKES", "name_id": "Dinas Kesehatan", "reason": "x"},
    "patch_group": {"name_id": "Dinas Kesehatan", "reason": "x"},
    "move_group": {"parent_id": None, "reason": "x"},
    "close_group": {"reason": "x"},
    "reopen_group": {"reason": "x"},
    "add_member": {"user_id": "00000000-0000-0000-0000-000000000008", "reason": "x"},
    "end_membership": {"reason": "x"},
    "put_administrators": {"user_ids": [], "reason": "x"},
    "give": {"client_id": "tidak-ada", "reason": "x", "assignments": [{"role": "operator"}]},
    "end_role_assignment": {"reason": "x"},
    "start_access_review": {
        "client_id": "tidak-ada",
        "ends_at": f"{clock.now() + timedelta(days=30):%Y-%m-%d}T00:00:00Z",
        "reason": "x",
    },
    "cancel_access_review": {"reason": "x"},
    "import_employees": {"employees": [{"name": "Orang", "employment_status": "pns"}], "reason": "x", "dry_run": True},
    "add_webhook": {"url": "https://hook.example/", "events": ["session.ended"]},
}


def permission_of(route: APIRoute) -> str:
    """Return the permission that a route says it needs; "" for none."""
    return str((route.openapi_extra or {})["x-permission"])


def path_of(route: APIRoute) -> str:
    """Return an address of a route: of something that does not exist."""
    return re.sub(r"{[^}]*}", str(uuid.UUID(int=7)), route.path).removeprefix("/api/v1")


async def call(api: Api, route: APIRoute) -> httpx.Response:
    """Call a route as its documentation has it, on something that does not exist."""
    method = next(iter(route.methods))
    body = {"json": BODIES[route.name]} if route.body_field is not None else {}
    return await api(method, path_of(route), **body)


def test_every_route_says_what_it_needs() -> None:
    assert len(ROUTES) >= 30
    for route in ROUTES:
        assert permission_of(route) in ("", *PERMISSIONS), f"{route.path} has no rule: make it with needs(...)"
        assert len(route.dependencies) == 1, f"{route.path} has no check"
    only_on_pages = {"mails:read", "users:export", "statistics:read", "keys:read", "keys:rotate"}
    unused = set(PERMISSIONS) - {permission_of(route) for route in ROUTES} - only_on_pages
    assert not unused, f"nothing needs {unused}"


def test_the_roles_are_those_that_people_can_have() -> None:
    from typing import get_args

    assert set(ROLES) == set(get_args(Role))
    for names in ROLES.values():
        assert names <= set(PERMISSIONS)
    assert all(name.endswith((":read", ":export")) for name in ROLES["auditor"])


@ONE_DATABASE
@pytest.mark.parametrize("role", list(ROLES))
async def test_a_role_may_do_what_the_table_says_and_nothing_else(city: City, role: str) -> None:
    api = await person_with(city, role)
    # The owner of an application may do more: it is created last.
    for route in sorted(ROUTES, key=lambda route: route.name == "begin"):
        answer = await call(api, route)
        permission = permission_of(route)
        allowed = not permission or permission in permissions_of([role])
        assert (answer.status_code != 403) == allowed, f"{role} {route.methods} {route.path}: {answer.text}"
        if not allowed:
            assert answer.json()["type"] == "urn:sso:problem:no_permission"


@ONE_DATABASE
async def test_a_scope_that_the_token_lacks_is_refused_everywhere(city: City) -> None:
    api = await program(city, "sso:audit:read")
    for route in ROUTES:
        answer, permission = await call(api, route), permission_of(route)
        if permission in ("", "audit:read"):
            assert answer.status_code in (200, 404), answer.text
            continue
        assert answer.status_code == 403, f"{route.methods} {route.path}"
        assert f'scope="sso:{permission}"' in answer.headers["www-authenticate"]


async def test_what_is_no_access_token_of_ours_is_refused(city: City, subtests: pytest.Subtests) -> None:
    party = city.relying_party("konsol")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, username="ratna", scope=f"openid {ALL_SCOPES}")
    wrong = {
        "": "",
        "x": "x",
        "id_token": tokens["id_token"],
        "refresh_token": tokens["refresh_token"],
        "foreign": tokens["access_token"][:-6] + "AAAAAA",
        "revoked": tokens["access_token"],
    }
    assert (await Api(city, tokens["access_token"])("GET", "/me")).status_code == 200
    for name, token in wrong.items():
        with subtests.test(name):
            if name == "revoked":
                await party.post("/revoke", {"token": tokens["refresh_token"]})
            for route in ROUTES[:6]:
                answer = await call(Api(city, token), route)
                assert answer.status_code == 401
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_disabled_administrator_or_application_can_do_nothing_at_once(city: City, api: Api) -> None:
    admin = await person_with(city, "admin")
    assert (await admin("GET", "/me")).status_code == 200
    budi = city.users["budi"]
    assert (await api("POST", f"/users/{budi}/disable")).status_code == 200
    assert (await admin("GET", "/me")).status_code == 401
    other = await program(city)
    assert (await api("POST", "/clients/petugas/suspend", json={})).status_code == 200
    assert (await other("GET", "/me")).status_code == 401


@demand("RFC 9470 3", "the challenge names max_age; a token from such a sign-in is accepted")
async def test_dangerous_acts_need_somebody_who_signed_in_within_ten_minutes(city: City) -> None:
    """RFC 9470: the challenge says what to ask for; asking for it makes the act possible."""
    party = city.relying_party("konsol")
    async with city.browser() as browser:
        admin = Api(city, (await browser.tokens(party, username="ratna", scope=f"openid {ALL_SCOPES}"))["access_token"])
        dangerous = [route for route in ROUTES if (name := permission_of(route)) and PERMISSIONS[name].dangerous]
        assert len(dangerous) > 10
        clock.advance(580)
        assert (await admin("POST", f"/users/{city.users['siti']}/disable")).status_code == 200
        refreshed = await browser.tokens(party, username="ratna", scope=f"openid {ALL_SCOPES}")
        late = Api(city, refreshed["access_token"])
        clock.advance(21)
        for route in dangerous:
            answer = await call(late, route)
            assert answer.status_code == 401, f"{route.methods} {route.path}: {answer.text}"
            assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
            assert 'max_age="600"' in answer.headers["www-authenticate"]
        assert (await late("GET", "/users")).status_code == 200, "to look is not dangerous"
        page = await browser.open(party.url(max_age="600", scope=f"openid {ALL_SCOPES}"))
        assert form_of(page).action == "/login"
        answer = await browser.submit(page, username="ratna", password="kuda-laut-terbang-91")
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    again = Api(city, tokens["access_token"])
    assert (await again("POST", f"/users/{city.users['siti']}/enable")).status_code == 200


async def test_roles_are_not_given_with_the_right_to_make_people(city: City) -> None:
    api = await program(city, "sso:users:write")
    answer = await api("POST", "/users", json={"username": "penyusup", "name": "Penyusup", "roles": ["admin"]})
    assert answer.status_code == 403
    assert "sso:users:roles" in answer.headers["www-authenticate"]


async def test_more_than_the_fields_that_there_are_is_refused(city: City, api: Api) -> None:
    """Mass assignment (SECURITY 12)."""
    siti = f"/users/{city.users['siti']}"
    for change in ({"roles": ["admin"]}, {"disabled_at": None}, {"id": "x"}, {"name": "A", "status": "active"}):
        answer = await api("PATCH", siti, json=change, headers={"If-Match": await api.etag(siti)})
        assert answer.status_code == 422, change
        assert answer.json()["errors"][0]["pointer"].startswith("/")
    metadata = {"type": "web", "client_name": "X", "redirect_uris": ["https://x.example/cb"]}
    for field in ("catalogue", "status", "client_secret"):
        answer = await api("POST", "/clients", json={"client_id": "xyz", "metadata": metadata, field: "x"})
        assert answer.status_code == 422


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"scope": "openid sso:users:write", "first_party": False}, "first_party"),
    ({"scope": "openid sso:users:everything", "first_party": True}, "is not a permission"),
    ({"scope": "openid sso:users:read", "first_party": True, "token_endpoint_auth_method": "none"}, "authenticate"),
]


async def test_permissions_are_only_for_the_citys_own_applications(api: Api, subtests: pytest.Subtests) -> None:
    for fields, message in REFUSED:
        with subtests.test(message):
            metadata = {"type": "web", "client_name": "X", "redirect_uris": ["https://x.example/cb"], **fields}
            answer = await api("POST", "/clients", json={"client_id": "penyusup", "metadata": metadata})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == "/metadata/scope"
            assert message in answer.json()["errors"][0]["detail"]


async def test_who_registers_by_themselves_gets_no_permission(city: City) -> None:
    from sso.clients.dynamic_registration import read_registration

    metadata = read_registration(
        {"redirect_uris": ["https://x.example/cb"], "scope": "openid sso:users:write ssf.manage"}, "standard", False
    )
    assert metadata.scope == "openid"


async def test_me_says_what_can_be_done(city: City) -> None:
    api = await person_with(city, "helpdesk", scope="sso:users:read sso:users:write")
    me = (await api("GET", "/me")).json()
    assert me["roles"] == ["helpdesk"]
    assert me["permissions"] == ["users:read"], "what both the scopes and the roles allow"
    listed = {permission["name"]: permission["roles"] for permission in (await api("GET", "/permissions")).json()}
    assert listed["users:roles"] == ["admin"]


def test_the_description_says_what_each_operation_needs() -> None:
    document = description("https://sso.example")
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len(operations) == len(ROUTES)
    for operation in operations:
        assert operation["security"][0].keys() == {"sso"}
        assert operation["summary"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
    with_examples = [name for name, schema in document["components"]["schemas"].items() if "examples" in schema]
    assert {"UserCreate", "ClientCreate", "SessionEndingCreate", "WebhookCreate", "RolesUpdate"} <= set(with_examples)


async def test_the_description_is_served_to_everybody(city: City, http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/openapi.json")
    assert answer.json()["servers"] == [{"url": city.settings.issuer}]
