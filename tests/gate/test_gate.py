"""The forward authentication gate over HTTP: the way in, what passes, what the application receives, and the end."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2 as httpx
import jwt
import pytest
from sqlalchemy import select
from tests.elsewhere import add_client, change
from tests.gate.proxy import HOST, NAVIGATION, TRUSTED, Proxy, add_gate, gate_of
from tests.given_access import give
from tests.support import ISSUER, PASSWORD, City, Statements
from tests.waiting import stand_still

from sso import clock
from sso.gate.models import GateSession
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.reasons import EndReason
from sso.jobs import clear_up
from sso.logout.delivery_report import delivery_report_of
from sso.logout.end_sessions import end_sessions

HERE = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
pytestmark = pytest.mark.parametrize("overrides", [TRUSTED])


@pytest.fixture(autouse=True)
def _time_stands_still(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate remembers an answer for a second."""
    stand_still(monkeypatch)


@pytest.fixture
async def proxy(city: City) -> Proxy:
    await add_gate(city, gate=gate_of(headers=["sub", "username", "name", "email", "phone", "acr", "jwt"]))
    return Proxy(city)


def identity(answer: httpx.Response) -> dict[str, str]:
    """Return the headers for the application."""
    return {name: value for name, value in answer.headers.items() if name.startswith("x-sso-") and value}


async def end_all(city: City) -> Any:
    """End every session as an administrator does; return the id of the last."""
    async with city.provider.db.write() as session:
        ids = list((await session.execute(select(SsoSession.id).where(SsoSession.ended_at.is_(None)))).scalars())
        await end_sessions(session, city.provider, ids, EndReason.ADMINISTRATOR)
    return ids[-1]


async def test_a_page_is_led_to_the_sign_in_and_back_and_the_application_hears_who_it_is(
    city: City, proxy: Proxy
) -> None:
    assert (await proxy.check("/surat?halaman=2")).status_code == 401
    redirect = await proxy.check("/surat?halaman=2", "redirect", sec_fetch_mode="navigate")
    assert redirect.headers["location"] == f"https://{HOST}/.sso/start?to=%2Fsurat%3Fhalaman%3D2"
    async with city.browser() as browser:
        done = await proxy.sign_in(browser, "/surat?halaman=2")
    assert (done.status_code, done.headers["location"]) == (303, f"https://{HOST}/surat?halaman=2")
    cookie = next(line for line in done.headers.get_list("set-cookie") if line.startswith("__Host-sso-gate="))
    assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    passed = await proxy.check("/surat")
    assert (passed.status_code, passed.headers["cache-control"], passed.content) == (200, "no-store", b"")
    headers = identity(passed)
    token = headers.pop("x-sso-jwt")
    user_id = str(city.users["siti"])
    assert headers == {
        "x-sso-sub": user_id,
        "x-sso-username": "siti",
        "x-sso-name": "Siti Rahmawati",
        "x-sso-email": "siti@warga.example",
        "x-sso-phone": "+6281234567890",
        "x-sso-acr": "urn:sso:acr:password",
    }
    keys = jwt.PyJWKSet.from_dict(json.loads(city.provider.keys.jwks()[0]))
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, keys[header["kid"]], ["ES256"], audience="arsip", issuer=ISSUER)
    assert (header["typ"], claims["host"], claims["sub"]) == ("sso-gate+jwt", HOST, user_id)
    assert claims["exp"] - claims["iat"] == 120
    assert claims["email"] == "siti@warga.example"


async def test_a_check_is_one_statement_and_none_within_a_second(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    await proxy.check()
    statements = Statements(city)
    await proxy.check()
    assert statements.take() == []
    clock.advance(timedelta(seconds=1))
    assert (await proxy.check()).status_code == 200
    assert len(statements.take()) == 1
    clock.advance(timedelta(seconds=61))
    await proxy.check()
    assert len(statements.take()) == 5, "the user's data once a minute, and the use of session, part and cookie"


async def test_an_ended_session_closes_the_gate_within_a_second_and_the_report_says_when(
    city: City, proxy: Proxy
) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    assert (await proxy.check()).status_code == 200
    session_id = await end_all(city)
    async with city.provider.db.read() as session:
        report = await delivery_report_of(session, city.provider.registry, session_id)
    assert report is not None
    assert [(application.client_id, application.how, application.state) for application in report.applications] == [
        ("arsip", "gate", "unconfirmed")
    ]
    assert (await proxy.check()).status_code == 200, "the answer of the last second"
    clock.advance(timedelta(seconds=1))
    refused_at = clock.now()
    assert (await proxy.check()).status_code == 401
    clock.advance(timedelta(seconds=30))
    assert (await proxy.check()).status_code == 401
    async with city.provider.db.read() as session:
        report = await delivery_report_of(session, city.provider.registry, session_id)
    assert report is not None
    application = report.applications[0]
    assert (application.how, application.state) == ("gate", "confirmed")
    assert application.confirmed_at is not None
    assert timedelta(0) <= application.confirmed_at - refused_at < timedelta(seconds=5)


async def test_every_gate_of_a_session_is_closed_a_second_later_and_the_report_names_each(city: City) -> None:
    """`python -m bench.gate` measures 122 of them."""
    names = [f"gerbang{number}" for number in range(8)]
    proxies = [Proxy(city, name, f"{name}.kota.example") for name in names]
    for name in names:
        await add_client(city, name, type="gate", gate=gate_of(hosts=[f"{name}.kota.example"]))
    await city.provider.refresh()
    async with city.browser() as browser:
        for proxy in proxies:
            await proxy.sign_in(browser)
    assert {(await proxy.check()).status_code for proxy in proxies} == {200}
    session_id = await end_all(city)
    clock.advance(timedelta(seconds=1))
    assert {(await proxy.check()).status_code for proxy in proxies} == {401}
    async with city.provider.db.read() as session:
        report = await delivery_report_of(session, city.provider.registry, session_id)
    assert report is not None
    states = sorted((application.client_id, application.how, application.state) for application in report.applications)
    assert states == [(name, "gate", "confirmed") for name in names]


async def test_a_cookie_counts_at_its_own_host_and_application_alone(city: City, proxy: Proxy) -> None:
    await add_gate(city, "lain", gate=gate_of(hosts=["lain.kota.example"]))
    await add_gate(city, "dua", gate=gate_of(hosts=["satu.kota.example", "dua.kota.example"]))
    first = Proxy(city, "dua", "satu.kota.example")
    async with city.browser() as browser:
        await first.sign_in(browser)
    assert (await first.check()).status_code == 200
    assert (await Proxy(city, "dua", "dua.kota.example", cookies=first.cookies).check()).status_code == 401
    assert (await Proxy(city, "lain", "lain.kota.example", cookies=first.cookies).check()).status_code == 401


STRANGERS = (
    {"peer": "203.0.113.99"},
    {"key": ""},
    {"key": "arsip:wrong"},
    {"key": "warga:wrong"},
    {"host": "lain.kota.example"},
    {"host": f"{HOST}.jahat.example"},
    {"host": f"{HOST}:8443"},
    {"host": f"x.{HOST}"},
    {"host": ""},
)


async def test_only_the_proxy_of_the_application_is_answered(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    for changes in STRANGERS:
        stranger = Proxy(**{**proxy.__dict__, **changes})
        for path in ("/gate/check/nginx", "/gate/check/redirect", "/gate/check/refused", "/.sso/start", "/.sso/sent"):
            answer = await stranger.send(path, "/", "GET", NAVIGATION)
            assert (answer.status_code, answer.headers["cache-control"]) == (403, "no-store"), (changes, path)
            assert not identity(answer)
    assert (await proxy.check()).status_code == 200


async def test_a_header_that_stands_twice_does_not_count(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    about = [*proxy.about("/", "GET").items(), ("x-original-host", "lain.kota.example")]
    async with city.client(proxy.peer) as http:
        assert (await http.get("/gate/check/nginx", headers=about)).status_code == 403


async def test_pages_are_redirected_and_programs_get_a_status(city: City, proxy: Proxy) -> None:
    for kind in ("redirect", "refused"):
        page = await proxy.send(f"/gate/check/{kind}", "/a", "GET", NAVIGATION)
        assert (page.status_code, page.headers["cache-control"]) == (302, "no-store")
        assert page.headers["location"] == f"https://{HOST}/.sso/start?to=%2Fa"
        form = await proxy.send(f"/gate/check/{kind}", "/a", "POST", NAVIGATION)
        assert (form.status_code, form.headers["location"]) == (303, f"https://{HOST}/.sso/start?to=%2Fa&sent=1")
        script = await proxy.send(f"/gate/check/{kind}", "/a", "GET", {"sec-fetch-mode": "cors"})
        assert (script.status_code, script.headers["cache-control"]) == (401, "no-store")


async def test_the_way_back_stays_on_the_host(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        for to in ("//jahat.example/", "/\\jahat.example", "https://jahat.example/", "/.sso/sign-out", "@x"):
            begun = await proxy.open(f"/.sso/start?{urlencode({'to': to})}")
            page = await browser.open(begun.headers["location"])
            if not page.is_redirect:
                page = await browser.submit(page, username="siti", password=PASSWORD)
            done = await proxy.open(page.headers["location"])
            assert done.headers["location"] == f"https://{HOST}/"


async def test_a_form_without_a_session_is_to_be_sent_again(city: City, proxy: Proxy) -> None:
    begun = await proxy.open("/.sso/start?to=/isi&sent=1")
    async with city.browser() as browser:
        page = await browser.open(begun.headers["location"])
        answer = await browser.submit(page, username="siti", password=PASSWORD)
    done = await proxy.open(answer.headers["location"])
    assert done.headers["location"] == f"https://{HOST}/.sso/sent?to=%2Fisi"
    notice = await proxy.open(done.headers["location"])
    assert notice.status_code == 200
    assert '<a href="/isi">' in notice.text
    assert (await proxy.check()).status_code == 200


async def test_a_sign_in_belongs_to_one_browser_host_and_time(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
        address = (await browser.open((await proxy.open("/.sso/start?to=/")).headers["location"])).headers["location"]
        other = Proxy(city)
        assert (await other.open(address)).status_code == 400, "of another browser"
        await other.open("/.sso/start?to=/")
        assert (await other.open(address)).status_code == 400, "of another browser that signs in too"
        wrong = address.replace("iss=https%3A%2F%2Fmasuk", "iss=https%3A%2F%2Fjahat")
        assert wrong != address
        assert (await proxy.open(wrong)).status_code == 400
        assert (await proxy.open(address)).status_code == 303
        assert (await proxy.check()).status_code == 200
        assert (await proxy.open(address)).status_code == 400, "the code was used"
        clock.advance(timedelta(seconds=1))
        assert (await proxy.check()).status_code == 401, "what a code gave ends when the code is seen again"
        late = (await browser.open((await proxy.open("/.sso/start?to=/")).headers["location"])).headers["location"]
        clock.advance(timedelta(hours=2))
        assert (await proxy.open(late)).status_code == 400


async def test_the_answer_to_one_sign_in_is_none_to_another(city: City) -> None:
    await add_gate(city, gate=gate_of(hosts=[HOST, "dua.kota.example"]))
    proxy = Proxy(city)
    async with city.browser() as browser:
        await proxy.sign_in(browser)
        parts = []
        for _ in range(2):
            begun = await proxy.open("/.sso/start?to=/")
            parts.append(parse_qs(urlsplit((await browser.open(begun.headers["location"])).headers["location"]).query))
        mixed = {"code": parts[0]["code"][0], "state": parts[1]["state"][0], "iss": ISSUER}
        assert (await proxy.open(f"/.sso/callback?{urlencode(mixed)}")).status_code == 400, "the code of another tab"
        rest = {name: values[0] for name, values in parts[1].items()}
        other = Proxy(city, host="dua.kota.example", cookies=dict(proxy.cookies))
        assert (await other.open(f"/.sso/callback?{urlencode(rest)}")).status_code == 400, "at another host"
        assert (await proxy.open(f"/.sso/callback?{urlencode(rest)}")).status_code == 303


async def test_users_open_the_application_from_the_list(city: City) -> None:
    await add_gate(city, group="E-Pemerintahan")
    proxy = Proxy(city)
    async with city.browser() as browser:
        await browser.sign_in(city.relying_party("warga"))
        opened = await browser.http.get("/open/arsip")
        assert opened.headers["location"].startswith(f"https://{HOST}/.sso/start?")
        begun = await proxy.open(opened.headers["location"])
        done = await proxy.open((await browser.open(begun.headers["location"])).headers["location"])
        assert done.headers["location"] == f"https://{HOST}/", "without a question"
        connected = await browser.open("/account/applications")
        assert "arsip" in connected.text
    assert (await proxy.check()).status_code == 200


async def test_the_token_endpoint_refuses_codes_of_gates(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        begun = (await proxy.open("/.sso/start?to=/")).headers["location"]
        page = await browser.open(begun)
        address = (await browser.submit(page, username="siti", password=PASSWORD)).headers["location"]
    code = parse_qs(urlsplit(address).query)["code"][0]
    answer = await city.relying_party("arsip").exchange(code)
    assert (answer.status, answer["error"]) == (400, "invalid_grant")
    assert (await proxy.open(address)).status_code == 303, "the code is not used up"


async def test_signing_out_ends_the_session_everywhere(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
        before = dict(proxy.cookies)
        left = await proxy.send("/.sso/sign-out", "/.sso/sign-out", "GET", HERE)
        assert left.status_code == 303
        assert "__Host-sso-gate" not in proxy.cookies
        assert left.headers["location"].startswith(f"{ISSUER}/logout?")
        page = await browser.open(left.headers["location"])
        assert "csrf_token" not in page.text.partition("<main")[2].partition("</main>")[0], "it does not ask again"
        clock.advance(timedelta(seconds=1))
        assert (await Proxy(city, cookies=before).check()).status_code == 401
        started = await browser.open((await proxy.open("/.sso/start?to=/")).headers["location"])
        assert not started.is_redirect, "the session has ended"


async def test_a_link_of_others_to_the_sign_out_asks_first(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
        for changes in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
            {"sec-fetch-dest": "iframe"},
            {"sec-fetch-site": "", "sec-fetch-mode": "", "sec-fetch-dest": ""},
        ):
            left = await proxy.send("/.sso/sign-out", "/.sso/sign-out", "GET", {**HERE, **changes})
            assert left.headers["location"] == f"{ISSUER}/logout?client_id=arsip", changes
            assert "set-cookie" not in left.headers
            clock.advance(timedelta(seconds=2))
            assert (await proxy.check()).status_code == 200, "nothing has ended yet"
        page = await browser.open(left.headers["location"])
        assert "csrf_token" in page.text


async def test_a_cookie_that_another_host_can_set_does_not_count(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    token = proxy.cookies["__Host-sso-gate"]
    mine = f"__Host-sso-gate={token}"
    for blank in ("\xa0", "\x85"):
        about = proxy.about("/", "GET") | {"cookie": f"{blank}{mine}"}
        sent = [(name.encode(), value.encode("latin-1")) for name, value in about.items()]
        async with city.client(proxy.peer) as http:
            assert (await http.get("/gate/check/nginx", headers=sent)).status_code == 401, repr(blank)
    for cookies, status in ((f"a=b;\t{mine} ;c=d", 200), (f"{mine}; {mine}", 401), (f"{mine}; __Host-sso-gate=x", 401)):
        answer = await proxy.send("/gate/check/nginx", "/", "GET", {"cookie": cookies})
        assert answer.status_code == status, cookies


async def test_demands_hold_at_each_request(city: City) -> None:
    await add_gate(
        city,
        gate=gate_of(role_paths={"/kelola": ["app:pengelola"]}, public_paths=["/aset"], headers=["username", "roles"]),
        application_roles={"pengelola": {"title": "Pengelola"}},
        allowed_networks=["203.0.113.0/24"],
    )
    proxy = Proxy(city)
    assert (await proxy.check("/aset/gaya.css")).status_code == 200
    assert (await proxy.check("/aset/%2e%2e/kelola")).status_code == 403
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    assert (await proxy.check("/")).status_code == 200
    assert (await proxy.check("/KELOLA/x")).status_code == 403
    page = await proxy.send("/gate/check/redirect", "/kelola", "GET", NAVIGATION)
    assert (page.status_code, page.headers["cache-control"]) == (403, "no-store")
    await give(city, "arsip", "pengelola", user="siti")
    clock.advance(timedelta(seconds=1))
    allowed = await proxy.check("/kelola")
    assert (allowed.status_code, identity(allowed)) == (
        200, {"x-sso-username": "siti", "x-sso-roles": "pengelola"}
    )  # fmt: skip
    assert (await Proxy(city, user="198.51.100.1", cookies=proxy.cookies).check()).status_code == 401


async def test_times_of_a_gate_hold(city: City) -> None:
    await add_gate(city, gate=gate_of(session_seconds=3600, idle_seconds=600))
    proxy = Proxy(city)
    async with city.browser() as browser:
        await proxy.sign_in(browser)
        for _ in range(3):
            clock.advance(timedelta(seconds=400))
            assert (await proxy.check()).status_code == 200
        clock.advance(timedelta(seconds=800))
        assert (await proxy.check()).status_code == 401, "not used for too long"
        await proxy.sign_in(browser)
        for _ in range(8):
            clock.advance(timedelta(seconds=500))
            last = await proxy.check()
        assert last.status_code == 401, "longer than session_seconds"
    clock.advance(timedelta(days=1))
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert (await session.execute(select(GateSession))).first() is None


async def test_an_unverified_contact_is_not_sent(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser, username="budi")
    assert "x-sso-email" not in identity(await proxy.check())


async def test_the_gate_of_a_suspended_application_is_closed(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    await change(city, "arsip", status="suspended")
    await city.provider.refresh()
    assert (await proxy.check()).status_code == 403


async def test_envoy_repeats_the_request_itself(city: City, proxy: Proxy) -> None:
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    headers = {**proxy.about("/", "GET"), "host": HOST}
    async with city.client(proxy.peer) as http:
        passed = await http.post("/gate/check/envoy/surat?x=1", headers=headers, content=b"")
        assert (passed.status_code, passed.headers["x-sso-username"]) == (200, "siti")
        headers = {**headers, "cookie": "", **NAVIGATION}
        answer = await http.get("/gate/check/envoy/surat?x=1", headers=headers)
        assert answer.headers["location"] == f"https://{HOST}/.sso/start?to=%2Fsurat%3Fx%3D1"
        assert (await http.get("/gate/check/envoy/", headers={**headers, "host": "lain"})).status_code == 403
