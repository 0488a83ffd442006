"""A waiting authorization request costs nothing until a person acts: its token carries it, for one browser and for a
while, and the request is answered once (docs/decisions/0052)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
import pytest
from sqlalchemy import func, literal, select, union_all
from tests.conformance.parties import registered
from tests.conformance.test_rfc8628_devices import begin, decide, device, poll
from tests.conftest import settings_for
from tests.elsewhere import change
from tests.support import PASSWORD, SECRET_KEY, Browser, City, Statements, form_of, query_of

from sso import clock
from sso.app import create_app
from sso.jobs import clear_up
from sso.oidc.authorize import stored
from sso.oidc.authorize.stored import MAX_ENCRYPTED_CHARS, MAX_TOKEN_CHARS
from sso.oidc.models import DeviceCode
from sso.platform.security.encrypted_tokens import decrypt_token, encrypt_token
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import token_hash
from sso.schema import metadata

METRICS = ("usage_counts", "client_mistakes", "processes")
"""Tables that a process writes every few seconds, whatever is asked."""
COUNTS = union_all(
    *(
        select(literal(table.name).label("table"), func.count().label("count_of_rows")).select_from(table)
        for table in metadata.sorted_tables
        if table.name not in METRICS
    )
)
"""How many rows each table has, in one statement."""
GONE = "Halaman ini sudah kedaluwarsa"
OTHER_KEY = "another secret key for tests of more than 32 characters"


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"client_registration": "open", "smtp_url": "smtp://127.0.0.1:9"}


async def rows(city: City) -> dict[str, int]:
    """Return how many rows each table has."""
    async with city.provider.db.read() as session:
        return {row.table: row.count_of_rows for row in await session.execute(COUNTS)}


def token_of(page: httpx.Response) -> str:
    """Return the token of the request of a page."""
    return form_of(page).fields["i"]


def login_of(token: str, **more: str) -> str:
    return f"/login?{urlencode({'i': token, **more})}"


async def signed_in(browser: Browser, page: httpx.Response, username: str = "siti") -> dict[str, str]:
    """Sign in on a page, and return what the application is answered."""
    answer = await browser.submit(page, username=username, password=PASSWORD)
    assert answer.is_redirect, answer.text
    return query_of(answer.headers["location"])


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_many_requests_without_a_session_cost_no_statement_and_no_row(city: City) -> None:
    url, before = city.relying_party("warga").url(), await rows(city)
    statements = Statements(city)
    async with city.client() as http:
        for _ in range(100):  # each is the same: none reads or writes a row
            http.cookies.clear()
            assert (await http.get(url)).status_code == 200
    assert not [statement for statement in statements.take() if not any(name in statement for name in METRICS)]
    assert await rows(city) == before


async def test_pages_before_a_person_acts_write_nothing(city: City) -> None:
    party, before = city.relying_party("warga"), await rows(city)
    async with city.browser() as browser:
        page = await browser.open(party.url(login_hint="siti"))
        statements = Statements(city)
        here, token = login_of(token_of(page)), token_of(page)
        for address in (here, login_of(token, lang="id"), f"/recover?{urlencode({'i': token})}"):
            assert "Layanan Warga" in (await browser.open(address)).text
        sign_up = await browser.open(party.url(prompt="create"))
        assert sign_up.url.path == "/signup"
        assert "Layanan Warga" in sign_up.text
        assert {statement.split()[0] for statement in statements.take()} == {"SELECT"}
        assert await rows(city) == before
        english, reloaded = await browser.open(login_of(token, lang="en")), await browser.open(here)
        assert "Sign in" in english.text
        assert form_of(reloaded).fields["username"] == "siti"
        assert (await signed_in(browser, english))["state"] == party.state


async def test_requests_without_a_session_are_limited_for_each_network(city: City) -> None:
    city.site.limits.waiting_requests._maximum = 2
    party = city.relying_party("warga")

    async def ask(address: str, **options: Any) -> httpx.Response:
        async with city.client(address=address) as http:
            return await http.get(party.url(), **options)

    for base, outside in (("198.51.100.{}", "198.51.101.1"), ("2001:db8:1:2::{}", "2001:db8:1:3::1")):
        for _ in range(2):
            assert (await ask(base.format(1))).status_code == 200
        refused = await ask(base.format(1), headers={"Accept-Language": "en"})
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert "Too many requests" in refused.text
        assert "menit" in (await ask(base.format(1))).text
        for number in range(8):  # the subnet has five times as many as one address
            assert (await ask(base.format(10 + number))).status_code == 200
        assert (await ask(base.format(99))).status_code == 429
        assert (await ask(outside)).status_code == 200, "another network"
    async with city.client(address="198.51.100.1") as http:
        posted = await http.post("/authorize", data=party.parameters())
        silent = await http.get(party.url(prompt="none"))
    assert posted.status_code == 429
    assert query_of(silent.headers["location"])["error"] == "login_required"
    async with city.browser(address="192.0.2.5") as browser:
        await browser.code(party)
        for _ in range(4):  # somebody who is signed in is not counted
            assert "Siti" in (await browser.open(party.url(prompt="select_account"))).text


async def test_a_token_that_is_not_this_browsers_or_was_changed_opens_nothing(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.browser() as other:
        page = await browser.open(party.url())
        token = token_of(page)
        body, _, end = token.partition(".")
        foreign, _, foreign_end = token_of(await other.open(city.relying_party("sehat").url())).partition(".")
        changed = {body[:place] + ("A" if body[place] != "A" else "B") + body[place + 1 :] for place in (1, 9, 40, -9)}
        box = city.provider.box
        browser_id = browser.http.cookies["__Host-sso-browser"]
        of_another_purpose = "~" + encrypt_token(box, "way-back", token_hash(browser_id), b"[]")
        wrong = [*changed, body[:-4], body + "AAAA", body[1:], "~", "~~" + body[1:], foreign, of_another_purpose]
        for wrong_body in [*wrong, body + "=", body.replace("~", "~+"), "x" * 43, "~" + "A" * MAX_TOKEN_CHARS]:
            answer = await browser.open(login_of(f"{wrong_body}.{end}"))
            assert (answer.status_code, GONE in answer.text) == (400, True), wrong_body
            fields = {**form_of(page).fields, "i": f"{wrong_body}.{end}", "username": "siti", "password": PASSWORD}
            assert (await browser.http.post("/login", data=fields)).status_code == 400
            assert browser.session is None
        for wrong_end in (foreign_end, "", end.rpartition(".")[0] + ".sehat"):
            answer = await browser.open(login_of(f"{body}.{wrong_end}"))
            assert (answer.status_code, GONE in answer.text) == (400, True), "the end of another application's"
        stolen = {**form_of(await other.open("/login")).fields, "i": token}
        for answer in (
            await other.open(login_of(token)),
            await other.http.post("/login", data={**stolen, "username": "budi", "password": PASSWORD}),
        ):
            assert (answer.status_code, GONE in answer.text) == (400, True)
            assert "Aplikasi: Layanan Warga" in answer.text
        assert other.session is None
        clock.advance(city.settings.authorization_request_lifetime + timedelta(seconds=1))
        late = await browser.open(login_of(token))
        assert (late.status_code, GONE in late.text, "/open/warga" in late.text) == (400, True, True)
        assert "masuk lagi dari sana" in late.text, "what to do"


async def test_two_tabs_lead_to_two_applications_and_each_request_is_answered_once(city: City) -> None:
    warga, sehat = city.relying_party("warga"), city.relying_party("sehat")
    async with city.browser() as browser:
        first, second = await browser.open(warga.url()), await browser.open(sehat.url())
        assert (await signed_in(browser, first))["state"] == warga.state
        answer = await browser.open(login_of(token_of(second)))  # the second tab is loaded again
        assert query_of(answer.headers["location"])["state"] == sehat.state
        for page in (first, second):
            assert GONE in (await browser.open(login_of(token_of(page)))).text
            again = await browser.submit(page, username="siti", password=PASSWORD)
            assert (again.status_code, GONE in again.text) == (400, True)
        lifetime = city.settings.authorization_request_lifetime
        clock.advance(lifetime + timedelta(minutes=1))
        await clear_up(city.provider)
        clock.advance(-lifetime)  # set back: the request would wait again
        assert GONE in (await browser.open(login_of(token_of(first)))).text
        clock.advance(lifetime + stored.KEPT_LONGER)
        await clear_up(city.provider)
        assert (await rows(city))["replay"] == 0


async def test_every_token_of_a_request_ends_with_its_answer(city: City) -> None:
    mitra = city.relying_party("mitra")
    async with city.browser() as browser:
        await browser.code(city.relying_party("warga"))
        selection = await browser.open(mitra.url(prompt="select_account"))
        before = await rows(city)
        consent = await browser.submit(selection, choice="continue")
        assert "meminta izin" in consent.text
        assert await rows(city) == before, "the choice is in the new token"
        assert token_of(consent) != token_of(selection)
        assert "Pilih akun" in (await browser.open(login_of(token_of(selection)))).text, "not chosen by this token"
        assert "meminta izin" in (await browser.open(login_of(token_of(consent)))).text
        refused = await browser.submit(consent, choice="deny")
        assert query_of(refused.headers["location"])["error"] == "access_denied"
        for page in (selection, consent):
            assert GONE in (await browser.open(login_of(token_of(page)))).text
        assert "meminta izin" in (await browser.open(mitra.url())).text


async def test_a_request_that_asks_for_a_new_sign_in_is_no_way_around_it_afterwards(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url(prompt="login"))
        await signed_in(browser, page)
        assert GONE in (await browser.open(login_of(token_of(page)))).text
        page = await browser.open(party.url(max_age="0"))
        clock.advance(5)
        assert (await browser.open(login_of(token_of(page)))).status_code == 200, "still asked for a password"
        assert (await signed_in(browser, page))["state"] == party.state


async def test_a_request_too_long_for_a_url_is_stored_and_limited(city: City) -> None:
    party, before = city.relying_party("warga"), await rows(city)
    party.state = secrets.token_urlsafe(5000)
    city.site.limits.stored_requests._maximum = 5
    async with city.browser() as browser:
        for send in (
            browser.http.post("/authorize", data=party.parameters()),
            browser.http.get(party.url(prompt="create")),
            browser.http.get(party.url()),
        ):
            answer = await send
            address = answer.headers.get("location") or login_of(token_of(answer))
            assert len(address) < 200
        assert (await rows(city))["interactions"] == before["interactions"] + 3
        async with city.browser() as other:
            await other.open("/login")
            assert GONE in (await other.open(address)).text, "of one browser"
        page = await browser.open(address)
        assert (await signed_in(browser, page))["state"] == party.state
        assert (await rows(city))["interactions"] == before["interactions"] + 2
        assert GONE in (await browser.open(address)).text
        chosen = await browser.open(party.url(prompt="select_account"))
        done = await browser.submit(chosen, choice="continue")
        assert query_of(done.headers["location"])["state"] == party.state
        party.nonce = "n" * 2000  # a session is no way around the limit of rows
        answers = [await browser.http.get(party.url(prompt="consent")) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
    async with city.client(address="198.51.100.9") as http:
        assert (await http.get(party.url())).status_code == 200, "another network"
    clock.advance(city.settings.authorization_request_lifetime + timedelta(minutes=1))
    await clear_up(city.provider)
    assert (await rows(city))["interactions"] == 0


async def test_what_is_not_too_long_for_a_url_fits_into_a_redirect(city: City) -> None:
    party, sealed, shortest = city.relying_party("warga"), [], 0
    for size in range(1000, 3000, 100):
        party.state = secrets.token_urlsafe(size)[:size]
        async with city.client() as http:
            answer = await http.post("/authorize", data=party.parameters())
        token = query_of(answer.headers["location"])["i"]
        if token.startswith("~"):
            sealed.append(sum(len(name) + len(value) + 4 for name, value in answer.headers.raw))
        else:
            shortest = shortest or size
    assert sealed
    assert max(sealed) < 4096, "what nginx takes"
    assert shortest > 1500
    assert MAX_ENCRYPTED_CHARS < MAX_TOKEN_CHARS


async def test_a_pushed_request_waits_like_any_other(city: City) -> None:
    party = await registered(city, require_pushed_authorization_requests=True)
    pushed = (await party.post("/par", party.parameters(state="pushed", max_age="100"))).json()
    address = f"/authorize?{urlencode({'client_id': party.client_id, 'request_uri': pushed['request_uri']})}"
    async with city.browser() as browser:
        before = await rows(city)
        page, reloaded = await browser.open(address), await browser.open(address)
        assert await rows(city) == before
        clock.advance(city.settings.pushed_request_lifetime + timedelta(minutes=5))
        await clear_up(city.provider)
        assert (await browser.open(address)).status_code == 400, "has expired"
        consent = await browser.submit(page, username="siti", password=PASSWORD)
        answer = await browser.submit(consent, choice="allow")
        assert query_of(answer.headers["location"])["state"] == "pushed"
        answer = await browser.open(login_of(token_of(reloaded)))
        assert query_of(answer.headers["location"])["state"] == "pushed", "of the page that was loaded again"


async def test_an_application_that_changed_meanwhile_is_checked_again(city: City) -> None:
    warga, sehat = city.relying_party("warga"), city.relying_party("sehat")
    async with city.browser() as browser:
        pages = [await browser.open(warga.url()), await browser.open(sehat.url())]
        await change(city, "warga", status="suspended")
        client = city.provider.registry.get("sehat")
        assert client is not None
        uris = {"redirect_uris": ["https://lain.example/cb"]}
        await change(city, "sehat", metadata_={**client.meta.stored(), **uris})
        await city.provider.refresh()
        answers = [await browser.submit(page, username="siti", password=PASSWORD) for page in pages]
        for answer in answers:
            assert answer.status_code == 400
            assert "location" not in answer.headers
        assert browser.session is None
        assert "dinonaktifkan" in answers[0].text or "dimatikan" in answers[0].text
        assert "https://sehat.example/cb" in answers[1].text


@asynccontextmanager
async def another_process(city: City, tmp_path: Path, **settings: Any) -> AsyncIterator[City]:
    """A second process of the same provider."""
    own_settings = settings_for(city.settings.database_url, tmp_path, **settings)
    app = create_app(own_settings)
    async with app.router.lifespan_context(app):
        yield City(app, own_settings, city.secrets, city.users)


async def test_another_process_continues_also_after_a_new_secret_key(city: City, tmp_path: Path) -> None:
    party = city.relying_party("warga")
    for keys in ([SECRET_KEY], [OTHER_KEY, SECRET_KEY]):
        async with city.browser() as browser:
            page = await browser.open(party.url())
            async with another_process(city, tmp_path, secret_key=keys) as other, other.browser() as there:
                there.http.cookies.update(browser.http.cookies)
                again = await there.open(login_of(token_of(page)))
                assert "Layanan Warga" in again.text
                fresh = token_of(await there.open(party.url()))
                assert (await signed_in(there, page))["state"] == party.state
            assert GONE in (await browser.open(login_of(token_of(page)))).text, "answered there"
            opened = (await browser.open(login_of(fresh))).status_code
            assert opened == (200 if keys[0] == SECRET_KEY else 400), "only a process that knows the key"


def test_a_sealed_token_belongs_to_its_purpose_its_context_and_its_keys() -> None:
    old, both, new = (SecretBox([*keys]) for keys in ([b"a"], [b"b", b"a"], [b"b"]))
    data = b"state=abc&" * 30
    token, again = encrypt_token(old, "one", b"browser", data), encrypt_token(old, "one", b"browser", data)
    assert token != again
    assert len(token) < len(data), "compressed"
    assert decrypt_token(old, "one", b"browser", token) == data
    assert decrypt_token(both, "one", b"browser", token) == data
    assert decrypt_token(new, "one", b"browser", token) is None
    assert decrypt_token(old, "two", b"browser", token) is None
    assert decrypt_token(old, "one", b"other", token) is None
    lengths = {len(encrypt_token(old, "one", context, data)) for context in (b"", b"state=abc&", b"x" * 500)}
    assert lengths == {len(token)}, "the context has no influence on the length"
    for wrong in ("", "A", "AAAA", token[:-1], token + "A", token + "=", token.swapcase(), "\udc80", token[:40]):
        assert decrypt_token(old, "one", b"browser", wrong) is None, wrong


async def test_what_nothing_reads_is_not_carried(city: City) -> None:
    plain, noisy = city.relying_party("warga"), {f"x-{number}": secrets.token_urlsafe(90) for number in range(30)}
    async with city.browser() as browser:
        page = await browser.open(f"{plain.url()}&{urlencode(noisy)}")
        token = token_of(page)
        box, browser_id = city.provider.box, browser.http.cookies["__Host-sso-browser"]
        waiting = stored._open_request(box, token, browser_id)
        assert waiting is not None
        assert dict(waiting.parameters) == plain.parameters()
        assert (await signed_in(browser, page))["state"] == plain.state


async def test_nobody_uses_up_the_device_codes_of_an_application(city: City) -> None:
    party, limit = await device(city), city.site.limits.new_device_codes
    limit._in_total, limit._maximum = 100, 60  # ten for one application

    async def ask(address: str) -> int:
        async with city.client(address=address) as http:
            sent = {"client_id": party.client_id, "scope": "openid"}
            return (await http.post("/device_authorization", data=sent)).status_code

    flood = [await ask("198.51.100.1") for _ in range(20)]
    assert flood == [200] * 13 + [429] * 7, "ten, and what an address keeps"
    assert [await ask("192.0.2.1") for _ in range(4)] == [200, 200, 200, 429], "another network keeps three"
    async with city.provider.db.read() as session:
        assert (await session.execute(select(func.count()).select_from(DeviceCode))).scalar_one() == 16


async def test_device_codes_that_nobody_decided_about_are_deleted_soon(city: City) -> None:
    party = await device(city)
    unused, used = await begin(party), await begin(party)
    async with city.browser() as browser:
        await decide(browser, used, "deny")
        clock.advance(city.settings.device_code_lifetime + timedelta(minutes=1))
        assert (await poll(party, unused)).body["error"] == "expired_token"
        await clear_up(city.provider)
        assert (await rows(city))["device_codes"] == 2
        clock.advance(timedelta(hours=1))
        await clear_up(city.provider)
        assert (await rows(city))["device_codes"] == 1
        assert (await poll(party, unused)).body["error"] in ("expired_token", "invalid_grant")
        assert "Aplikasi:" in (await browser.open(used["verification_uri_complete"])).text
