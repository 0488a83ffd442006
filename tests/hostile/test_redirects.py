"""Redirect tricks (SECURITY 1): nothing but a registered address is ever gone to."""

from __future__ import annotations

import itertools

from tests.demands import demand
from tests.support import City, query_of

from sso.clients.redirect_uris import is_registered

GOOD = "https://warga.example/cb"
TRICKS = [
    GOOD + "/",
    GOOD + "/../evil",
    GOOD + "/%2e%2e/evil",
    GOOD + "?x=1",
    GOOD + "?",
    GOOD + "#",
    GOOD + "#x",
    GOOD + "%00",
    GOOD + "\x00",
    GOOD + "\r\nLocation: https://evil.example",
    GOOD + "%0d%0aX: y",
    GOOD + " ",
    " " + GOOD,
    "https://warga.example/CB",
    "https://WARGA.example/cb",
    "HTTPS://warga.example/cb",
    "http://warga.example/cb",
    "https://warga.example:443/cb",
    "https://warga.example:8443/cb",
    "https://warga.example./cb",
    "https://warga.example@evil.example/cb",
    "https://evil.example@warga.example/cb",
    "https://warga.example.evil.example/cb",
    "https://evilwarga.example/cb",
    "https://w\u0430rga.example/cb",
    "https://xn--wrga-7cd.example/cb",
    "https://warga.example\\@evil.example/cb",
    "https:\\\\warga.example\\cb",
    "https:/warga.example/cb",
    "https:///warga.example/cb",
    "//warga.example/cb",
    "/cb",
    "javascript:alert(1)//https://warga.example/cb",
    "data:text/html,https://warga.example/cb",
    "https%3A%2F%2Fwarga.example%2Fcb",
    "https://warga.example/%63b",
    "https://warga.example//cb",
    "https://warga.example/cb;x",
    "https://evil.example/?https://warga.example/cb",
]


@demand("RFC 9700 2.1", "redirect URIs match exactly: paths, queries, userinfo, case, ports, look-alikes")
async def test_a_redirect_uri_that_is_not_registered_is_a_page(city: City) -> None:
    wrong = []
    async with city.browser() as browser:
        for uri in TRICKS:
            for changes in ({}, {"prompt": "none"}, {"response_type": "nonsense"}):
                answer = await browser.open(city.relying_party("warga").url(redirect_uri=uri, **changes))
                if answer.status_code != 400 or "location" in answer.headers:
                    wrong.append((uri, changes, answer.status_code))
        assert not wrong
        assert "code" in query_of((await browser.sign_in(city.relying_party("warga"))).headers["location"])


NATIVE = [
    "http://127.0.0.1:1/other",
    "http://127.0.0.1:1@evil.example/oauth2redirect",
    "http://127.0.0.1:99999/oauth2redirect",
    "http://127.0.0.1:x/oauth2redirect",
    "http://127.0.0.1.evil.example/oauth2redirect",
    "http://localhost:1/oauth2redirect",
    "http://127.0.0.2:1/oauth2redirect",
    "http://2130706433:1/oauth2redirect",
    "http://[::ffff:127.0.0.1]:1/oauth2redirect",
    "http://[::1]:1/oauth2redirect?x",
    "http://127.0.0.1:1/oauth2redirect#x",
    "http://user@127.0.0.1:1/oauth2redirect",
    "http://127.0.0.1:01/oauth2redirect",
    "http://127.0.0.1:+1/oauth2redirect",
    "https://127.0.0.1:1/oauth2redirect",
    "example.ponsel://oauth2redirect",
    "example.ponsel:/oauth2redirect/",
    "EXAMPLE.ponsel:/oauth2redirect",
    "example.ponsel.evil:/oauth2redirect",
]


@demand("RFC 8252 8.4", "tricks with loopback ports and schemes")
async def test_tricks_with_loopback_ports_and_schemes(city: City) -> None:
    wrong = []
    async with city.browser() as browser:
        for uri in NATIVE:
            answer = await browser.open(city.relying_party("ponsel").url(redirect_uri=uri))
            if answer.status_code != 400 or "location" in answer.headers:
                wrong.append((uri, answer.status_code))
    assert not wrong


def test_a_loopback_port_is_free_only_for_native_applications() -> None:
    registered = ["http://127.0.0.1/cb"]
    assert is_registered("http://127.0.0.1:5000/cb", registered, "native")
    assert not is_registered("http://127.0.0.1:5000/cb", registered, "web")


@demand("RFC 9700 4.11", "no open redirector")
async def test_no_parameter_of_a_page_leads_away(city: City) -> None:
    wrong = []
    async with city.browser() as browser:
        for value, name, path in itertools.product(
            ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"),
            ("next", "return_to", "redirect", "url", "i", "lang"),
            ("/login", "/", "/logout"),
        ):
            answer = await browser.http.get(path, params={name: value})
            location = answer.headers.get("location", "/")
            if not location.startswith("/") or location.startswith("//") or f'href="{value}' in answer.text:
                wrong.append((path, name, value, location))
    assert not wrong
