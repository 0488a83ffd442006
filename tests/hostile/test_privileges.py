"""No path to more rights than one's own (SECURITY, "Kinds that were found open once"): applications.

A model of who may take hold of which application is compared with the API for every role and every scope, and walks
over all pairs of acts look at what the actor could mint afterwards.
"""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.api.conftest import Api, person_with, program
from tests.arranged import signed_in
from tests.conftest import CATALOGUE
from tests.covering import covering
from tests.sources import nodes_of
from tests.support import ISSUER, ONE_DATABASE, Browser, City, forms_in, query_of
from tests.web.test_developer import person

from sso import clock
from sso.clients import store
from sso.clients.catalogue import read_catalogue
from sso.clients.catalogue_apply import apply_plan, make_plan
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE, SANDBOX
from sso.clients.privileges import (
    OPERATOR,
    Authority,
    PrivilegeRefused,
    grant_privilege,
    held_by,
    revoke_privilege,
)
from sso.clients.secrets import create_client
from sso.identity.users.store import replace_groups
from sso.platform import actor as actors
from sso.platform.permissions import PERMISSIONS, ROLES
from sso.portal import applications as apps
from sso.portal import teams

SRC = Path(apps.__file__).parents[2]
GRANTING = "clients:grant"
TARGETS: dict[str, dict[str, Any]] = {
    "pelihat": {"type": "service", "scope": "sso:sessions:read", "first_party": True},
    "penentu": {"type": "service", "scope": "sso:users:roles sso:sessions:read", "first_party": True},
    "pasien": {
        "type": "web", "scope": "openid nik", "first_party": True, "redirect_uris": ["https://pasien.example/cb"],
        "scope_reasons": {"nik": "Rekam medis."}, "contacts": ["a@pasien.example"],
    },
    "biasa": {
        "type": "web", "scope": "openid profile", "first_party": True, "redirect_uris": ["https://biasa.example/cb"],
        "scope_reasons": {"profile": "Nama."}, "contacts": ["a@biasa.example"],
    },
}  # fmt: skip
YIELDS = {
    "pelihat": {"sessions:read"}, "penentu": {"users:roles", "sessions:read"}, "pasien": {GRANTING}, "biasa": set(),
}  # fmt: skip
"""What the model says that each application yields."""
PUBLIC = {"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256"} | {
    "x": "WA9g3q_IQybKUEArzF0Sraf5e_WWsh9T-04j0XqbrKo", "y": "YpkkTcHqGw6C3QMd-Opq7w3EvNRsjE-Pv4FLWnfRPPU",
}  # fmt: skip
OFFERED = pytest.mark.parametrize("overrides", [{"relying_party_check": "offered"}])


async def prepare(city: City) -> None:
    """Register the targets, with a team: dimas owns each, rina is a member."""
    await person(city, "dimas", "developer")
    await person(city, "rina", "developer")
    async with city.provider.db.write() as session:
        for client_id, values in TARGETS.items():
            fields = {**values, "client_name": client_id.title(), "group": "E-Kesehatan"}
            metadata = ClientMetadata.model_validate(fields)
            secret = await create_client(
                session, city.provider.box, client_id, metadata, catalogue=HERE, actor=actors.Actor("test")
            )
            city.secrets[client_id] = secret or ""
            await session.flush()
            row = await store.get_client(session, client_id)
            assert row is not None
            await apps.adopt(session, row, actor=actors.Actor("test"))
            await teams.add_member(session, client_id, city.users["dimas"], "owner", actor=actors.Actor("test"))
            await teams.add_member(session, client_id, city.users["rina"], "member", actor=actors.Actor("test"))
        alone = {"reason": "x", "without_person": True, "authority": OPERATOR, "actor": actors.Actor("test")}
        await grant_privilege(session, "penentu", "sso:users:roles", **alone)
    await city.provider.refresh()


async def minted(city: City, client_id: str, secret: str) -> set[str]:
    """Return the permissions in a token that a secret gets without a person."""
    form = {"grant_type": "client_credentials"}
    async with city.client() as http:
        answer = await http.post("/token", data=form, auth=(client_id, secret))
    return {name.removeprefix("sso:") for name in answer.json().get("scope", "").split() if name.startswith("sso:")}


# The model: one act


@dataclass(eq=False)
class Actor:
    """Somebody who calls the API: what they may do, and whether they are a person."""

    name: str
    api: Api
    permissions: set[str]
    person: bool


@dataclass(frozen=True)
class Act:
    """A request to the API that takes hold of an application. ``grants``: it gives a privilege."""

    name: str
    method: str
    path: str
    body: dict[str, Any] | None
    needed: frozenset[str]
    grants: bool = False


def allowed(actor: Actor, needed: Iterable[str], yielded: Iterable[str], *, grants: bool = False) -> bool:
    """The model: the permission of the act, everything that it yields, and to grant only a person."""
    may = set(needed) <= actor.permissions and set(yielded) <= actor.permissions
    return may and (not grants or (actor.person and GRANTING in actor.permissions))


DECIDING = frozenset({"applications:create", "clients:write", "users:roles", "sessions:read", "keys:read", GRANTING})
"""The permissions that the acts below need, and those that the applications yield."""


@dataclass(frozen=True)
class Case:
    """An actor tries an act on an application."""

    actor: Actor
    number: int
    act: Act
    target: str
    yielded: frozenset[str]

    @property
    def expected(self) -> bool:
        """Whether the model lets the act through."""
        return allowed(self.actor, self.act.needed, self.yielded, grants=self.act.grants)

    def parts(self) -> Iterator[Hashable]:
        """Yield what must be tried: each actor with each application, and each act on each application let through and
        refused. Actors with permissions that decide try everything, and whom the route itself refuses one act."""
        actor = self.actor
        changes = actor.permissions & {"clients:write", "applications:create"}
        if actor.person or len(actor.permissions & DECIDING) > 1 or (changes and len(actor.permissions) == 1):
            yield self.number, self.act.name, self.target
        yield (self.number, self.target) if changes or actor.permissions & DECIDING else self.number
        yield self.act.name, self.target, self.expected


def cases_of(number: int, actor: Actor, metadata: dict[str, Any], user: str) -> Iterator[Case]:
    """Yield what an actor could try."""
    for target, yielded in YIELDS.items():
        if target != "penentu" and not {"clients:write", "applications:create"} & actor.permissions:
            continue  # what is wanted of the route itself refuses these: once is enough
        for act in acts_on(target, metadata, user):
            yield Case(actor, number, act, target, frozenset(yielded))
    more = {**metadata["biasa"], "scope": "openid profile sso:sessions:read"}
    new = {"client_id": f"baru-{number}", "metadata": {**TARGETS["pelihat"], "client_name": "Baru"}}
    privilege = {"privilege": "sso:keys:read", "reason": "x"}
    write, sessions = frozenset({"clients:write"}), frozenset({"sessions:read"})
    for act, yielded in (
        (Act("name more", "PUT", "/clients/biasa", {"metadata": more}, write, grants=True), sessions),
        (Act("register", "POST", "/clients", new, write, grants=True), sessions),
        (
            Act("grant", "POST", "/clients/biasa/privileges", privilege, frozenset({GRANTING}), grants=True),
            frozenset({"keys:read"}),
        ),
    ):
        yield Case(actor, number, act, f"{act.name} of it", yielded)


def acts_on(target: str, metadata: dict[str, Any], user: str) -> list[Act]:
    """Return every act that takes hold of an application that is there."""
    client, application = f"/clients/{target}", f"/applications/{target}"
    write, team = frozenset({"clients:write"}), frozenset({"applications:create", "clients:write"})
    return [
        Act("change", "PUT", client, {"metadata": metadata[target]}, write),
        Act("secret", "POST", f"{client}/secrets", {"overlap_seconds": 60}, write),
        Act("resume", "POST", f"{client}/resume", None, write),
        Act("join", "PUT", f"{application}/team/{user}", {"role": "member"}, team),
        Act("secret of the team", "POST", f"{application}/secrets", {"environment": "production"}, team),
    ]


@ONE_DATABASE
async def test_every_role_and_scope_takes_hold_only_of_what_it_could_do_itself(city: City) -> None:
    await prepare(city)
    metadata = {name: (await _read_client(city, name))["metadata"] for name in TARGETS}
    actors = await _one_by_one(city)
    every = [
        case
        for number, actor in enumerate(actors)
        for case in cases_of(number, actor, metadata, str(city.users["siti"]))
    ]
    chosen = covering(every, Case.parts)
    assert {case.number for case in chosen} == set(range(len(actors)))
    for _, mine in itertools.groupby(chosen, attrgetter("number")):
        for case in mine:
            act, body = case.act, {"json": case.act.body} if case.act.body else {}
            answer = await case.actor.api(act.method, act.path, headers={"If-Match": "*"}, **body)
            about = f"{case.actor.name} {act.method} {act.path}: {answer.status_code} {answer.text}"
            refused = (403,) if act.grants else (403, 404)
            assert (answer.status_code not in refused) == case.expected, about
        if case.actor.person and GRANTING in case.actor.permissions:
            api = case.actor.api
            await api("PUT", "/clients/biasa", headers={"If-Match": "*"}, json={"metadata": metadata["biasa"]})
            ended = await api("POST", "/clients/biasa/privileges/sso:keys:read/revoke", json={"reason": "x"})
            assert ended.status_code == 200, ended.text
    async with city.provider.db.read() as session:
        for target, yielded in YIELDS.items():
            held = {scope.removeprefix("sso:").replace("nik", GRANTING) for scope in await held_by(session, target)}
            assert held == yielded


def test_the_rule_refuses_whoever_lacks_a_permission_that_is_yielded() -> None:
    """The function that decides about each act above: every pair of permissions, and every role."""
    held = {
        "pelihat": ["sso:sessions:read"], "penentu": ["sso:users:roles", "sso:sessions:read"], "pasien": ["nik"],
        "biasa": [],
    }  # fmt: skip
    assert held.keys() == YIELDS.keys()
    sets = [frozenset(pair) for pair in itertools.product(PERMISSIONS, repeat=2)]
    for permissions in [*sets, *map(frozenset, ROLES.values())]:
        for target, privileges in held.items():
            for signed in (False, True):
                authority = Authority(permissions, signed)
                has_all = YIELDS[target] <= permissions
                assert _lets_through(authority.check, privileges, "x") == has_all, f"{permissions} {target}"
                grants = not privileges or (has_all and signed and GRANTING in permissions)
                assert _lets_through(authority.check_grant, privileges) == grants, f"{permissions} {target}"


def _lets_through(rule: Callable[..., None], *values: Any) -> bool:
    try:
        rule(*values)
    except PrivilegeRefused:
        return False
    return True


async def _read_client(city: City, client_id: str) -> dict[str, Any]:
    api = await program(city, "sso:clients:read")
    client: dict[str, Any] = await api.get(f"/clients/{client_id}")
    client["metadata"].pop("sector_identifier_uri", None)
    return client


async def _one_by_one(city: City) -> list[Actor]:
    """Return the actors. A person's roles are read at each call: each has an account of their own."""
    people = []
    for role in ROLES:
        name = f"orang-{role.replace('_', '-')}"
        await person(city, name)
        people.append(Actor(f"person {role}", await person_with(city, role, name=name), set(ROLES[role]), True))
    return people + await actors_of_programs(city)


async def actors_of_programs(city: City) -> list[Actor]:
    """Programs with every single scope, and with every pair that can change an application."""
    singles = [name for name in PERMISSIONS if name != GRANTING]
    sets: list[tuple[str, ...]] = [(name,) for name in singles]
    sets += [("clients:write", name) for name in singles if name != "clients:write"]
    sets += [("clients:write", "applications:create", "users:roles", "sessions:read")]
    return [
        Actor(f"program {names}", await program(city, " ".join(f"sso:{name}" for name in names)), set(names), False)
        for names in sets
    ]


# Walks: two acts in every order


@dataclass
class Walk:
    """Somebody who does one thing after another, and keeps each secret that they are given."""

    city: City
    api: Api
    user: str
    secrets: dict[tuple[str, str], None] = field(default_factory=dict)
    count: int = 0

    async def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """Call, and keep what is a secret."""
        answer = await self.api(method, path, headers={"If-Match": "*"}, **({"json": body} if body is not None else {}))
        assert answer.status_code < 500, f"{method} {path}: {answer.text}"
        content = answer.json() if answer.content and "json" in answer.headers["content-type"] else {}
        secret = content.get("client_secret") if isinstance(content, dict) else None
        if secret:
            about = content.get("client_id") or content.get("client", {}).get("client_id")
            self.secrets[about or content["application"]["sandbox_client_id"], secret] = None
        return content


GREEDY = "openid profile nik sso:users:roles sso:users:write"
KEYS = {"keys": [PUBLIC]}
Step = Callable[[Walk], Awaitable[Any]]


async def want_more(walk: Walk) -> None:
    """A team names scopes of administration, a grant type and a key of its own."""
    application = await walk("GET", "/applications/biasa")
    reasons = dict.fromkeys(GREEDY.split()[1:], "x")
    extra = {"scope": GREEDY, "scope_reasons": reasons, "grant_types": ["authorization_code", "client_credentials"]}
    for more in (extra, {"grant_types": ["authorization_code", "client_credentials"]}):
        document = {**application.get("document", {}), **more}
        sandbox = {"redirect_uris": ["http://localhost:3000/cb"]}
        body = {"document": document, "sandbox": sandbox, "revision": application.get("revision", 0)}
        await walk("PUT", "/applications/biasa", body)


async def approve(walk: Walk) -> None:
    """Approve with everything that a reviewer may write."""
    for granted in ({"first_party": True, "audience": ISSUER, "profile": "legacy"}, {}):
        await walk(
            "POST",
            "/applications/biasa/review",
            {
                "decision": "approve",
                "granted": granted,
                "revision": (await walk("GET", "/applications/biasa"))["revision"],
            },
        )


async def change_client(walk: Walk, client_id: str) -> None:
    """Register more scopes, and another way to authenticate."""
    base = {"client_name": "X", "group": "E-Kesehatan", "first_party": True}
    service = {**base, "type": "service", "scope": "sso:users:roles sso:users:write"}
    key = {"token_endpoint_auth_method": "private_key_jwt", "jwks": KEYS}
    for metadata in ({**service, **key}, {**base, "type": "service", "scope": "", **key}):
        await walk("PUT", f"/clients/{client_id}", {"metadata": metadata})


async def begin_another(walk: Walk) -> None:
    """Begin an application with scopes of administration, and one by registration."""
    walk.count += 1
    document = {"client_name": "Lain", "scope": "sso:users:roles", "scope_reasons": {"sso:users:roles": "x"}}
    body = {"application_id": f"lain-{walk.count}", "kind": "service", "document": document}
    await walk("POST", "/applications", body)
    owned = {**body, "document": {"client_name": "Lain"}, "owner_id": walk.user}
    await walk("POST", "/applications", owned)
    metadata = {"type": "service", "client_name": "Lain", "first_party": True, "scope": "sso:users:roles"}
    await walk("POST", "/clients", {"client_id": f"lain-{walk.count}-x", "metadata": metadata})


STEPS: list[Step] = [
    want_more,
    lambda walk: walk("POST", "/applications/biasa/secrets", {"environment": "sandbox"}),
    lambda walk: walk("POST", "/applications/biasa/secrets", {"environment": "production"}),
    lambda walk: walk("POST", "/applications/biasa/acts", {"act": "submit"}),
    approve,
    lambda walk: change_client(walk, "biasa"),
    lambda walk: change_client(walk, "biasa-sandbox"),
    lambda walk: change_client(walk, "penentu"),
    lambda walk: walk("POST", "/clients/penentu/secrets", {"overlap_seconds": 60}),
    lambda walk: walk("POST", "/clients/biasa/secrets", {"overlap_seconds": 60}),
    lambda walk: walk("PUT", f"/applications/penentu/team/{walk.user}", {"role": "owner"}),
    lambda walk: walk("POST", "/applications/penentu/secrets", {"environment": "production"}),
    begin_another,
    lambda walk: walk("POST", "/clients/biasa/privileges", {"privilege": "sso:users:roles", "reason": "x"}),
]


def all_pairs(count: int) -> list[int]:
    """Return a walk in which each of ``count`` acts follows each other one."""
    left, walk = {a: list(range(count)) for a in range(count)}, []
    stack = [0]  # an Euler tour (Hierholzer) of the graph in which each act leads to each
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk[::-1]


async def power(city: City) -> Any:
    """Return what could be used to get at a privilege: of each application that has one what is registered, its secrets
    and its team; and every grant."""
    async with city.provider.db.read() as session:
        held = await store.all_privileges(session, None, active=True)
        names = sorted({grant.client_id for grant in held})
        rows = [await store.get_client(session, name) for name in names]
        secrets = [[secret.id for secret in await store.secrets_of(session, name)] for name in names]
        places = [[(member.user_id, member.role) for member in await teams.team_of(session, name)] for name in names]
    return (
        [(grant.client_id, grant.privilege) for grant in held],
        [row and row.metadata_ for row in rows],
        secrets,
        places,
    )


@ONE_DATABASE
@OFFERED
@pytest.mark.parametrize("scopes", [None, "applications:create applications:review clients:write"])
async def test_no_two_acts_lead_to_a_permission_that_the_actor_did_not_have(city: City, scopes: str | None) -> None:
    """As the owner of the applications, and as a program; what each secret that they got can mint is looked at."""
    await prepare(city)
    dimas = str(city.users["dimas"])
    if scopes is None:
        api, own = await person_with(city, "developer", name="dimas"), ROLES["developer"]
    else:
        own = frozenset(scopes.split())
        api = await program(city, " ".join(f"sso:{permission}" for permission in own))
    walk, before = Walk(city, api, dimas), await power(city)
    for number, step in enumerate(all_pairs(len(STEPS))):
        await STEPS[step](walk)
        if number % 20 == 0:
            for client_id, secret in dict(walk.secrets.keys()).items():  # the newest of each client; all of them below
                assert await minted(city, client_id, secret) <= own, f"{client_id} after step {step}"
    for client_id, secret in walk.secrets:
        assert await minted(city, client_id, secret) <= own, client_id
    assert await power(city) == before, "nothing that has a privilege was touched"
    assert walk.secrets, "the walk got somewhere"


@OFFERED
async def test_an_administrator_of_a_group_gets_no_further_in_two_steps(city: City) -> None:
    """Through the pages, with every form that they could send."""
    await prepare(city)
    await person(city, "kepala", "group_admin", "developer")
    async with city.provider.db.write() as session:
        await replace_groups(session, city.users["kepala"], ["E-Kesehatan"])
    kepala, before = await signed_in(city, "kepala"), await power(city)
    pages = {name: await kepala.open(f"/admin/applications/{name}") for name in ("penentu", "pasien", "biasa")}
    settings = {name: await kepala.open(f"/admin/applications/{name}/settings") for name in pages}

    async def send(name: str, part: str, seen: Any, **fields: str) -> int:
        every = {key: value for form in own_forms(seen) for key, value in form.fields.items()}
        path = f"/admin/applications/{name}{part}"
        answer = await kepala.http.post(path, data={**every, "note": "x", **fields})
        assert answer.status_code < 500, answer.text
        return answer.status_code

    key = {"token_endpoint_auth_method": "private_key_jwt", "jwks": json.dumps(KEYS)}
    for name in ("penentu", "pasien"):
        acts = [
            await send(name, "/owner", pages[name], who="kepala"),
            await send(name, "/settings", settings[name], **key),
            await send(name, "/settings", settings[name], redirect_uris="https://jahat.example/cb"),
            await send(name, "/policies", pages[name], allowed_networks="0.0.0.0/0"),
            await send(name, "/privileges", pages[name], choice="grant", privilege="sso:users:write"),
            await send(name, "/privileges", pages[name], choice="revoke", privilege="sso:users:roles"),
        ]
        assert acts == [403] * 6, f"{name}: {acts}"
        assert await send(name, "/status", pages[name], choice="suspend") == 303, "to suspend takes nothing"
        assert await send(name, "/status", pages[name], choice="resume") == 403
    assert await power(city) == before
    # A third party's application: they do not make it the city's own.
    api = await person_with(city, "developer", name="dimas")
    walk = Walk(city, api, str(city.users["dimas"]))
    document = {
        "client_name": "Ketiga", "group": "E-Kesehatan", "contacts": ["a@ketiga.example"], "scope": "openid profile",
        "scope_reasons": {"profile": "Nama."}, "redirect_uris": ["https://ketiga.example/cb"],
    }  # fmt: skip
    sandbox = {"redirect_uris": ["http://localhost:3000/cb"]}
    await walk(
        "POST", "/applications", {"application_id": "ketiga", "kind": "web", "document": document, "sandbox": sandbox}
    )
    await walk("POST", "/applications/ketiga/acts", {"act": "submit"})
    seen = await kepala.open("/admin/applications/ketiga")
    assert 'name="first_party"' not in seen.text
    assert await send("ketiga", "/review", seen, choice="approve", first_party="1") == 303
    client = city.provider.registry.get("ketiga")
    assert client is not None
    assert not client.meta.first_party
    seen = await kepala.open("/admin/applications/ketiga/settings")
    assert await send("ketiga", "/settings", seen, first_party="1") == 403
    # An application of the city: more data without asking people is not theirs to decide either.
    application = await walk("GET", "/applications/biasa")
    more = {**application["document"], "scope": "openid profile phone", "scope_reasons": {"profile": "x", "phone": "x"}}
    body = {"document": more, "sandbox": sandbox, "revision": application["revision"]}
    assert (await walk("PUT", "/applications/biasa", body))["state"] == "approved"
    await walk("POST", "/applications/biasa/acts", {"act": "submit"})
    seen = await kepala.open("/admin/applications/biasa")
    assert await send("biasa", "/review", seen, choice="approve") == 403
    await kepala.http.aclose()


# The examples of the issue


@OFFERED
async def test_a_sandbox_has_no_privilege_whatever_its_application_was_granted(city: City) -> None:
    await prepare(city)
    owner = Walk(city, await person_with(city, "developer", name="dimas"), str(city.users["dimas"]))
    for name in ("penentu", "pasien"):
        application = await owner("GET", f"/applications/{name}")
        sandbox = {} if name == "penentu" else {"redirect_uris": ["http://localhost:3000/cb"]}
        document = {**application["document"], "description": "Baru."}
        reasons = {scope: "x" for scope in document["scope"].split() if scope != "openid"}
        body = {
            "document": {**document, "scope_reasons": reasons},
            "sandbox": sandbox,
            "revision": application["revision"],
        }
        changed = await owner("PUT", f"/applications/{name}", body)
        assert changed.get("state") == "approved", changed
        await owner("POST", f"/applications/{name}/secrets", {"environment": "sandbox"})
        client = city.provider.registry.get(f"{name}-sandbox")
        assert client is not None
        assert client.sandbox
        assert not client.first_party
        assert not client.meta.first_party
        assert not {scope for scope in client.scopes if scope.startswith("sso:") or scope == "nik"}
    for client_id, secret in owner.secrets:
        assert await minted(city, client_id, secret) == set()
        city.secrets[client_id] = secret
    refused = await city.relying_party("penentu-sandbox").token(
        grant_type="client_credentials", scope="sso:sessions:read"
    )
    assert refused.body["error"] == "invalid_scope"
    party = city.relying_party("pasien-sandbox", "http://localhost:3000/cb")
    async with city.browser() as browser:
        page = await browser.open(party.url(scope="openid nik"))
        assert "error=invalid_scope" in page.headers.get("location", ""), page.text
        claims = json.dumps({"userinfo": {"nik": None, "name": None}})
        page = await browser.sign_in(party, username="dimas", scope="openid", claims=claims)
        assert page.status_code == 200, "people are asked there, also where production is the city's own"
    await _put_sandbox(city, first_party=True, scope="openid nik")
    client = city.provider.registry.get("pasien-sandbox")
    assert client is not None
    assert not client.first_party, "also of an older release"
    assert "nik" not in client.scopes


async def _put_sandbox(city: City, **changes: Any) -> None:
    """Write into a sandbox what an older release would have."""
    async with city.provider.db.write() as session:
        row = await store.lock_client(session, "pasien-sandbox")
        assert row is not None
        assert row.status == SANDBOX
        row.metadata_ = {**row.metadata_, **changes}
        await store.touch_clients(session, ["pasien-sandbox"], row.version + 1000)
    await city.provider.refresh()
    city.provider._versions = {}
    await city.provider.refresh()


@OFFERED
async def test_a_new_revision_needs_a_full_administrator_where_it_names_a_privilege(city: City) -> None:
    await prepare(city)
    owner = Walk(city, await person_with(city, "developer", name="dimas"), str(city.users["dimas"]))
    application = await owner("GET", "/applications/pasien")
    document = {**application["document"], "redirect_uris": ["https://lain.pasien.example/cb"]}
    sandbox = {"redirect_uris": ["http://localhost:3000/cb"]}
    await owner(
        "PUT", "/applications/pasien", {"document": document, "sandbox": sandbox, "revision": application["revision"]}
    )
    submitted = await owner("POST", "/applications/pasien/acts", {"act": "submit"})
    assert submitted["application"]["state"] == "submitted", submitted
    reviewer = await program(city, "sso:applications:review sso:clients:write")
    decision = {"decision": "approve", "revision": submitted["application"]["revision"]}
    assert (await reviewer("POST", "/applications/pasien/review", json=decision)).status_code == 403
    admin = await person_with(city, "admin", name="ratna")
    assert (await admin("POST", "/applications/pasien/review", json=decision)).status_code == 200
    secret = await owner.api("POST", "/applications/pasien/secrets", json={"environment": "production"})
    assert secret.status_code == 403, "the team of an application with restricted data does not make its secrets"
    # Also where the reviewer has everything that is asked for.
    application = await owner("GET", "/applications/pelihat")
    reasons = {"sso:sessions:read": "x"}
    document = {
        **application["document"],
        "description": "Baru.",
        "scope_reasons": reasons,
        "contacts": ["a@pelihat.example"],
    }
    body = {"document": document, "revision": application["revision"]}
    assert (await owner("PUT", "/applications/pelihat", body))["state"] == "approved"
    await owner("POST", "/applications/pelihat/acts", {"act": "submit"})
    reviewer = await program(city, "sso:applications:review sso:clients:write sso:sessions:read")
    assert (await reviewer("POST", "/applications/pelihat/review", json=decision)).status_code == 403
    # What was not granted to production, its team does not even name.
    application = await owner("GET", "/applications/biasa")
    for scope in ("nik", "sso:users:roles"):
        document = {**application["document"], "scope": f"openid {scope}", "scope_reasons": {scope: "x"}}
        body = {"document": document, "sandbox": sandbox, "revision": application["revision"]}
        answer = await owner.api("PUT", "/applications/biasa", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/document/scope"
        assert "has not been granted" in answer.json()["errors"][0]["detail"]


# Every grant type; revocation


def test_every_grant_type_has_a_case(city: City) -> None:
    from sso.oidc.server import ProviderServer

    assert set(ProviderServer(city.provider).grant_types()) == {
        "authorization_code", "refresh_token", "client_credentials", "implicit",
        "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer",
    }, "a new grant type: try what is not granted with it, below"  # fmt: skip


async def test_what_is_not_granted_is_refused_wherever_it_is_asked_for(city: City) -> None:
    await prepare(city)
    device = "urn:ietf:params:oauth:grant-type:device_code"
    async with city.provider.db.write() as session:
        values = {
            **TARGETS["pasien"], "client_name": "Semua", "profile": "certification",
            "scope": "openid profile offline_access nik sso:users:read",
            "grant_types": ["authorization_code", "refresh_token", "client_credentials", "implicit", device],
            "response_types": ["code", "code token", "id_token token"],
        }  # fmt: skip
        metadata = ClientMetadata.model_validate({**values, "scope_reasons": {}})
        city.secrets["semua"] = str(
            await create_client(
                session, city.provider.box, "semua", metadata, catalogue=HERE, actor=actors.Actor("test")
            )
        )
    await city.provider.refresh()
    party = city.relying_party("semua")
    async with city.browser() as browser:
        had = await browser.tokens(party, username="ratna", scope="openid offline_access nik sso:users:read")
        code = await browser.code(party, scope="openid profile nik")
        async with city.provider.db.write() as session:
            for name in ("nik", "sso:users:read"):
                about = {"reason": "x", "authority": OPERATOR, "actor": actors.Actor("test")}
                await revoke_privilege(session, "semua", name, **about)
        await city.provider.refresh()
        for scope in ("openid nik", "openid sso:users:read", "openid sso:clients:grant"):
            for kind in ("code", "code token", "id_token token"):
                answer = await browser.open(party.url(scope=scope, response_type=kind))
                assert query_of(answer.headers["location"])["error"] == "invalid_scope", f"{kind} {scope}"
            pushed = await party.post("/par", query_of(party.url(scope=scope)))
            assert pushed.json()["error"] == "invalid_scope"
            device_response = await party.post("/device_authorization", {"scope": scope})
            assert device_response.json()["error"] == "invalid_scope"
            alone = await party.token(grant_type="client_credentials", scope=scope.split()[1])
            assert alone.body["error"] == "invalid_scope"
        claims = json.dumps({"userinfo": {"nik": None}, "id_token": {"nik": None}})
        asked_by_name = await browser.tokens(party, scope="openid", claims=claims)
        assert "nik" not in asked_by_name.claims()
    assert (await party.exchange(code)).body["scope"] == "openid profile", "a code from before gives what is left"
    # What was given before is worth nothing any more.
    token = had["access_token"]
    assert (await party.introspect(token)) == {"active": False}
    assert (await party.userinfo(token)).status_code == 401
    assert (await Api(city, token)("GET", "/me")).status_code == 401
    assert (await party.introspect(had["refresh_token"]))["scope"] == "openid offline_access"
    more = await party.refresh(had["refresh_token"], scope="openid nik")
    assert more.body["error"] == "invalid_scope"
    left = await party.refresh(had["refresh_token"])
    assert left["scope"] == "openid offline_access"
    # Granted again, what was given before does not come back.
    clock.advance(5)
    async with city.provider.db.write() as session:
        again = {"reason": "x", "without_person": False, "authority": OPERATOR, "actor": actors.Actor("test")}
        await grant_privilege(session, "semua", "nik", **again)
    await city.provider.refresh()
    assert (await party.introspect(token)) == {"active": False}
    assert (await party.refresh(left["refresh_token"]))["scope"] == "openid offline_access"
    async with city.browser() as browser:
        assert (await browser.tokens(party, scope="openid nik"))["scope"] == "openid nik"


async def test_a_token_without_a_person_gives_power_only_where_the_grant_says_so(city: City) -> None:
    await prepare(city)
    alone = await minted(city, "penentu", city.secrets["penentu"])
    assert alone == {"users:roles", "sessions:read"}
    admin = await person_with(city, "admin", name="ratna")
    grant = {"privilege": "sso:users:roles", "reason": "Hanya dengan orang."}
    answer = await admin("POST", "/clients/penentu/privileges", json=grant)
    assert answer.status_code == 201, answer.text
    assert await minted(city, "penentu", city.secrets["penentu"]) == {"sessions:read"}
    refused = await city.relying_party("penentu").token(grant_type="client_credentials", scope="sso:users:roles")
    assert refused.body["error"] == "invalid_scope"
    never = {"privilege": "sso:clients:grant", "reason": "x", "without_person": True}
    assert (await admin("POST", "/clients/penentu/privileges", json=never)).status_code == 409
    listed = await admin.get("/clients/penentu/privileges")
    assert [
        (privilege["privilege"], privilege["without_person"]) for privilege in listed if privilege["revoked_at"] is None
    ] == [("sso:sessions:read", False), ("sso:users:roles", False)]
    assert all(privilege["reason"] and privilege["granted_by"] and privilege["granted_at"] for privilege in listed)


async def test_an_administrator_grants_and_revokes_on_the_page(city: City) -> None:
    await prepare(city)
    ratna = await signed_in(city, "ratna")
    path = "/admin/applications/pelihat"
    await _send(ratna, path, choice="grant", privilege="sso:keys:read", note="Untuk pemantauan.")
    page = await ratna.open(path)
    assert "Untuk pemantauan." in page.text
    assert "Izin administrasi dan data terbatas" in page.text
    async with city.provider.db.read() as session:
        assert set(await held_by(session, "pelihat")) == {"sso:sessions:read", "sso:keys:read"}
    token = (await city.relying_party("pelihat").token(grant_type="client_credentials"))["access_token"]
    assert (await Api(city, token)("GET", "/sessions")).status_code == 200
    await _send(ratna, path, choice="revoke", privilege="sso:sessions:read", note="Selesai.")
    assert (await Api(city, token)("GET", "/sessions")).status_code == 401
    assert (await _send(ratna, path, choice="grant", privilege="nik", note="")).status_code == 400
    await ratna.http.aclose()
    async with city.provider.db.read() as session:
        kinds = [row[0] for row in (await session.execute(text("SELECT type FROM audit_events"))).all()]
    assert {"client.privilege_granted", "client.privilege_revoked"} <= set(kinds)


def own_forms(page: Any) -> list[Any]:
    """Return the forms of a page, without that for signing out."""
    return [form for form in forms_in(page.text) if form.action != "/logout"]


async def _send(browser: Browser, path: str, **fields: str) -> Any:
    page = await browser.open(path)
    every = {name: value for form in own_forms(page) for name, value in form.fields.items()}
    return await browser.http.post(f"{path}/privileges", data={**every, **fields})


# Catalogue files


async def test_a_catalogue_grants_what_it_names_and_not_what_somebody_revoked(city: City) -> None:
    catalogue = read_catalogue(CATALOGUE)
    async with city.provider.db.write() as session:
        plan = await make_plan(session, catalogue)
        assert plan.is_empty
        assert not plan.privileges, "what the file names was granted when it was applied"
        held = await held_by(session, "petugas")
        assert held["sso:users:roles"].without_person
        assert held["sso:users:roles"].granted_by == "catalogue tests"
        about = {"reason": "Tidak lagi.", "authority": OPERATOR, "actor": actors.Actor("cli")}
        await revoke_privilege(session, "petugas", "sso:users:roles", **about)
        plan = await make_plan(session, catalogue)
        assert [(change.action, change.client_id, change.privilege) for change in plan.privileges] == [
            ("kept", "petugas", "sso:users:roles")
        ]
        await apply_plan(session, plan)
        assert "sso:users:roles" not in await held_by(session, "petugas")
    await city.provider.refresh()
    assert "users:roles" not in await minted(city, "petugas", city.secrets["petugas"])
    assert "users:write" in await minted(city, "petugas", city.secrets["petugas"])


# One place


CHECKED = {
    "new_secret", "add_secret", "create_client", "replace_client", "resume_client", "adopt", "add_member", "invite",
    "grant_privilege", "revoke_privilege", "approve",
}  # fmt: skip
ACCEPTED = "portal/teams.py"
"""An invited user who accepts becomes a member with the role that the inviter could give."""


@pytest.mark.parametrize(("room", "calls"), [("http", 11), ("portal", 7)])
def test_every_path_to_an_application_says_what_its_actor_may_do(room: str, calls: int) -> None:
    """These functions take whoever names no authority for the operator: pages, API and the portal always name one."""
    seen = 0
    for path in sorted((SRC / room).rglob("*.py")):
        for node in nodes_of(path):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in CHECKED:
                continue
            if ast.unparse(node.func) == "groups.add_member":  # of a unit
                continue
            if str(path).endswith(ACCEPTED):
                continue
            names = [keyword.arg or ast.unparse(keyword.value) for keyword in node.keywords]
            values = ast.get_source_segment(path.read_text(), node) or ""
            given = "authority" in names or "acts" in values or ("about" in names and "here.acts" in path.read_text())
            assert given, f"{path.name}:{node.lineno}: {values} without authority"
            seen += 1
    assert seen >= calls
