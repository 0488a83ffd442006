"""RFC 8252: the requests of docs/how-to/android.md, sent exactly as they stand there."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
from tests.demands import demand
from tests.support import PASSWORD, City, challenge_of, form_of, query_of

PAGE = Path(__file__).parents[2] / "docs/how-to/android.md"
REDIRECT_URI = "example.ponsel:/oauth2redirect"


def requests_of_the_page() -> list[str]:
    return re.findall(r"```http\n(.*?)\n```", PAGE.read_text(), re.S)


async def send(http: httpx.AsyncClient, written: str, values: dict[str, str]) -> httpx.Response:
    """Send a request as it is written, with ``{name}`` filled in."""
    head, _, body = written.partition("\n\n")
    first, *lines = head.split("\n")
    method, _, target = first.partition(" ")

    def fill(text: str, encode: Any) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: encode(values[match[1]]), text)

    headers = dict(fill(line, str).split(": ", 1) for line in lines)
    content = fill(body, lambda value: quote(value, safe=""))
    return await http.request(method, fill(target, lambda v: quote(v, safe="")), headers=headers, content=content)


@demand("RFC 8252 7.1", "an installed application signs in through the browser and comes back by its own scheme")
@demand("RFC 8252 8.1", "installed applications use PKCE")
@demand("RFC 8252 8.4", "an installed application has no secret, and needs none")
async def test_the_requests_of_the_quick_start(city: City) -> None:
    discovery, authorize, exchange, refresh, userinfo, logout = requests_of_the_page()
    verifier = secrets.token_urlsafe(48)
    values = {
        "client_id": "ponsel",
        "redirect_uri": REDIRECT_URI,
        "post_logout_redirect_uri": "example.ponsel:/signed-out",
        "state": secrets.token_urlsafe(16),
        "nonce": secrets.token_urlsafe(16),
        "code_verifier": verifier,
        "code_challenge": challenge_of(verifier),
    }
    async with city.client() as app, city.browser() as browser:
        assert (await send(app, discovery, values)).json()["authorization_endpoint"].endswith("/authorize")
        page = await send(browser.http, authorize, values)
        assert '<html lang="id">' in page.text
        answer = await browser.http.post(
            form_of(page).action, data={**form_of(page).fields, "username": "siti", "password": PASSWORD}
        )
        location = answer.headers["location"]
        assert location.startswith(REDIRECT_URI + "?")
        assert query_of(location)["state"] == values["state"]
        values["code"] = query_of(location)["code"]

        tokens = await send(app, exchange, values)
        assert tokens.status_code == 200, tokens.text
        values |= {name: str(value) for name, value in tokens.json().items()}
        first = values["refresh_token"]
        again = await send(app, refresh, values)
        lost = await send(app, refresh, values)
        assert again.json()["refresh_token"] == lost.json()["refresh_token"] != first
        values |= {name: str(value) for name, value in again.json().items()}
        assert (await send(app, userinfo, values)).json()["name"] == "Siti Rahmawati"

        out = await send(browser.http, logout, values)
        assert out.headers["location"] == f"example.ponsel:/signed-out?state={values['state']}"
        assert (await send(app, refresh, values)).status_code == 200, "offline_access outlives the browser's session"


async def test_every_mistake_that_the_page_names_is_one(city: City) -> None:
    _, authorize, *_ = requests_of_the_page()
    values = {"client_id": "ponsel", "redirect_uri": REDIRECT_URI + "/", "state": "s", "nonce": "n"}
    values |= {"code_challenge": challenge_of("x" * 43)}
    async with city.browser() as browser:
        assert (await send(browser.http, authorize, values)).status_code == 400
        bare = re.sub(r"&code_challenge=.*", "", authorize)
        answer = await send(browser.http, bare, {**values, "redirect_uri": REDIRECT_URI})
        assert query_of(answer.headers["location"])["error"] == "invalid_request"
