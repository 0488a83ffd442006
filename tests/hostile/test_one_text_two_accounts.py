"""One text that can mean two accounts: nobody signs in as the other, learns of the other or gets in the other's way.

A has a user name of digits, as imports and administrators give them; the digits are the telephone number or the NIK of
B (docs/decisions/0041-what-is-typed-is-looked-up.md).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select, update
from tests.api.conftest import person_with
from tests.arranged import own_form, sign_in
from tests.citizens import NEW_PASSWORD, SENDING, here, last_code, post, sent
from tests.conformance.parties import KeyPair, key_set
from tests.conformance.test_rfc7523_jwt_bearer import GRANT, assertion, trusting
from tests.support import PASSWORD, Browser, City, form_of, query_of

from sso import clock
from sso.identity.authn.passwords import Passwords
from sso.identity.users import store
from sso.identity.users.models import Credential
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import UserError, create_users, find, find_all
from sso.platform.audit.models import AuditEvent

DIGITS, E164 = "081288887777", "+6281288887777"
NIK = "3671014104900001"
NIP = "198501012010011001"
OTHER_PASSWORD = "gerobak-ungu-menari-riang-58"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {**SENDING, "sign_in_failures_per_account": 7, "risk_based_second_factor": "none"}


async def make(city: City, password: str, **about: Any) -> str:
    """Make somebody who may sign in, and return their id."""
    hashed = await Passwords(city.settings).hash(password)
    person = NewUser.model_validate({"name": about["username"], "password_hash": hashed, **about})
    async with city.provider.db.write() as session:
        (user,) = await create_users(session, [person], box=city.provider.box)
        return str(user.id)


async def two(city: City, first: str = PASSWORD, second: str = OTHER_PASSWORD) -> tuple[str, str]:
    """Make A, whose user names are B's telephone number and NIK, and B; return their ids."""
    by_phone = await make(city, first, username=DIGITS, email="a@warga.example", email_verified=True)
    contacts = {"phone_number": DIGITS, "phone_number_verified": True, "nik": NIK, "nik_verified": True}
    return by_phone, await make(city, second, username="bimo", email="b@warga.example", **contacts)


async def who(city: City, typed: str, password: str) -> str:
    """Sign in at an application, and return who is signed in then; nothing where nobody is."""
    party = city.relying_party("warga")
    async with city.browser() as browser:
        answer = await browser.sign_in(party, typed, password)
        if not answer.is_redirect:
            assert answer.status_code == 400, answer.text
            return ""
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        return str(tokens.claims()["sub"])


async def test_the_password_says_which_account_is_meant(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = await two(city)
    c = await make(city, PASSWORD, username=NIK)
    work, verify = [0], Passwords.verify

    async def counted(self: Passwords, *args: Any, **options: Any) -> Any:
        work[0] += 1
        return await verify(self, *args, **options)

    monkeypatch.setattr(Passwords, "verify", counted)
    expected = {
        (DIGITS, PASSWORD): a, (DIGITS, OTHER_PASSWORD): b, ("0812-8888-7777", OTHER_PASSWORD): b,
        (E164, OTHER_PASSWORD): b, (E164, PASSWORD): "", ("0812 8888 7777", PASSWORD): "", (DIGITS, "x"): "",
        (NIK, PASSWORD): c, (NIK, OTHER_PASSWORD): b, (f"{NIK[:6]} {NIK[6:12]} {NIK[12:]}", OTHER_PASSWORD): b,
    }  # fmt: skip
    assert {credentials: await who(city, *credentials) for credentials in expected} == expected
    # What a wrong password costs, and what the page says, depends on what was typed alone.
    costs: dict[str, tuple[int, str]] = {}
    several = (DIGITS, "081299990000", "081234567890", NIK, "3671014104900009")
    for typed in (*several, "siti", "nobody", E164, "+62812999900"):
        work[0] = 0
        async with city.browser() as browser:
            answer = await here(city, browser, typed, "wrong")
        assert answer.status_code == 400
        costs[typed] = work[0], answer.text.split('id="problem"')[1].split("</div>")[0]
    assert {typed: cost for typed, (cost, _) in costs.items()} == {
        typed: 2 if typed in several else 1 for typed in costs
    }
    assert len({costs[typed][1] for typed in several}) == 1
    # The right password of one is no guess at the other, unless it was chosen just now.
    async with city.provider.db.write() as session:
        await session.execute(update(Credential).values(updated_at=clock.now() - timedelta(days=2)))
    for _ in range(8):  # more than an account allows
        assert await who(city, DIGITS, OTHER_PASSWORD) == b
    assert await who(city, DIGITS, PASSWORD) == a
    # The same password at both opens neither: it does not say who is meant.
    d = await make(city, PASSWORD, username="081288887778", email="d@warga.example", email_verified=True)
    await make(city, PASSWORD, username="endah", phone_number="081288887778", phone_number_verified=True)
    assert await who(city, "081288887778", PASSWORD) == ""
    assert await who(city, "d@warga.example", PASSWORD) == d


async def guess(city: City, typed: str, times: int, address: str = "203.0.113.7") -> list[int]:
    """Type wrong passwords, and return how each was answered."""
    statuses = []
    async with city.client(address=address) as http:
        browser = Browser(city, http)
        for _ in range(times):
            fields = {**own_form(city, browser, "login", session=""), "username": typed, "password": "wrong"}
            statuses.append((await http.post("/login", data=fields)).status_code)
    return statuses


async def test_attempts_count_at_every_account_and_shut_out_nobody_else(city: City) -> None:
    a, b = await two(city)
    async with city.provider.db.read() as session:
        before = {user.id: user for user in await find_all(session, DIGITS)}
    assert [str(user_id) for user_id in before] == [a, b]
    # Guesses at A by another identifier leave B alone, also where the text means both.
    assert await guess(city, "a@warga.example", 8) == [400] * 7 + [429]
    assert await who(city, DIGITS, OTHER_PASSWORD) == b
    async with city.browser() as browser:
        assert (await here(city, browser, DIGITS, PASSWORD)).status_code == 400  # A waits
    # Guesses with the text count at both accounts.
    far = "198.51.100.9"
    assert await guess(city, DIGITS, 8, far) == [400] * 7 + [429]
    assert await guess(city, "a@warga.example", 1, far) == [429]
    assert await guess(city, "b@warga.example", 1, far) == [429]
    async with city.provider.db.read() as session:
        failed = select(AuditEvent.subject).where(AuditEvent.type == "sign_in.failed")
        assert {a, b} <= set((await session.execute(failed)).scalars())


async def test_a_recovery_goes_to_who_holds_the_telephone(city: City) -> None:
    _, b = await two(city)
    async with city.browser() as browser:
        page = await post(browser, "/recover", {"username": DIGITS}, await browser.open("/recover"))
        assert [(message["kind"], message["to"]) for message in await sent(city)] == [("phone", E164)]
        page = await post(browser, "/recover", {"code": await last_code(city)}, page)
        await post(browser, "/recover", {"password": NEW_PASSWORD}, page)
    assert (await who(city, E164, NEW_PASSWORD), await who(city, DIGITS, PASSWORD) == b) == (b, False)


async def test_whoever_acts_on_a_text_that_means_two_people_names_the_id(city: City) -> None:
    a, b = await two(city)
    pair = KeyPair("ES256")
    party = await trusting(city, {"jwks": key_set(pair)})
    statuses = {
        typed: (await party.token(grant_type=GRANT, assertion=assertion(pair, sub=typed), scope="jadwal:baca")).status
        for typed in (DIGITS, E164, "a@warga.example")
    }
    assert statuses == {DIGITS: 400, E164: 200, "a@warga.example": 200}
    api = await person_with(city, "admin", name="ratna")
    assert [user["id"] for user in await api.pages("/users", identifier=DIGITS)] == [a, b]
    assert [user["id"] for user in await api.pages("/users", identifier=E164)] == [b]
    async with city.browser() as browser:
        await sign_in(city, browser, "ratna")
        html = (await browser.open(f"/admin/people?q={DIGITS}")).text
        assert (a in html, b in html) == (True, True)
    async with city.provider.db.read() as session:
        with pytest.raises(UserError, match=f"several users.*{a}, {b}"):
            await find(session, DIGITS)
    # A hint fills in the field, and chooses nobody.
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("warga").url(login_hint=DIGITS))
        assert form_of(page).fields["username"] == DIGITS


async def test_nobody_chooses_a_user_name_that_can_be_somebody_elses_identifier(city: City) -> None:
    budi = str(city.users["budi"])
    wrong = ("081234567890", "0812-3456-7890", NIK, NIP, "12345", "367101.410490.0001", budi, "a@b.id")
    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        for name in wrong:
            page = await browser.open("/account/contacts")
            answer = await post(browser, "/account/contacts", {"choice": "username", "username": name}, page)
            assert answer.status_code == 400, name
        page = await browser.open("/account/contacts")
        answer = await post(browser, "/account/contacts", {"choice": "username", "username": "siti-2"}, page)
        assert answer.status_code == 200
    async with city.provider.db.read() as session:
        names = [
            identifier.value
            for identifier in await store.identifiers_of(session, city.users["siti"])
            if identifier.kind == "username"
        ]
    assert names == ["siti-2"]


async def test_user_names_of_digits_are_user_names_everywhere(city: City) -> None:
    api = await person_with(city, "admin", name="ratna")
    ids: dict[str, str] = {}
    for name in ("10293", "0012345678", "1301194001", "4136753654200003", NIP, DIGITS, "3671014104900002"):
        answer: httpx.Response = await api(
            "POST", "/users", json={"username": name, "name": "Pegawai", "email": f"u{name}@warga.example"}
        )
        assert answer.status_code == 201, (name, answer.text)
        ids[name] = answer.json()["id"]
        (user,) = await api.pages("/users", identifier=name)
        assert (user["id"], user["identifiers"][0]["kind"]) == (ids[name], "username")
    (user,) = await api.pages("/users", identifier="19850101 201001 1 001")
    assert user["id"] == ids[NIP]
    for wrong in ("1.98501E+17", "198501012010011001.0", "a@warga.example", "a b c"):
        assert (await api("POST", "/users", json={"username": wrong, "name": "X"})).status_code == 422, wrong
