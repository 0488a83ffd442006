"""An answer that was given before is given once more only to whoever may still ask for it.

Generated from the routes that take ``Idempotency-Key``: a new one that is not tried here makes the test fail.
"""

from __future__ import annotations

import inspect
import json
import re
import uuid
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.routing import APIRoute
from tests.api.conftest import Api, person_with, program
from tests.api.test_access import ROUTES, permission_of
from tests.citizens import SENDING
from tests.support import City

from sso import clock
from sso.identity.users import store
from sso.identity.users.service import set_roles
from sso.platform.actor import Actor
from sso.platform.permissions import GRANTING, PERMISSIONS
from sso.portal import teams

LATER = f"{(clock.now() + timedelta(days=30)).date()}T00:00:00Z"
"""One moment for all requests of a run: a request that is sent again is the same, also after midnight."""
TAKING = [route for route in ROUTES if "creation" in inspect.signature(route.endpoint).parameters]
"""The routes that take the header: their dependency that reads it is called ``creation``."""
BODIES: dict[str, Any] = {
    "/session-endings": {"client_id": "warga"},
    "/users": {"username": "orang-baru", "name": "Orang Baru"},
    "/clients": {
        "client_id": "baru",
        "metadata": {"type": "web", "client_name": "Baru", "redirect_uris": ["https://baru.example/cb"]},
    },
    "/clients/{client_id}/secrets": {},
    "/clients/{client_id}/privileges": {"privilege": "sso:users:read", "reason": "Loket mencari pengguna."},
    "/applications": {
        "application_id": "antrean", "kind": "web",
        "document": {"client_name": "Antrean", "scope": "openid", "redirect_uris": ["https://antrean.example/cb"]},
    },
    "/applications/{application_id}/secrets": {"environment": "sandbox"},
    "/applications/{application_id}/webhooks": {"url": "https://hook.example/", "events": ["secret.expires_soon"]},
    "/applications/{application_id}/webhooks/{webhook_id}/secret": {},
    "/webhooks": {"url": "https://hook.example/", "events": ["session.ended"]},
    "/user-invitations": {"name": "Orang Lain", "email": "orang-lain@warga.example"},
    "/groups": {"code": "DINKES", "name_id": "Dinas Kesehatan", "reason": "x"},
    "/groups/{group_id}/members": {"user_id": "USER", "reason": "x"},
    "/role-assignments": {
        "client_id": "dinas", "reason": "x", "assignments": [{"role": "petugas", "user_id": "USER"}],
    },
    "/access-reviews": {"client_id": "dinas", "ends_at": "LATER", "reason": "x"},
}  # fmt: skip


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def give(city: City, *roles: str) -> None:
    async with city.provider.db.write() as session:
        user = await store.lock_user(session, city.users["budi"])
        assert user is not None
        await set_roles(session, user, roles)


def path_of(route: APIRoute, known: dict[str, str]) -> str:
    path = route.path.removeprefix("/api/v1")
    client_id = "dinas" if path.endswith("/privileges") else "surat"  # a privilege is granted to the city's own alone
    ids = {"client_id": client_id, "application_id": "antrean", **known}
    return re.sub(r"{(\w+)}", lambda name: ids[name[1]], path)


async def send(
    api: Api, route: APIRoute, key: str, known: dict[str, str] | None = None, **changes: Any
) -> httpx.Response:
    """Send a request. ``known``: the ids of what earlier requests created, by the names that paths have for them."""
    document = json.dumps({**BODIES[route.path.removeprefix("/api/v1")], **changes})
    document = document.replace("USER", str(api.city.users["siti"])).replace("LATER", LATER)
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    answer = await api("POST", path_of(route, known or {}), content=document, headers=headers)
    if known is not None and answer.status_code == 201:
        created = answer.json()
        if route.path.endswith("/groups"):
            known.setdefault("group_id", created["id"])
        elif route.path.endswith("{application_id}/webhooks"):
            known.setdefault("webhook_id", created["webhook"]["id"])
    return answer


def test_every_route_that_takes_the_header_is_tried() -> None:
    assert {route.path.removeprefix("/api/v1") for route in TAKING} == set(BODIES)
    for route in ROUTES:
        source = inspect.getsource(route.endpoint)
        assert ("once(" in source) == (route in TAKING), route.path


async def test_who_lost_the_role_or_the_scope_gets_no_answer_of_before(city: City) -> None:
    api, known = await person_with(city, "admin"), dict[str, str]()
    for route in sorted(TAKING, key=lambda api_route: len(api_route.path)):
        key = f"ulang-{uuid.uuid4().hex}"
        first = await send(api, route, key, known)
        assert first.status_code in (200, 201, 202), f"{route.path}: {first.text}"
        again = await send(api, route, key, known)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), route.path
        await give(city, "citizen")
        refused = await send(api, route, key, known)
        # An owner of an application is asked which one it is: of others there is nothing.
        assert refused.status_code in (403, 404), f"{route.path}: {refused.text}"
        await give(city, "admin")
        permission = permission_of(route)
        if permission != GRANTING:  # no program has that one
            # Somebody else with the same key makes their own.
            other = await program(city, PERMISSIONS[permission].scope)
            mine = await send(other, route, key, known)
            assert mine.json() != first.json(), route.path
        changed = await send(api, route, key, known, unknown="1")
        assert changed.status_code == 422, route.path


async def test_who_left_the_team_gets_no_secret_of_before(city: City) -> None:
    await give(city, "developer")
    api = await person_with(city, "developer")
    routes = [route for route in TAKING if route.path.startswith("/api/v1/applications")]
    assert len(routes) == 4
    answers, known = {}, dict[str, str]()
    for route in sorted(routes, key=lambda api_route: len(api_route.path)):
        answers[route.path] = await send(api, route, f"kunci-{len(route.path)}", known)
        assert answers[route.path].status_code in (200, 201), answers[route.path].text
    for role in ("member", None):
        async with city.provider.db.write() as session:
            await teams.add_member(session, "antrean", city.users["ratna"], "owner", actor=Actor("test"))
            if role is None:
                await teams.remove_member(session, "antrean", city.users["budi"], actor=Actor("test"))
            else:
                await teams.add_member(session, "antrean", city.users["budi"], "member", actor=Actor("test"))
        for route in routes:
            answer = await send(api, route, f"kunci-{len(route.path)}", known)
            assert answer.status_code in (403, 404, 409), f"{role} {route.path}: {answer.text}"
            before = answers[route.path].json()
            assert (before.get("client_secret") or before["secret"]) not in answer.text


async def test_who_lost_the_power_over_somebody_gets_no_answer_of_before(city: City) -> None:
    """The account that an act is about may have got more rights meanwhile."""
    api = await program(city, "sso:sessions:end_many")
    siti, key = city.users["siti"], "kunci-akhiri"
    body = {"user_id": str(siti)}
    headers = {"Idempotency-Key": key}
    assert (await api("POST", "/session-endings", json=body, headers=headers)).status_code == 202
    async with city.provider.db.write() as session:
        user = await store.lock_user(session, siti)
        assert user is not None
        await set_roles(session, user, ["helpdesk"])
    assert (await api("POST", "/session-endings", json=body, headers=headers)).status_code == 403
