"""Creating an application with a name, a type and one redirect URI, and what a developer takes along."""

from __future__ import annotations

import io
import re
import zipfile
from html import unescape
from typing import Any

import pytest
from tests.arranged import signed_in
from tests.support import ISSUER, Browser, City, query_of
from tests.web.test_developer import person, post, secret_of


@pytest.fixture
async def dimas(city: City) -> Any:
    """A developer's browser."""
    await person(city, "dimas", "developer")
    browser = await signed_in(city, "dimas")
    yield browser
    await browser.http.aclose()


async def create(browser: Browser, **fields: str) -> Any:
    """Send the short form."""
    new = {"client_name": "Karcis Parkir", "kind": "web", "redirect_uri": "http://localhost:3000/callback", **fields}
    return await post(browser, await browser.open("/developer/new"), **new)


async def test_three_values_give_a_sandbox_with_files_and_the_page_notices_the_first_sign_in(
    city: City, dimas: Browser
) -> None:
    page = await create(dimas)
    secret = secret_of(page)
    path = "/developer/apps/karcis-parkir"
    assert f"OIDC_CLIENT_SECRET={secret}" in page.text
    assert f'data-watch="{path}/first-sign-in"' in page.text
    meta = city.provider.registry.get("karcis-parkir-sandbox").meta  # type: ignore[union-attr]
    assert (meta.scope, meta.post_logout_redirect_uris[0]) == ("openid profile", "http://localhost:3000/")

    env = await post(dimas, page, f"{path}/sample", choice="env")
    assert "OIDC_REDIRECT_URI=http://localhost:3000/callback\n" in env.text
    assert f"OIDC_ISSUER={ISSUER}\n" in env.text
    assert 'filename="karcis-parkir-sandbox.env"' in env.headers["content-disposition"]
    document = (await post(dimas, page, f"{path}/sample", choice="json")).json()
    assert (document["client_secret"], document["issuer"]) == (secret, ISSUER)
    archive = zipfile.ZipFile(io.BytesIO((await post(dimas, page, f"{path}/sample", choice="zip python")).content))
    folder = "karcis-parkir-sandbox-python/"
    assert {name.removeprefix(folder) for name in archive.namelist()} == {
        "app.py", "requirements.txt", ".env", "README.md",
    }  # fmt: skip
    assert secret in archive.read(folder + ".env").decode()
    assert secret not in archive.read(folder + "app.py").decode()
    quick_start = await dimas.open(f"{path}/quick-start?stack=python")
    code = re.search(r"<h2><code>app.py</code></h2>\s*<pre[^>]*><code>(.*?)</code></pre>", quick_start.text, re.S)
    assert code
    assert unescape(code[1]) == archive.read(folder + "app.py").decode(), "the page shows the program of the ZIP file"
    without = await dimas.http.get(f"{path}/quick-start/node.zip")
    assert secret.encode() not in zipfile.ZipFile(io.BytesIO(without.content)).read("karcis-parkir-sandbox-node/.env")

    assert (await dimas.http.get(f"{path}/first-sign-in")).json() == {"at": None}
    assert 'http-equiv="refresh"' in (await dimas.open(f"{path}/quick-start?watch=3")).text
    assert 'http-equiv="refresh"' not in (await dimas.open(f"{path}/quick-start?watch=0")).text
    city.secrets["karcis-parkir-sandbox"] = secret
    party = city.relying_party("karcis-parkir-sandbox", "http://localhost:3000/callback")
    answer = await dimas.submit(await dimas.open(party.url(scope="openid profile")), choice="allow")
    assert (await dimas.http.get(f"{path}/first-sign-in")).json() == {"at": None}, "a code alone is no sign-in"
    assert (await party.exchange(query_of(answer.headers["location"])["code"])).status == 200
    assert (await dimas.http.get(f"{path}/first-sign-in")).json()["at"]
    arrived = await dimas.open(f"{path}/quick-start?watch=3")
    assert 'http-equiv="refresh"' not in arrived.text
    assert "data-watch" not in arrived.text
    async with city.browser() as stranger:
        assert (await stranger.http.get(f"{path}/first-sign-in")).status_code == 303

    second = await create(dimas)
    secret_of(second)
    assert city.provider.registry.get("karcis-parkir-2-sandbox") is not None, "a name that is in use gets a number"


async def test_everything_that_is_missing_is_told_at_once_and_nothing_is_lost(city: City, dimas: Browser) -> None:
    page = await create(dimas, client_name="", kind="", redirect_uri="")
    assert page.status_code == 400
    for field in ("client_name", "kind", "redirect_uri"):
        assert f'href="#{field}"' in page.text
        assert f'id="{field}-wrong"' in page.text
    wrong = await create(dimas, redirect_uri="https://*.parkir.example/cb", client_id="karcis")
    assert wrong.status_code == 400
    assert "<code>https://parkir.example/cb</code>" in wrong.text
    assert 'value="Karcis Parkir"' in wrong.text
    taken = await create(dimas, client_id="warga")
    assert taken.status_code == 400
    assert 'id="client_id-wrong"' in taken.text
    for kind, uri in (("service", ""), ("native", "id.go.kota.parkir:/masuk"), ("single_page", "https://p.example/cb")):
        created = await create(dimas, kind=kind, redirect_uri=uri, client_id=f"parkir-{kind.replace('_', '-')}")
        assert created.status_code == 200, created.text[:600]
    assert secret_of(await create(dimas, client_id="parkir-lagi", kind="service", redirect_uri=""))


async def test_looking_for_the_first_sign_in_is_limited(city: City, dimas: Browser) -> None:
    await create(dimas)
    assert city.site.limits.watches._maximum == 60
    city.site.limits.watches.limit(3)
    answers = [(await dimas.http.get("/developer/apps/karcis-parkir/first-sign-in")).status_code for _ in range(4)]
    assert answers == [200] * 3 + [429]


async def test_the_manual_is_in_the_portal_with_search_in_both_languages(city: City, dimas: Browser) -> None:
    page = await dimas.open("/developer/docs")
    assert 'href="/developer/docs/developers"' in page.text
    assert 'href="/developer/docs/libraries" lang="en"' in page.text
    manual = await dimas.open("/developer/docs/developers")
    assert "Login pertama dalam lima menit" in manual.text
    assert 'href="#log-permintaan"' in manual.text
    assert 'href="/developer/docs/php"' in manual.text
    section = await dimas.http.get("/developer/docs/request-log")
    assert (section.status_code, section.headers["location"]) == (303, "/developer/docs/developers#log-permintaan")
    english = await dimas.open("/developer/docs/developers?lang=en")
    assert "<table" in english.text
    assert "openid-client" in english.text
    results = await dimas.open("/developer/docs?q=X-Request-Id&lang=en")
    assert 'href="/developer/docs/developers#request-log"' in results.text
    nothing = await dimas.open("/developer/docs?q=%3Cscript%3E&lang=en")
    assert "Nothing found" in nothing.text
    assert "<script>" not in nothing.text
    assert (await dimas.http.get("/developer/docs/lain")).status_code == 404
