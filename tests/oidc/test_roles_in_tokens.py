"""The claims ``roles`` and ``groups``: of one application alone, as they are now, in every token and answer."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any, cast

import jwt
import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from tests.api.conftest import person_with
from tests.conformance.parties import ALL_TYPES, KeyPair, go_on, key_set
from tests.conformance.test_shared_signals import Receiver
from tests.demands import demand
from tests.given_access import change, end, give, member, register, unit
from tests.roles.conftest import Office
from tests.support import ISSUER, PASSWORD, Browser, City, RelyingParty, Statements, Tokens, query_of

from sso import clock
from sso.accounts.role_assignments import end_role
from sso.accounts.role_rules import Giver
from sso.clients.access_policy import RolesAndGroups, check_allowed, may_use
from sso.clients.metadata import ClientMetadata
from sso.clients.registry import Client
from sso.identity.groups.models import Membership, RoleAssignment
from sso.identity.groups.store import NO_ACCESS, Access, read_access
from sso.oidc.claims import MAX_ENTRIES, access_claims, that_fit
from sso.oidc.store import store
from sso.platform.actor import CLI
from sso.ssf.events import TOKEN_CLAIMS_CHANGE

SCOPE = "openid roles groups"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FOREIGN_API = "https://api.example/rahasia"


# Pure decisions


def application(**members: Any) -> Client:
    document = {
        "type": "web",
        "client_name": "Loket",
        "first_party": True,
        "redirect_uris": ["https://loket.example/cb"],
        "scope": SCOPE,
        "application_roles": {"operator": {"title": "Operator"}},
        "groups_of_interest": ["DINKES"],
        **members,
    }
    return Client("loket", "active", ClientMetadata.model_validate(document), ())


HELD = Access(
    roles=(("operator", None), ("removed", None)),
    groups=(("DINKES", frozenset()), ("PKM-1", frozenset({"DINKES"}))),
    member_of=frozenset({"PKM-1"}),
)


@pytest.mark.unit
def test_what_an_application_is_told() -> None:
    client = application()
    assert access_claims(client, HELD, ["openid", "roles", "groups"]) == {"roles": ["operator"], "groups": ["DINKES"]}
    assert access_claims(client, HELD, ["roles"]) == {"roles": ["operator"]}
    assert access_claims(client, HELD, ["openid"]) == {}
    assert access_claims(client, NO_ACCESS, ["roles", "groups"]) == {"roles": [], "groups": []}, "asked for, and none"
    assert access_claims(client, HELD, ["roles", "groups"], {"roles"}) == {"groups": ["DINKES"]}
    assert access_claims(application(scope="openid"), HELD, ["roles", "groups"]) == {}
    many = application(groups_of_interest=["DINKES/*"])
    wide = Access(groups=tuple((f"U-{number}", frozenset({"DINKES"})) for number in range(MAX_ENTRIES + 1)))
    assert len(access_claims(many, wide, ["groups"])["groups"]) == MAX_ENTRIES


@pytest.mark.unit
@pytest.mark.parametrize(
    ("roles", "groups", "fitting"),
    [(1, 1, {"roles", "groups"}), (1, 90, {"roles"}), (90, 1, {"groups"}), (90, 90, set())],
)
def test_a_claim_that_is_too_large_is_left_out_and_never_cut(roles: int, groups: int, fitting: set[str]) -> None:
    claims = {"roles": ["x" * 10] * roles, "groups": ["y" * 10] * groups}
    assert that_fit(claims, 1000) == {name: claims[name] for name in fitting}


@pytest.mark.unit
def test_what_the_database_says_is_read() -> None:
    held = read_access(("operator@ reader@PKM-1", "operator@", "PKM-1/DINKES/1 PKM-1/PKM-1/0"))
    assert held.roles == (("operator", None), ("reader", "PKM-1"))
    assert held.groups == (("DINKES", frozenset()), ("PKM-1", frozenset({"DINKES"})))
    assert held.member_of == {"PKM-1"}
    assert read_access((None, None, None)) is NO_ACCESS


@pytest.mark.unit
@pytest.mark.parametrize(
    ("entry", "holds", "allowed"),
    [
        ("officer", RolesAndGroups(["officer"]), True),
        ("officer", RolesAndGroups(own_roles=["officer"], member_of=["officer"]), False),
        ("app:operator", RolesAndGroups(own_roles=["operator"]), True),
        ("app:operator", RolesAndGroups(["operator"]), False),
        ("app:removed", RolesAndGroups(own_roles=["removed"]), False),
        ("group:TIM", RolesAndGroups(member_of=["TIM"], within=["TIM"]), True),
        ("group:TIM", RolesAndGroups(within=["TIM"]), False),
        ("unit:DINKES", RolesAndGroups(member_of=["PKM-1"], within=["PKM-1", "DINKES"]), False),
        ("unit:DINKES/*", RolesAndGroups(member_of=["PKM-1"], within=["PKM-1", "DINKES"]), True),
        ("unit:DINKES/*", RolesAndGroups(member_of=["DINKES"], within=["DINKES"]), True),
        ("unit:PKM-1/*", RolesAndGroups(member_of=["DINKES"], within=["DINKES"]), False),
    ],
)
def test_who_may_use_an_application(entry: str, holds: RolesAndGroups, allowed: bool) -> None:
    assert may_use([entry], ["operator"], holds) is allowed
    assert may_use([entry, "admin"], ["operator"], holds) is allowed
    assert may_use([], [], holds)


@pytest.mark.unit
@pytest.mark.parametrize(
    "text", ["wizard", "app:", "app:Operator", "group:A/*", "unit:", "unit:a b", "role:x", "unit:/*"]
)
def test_what_allowed_roles_cannot_say(text: str) -> None:
    with pytest.raises(ValueError):
        check_allowed(text)


@pytest.mark.unit
def test_an_own_role_that_decides_must_be_defined() -> None:
    with pytest.raises(ValueError, match="the application defines no role penguji"):
        application(allowed_roles=["app:penguji"])
    assert application(allowed_roles=["app:operator"]).limited_by_access
    assert not application(allowed_roles=["officer"]).limited_by_access


@pytest.mark.unit
@pytest.mark.parametrize(
    "dialect", [sqlite.dialect(paramstyle="qmark"), asyncpg.dialect()], ids=["sqlite", "postgresql"]
)
def test_the_statements_with_roles_are_prepared(dialect: Any) -> None:
    """A statement whose text needs its values costs several times as much (docs/decisions/0049)."""
    statements = [
        *store._USE_CODE_WITH_ACCESS.values(),
        *store._FIND_GRANT_WITH.values(),
        store._FIND_REFRESH_WITH[True],
        store._FIND_CODE_WITH[True],
        store._FIND_ACCESS_WITH[True],
        store._insert_within(("id", "user_id", "client_id", "session_id"), by_consent=True, access=True),
    ]
    for statement in statements:
        compiled = statement.compile(dialect=dialect)
        assert not compiled.post_compile_params
        assert not compiled.literal_execute_params


# Through the endpoints


TYPES: dict[str, Any] = {
    "response_types": ALL_TYPES,
    "grant_types": ["authorization_code", "implicit", "refresh_token", "client_credentials", DEVICE],
    "scope": SCOPE + " offline_access ssf.read ssf.manage",
}


async def two_applications(city: City) -> dict[str, dict[str, list[str]]]:
    """Register two applications of which neither may learn what the other is told; return what each is told."""
    await unit(city, "KOTA")
    await unit(city, "DINKES", "KOTA")
    await unit(city, "PKM-1", "DINKES")
    await unit(city, "TIM", kind="group")
    await unit(city, "DIAM", kind="group")
    await register(city, "satu", ["operator", "pembaca"], groups_of_interest=["DINKES"], **TYPES)
    await register(
        city, "dua", ["petugas"], groups_of_interest=["TIM", "PKM-1/*"], access_token_format="opaque", **TYPES
    )
    for code in ("PKM-1", "TIM", "DIAM"):
        await member(city, "siti", code)
    await give(city, "satu", "operator", user="siti", limit="PKM-1")
    await give(city, "satu", "pembaca", group="DINKES", below=True)
    await give(city, "satu", "hilang", user="siti")
    await give(city, "dua", "petugas", group="TIM")
    await give(city, "dua", "petugas", user="budi")
    return {
        "satu": {"roles": ["operator@PKM-1", "pembaca"], "groups": ["DINKES"]},
        "dua": {"roles": ["petugas"], "groups": ["PKM-1", "TIM"]},
    }


WORDS = {"satu": {"petugas", "TIM", "DIAM", "KOTA", "hilang"}, "dua": {"operator", "pembaca", "DINKES", "DIAM", "KOTA"}}
"""What each application must never see."""


def roles_and_groups(client_id: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return roles and groups of claims, of which none is another application's."""
    text = json.dumps({name: value for name, value in document.items() if name not in ("iss", "aud")})
    assert not [word for word in WORDS.get(client_id, ()) if f'"{word}' in text], text
    return {name: document[name] for name in ("roles", "groups") if name in document}


async def in_everything(party: RelyingParty, answer: Any) -> list[dict[str, Any]]:
    """Return roles and groups as every token of an answer has them, userinfo and introspection."""
    name, seen = party.client_id, []
    if "id_token" in answer:
        seen.append(roles_and_groups(name, claims(answer["id_token"])))
    if "access_token" in answer:
        token = answer["access_token"]
        if not token.startswith("at-"):
            seen.append(roles_and_groups(name, claims(token)))
        seen.append(roles_and_groups(name, (await party.userinfo(token)).json()))
        seen.append(roles_and_groups(name, await party.introspect(token)))
    return seen


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


async def authorized(browser: Browser, party: RelyingParty, **changes: Any) -> Any:
    return await go_on(browser, await browser.open(party.url(**{"scope": SCOPE, **changes})), "siti")


@demand("RFC 9068 2.2.3.1", "roles and groups are those of the application that asked")
async def test_no_application_sees_what_another_is_told(city: City) -> None:
    expected = await two_applications(city)
    async with city.browser() as browser:
        for client_id, its in expected.items():
            party = city.relying_party(client_id)
            for response_type in ALL_TYPES:
                answer = await authorized(browser, party, response_type=response_type)
                seen = await in_everything(party, answer.parameters)
                if "code" in answer:
                    exchanged = await party.exchange(answer["code"])
                    again = await party.refresh(exchanged["refresh_token"])
                    for tokens in (exchanged, again):
                        seen += await in_everything(party, tokens.body)
                assert len(seen) >= 1, response_type
                assert [values for values in seen if values != its] == [], (client_id, response_type)
            await by_device(browser, party, its)
        await other_ways(browser, city.relying_party("satu"), expected["satu"])
    await to_its_team(city)
    await by_events(city)


async def to_its_team(city: City) -> None:
    """The team of an application sees its roles in the API and in the portal, and nothing of the other's."""
    office, teams = Office(city), {"satu": "budi", "dua": "bambang"}
    await office.add_people("bambang")
    for client_id, name in teams.items():
        await office.team(client_id, **{name: "owner"})
    for client_id, name in teams.items():
        (other,) = set(teams) - {client_id}
        its, own = OWN_ROLES[client_id], {"hilang"}
        api = await person_with(city, "developer", name=name, scope="sso:assignments:read")
        answers = [json.dumps(await api.pages("/role-assignments"))]
        for path in (f"/applications/{client_id}/roles", f"/role-assignments?client_id={client_id}"):
            answers.append((await api("GET", path)).text)
        answers += [(await api("GET", f"/role-assignments?client_id={other}")).text]
        assert (await api("GET", f"/applications/{other}/roles")).status_code == 404
        async with city.browser() as browser:
            await browser.submit(await browser.open("/login"), username=name, password=PASSWORD)
            page = await browser.open(f"/developer/apps/{client_id}/roles")
            assert page.status_code == 200
            answers += [page.text, (await browser.open("/account/access")).text]
            assert (await browser.http.get(f"/developer/apps/{other}/roles")).status_code in (403, 404)
        for text in answers:
            assert not [word for word in WORDS[client_id] - own if re.search(rf'[">]{word}["<@]', text)], text
        assert all(f">{role}<" in page.text and f'"{role}"' in answers[0] for role in its)


async def by_events(city: City) -> None:
    """An event about changed claims has those of the application whose stream it is in."""
    receivers = {}
    for client_id in ("satu", "dua"):
        party = city.relying_party(client_id)
        tokens = await party.token(grant_type="client_credentials", scope="ssf.read ssf.manage")
        receiver = Receiver(city, tokens["access_token"])
        receivers[client_id] = (receiver, await receiver.make_stream(TOKEN_CLAIMS_CHANGE))
    async with city.provider.db.write() as session:
        everything = Giver(None, gives_all=True)
        for assignment in (
            await session.execute(select(RoleAssignment).where(RoleAssignment.role != "operator"))
        ).scalars():
            await end_role(session, city.provider, assignment.id, giver=everything, actor=CLI, reason="Selesai")
    for client_id, (receiver, stream) in receivers.items():
        got = await receiver.poll(stream)
        events = [claims(token)["events"][TOKEN_CLAIMS_CHANGE] for token in got["sets"].values()]
        assert events, client_id
        changed = [roles_and_groups(client_id, event["claims"]) for event in events]
        assert {"roles": AFTER[client_id]} in [{"roles": values["roles"]} for values in changed if "roles" in values]


OWN_ROLES = {"satu": ["operator", "pembaca"], "dua": ["petugas"]}
AFTER = {"satu": ["operator@PKM-1"], "dua": []}
"""What is left of the roles when all but one have ended."""


async def by_device(browser: Browser, party: RelyingParty, its: dict[str, Any]) -> None:
    begun = (await party.post("/device_authorization", {"scope": SCOPE})).json()
    page = await browser.open(begun["verification_uri_complete"])
    await browser.submit(page, choice="allow")
    tokens = await party.token(grant_type=DEVICE, device_code=begun["device_code"])
    assert tokens.status == 200, tokens.body
    assert await in_everything(party, tokens.body) == [its] * (4 if party.client_id == "satu" else 3)


async def other_ways(browser: Browser, party: RelyingParty, its: dict[str, Any]) -> None:
    pushed = (await party.post("/par", party.parameters(scope=SCOPE))).json()
    address = f"/authorize?client_id={party.client_id}&request_uri={pushed['request_uri']}"
    answer = await go_on(browser, await browser.open(address), "siti")
    tokens = await party.exchange(answer["code"])
    assert await in_everything(party, tokens.body) == [its] * 4
    # A narrower scope, and claims that are asked for by name.
    narrow = await party.refresh(tokens["refresh_token"], scope="openid groups")
    assert await in_everything(party, narrow.body) == [{"groups": its["groups"]}] * 4
    by_name = json.dumps({"id_token": {"roles": None}, "userinfo": {"groups": None}})
    answer = await authorized(browser, party, scope="openid", claims=by_name)
    tokens = await party.exchange(answer["code"])
    roles, groups = {"roles": its["roles"]}, {"groups": its["groups"]}
    assert await in_everything(party, tokens.body) == [roles, {}, groups, {}]


async def test_a_resource_server_is_not_told_whose_roles_they_are(city: City) -> None:
    await register(city, "peladen", ["operator"], scope=SCOPE, resource_identifier=FOREIGN_API)
    for client_id, form in (("depan", "jwt"), ("depan-buram", "opaque")):
        await register(city, client_id, ["operator"], audience=FOREIGN_API, access_token_format=form)
        await give(city, client_id, "operator", user="siti")
    await give(city, "peladen", "operator", user="siti")
    async with city.browser() as browser:
        for client_id in ("depan", "depan-buram"):
            tokens = await browser.tokens(city.relying_party(client_id), scope=SCOPE)
            assert (await city.relying_party(client_id).introspect(tokens["access_token"]))["roles"] == ["operator"]
            answer = await city.relying_party("peladen").introspect(tokens["access_token"])
            assert answer["active"] is True
            assert not {"roles", "groups"} & set(answer)


async def test_what_ended_is_gone_at_once(city: City) -> None:
    """By hand, by time, and because the role was renamed."""
    await unit(city, "DINKES")
    await register(city, "satu", ["operator", "kepala"], groups_of_interest=["DINKES"])
    party = city.relying_party("satu")
    in_unit, given = await member(city, "siti", "DINKES"), await give(city, "satu", "operator", user="siti")
    await give(city, "satu", "kepala", group="DINKES", valid_until=clock.now() + timedelta(minutes=1))
    async with city.browser() as browser:
        latest = await browser.tokens(party, scope=SCOPE)
    assert latest.claims()["roles"] == ["kepala", "operator"]

    async def now(expected: dict[str, list[str]], tokens: Tokens) -> Tokens:
        token = tokens["access_token"]
        assert roles_and_groups("", await party.introspect(token)) == expected
        assert roles_and_groups("", (await party.userinfo(token)).json()) == expected
        following = await party.refresh(tokens["refresh_token"])
        assert await in_everything(party, following.body) == [expected] * 4
        return following

    clock.advance(61)
    latest = await now({"roles": ["operator"], "groups": ["DINKES"]}, latest)
    await end(city, RoleAssignment, given)
    latest = await now({"roles": [], "groups": ["DINKES"]}, latest)
    await end(city, Membership, in_unit)
    latest = await now({"roles": [], "groups": []}, latest)
    await give(city, "satu", "kepala", user="siti")
    latest = await now({"roles": ["kepala"], "groups": []}, latest)
    await change(city, "satu", ["pimpinan"], groups_of_interest=["DINKES"])
    latest = await now({"roles": [], "groups": []}, latest)
    await change(city, "satu", ["pimpinan"], scope="openid roles")
    assert roles_and_groups("", await party.introspect(latest["access_token"])) == {"roles": []}
    await change(city, "satu", ["pimpinan"], scope="openid")
    assert roles_and_groups("", (await party.refresh(latest["refresh_token"])).claims()) == {}


async def test_what_is_too_large_for_a_token_is_at_userinfo(city: City) -> None:
    await unit(city, "DINKES")
    await register(city, "satu", ["operator"], groups_of_interest=["DINKES/*"])
    for number in range(40):
        await unit(city, f"{'U' * 60}-{number}", "DINKES")
        await member(city, "siti", f"{'U' * 60}-{number}")
        await give(city, "satu", "operator", user="siti", limit=f"{'U' * 60}-{number}")
    party = city.relying_party("satu")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope=SCOPE)
    assert not {"roles", "groups"} & {*tokens.claims(), *tokens.claims("access_token")}, "a missing claim: too large"
    for answer in (
        (await party.userinfo(tokens["access_token"])).json(),
        await party.introspect(tokens["access_token"]),
    ):
        assert (len(answer["roles"]), len(answer["groups"])) == (40, 41)


async def test_a_third_party_is_told_what_the_user_allowed(city: City) -> None:
    await register(city, "mitra-baru", ["operator"], first_party=False, scope_reasons={"roles": "Hak di aplikasi."})
    await give(city, "mitra-baru", "operator", user="siti")
    party = city.relying_party("mitra-baru")
    async with city.browser() as browser:
        page = await browser.sign_in(party, scope=SCOPE)
        assert "Peran Anda di aplikasi ini" in page.text
        assert "Hak di aplikasi." in page.text
        assert "Unit dan kelompok Anda" in page.text
        answer = await browser.submit(page, choice="allow")
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
    assert tokens.claims()["roles"] == ["operator"]


async def test_an_assertion_gives_roles_to_applications_of_the_city(city: City) -> None:
    pair, issuer = KeyPair("ES256"), "https://kepegawaian.example"
    trust = {"assertion_issuers": [{"issuer": issuer, "jwks": key_set(pair)}], "grant_types": [JWT_BEARER]}
    for client_id, first_party in (("penjadwal", True), ("luar", False)):
        scope = "jadwal:baca roles"
        await register(
            city, client_id, ["operator"], type="service", scope=scope, **{**trust, "first_party": first_party}
        )
        await give(city, client_id, "operator", user="siti")
    now = clock.timestamp()
    assertion = pair.sign({"iss": issuer, "sub": "siti", "aud": ISSUER, "iat": now, "exp": now + 60})
    form = {"grant_type": JWT_BEARER, "assertion": assertion, "scope": "jadwal:baca roles"}
    party = city.relying_party("penjadwal", "https://none.example")
    tokens = await party.token(**form)
    assert tokens.claims("access_token")["roles"] == ["operator"]
    assert (await party.introspect(tokens["access_token"]))["roles"] == ["operator"]
    other = await city.relying_party("luar", "https://none.example").token(**form)
    assert other.body["error"] == "invalid_scope"


@pytest.mark.parametrize("token_format", ["jwt", "opaque"])
async def test_no_flow_costs_a_statement_more(city: City, token_format: str) -> None:
    """With the scopes as many statements as without; without them the very same statements as ever."""
    seen: dict[str, list[list[str]]] = {}
    for client_id, scope in (("tanpa", "openid"), ("dengan", SCOPE)):
        await register(city, client_id, ["operator"], **{**TYPES, "scope": scope, "access_token_format": token_format})
        await give(city, client_id, "operator", user="siti")
        party, statements = city.relying_party(client_id), Statements(city)
        async with city.browser() as browser:
            await browser.tokens(party, scope="openid")
            statements.take()
            answer = await authorized(browser, party, scope=scope)
            steps = [statements.take()]
            tokens = await party.exchange(answer["code"])
            steps.append(statements.take())
            await party.userinfo(tokens["access_token"])
            steps.append(statements.take())
            await party.introspect(tokens["access_token"])
            steps.append(statements.take())
            await party.refresh(tokens["refresh_token"])
            steps.append(statements.take())
            await authorized(browser, party, scope=scope, response_type="code id_token token")
            steps.append(statements.take())
        seen[client_id] = steps
    with_roles, without = seen["dengan"], seen["tanpa"]
    assert [len(step) for step in with_roles] == [len(step) for step in without]
    for name in ("role_assignments", "memberships", "group_ancestors"):
        assert not [statement for step in without for statement in step if name in statement]
        assert len([statement for step in with_roles for statement in step if name in statement]) == 5, (
            "each flow but the code itself"
        )


async def test_own_roles_and_units_decide_who_may_use_it(city: City) -> None:
    await unit(city, "DINKES")
    await unit(city, "PKM-1", "DINKES")
    await register(
        city,
        "terbatas",
        ["operator"],
        allowed_roles=["app:operator", "unit:DINKES/*"],
        scope="openid offline_access",
        group="E-Kesehatan",
        initiate_login_uri="https://terbatas.example/masuk",
    )
    party = city.relying_party("terbatas")
    async with city.browser() as browser:
        page = await browser.sign_in(party, scope="openid")
        assert "Pengguna dengan peran di aplikasi ini: Operator" in page.text
        assert "DINKES" in page.text
        assert 'id="terbatas"' not in (await browser.open("/apps")).text
        silent = await browser.open(party.url(scope="openid", prompt="none"))
        assert query_of(silent.headers["location"])["error"] == "access_denied"
        given = await give(city, "terbatas", "operator", user="siti", limit="PKM-1")
        assert 'id="terbatas"' in (await browser.open("/apps")).text
        tokens = await browser.tokens(party, scope="openid")
        assert (await party.refresh(tokens["refresh_token"])).status == 200
        tokens = await browser.tokens(party, scope="openid")
        await end(city, RoleAssignment, given)
        assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"
        assert (await party.introspect(tokens["access_token"])) == {"active": False}
        membership = await member(city, "siti", "PKM-1")
        assert (await party.refresh(tokens["refresh_token"])).status == 200, "it is not used up"
        await end(city, Membership, membership)
        assert "peran di aplikasi ini: Operator" in (await browser.open(party.url(scope="openid"))).text


async def test_a_role_that_ended_before_an_exchange_is_never_in_its_tokens(city: City) -> None:
    """Ends and exchanges at the same moment: only an exchange that began before the end may have the role."""
    await register(city, "satu", ["operator"])
    party = city.relying_party("satu")
    ended: list[bool] = []

    async def take_away(given: Any) -> None:
        await end(city, RoleAssignment, given)
        ended.append(True)

    async def exchange(code: str) -> tuple[bool, Tokens]:
        before = bool(ended)
        return before, await party.exchange(code)

    async with city.browser() as browser:
        await browser.tokens(party, scope="openid")
        for _ in range(3):
            ended.clear()
            given = await give(city, "satu", "operator", user="siti")
            codes = [await browser.code(party, scope=SCOPE) for _ in range(6)]
            first, rest = codes[:3], codes[3:]
            results = await asyncio.gather(*map(exchange, first), take_away(given), *map(exchange, rest))
            results.append(await exchange(await browser.code(party, scope=SCOPE)))
            assert ended
            for late, tokens in cast("list[tuple[bool, Tokens]]", [result for result in results if result is not None]):
                assert tokens.status == 200, tokens.body
                for token in ("id_token", "access_token"):
                    assert tokens.claims(token)["roles"] in (([],) if late else ([], ["operator"]))
                assert (await party.introspect(tokens["access_token"]))["roles"] == []


async def test_signed_userinfo_and_pairwise_subjects(city: City) -> None:
    members = {"subject_type": "pairwise", "userinfo_signed_response_alg": "RS256"}
    await register(city, "samaran", ["operator"], **members)
    await give(city, "samaran", "operator", user="siti")
    party = city.relying_party("samaran")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope=SCOPE)
    answer = claims((await party.userinfo(tokens["access_token"])).text)
    assert (answer["roles"], answer["sub"]) == (["operator"], tokens.claims()["sub"])
    assert tokens.claims()["roles"] == ["operator"]
    metadata = (await city.client().get("/.well-known/openid-configuration")).json()
    assert {"roles", "groups"} <= set(metadata["scopes_supported"]) & set(metadata["claims_supported"])
