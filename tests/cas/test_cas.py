"""The CAS protocol over HTTP: signing in, validating a ticket, single logout, and what must fail."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree

import httpx2 as httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, update
from tests.delivery.test_proof import add
from tests.support import PASSWORD, Browser, City, Statements, form_of

from sso import clock
from sso.gate.cas.answers import Validated, as_text, as_xml
from sso.gate.cas.models import UsedTicket
from sso.gate.cas.parameters import CasRefused, read_validation
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.sessions.reasons import EndReason
from sso.identity.users.models import Identifier, User
from sso.jobs import clear_up
from sso.logout.delivery_report import delivery_report_of
from sso.logout.end_sessions import end_sessions
from sso.oidc.store.models import Grant
from sso.platform.metrics.models import ClientMistake
from sso.platform.outbox.models import Delivery
from sso.platform.security.outbound_http import Outbound

CAS = "{http://www.yale.edu/tp/cas}"
SERVICE = "https://lama.kota.example/masuk.php?dari=sso"
OTHER = "https://lama.kota.example/lain.php"


@pytest_asyncio.fixture
async def city(city: City) -> City:
    await add(
        city,
        "cas",
        type="cas",
        redirect_uris=[SERVICE, OTHER],
        post_logout_redirect_uris=["https://lama.kota.example/keluar"],
        scope="openid profile email roles",
        cas_username="preferred_username",
        application_roles={"loket": {"title": "Loket"}},
        client_uri="https://lama.kota.example/",
    )
    return city


@pytest_asyncio.fixture
async def browser(city: City) -> AsyncIterator[Browser]:
    async with city.browser() as opened:
        yield opened


def login(service: str | None = SERVICE, **more: str) -> str:
    parameters = ({"service": service} if service is not None else {}) | more
    return f"/cas/login?{urlencode(parameters)}"


async def arrive(browser: Browser, address: str, name: str = "siti", password: str = "") -> httpx.Response:
    """Open an address, sign in where asked, and return what came of it."""
    page = await browser.open(address)
    if page.is_redirect or page.status_code != 200:
        return page
    return await browser.submit(page, username=name, password=password or PASSWORD)


async def ticket_for(browser: Browser, service: str = SERVICE, **more: str) -> str:
    answer = await arrive(browser, login(service, **more))
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    base, _, query = location.rpartition("ticket=")
    assert base in (service + "&", service + "?"), location
    return query


async def ask(city: City, ticket: str, service: str = SERVICE, path: str = "p3/serviceValidate", **more: str) -> Any:
    async with city.client() as program:
        return await program.get(f"/cas/{path}", params={"service": service, "ticket": ticket, **more})


def outcome(answer: httpx.Response) -> str:
    """Return the code of a refusal, or the user."""
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    root = ElementTree.fromstring(answer.text)
    failure = root.find(f"{CAS}authenticationFailure")
    if failure is not None:
        assert failure.text
        return failure.attrib["code"]
    user = root.find(f"{CAS}authenticationSuccess/{CAS}user")
    assert user is not None
    assert user.text is not None
    return user.text


async def change(city: City, **metadata: Any) -> None:
    client = city.provider.registry.get("cas")
    assert client is not None
    client.meta = client.meta.model_copy(update=metadata)
    client.first_party = client.meta.first_party


async def test_a_user_signs_in_once_and_the_application_learns_what_it_registered(city: City, browser: Browser) -> None:
    ticket = await ticket_for(browser)
    assert re.fullmatch(r"ST-[A-Za-z0-9-]{29,253}", ticket), "section 3.1.1 and 3.7"
    answer = await ask(city, ticket)
    assert outcome(answer) == "siti"
    assert answer.headers["content-type"].startswith("application/xml")
    attributes = ElementTree.fromstring(answer.text).find(f"{CAS}authenticationSuccess/{CAS}attributes")
    assert attributes is not None
    values: dict[str, list[str]] = {}
    for element in attributes:
        values.setdefault(element.tag.removeprefix(CAS), []).append(element.text or "")
    assert values["isFromNewLogin"] == ["false"]
    assert values["longTermAuthenticationRequestTokenUsed"] == ["false"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", values["authenticationDate"][0])
    assert values["name"] == ["Siti Rahmawati"]
    assert "phone_number" not in values, "a scope that it has not registered"
    client = city.provider.registry.get("cas")
    assert client is not None
    assert values["sub"] == [city.provider.subject(client, city.users["siti"])]
    async with city.provider.db.read() as session:
        part = (await session.execute(select(SessionClient).where(SessionClient.client_id == "cas"))).scalar_one()
        stored = (await session.execute(select(UsedTicket))).scalar_one()
        grant = (await session.execute(select(Grant).where(Grant.client_id == "cas"))).scalar_one()
    assert part.session_id == stored.session_id == grant.session_id
    assert ticket.encode() not in stored.ticket, "nothing stored is readable"
    again = await browser.open(login())
    assert again.status_code == 303, "single sign-on: nobody is asked again"
    page = await browser.open("/account/applications")
    assert "Cas" in page.text


async def test_the_forms_of_the_answer(city: City, browser: Browser) -> None:
    text = await ask(city, await ticket_for(browser), path="validate")
    assert text.text == "yes\nsiti\n"
    assert (await ask(city, "ST-unknown", path="validate")).text == "no\n\n"
    answer = await ask(city, await ticket_for(browser), path="serviceValidate", format="JSON")
    success = answer.json()["serviceResponse"]["authenticationSuccess"]
    assert (success["user"], success["attributes"]["name"]) == ("siti", ["Siti Rahmawati"])
    failure = (await ask(city, "ST-unknown", format="json")).json()["serviceResponse"]["authenticationFailure"]
    assert failure["code"] == "INVALID_TICKET"
    for path in ("proxyValidate", "p3/proxyValidate"):
        assert outcome(await ask(city, await ticket_for(browser), path=path)) == "siti"
    async with city.client() as program:
        refused = await program.get("/cas/proxy", params={"pgt": "PGT-1", "targetService": SERVICE})
    assert "UNAUTHORIZED_SERVICE_PROXY" in refused.text
    page = await browser.open(login(method="POST"))
    form = form_of(page)
    assert (form.action, form.method) == (SERVICE, "post")
    assert outcome(await ask(city, form.fields["ticket"])) == "siti"


@pytest.mark.parametrize(
    ("user", "answer"),
    [
        ("siti", "yes\nsiti\n"),
        ('Siti & <Budi> "O\'Neil"', 'yes\nSiti & <Budi> "O\'Neil"\n'),
        ("Sítí\U0001f600", "yes\nSítí\U0001f600\n"),
        *((f"siti{char}admin", "no\n\n") for char in "\n\r\0\t\x1b\x7f\x85\u2028\u2029\ud800"),
    ],
)
def test_a_username_in_plain_text_is_a_line_of_its_own(user: str, answer: str) -> None:
    assert as_text(Validated(user)) == answer


async def test_text_of_users_cannot_break_the_answer(city: City, browser: Browser) -> None:
    async with city.provider.db.write() as session:
        name = '</cas:user><cas:user>admin & "co" ]]>'
        await session.execute(update(User).where(User.id == city.users["siti"]).values(name=name))
    answer = await ask(city, await ticket_for(browser))
    root = ElementTree.fromstring(answer.text)
    assert len(root.findall(f".//{CAS}user")) == 1
    element = root.find(f".//{CAS}attributes/{CAS}name")
    assert element is not None
    assert element.text == name


async def test_a_ticket_is_valid_once_for_its_service_and_for_a_short_time(city: City, browser: Browser) -> None:
    ticket = await ticket_for(browser)
    assert outcome(await ask(city, ticket)) == "siti"
    assert outcome(await ask(city, ticket)) == "INVALID_TICKET", "replayed"
    ticket = await ticket_for(browser)
    at_once = await asyncio.gather(*[ask(city, ticket) for _ in range(8)])
    assert sorted(map(outcome, at_once)) == ["INVALID_TICKET"] * 7 + ["siti"], "exactly one of many"
    ticket = await ticket_for(browser)
    assert outcome(await ask(city, ticket, OTHER)) == "INVALID_SERVICE"
    assert outcome(await ask(city, ticket)) == "INVALID_TICKET", "section 2.5.3: it is consumed all the same"
    ticket = await ticket_for(browser)
    clock.advance(11)
    assert outcome(await ask(city, ticket)) == "INVALID_TICKET", "expired"


WRONG: list[tuple[dict[str, str], str]] = [
    ({}, "INVALID_REQUEST"),
    ({"service": SERVICE}, "INVALID_REQUEST"),
    ({"ticket": "ST-1"}, "INVALID_REQUEST"),
    ({"service": SERVICE, "ticket": "ST-1", "pgtUrl": "http://169.254.169.254/"}, "UNAUTHORIZED_SERVICE_PROXY"),
    ({"service": SERVICE, "ticket": "PT-1"}, "INVALID_TICKET_SPEC"),
    ({"service": SERVICE, "ticket": "ST-" + "a" * 400}, "INVALID_TICKET"),
    ({"service": SERVICE, "ticket": "ST-a b"}, "INVALID_TICKET"),
    ({"service": SERVICE, "ticket": "ST-<x/>"}, "INVALID_TICKET"),
    ({"service": "https://" + "a" * 2500, "ticket": "ST-1"}, "INVALID_SERVICE"),
]


@pytest.mark.parametrize(("parameters", "code"), WRONG)
def test_what_a_program_asks_wrongly(parameters: dict[str, str], code: str) -> None:
    for pairs in ([*parameters.items()], [*parameters.items(), *parameters.items()]):
        with pytest.raises(CasRefused) as refused:
            read_validation(pairs)
        twice = len(pairs) > len(parameters)
        assert refused.value.code == ("INVALID_REQUEST" if twice else code)
        answer = ElementTree.fromstring(as_xml(refused.value)).find(f"{CAS}authenticationFailure")
        assert answer is not None
        assert answer.text


UNREGISTERED = [
    "https://jahat.example/",
    SERVICE + "&x=1",
    SERVICE.replace("masuk", "MASUK"),
    SERVICE.replace("https://", "http://"),
    SERVICE.replace("lama.kota.example", "lama.kota.example@jahat.example"),
    SERVICE.replace("/masuk.php", "/a/../masuk.php"),
    SERVICE + "#x",
    SERVICE + "\r\nX: y",
    "//jahat.example",
    "https://[jahat",
    "https://warga.example/cb",
    "a" * 3000,
]


async def test_a_service_url_that_is_not_registered_gets_a_page_and_no_redirect(city: City, browser: Browser) -> None:
    for service, gateway in itertools.product(UNREGISTERED, ({}, {"gateway": "true"})):
        answer = await browser.http.get(login(service, **gateway))
        assert answer.status_code == 400, service
        assert "location" not in answer.headers
        assert "jahat.example/" not in re.sub(r"<code>.*?</code>|<pre>.*?</pre>", "", answer.text, flags=re.S)


async def test_the_page_leads_back_to_the_application_whose_page_was_opened(city: City, browser: Browser) -> None:
    page = await browser.http.get(login("https://lama.kota.example/halaman.php?id=7"))
    assert 'href="https://lama.kota.example/"' in page.text
    await city.provider.write_usage()
    async with city.provider.db.read() as session:
        mistake = (await session.execute(select(ClientMistake).where(ClientMistake.client_id == "cas"))).scalar_one()
    assert mistake.code == "unregistered_service", "and its team sees it"


async def test_a_form_of_another_site_is_read_once_more_by_get(city: City, browser: Browser) -> None:
    answer = await browser.http.post("/cas/login", data={"service": SERVICE})
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")
    signed_in = await arrive(browser, answer.headers["location"])
    assert signed_in.headers["location"].startswith(SERVICE + "&ticket=ST-")


async def test_repeated_parameters_are_refused(browser: Browser) -> None:
    answer = await browser.http.get(login() + "&" + urlencode({"service": OTHER}))
    assert answer.status_code == 400
    assert (await browser.http.get(login(None))).headers["location"] == "/"


async def test_gateway_asks_for_nothing_and_renew_asks_always(city: City, browser: Browser) -> None:
    quiet = await browser.http.get(login(gateway="true"))
    assert (quiet.status_code, quiet.headers["location"]) == (303, SERVICE), "no ticket, and no error"
    async with city.provider.db.read() as session:
        assert (await session.execute(select(Grant).where(Grant.client_id == "cas"))).first() is None
    ticket = await ticket_for(browser)
    assert outcome(await ask(city, ticket, renew="true")) == "INVALID_TICKET", "it came of no sign-in"
    known = await browser.http.get(login(gateway="true"))
    assert "ticket=ST-" in known.headers["location"]
    clock.advance(60)
    page = await browser.http.get(login(renew="true", gateway="true"))
    assert page.status_code == 200, "renew wins: the user signs in"
    answer = await arrive(browser, login(renew="true"))
    renewed = answer.headers["location"].rpartition("ticket=")[2]
    assert outcome(await ask(city, renewed, renew="true")) == "siti"


async def test_the_policies_of_the_application_hold(city: City, browser: Browser) -> None:
    ticket, quiet = await ticket_for(browser), login(gateway="true")
    for policy in (
        {"allowed_roles": ["app:loket"]},
        {"allowed_networks": ["10.0.0.0/8"]},
        {"allowed_hours": [f"{(clock.now() + timedelta(days=3)).strftime('%a').lower()} 00:00-00:01"]},
    ):
        await change(city, **policy)
        client = city.provider.registry.get("cas")
        assert client is not None
        client.limited_by_access = "allowed_roles" in policy
        page = await browser.http.get(login())
        assert page.status_code in (200, 403)
        assert "location" not in page.headers, policy
        assert (await browser.http.get(quiet)).headers["location"] == SERVICE
        if "allowed_roles" in policy:
            assert outcome(await ask(city, ticket)) == "UNAUTHORIZED_SERVICE", "also between sign-in and validation"
        await change(city, allowed_roles=[], allowed_networks=[], allowed_hours=[])
        client.limited_by_access = False
    await change(city, minimum_acr="urn:sso:acr:mfa")
    assert (await browser.http.get(login())).headers["location"].startswith("/login/second?")
    assert (await browser.http.get(quiet)).headers["location"] == SERVICE


async def test_an_application_that_is_not_the_citys_asks_for_consent(city: City, browser: Browser) -> None:
    await add(
        city, "toko", type="cas", first_party=False, redirect_uris=["https://toko.example/"], scope="openid profile"
    )
    page = await arrive(browser, login("https://toko.example/"))
    assert "/consent" in form_of(page).action
    refused = await browser.http.post(form_of(page).action, data={**form_of(page).fields, "choice": "deny"})
    assert refused.status_code == 403
    assert "location" not in refused.headers, "the protocol knows no errors: a redirect would come back at once"
    page = await browser.open(login("https://toko.example/"))
    allowed = await browser.submit(page, choice="allow")
    ticket = allowed.headers["location"].removeprefix("https://toko.example/?ticket=")
    answer = await ask(city, ticket, "https://toko.example/")
    assert outcome(answer) != "siti", "sub is the user name where nothing else is registered"
    assert "email" not in answer.text


async def test_the_protocols_are_kept_apart(city: City, browser: Browser) -> None:
    party = city.relying_party("warga")
    code = await browser.code(party)
    assert outcome(await ask(city, "ST-" + code[:40].replace("_", "-"), party.redirect_uri)) == "INVALID_TICKET"
    answer = await ask(city, code, party.redirect_uri)
    assert outcome(answer) == "INVALID_TICKET"
    assert (await party.exchange(code)).status == 200, "and the code was not consumed by that"
    parameters = {**party.parameters(client_id="cas", redirect_uri=SERVICE)}
    page = await browser.http.get("/authorize", params=parameters)
    assert page.status_code == 400
    ticket = await ticket_for(browser)
    async with city.client() as program:
        form = {"grant_type": "authorization_code", "code": ticket, "client_id": "cas", "redirect_uri": SERVICE}
        exchanged = await program.post("/token", data=form)
        assert exchanged.status_code == 400
        pushed = await program.post("/par", data={**parameters, "client_id": "cas"})
        assert pushed.status_code == 400
    assert outcome(await ask(city, ticket)) == "siti", "the token endpoint did not consume it"


async def test_a_disabled_application_and_an_ended_session(city: City, browser: Browser) -> None:
    ticket = await ticket_for(browser)
    client = city.provider.registry.get("cas")
    assert client is not None
    client.enabled = False
    assert (await browser.http.get(login())).status_code == 400
    assert outcome(await ask(city, ticket)) == "UNAUTHORIZED_SERVICE"
    client.enabled = True
    ticket = await ticket_for(browser)
    await end_all(city)
    assert outcome(await ask(city, ticket)) == "INVALID_TICKET"


async def test_two_applications_with_one_service_url_get_nothing(city: City, browser: Browser) -> None:
    await add(city, "kembar", type="cas", redirect_uris=[OTHER])
    assert (await browser.http.get(login(OTHER))).status_code == 400
    assert (await browser.http.get(login(SERVICE))).status_code == 200


async def test_an_email_that_nobody_verified_is_no_user_name(city: City, browser: Browser) -> None:
    await change(city, cas_username="email")
    assert outcome(await ask(city, await ticket_for(browser))) == "siti@warga.example"
    async with city.provider.db.write() as session:
        of_siti = (Identifier.kind == "email") & (Identifier.value == "siti@warga.example")
        await session.execute(update(Identifier).where(of_siti).values(verified_at=None))
    assert outcome(await ask(city, await ticket_for(browser))) == "UNAUTHORIZED_SERVICE"
    await change(city, cas_username="local_user_id")
    assert outcome(await ask(city, await ticket_for(browser))) == "UNAUTHORIZED_SERVICE"


async def end_all(city: City) -> Any:
    async with city.provider.db.write() as session:
        ids = list((await session.execute(select(SsoSession.id).where(SsoSession.ended_at.is_(None)))).scalars())
        await end_sessions(session, city.provider, ids, EndReason.ADMINISTRATOR)
    return ids[0]


class Program:
    """The server of an application."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[tuple[str, str]]()
        program = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                program.got.append((self.path, body))
                self.send_response(program.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.service = f"http://127.0.0.1:{self.server.server_address[1]}/masuk"


@pytest.fixture
def program() -> Iterator[Program]:
    new_program = Program()
    yield new_program
    new_program.server.shutdown()
    new_program.server.server_close()


class TestSingleLogout:
    """What applications are told at the end of a session."""

    @pytest_asyncio.fixture
    async def signed_in(self, city: City, browser: Browser, program: Program) -> tuple[City, list[str]]:
        here = {"issuer": "http://localhost:8000", "outbound_networks": ["127.0.0.0/8"]}
        city.provider.__dict__["outbound"] = Outbound(city.settings.model_copy(update=here))
        await add(city, "loket", type="cas", redirect_uris=[program.service, program.service + "2"])
        tickets = [await ticket_for(browser, program.service), await ticket_for(browser, program.service + "2")]
        for ticket, service in zip(tickets, (program.service, program.service + "2"), strict=True):
            assert len(outcome(await ask(city, ticket, service))) > 10
        return city, tickets

    async def test_each_ticket_gets_a_request_and_the_report_says_so(
        self, signed_in: tuple[City, list[str]], program: Program
    ) -> None:
        city, tickets = signed_in
        session_id = await end_all(city)
        await city.site.worker.drain()
        assert {path for path, _ in program.got} == {"/masuk", "/masuk2"}
        for path, body in program.got:
            assert len(body) < 1023, "mod_auth_cas reads no more"
            document = ElementTree.fromstring(parse_qs(body, strict_parsing=True)["logoutRequest"][0])
            assert document.tag == "{urn:oasis:names:tc:SAML:2.0:protocol}LogoutRequest"
            index = document.find("{urn:oasis:names:tc:SAML:2.0:protocol}SessionIndex")
            assert index is not None
            assert index.text == tickets[path == "/masuk2"]
        async with city.provider.db.read() as session:
            report = await delivery_report_of(session, city.provider.registry, session_id)
            assert (await session.execute(select(UsedTicket))).first() is None, "nothing is kept any longer"
            sent = (await session.execute(select(Delivery).where(Delivery.client_id == "loket"))).scalar_one()
        assert report is not None
        loket = {application.client_id: application for application in report.applications}["loket"]
        assert (loket.how, loket.state) == ("back_channel", "confirmed")
        assert not any(ticket in str(sent.payload) for ticket in tickets)

    async def test_a_request_that_is_refused_is_sent_again(
        self, signed_in: tuple[City, list[str]], program: Program
    ) -> None:
        city, _ = signed_in
        program.status = 500
        session_id = await end_all(city)
        await city.site.worker.drain()
        async with city.provider.db.read() as session:
            report = await delivery_report_of(session, city.provider.registry, session_id)
        assert report is not None
        assert report.open == 1
        program.status = 302
        clock.advance(60)
        await city.site.worker.drain()
        async with city.provider.db.read() as session:
            report = await delivery_report_of(session, city.provider.registry, session_id)
        assert report is not None
        assert report.open == 0


async def test_a_logout_request_goes_to_no_private_address(city: City, browser: Browser) -> None:
    await add(city, "dalam", type="cas", redirect_uris=["https://10.0.0.7/masuk"])
    assert outcome(await ask(city, await ticket_for(browser, "https://10.0.0.7/masuk"), "https://10.0.0.7/masuk"))
    session_id = await end_all(city)
    await city.site.worker.drain()
    async with city.provider.db.read() as session:
        report = await delivery_report_of(session, city.provider.registry, session_id)
    assert report is not None
    assert report.applications[0].state == "given_up"


async def test_an_application_that_wants_no_logout_requests_gets_none(city: City, browser: Browser) -> None:
    await change(city, cas_logout_requests=False)
    assert outcome(await ask(city, await ticket_for(browser))) == "siti"
    session_id = await end_all(city)
    async with city.provider.db.read() as session:
        report = await delivery_report_of(session, city.provider.registry, session_id)
    assert report is not None
    assert [(application.how, application.state) for application in report.applications] == [
        ("not_at_all", "unconfirmed")
    ]


async def test_signing_out_asks_first_and_leads_only_to_registered_addresses(city: City, browser: Browser) -> None:
    await ticket_for(browser)
    forged = "<samlp:LogoutRequest><samlp:SessionIndex>ST-1</samlp:SessionIndex></samlp:LogoutRequest>"
    answer = await browser.http.post("/cas/logout", data={"logoutRequest": forged})
    assert answer.status_code == 200
    assert (await browser.http.get("/account")).status_code == 200, "a forged request ends nothing"
    page = await browser.http.get("/cas/logout", params={"service": "https://lama.kota.example/keluar"})
    assert form_of(page).action == "/cas/logout"
    done = await browser.http.post(form_of(page).action, data=form_of(page).fields)
    assert (done.status_code, done.headers["location"]) == (303, "https://lama.kota.example/keluar")
    assert (await browser.open("/account")).url.path == "/login"
    await ticket_for(browser)
    page = await browser.http.get("/cas/logout", params={"service": "https://jahat.example/"})
    done = await browser.http.post(
        form_of(page).action, data=form_of(page).fields | {"service": "https://jahat.example/"}
    )
    assert (done.status_code, done.headers.get("location", "")) == (200, "")
    assert (await browser.open("/account")).url.path == "/login", "it signs out, and leads nowhere"


async def test_many_tickets_of_one_session_are_not_kept(city: City, browser: Browser) -> None:
    for _ in range(23):
        assert outcome(await ask(city, await ticket_for(browser))) == "siti"
    async with city.provider.db.read() as session:
        assert len((await session.execute(select(UsedTicket.id))).all()) == 20


async def test_a_ticket_costs_few_statements(city: City, browser: Browser) -> None:
    await ticket_for(browser)
    statements = Statements(city)
    ticket = await ticket_for(browser)
    assert len(statements.take()) <= 3
    assert outcome(await ask(city, ticket)) == "siti"
    assert len([text for text in statements.take() if not text.startswith(("BEGIN", "COMMIT"))]) <= 8


async def test_tickets_are_deleted_when_they_have_expired(city: City, browser: Browser) -> None:
    await ticket_for(browser)
    clock.advance(timedelta(hours=2))
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert (await session.execute(select(Grant).where(Grant.client_id == "cas"))).first() is None
