"""Guessing and flooding over HTTP: limits are counted before the work, for the account and for the source (SECURITY 7).

``GUESSES`` has an attack for every purpose in ``rate_limits/attempts.py``; a purpose without one fails the
test, and so does a route that verifies a secret without taking a place first.
"""

from __future__ import annotations

import ast
import asyncio
import itertools
import secrets
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pyotp
import pytest
from sqlalchemy import func, select
from tests.arranged import own_form, sign_in, signed_in
from tests.citizens import (
    SENDING,
    Authenticator,
    add_passkey,
    app_of,
    form_at,
    last_code,
    post,
    query,
    sent,
    set_up_app,
    wrong_code,
)
from tests.sources import nodes_of, parsed
from tests.support import PASSWORD, Browser, City, form_of, query_of
from tests.web import test_developer as developers

import sso
from sso import clock
from sso.accounts.contact_changes import NOTICES as CONTACT_NOTICES
from sso.http.common.mail_texts import NOTICES, compose
from sso.identity.authn.models import PendingFlow
from sso.identity.authn.passwords import Busy, Passwords
from sso.identity.authn.queue import FairQueue
from sso.oidc.models import Interaction
from sso.platform.security.rate_limits import BUDGETS, Counts, Purpose, RedisStorage, storage_for
from sso.settings import Settings

SOURCES = Path(sso.__file__).parent
STEP = "/login/second"
PER_ADDRESS = 30
Result = tuple[list[httpx.Response], int]
"""The answers to wrong attempts, and how many of them may have been looked at."""


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {**SENDING, "sign_in_failures_per_ip_address": PER_ADDRESS, "client_registration": "open"}


def now(app: pyotp.TOTP) -> str:
    return str(app.at(clock.timestamp()))


async def all_at_once(work: Sequence[Awaitable[httpx.Response]]) -> list[httpx.Response]:
    return list(await asyncio.gather(*work))


def looked_at(answers: Sequence[httpx.Response]) -> int:
    return sum(answer.status_code != 429 for answer in answers)


def is_refusal(answer: httpx.Response) -> bool:
    return answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


PURPOSES = {"/login": "login", "/recover": "recover", "/signup": "sign-up"}
"""What the forms of pages do where nobody is signed in and nothing has begun."""


async def begin(city: City, browser: Browser, path: str, fields: dict[str, str]) -> httpx.Response:
    """Send the form of a page, which is not opened first, and return what comes of it."""
    form = own_form(city, browser, PURPOSES[path], session="")
    return await browser._follow(await browser.http.post(path, data={**form, **fields}))


class Attack:
    """Somebody who guesses. ``siti`` has every second factor, and the password is known."""

    def __init__(self, city: City, app: pyotp.TOTP, codes: list[str], own: Browser) -> None:
        self.city, self.app, self.codes, self.own = city, app, codes, own
        self.networks = (f"198.51.{number}.1" for number in itertools.count())
        self.browsers: list[Browser] = []

    def browser(self, address: str = "") -> Browser:
        browser = self.city.browser(address=address or next(self.networks))
        self.browsers.append(browser)
        return browser

    async def step(self, method: str) -> tuple[Browser, httpx.Response]:
        """Begin a new second step in a new browser at a new network."""
        browser = self.browser()
        page = await browser.sign_in(self.city.relying_party("warga"))
        page = await browser.open(f"{STEP}?c={query(page)['c']}&m={method}")
        return browser, page

    async def steps(self, method: str, fields: dict[str, str], expected: int, flows: int = 3) -> Result:
        begun = [await self.step(method) for _ in range(flows)]
        forms = [(browser, {**form_at(page, STEP), "m": method, **fields}) for browser, page in begun]
        tries = [browser.http.post(STEP, data=form) for browser, form in forms for _ in range(3)]
        return await all_at_once(tries), expected

    async def at(self, path: str, forms: Sequence[dict[str, str]], maximum: int) -> Result:
        """Send forms to a page of ours, each from a browser of one network that has not been there before."""
        address = next(self.networks)
        tries = [begin(self.city, self.browser(address), path, form) for form in forms]
        return await all_at_once(tries), maximum


async def guess_password(attack: Attack) -> Result:
    names = ("siti", "siti@warga.example", "0812 3456 7890", "SITI@WARGA.example")
    forms = [{"username": names[number % 4], "password": f"wrong {number}"} for number in range(16)]
    answers, maximum = await attack.at("/login", forms, BUDGETS[Purpose.PASSWORD].window)
    return [answer for answer in answers if answer.status_code != 503], maximum


async def guess_present_password(attack: Attack) -> Result:
    page = await attack.own.open("/account/security")
    fields = form_at(page, "/account/security") | {"choice": "password", "new_password": "kapal-merah-lima-puluh"}
    tries = [attack.own.http.post("/account/security", data={**fields, "password": f"x{n}"}) for n in range(14)]
    return await all_at_once(tries), BUDGETS[Purpose.PRESENT_PASSWORD].window


async def guess_passkey(attack: Attack) -> Result:
    browser = attack.browser()
    form = form_at(await browser.open("/login"), "/login/passkey") | {"credential": "{}"}
    return await all_at_once(
        [browser.http.post("/login/passkey", data=form) for _ in range(PER_ADDRESS + 6)]
    ), PER_ADDRESS


async def guess_totp(attack: Attack) -> Result:
    code = await wrong_code(attack.city, attack.app)
    answers, maximum = await attack.steps("totp", {"code": code}, 5)
    browser, page = await attack.step("totp")
    answers.append(await post(browser, STEP, {"code": now(attack.app), "m": "totp"}, page))
    assert is_refusal(answers[-1]), "a right password, another browser, another network: the count is the account's"
    return answers, maximum


async def guess_recovery_code(attack: Attack) -> Result:
    return await attack.steps("recovery_code", {"code": "aaaa-bbbb-cccc-dddd"}, 5)


async def guess_message_code(attack: Attack) -> Result:
    """A person without another factor signs in at new browsers, and each is sent a code."""
    async with attack.city.browser(address="192.0.2.1") as first:
        await first.code(attack.city.relying_party("warga"), username="lengkap")
    begun = []
    for _ in range(3):
        browser = attack.browser()
        begun.append((browser, await browser.sign_in(attack.city.relying_party("warga"), username="lengkap")))
    code = await wrong_code(attack.city)
    forms = [(browser, {**form_at(page, STEP), "m": "email", "code": code}) for browser, page in begun]
    return await all_at_once([browser.http.post(STEP, data=form) for browser, form in forms for _ in range(3)]), 5


async def guess_step_passkey(attack: Attack) -> Result:
    return await attack.steps("passkey", {"credential": "{}"}, 5)


async def guess_new_totp(attack: Attack) -> Result:
    tries = []
    for _ in range(3):
        page = await attack.own.open("/account/security/app")
        code = await wrong_code(attack.city, app_of(page)[0])
        form = form_at(page, "/account/security/app") | {"code": code}
        tries += [attack.own.http.post("/account/security/app", data=form) for _ in range(5)]
    return await all_at_once(tries), BUDGETS[Purpose.NEW_TOTP].window


async def guess_contact_code(attack: Attack) -> Result:
    tries = []
    for number in range(4):
        page = await attack.own.open("/account/contacts")
        fields = {"choice": "add", "contact": f"lain{number}@warga.example"}
        page = await post(attack.own, "/account/contacts", fields, page)
        form = form_at(page, "/account/contacts/code") | {"code": await wrong_code(attack.city)}
        tries += [attack.own.http.post("/account/contacts/code", data=form) for _ in range(4)]
    return await all_at_once(tries), BUDGETS[Purpose.CONTACT_CODE].window


async def _codes(attack: Attack, path: str, fields: dict[str, str]) -> list[httpx.Response]:
    address, tries = next(attack.networks), []
    for _ in range(4):
        browser = attack.browser(address)
        page = await begin(attack.city, browser, path, fields)
        form = form_at(page, path) | {"code": await wrong_code(attack.city)}
        tries += [browser.http.post(path, data=form) for _ in range(4)]
    return await all_at_once(tries)


async def guess_sign_up_code(attack: Attack) -> Result:
    answers = await _codes(attack, "/signup", {"contact": "orang@warga.example", "agree": "1"})
    return answers, BUDGETS[Purpose.SIGN_UP_CODE].window


async def guess_recovery_message(attack: Attack) -> Result:
    return await _codes(attack, "/recover", {"username": "siti"}), BUDGETS[Purpose.RECOVERY_MESSAGE].window


async def guess_user_code(attack: Attack) -> Result:
    browser = attack.browser()
    form = form_at(await browser.open("/device"), "/device")
    tries = [
        browser.http.post("/device", data={**form, "user_code": f"BCDF-GHJ{letter}"}) for letter in "BCDFGHJKLM" * 3
    ]
    looks = [browser.http.get(f"/device?user_code=BCDF-GHK{letter}") for letter in "BCDFGHJKLM"]
    return await all_at_once([*tries, *looks]), attack.city.settings.device_code_failures_per_ip_address


async def guess_link(attack: Attack) -> Result:
    tries, address = [], next(attack.networks)
    for path in ("/recover/continue", "/recover/stop", "/not-me"):
        browser = attack.browser(address)
        page = await browser.open(f"{path}?t={'0' * 64}")
        form = form_of(page)
        tries += [browser.http.post(path, data={**form.fields, "t": f"{n:064}"}) for n in range(12)]
    return await all_at_once(tries), PER_ADDRESS


async def guess_client_secret(attack: Attack) -> Result:
    form = {"grant_type": "client_credentials", "scope": "x"}
    async with attack.city.client(next(attack.networks)) as http:
        wrong = [http.post("/token", data=form, auth=("api", f"wrong{n}")) for n in range(25)]
        body = [http.post("/introspect", data={"token": "x", "client_id": "api", "client_secret": "x"})]
        answers = await all_at_once([*wrong, *body])
        right = await http.post("/token", data=form, auth=("api", attack.city.secrets["api"]))
        assert right.status_code != 429
        more = [http.post("/par", data={"client_id": "api", "client_secret": f"w{n}"}) for n in range(10)]
        answers += await all_at_once(more)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(answer.json()["error"] == "temporarily_unavailable" for answer in refused)
    return answers, PER_ADDRESS


async def guess_registration_token(attack: Attack) -> Result:
    async with attack.city.client(next(attack.networks)) as http:
        headers = [{"Authorization": f"Bearer {n}"} for n in range(18)]
        methods = itertools.cycle(("GET", "PUT", "DELETE"))
        tries = [http.request(next(methods), "/register/warga", headers=header, json={}) for header in headers]
        new = [
            http.post("/register", headers=header, json={"redirect_uris": ["https://a.example/"]}) for header in headers
        ]
        return await all_at_once([*tries, *new]), PER_ADDRESS


GUESSES: dict[Purpose, Callable[[Attack], Awaitable[Result]]] = {
    Purpose.PASSWORD: guess_password,
    Purpose.PRESENT_PASSWORD: guess_present_password,
    Purpose.PASSKEY: guess_passkey,
    Purpose.TOTP: guess_totp,
    Purpose.RECOVERY_CODE: guess_recovery_code,
    Purpose.MESSAGE_CODE: guess_message_code,
    Purpose.PASSKEY_FACTOR: guess_step_passkey,
    Purpose.NEW_TOTP: guess_new_totp,
    Purpose.CONTACT_CODE: guess_contact_code,
    Purpose.SIGN_UP_CODE: guess_sign_up_code,
    Purpose.RECOVERY_MESSAGE: guess_recovery_message,
    Purpose.USER_CODE: guess_user_code,
    Purpose.LINK: guess_link,
    Purpose.CLIENT_SECRET: guess_client_secret,
    Purpose.REGISTRATION_TOKEN: guess_registration_token,
}


async def test_every_purpose_is_refused_after_its_limit_also_in_parallel(city: City) -> None:
    assert set(GUESSES) == set(Purpose)
    async with city.browser() as own:
        await sign_in(city, own, "siti")
        app, codes = await set_up_app(city, own)
        device = Authenticator()
        await add_passkey(own, device)
        clock.advance(60)
        attack = Attack(city, app, codes, own)
        wrong: dict[str, Any] = {}
        for purpose, guess in GUESSES.items():
            answers, maximum = await guess(attack)
            refused = [answer for answer in answers if answer.status_code == 429]
            if looked_at(answers) != maximum or not refused or not all(map(is_refusal, refused)):
                wrong[purpose] = (maximum, dict(Counter(answer.status_code for answer in answers)))
        for browser in attack.browsers:
            await browser.http.aclose()
    assert not wrong, "more or fewer were looked at than may be, or they were not refused"
    # The person's own browser has a share of its own.
    async with city.browser(address="203.0.113.7") as same:
        same.http.cookies = own.http.cookies
        same.http.cookies.delete("__Host-sso-session")
        page = await same.sign_in(city.relying_party("warga"))
        answer = await post(same, STEP, {"code": now(app), "m": "totp"}, page) if not page.is_redirect else page
    assert "code" in query_of(answer.headers["location"])


@pytest.mark.parametrize("storage", ["memory", "database", "redis"])
async def test_fifty_passwords_at_once_are_ten_hashes(
    request: pytest.FixtureRequest, city: City, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.getfixturevalue("redis") if storage == "redis" else storage
    # On a busy machine fifty requests of one process wait longer for each other than a city may allow: it would then
    # count in its memory.
    patience = dict.fromkeys(("rate_limit_command_timeout", "rate_limit_connect_timeout"), timedelta(minutes=1))
    settings = Settings(_env_file=None, rate_limit_storage=url).model_copy(update=patience)  # type: ignore[call-arg]
    counts = Counts(storage_for(settings, city.provider.db))
    await counts.storage.reset()
    city.provider.attempts._counts = counts
    city.provider.attempts._per_address = 100
    hashed = 0
    original = Passwords._verify

    def counting(self: Passwords, password: str, stored: str | None) -> Any:
        nonlocal hashed
        hashed += 1
        return original(self, password, stored)

    monkeypatch.setattr(Passwords, "_verify", counting)
    browsers = [city.browser() for _ in range(50)]
    names = ("siti", "siti@warga.example", "0812 3456 7890")
    tries = [
        begin(city, browser, "/login", {"username": names[n % 3], "password": f"x{n}"})
        for n, browser in enumerate(browsers)
    ]
    answers = await all_at_once(tries)
    for browser in browsers:
        await browser.http.aclose()
    await counts.close()
    assert hashed == 10
    assert Counter(answer.status_code for answer in answers) == {400: 10, 429: 40}
    assert all(is_refusal(answer) for answer in answers if answer.status_code == 429)


async def test_wrong_codes_of_months_end_in_a_stop_that_the_owner_ends(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer attempts than there are in truth."""
    async with city.browser() as own:
        await sign_in(city, own, "siti")
        app, _ = await set_up_app(city, own)
        clock.advance(60)
        attack = Attack(city, app, [], own)
        tried = 0
        assert (BUDGETS[Purpose.TOTP].window, BUDGETS[Purpose.TOTP].lasting) == (5, 50)
        monkeypatch.setitem(BUDGETS, Purpose.TOTP, replace(BUDGETS[Purpose.TOTP], window=2, lasting=15))
        for _ in range(4):
            for _ in range(3):
                browser, page = await attack.step("totp")
                for _ in range(2):
                    code = await wrong_code(city, app)
                    answer = await post(browser, STEP, {"code": code, "m": "totp"}, page)
                    tried += answer.status_code != 429
                clock.advance(15 * 60 + 1)
            clock.advance(86400)
        assert tried == 15, "as many as in all"
        browser, page = await attack.step("totp")
        assert is_refusal(await post(browser, STEP, {"code": now(app), "m": "totp"}, page))
        # At a browser that they have used before the owner still gets in, and that ends the stop.
        own.http.cookies.delete("__Host-sso-session")
        page = await own.sign_in(city.relying_party("warga"))
        answer = await post(own, STEP, {"code": now(app), "m": "totp"}, page)
        assert "code" in query_of(answer.headers["location"])
        clock.advance(60)
        browser, page = await attack.step("totp")
        answer = await post(browser, STEP, {"code": now(app), "m": "totp"}, page)
        assert "code" in query_of(answer.headers["location"])


async def test_what_a_stranger_causes_uses_up_nobodys_codes(city: City) -> None:
    async with city.browser(address="198.51.100.1") as stranger:
        for _ in range(8):
            await begin(city, stranger, "/signup", {"contact": "siti@warga.example", "agree": "1"})
            await begin(city, stranger, "/recover", {"username": "siti"})
    assert Counter(message["about"] for message in await sent(city)) == {"already_here": 5, "code_recover": 5}
    async with city.browser(address="203.0.113.99") as owner:
        page = await begin(city, owner, "/recover", {"username": "siti@warga.example"})
        page = await post(owner, "/recover", {"code": await last_code(city)}, page)
        assert 'name="password"' in page.text


async def test_codes_to_one_contact_are_limited_by_day_and_answers_tell_nothing(city: City) -> None:
    """From ever new networks: known and unknown look the same all the way, and no more than a day's codes are sent."""
    seen: dict[str, list[int]] = {}
    for name in ("siti", "nobody-of-that-name"):
        seen[name] = []
        for number in range(7):
            async with city.browser(address=f"198.51.{number}.1") as browser:
                for _ in range(4):
                    page = await begin(city, browser, "/recover", {"username": name})
                    seen[name].append(page.status_code)
                clock.advance(31)
                resent = await post(browser, "/recover", {"choice": "resend"}, page)
                seen[name].append(resent.status_code)
                again = await post(browser, "/recover", {"choice": "resend"}, page)
                seen[name] += [again.status_code, int("retry-after" in again.headers)]
    assert seen["siti"] == seen["nobody-of-that-name"]
    assert len(await sent(city)) == city.settings.one_time_codes_per_contact_per_day
    # A code that was not sent opens nothing.
    async with city.browser(address="192.0.2.77") as browser:
        page = await post(browser, "/recover", {"username": "siti"}, await browser.open("/recover"))
        assert (await post(browser, "/recover", {"code": await last_code(city)}, page)).status_code == 400


async def test_rows_that_anybody_can_cause_are_limited(city: City) -> None:
    async def count(table: Any) -> int:
        async with city.provider.db.read() as session:
            return int((await session.execute(select(func.count()).select_from(table))).scalar_one())

    warga = city.relying_party("warga")
    site = city.site
    limits = site.limits
    for limit in (limits.waiting_requests, limits.stored_requests, limits.new_device_codes, limits.pushed_requests):
        limit._maximum = 5
    async with city.client() as http:
        answers = await all_at_once([http.get(warga.url()) for _ in range(20)])
        assert Counter(answer.status_code for answer in answers) == {200: 5, 429: 15}
        assert all(is_refusal(answer) and "menit" in answer.text for answer in answers if answer.status_code == 429)
        english = await http.get(warga.url(), headers={"Accept-Language": "en"})
        assert "Too many requests" in english.text
        assert await count(Interaction) == 0, "nothing is stored"
        party = city.relying_party("sehat")
        pushes = [party.post("/par", party.parameters()) for _ in range(12)]
        answers = await all_at_once(pushes)
        assert looked_at(answers) == 5
        assert all(answer.json()["error"] == "temporarily_unavailable" for answer in answers if is_refusal(answer))
    async with city.browser(address="198.51.100.1") as other:
        assert await other.code(warga)
        limits.waiting_requests._maximum = 100
        long = warga.url(state=secrets.token_urlsafe(5000), prompt="login")
        answers = await all_at_once([other.http.get(long) for _ in range(20)])
        assert Counter(answer.status_code for answer in answers) == {200: 5, 429: 15}
        assert await count(Interaction) == 5, "too long for a URL"
    async with city.browser() as own:
        await sign_in(city, own, "siti")
        for _ in range(15):
            await own.open("/account/security/app")
    assert await count(PendingFlow) <= 10


async def test_device_codes_are_limited_for_their_source(city: City) -> None:
    from tests.conformance.test_rfc8628_devices import device

    party = await device(city)
    city.site.limits.new_device_codes._maximum = 3
    answers = await all_at_once([party.post("/device_authorization", {"scope": "openid"}) for _ in range(10)])
    assert Counter(answer.status_code for answer in answers) == {200: 3, 429: 7}
    assert all(is_refusal(answer) and answer.json()["error"] == "temporarily_unavailable" for answer in answers[3:])


async def test_one_source_cannot_fill_the_queue_of_passwords(city: City) -> None:
    passwords, go = city.site.passwords, threading.Event()
    held = [asyncio.create_task(passwords._run(go.wait, "a")) for _ in range(200)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    refused = [task for task in held if task.done() and isinstance(task.exception(), Busy)]
    assert len(held) - len(refused) == passwords.queue.share <= (passwords.queue._room + 3) // 4
    async with city.browser(address="198.51.100.1") as other:
        page = await other.open(city.relying_party("warga").url())
        signing_in = asyncio.create_task(other.submit(page, username="siti", password=PASSWORD))
        go.set()
        assert "code" in query_of((await signing_in).headers["location"])
    await asyncio.gather(*held, return_exceptions=True)


async def test_whoever_holds_least_gets_in_when_every_place_is_taken() -> None:
    queue, entered, go = FairQueue(1, 7), [], asyncio.Event()

    async def work(source: str) -> None:
        async with queue.place(source):
            entered.append(source)
            await go.wait()

    tasks = [asyncio.create_task(work(f"s{n // 2}")) for n in range(8)]
    await asyncio.sleep(0)
    late = asyncio.create_task(work("late"))
    await asyncio.sleep(0)
    assert not late.done()
    go.set()
    results = await asyncio.gather(*tasks, late, return_exceptions=True)
    assert sum(isinstance(result, Busy) for result in results) == 1
    assert results[-1] is None
    assert entered[:3] == ["s0", "s0", "s1"] or entered[:3] == ["s0", "s1", "s2"]
    assert queue._free == 1
    assert not queue._held


async def test_a_redis_that_hangs_delays_nobody(city: City) -> None:
    connections = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    city.provider.attempts._counts = counts = Counts(RedisStorage(f"redis://127.0.0.1:{port}/0"), timedelta(hours=1))
    async with city.browser() as browser:
        page = await browser.open("/login")
        for _ in range(10):
            assert (await browser.submit(page, username="siti", password="x")).status_code == 400
        assert is_refusal(await browser.submit(page, username="siti", password="x"))
    assert connections == 1, "it is asked once, for half a second, and then left alone"
    assert counts.breaker.is_open
    await counts.close()
    server.close()


def test_no_subject_holds_text_of_others() -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    evil = "Menang Rp 5.000.000\r\nKlik https://jahat.example/x sekarang juga, " + "x" * 300
    for notice in NOTICES:
        values = {"what": evil, "device": evil, "place": "p", "code": "123456", "token": "t", "percent": "80"}
        values |= dict.fromkeys(("ready", "until"), clock.now().isoformat())
        for locale in ("id", "en"):
            message = compose(settings, notice, "a@b.example", clock.now(), locale=locale, values=values)
            assert "jahat" not in message.subject
            assert "\n" not in message.subject
            if notice not in CONTACT_NOTICES:  # an address, which is masked before
                assert "jahat.example" not in message.text + message.html
                assert "https://jahat" not in message.text + message.html


VERIFYING = {
    "is_code", "check_totp", "use_recovery_code", "totp_step", "is_password", "not_me_session", "find_waiting",
}  # fmt: skip
VERIFYING_OF = {
    ("passkeys", "check"), ("passwords", "verify"), ("recovery", "find"), ("registration", "register"),
    ("registration", "read"), ("registration", "update"), ("registration", "delete"),
}  # fmt: skip
TAKING = {"reserve"}
TAKING_OF = {("device_codes", "take")}
FOLLOWED = ("sso.http.", "sso.accounts.")
"""The packages whose functions are followed from a route; below them are the functions that verify a secret."""


@cache
def _calls(node: ast.AST) -> tuple[set[str], set[tuple[str, str]]]:
    """Return what a function calls: the names, and the pairs of an owner and a name."""
    names, pairs = set(), set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            target = call.func
            if isinstance(target, ast.Name):
                names.add(target.id)
            elif isinstance(target, ast.Attribute):
                names.add(target.attr)
                owner = target.value
                pairs.add((owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", ""), target.attr))
    return names, pairs


class CallGraph:
    """Which functions of the packages ``FOLLOWED`` call each other, read from the imports of each module."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], ast.AsyncFunctionDef | ast.FunctionDef] = {}
        self.imported: dict[str, dict[str, tuple[str, str]]] = {}
        for path in sorted(SOURCES.rglob("*.py")):
            module = ".".join(("sso", *path.relative_to(SOURCES).with_suffix("").parts))
            if not module.startswith(FOLLOWED):
                continue
            tree = parsed(path)
            for node in tree.body:
                if isinstance(node, (ast.AsyncFunctionDef, ast.FunctionDef)):
                    self.functions[module, node.name] = node
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
            self.imported[module] = {
                alias.asname or alias.name: (str(node.module), alias.name) for node in imports for alias in node.names
            }

    def routes(self) -> list[tuple[str, str]]:
        """Return the functions that answer a request."""
        return [
            key
            for key, node in self.functions.items()
            if any("router" in ast.dump(decorator) for decorator in node.decorator_list)
        ]

    def called(self, route: tuple[str, str]) -> tuple[set[str], set[tuple[str, str]]]:
        """Return what a route calls, itself and through the functions that it reaches."""
        names: set[str] = set()
        pairs: set[tuple[str, str]] = set()
        reached, queue = {route}, [route]
        while queue:
            module, function = queue.pop()
            more_names, more_pairs = _calls(self.functions[module, function])
            names |= more_names
            pairs |= more_pairs
            imported = self.imported[module]
            following = {imported.get(name, (module, name)) for name in more_names}
            following |= {(".".join(imported[owner]), name) for owner, name in more_pairs if owner in imported}
            queue += [key for key in following if key in self.functions and key not in reached]
            reached |= following
        return names, pairs


def test_every_route_that_verifies_a_secret_takes_a_place_first() -> None:
    graph, checked = CallGraph(), 0
    for module, name in graph.routes():
        names, pairs = graph.called((module, name))
        if names & VERIFYING or pairs & VERIFYING_OF:
            checked += 1
            assert names & TAKING or pairs & TAKING_OF, f"{module}: {name} verifies a secret and takes no place"
    assert checked >= 12


def test_every_path_that_hashes_names_its_source() -> None:
    calls = 0
    for path in SOURCES.rglob("*.py"):
        text = path.read_text()
        for node in nodes_of(path) if "passwords" in text else ():
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            if getattr(owner, "attr", getattr(owner, "id", "")) != "passwords":
                continue
            if node.func.attr in ("hash", "verify", "judge", "strength"):
                calls += 1
                assert any(keyword.arg == "source" for keyword in node.keywords), f"{path.name}:{node.lineno}"
    assert calls >= 8


async def test_invitations_are_limited_for_who_invites_the_team_and_the_receiver(city: City) -> None:
    await developers.person(city, "dimas", "developer")
    await developers.person(city, "wayan", "developer")
    dimas, wayan = [await signed_in(city, name) for name in ("dimas", "wayan")]
    evil = "Menang 5 juta klik https://jahat.example/x"
    await developers.register(dimas, client_name=evil)
    form = (await dimas.open("/developer/apps/antrean/team"), {"choice": "invite", "role": "member"})

    async def invite(who: str, team: str = "antrean") -> httpx.Response:
        page, fields = form
        path = f"/developer/apps/{team}/team"
        return await dimas.http.post(path, data={**form_at(page, path), **fields, "who": who})

    answers = await all_at_once([invite("korban@warga.example") for _ in range(10)])
    assert Counter(answer.status_code for answer in answers) == {303: 3, 429: 7}
    assert all(is_refusal(answer) and "jam" in answer.text for answer in answers if answer.status_code == 429)
    city.site.limits.invited._maximum = 10
    await invite("wayan@warga.example")
    page = await wayan.open("/developer")
    await developers.post(wayan, page, "/developer/invitations", choice="decline antrean")
    for who in ("wayan@warga.example", "wayan"):  # nor by another identifier of the same account
        assert (await invite(who)).status_code == 303, "the page looks the same"
    assert "decline antrean" not in (await wayan.open("/developer")).text
    await developers.register(dimas, client_id="kedua")
    form = (await dimas.open("/developer/apps/kedua/team"), form[1])
    assert (await invite("wayan@warga.example", "kedua")).status_code == 303
    page = await wayan.open("/developer")
    await developers.post(wayan, page, "/developer/invitations", choice="block kedua")
    await invite("wayan@warga.example", "kedua")
    assert "decline kedua" not in (await wayan.open("/developer")).text
    form = (await dimas.open("/developer/apps/antrean/team"), form[1])
    answers = await all_at_once([invite(f"orang{number}@warga.example") for number in range(31)])
    maximum = city.settings.invitations_per_user
    assert Counter(answer.status_code for answer in answers) == {303: maximum - 8, 429: 31 - (maximum - 8)}
    mails = [mail for mail in await sent(city) if mail["about"] == "team_invitation"]
    assert len(mails) == maximum - 3
    message = compose(city.settings, "team_invitation", "a@b.example", clock.now(), values=mails[0]["values"])
    assert "jahat" not in message.subject
    assert "jahat.example" not in message.text
    await dimas.http.aclose()
    await wayan.http.aclose()
