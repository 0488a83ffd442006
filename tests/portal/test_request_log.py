"""The request log of an application: what is in it, what never is, and how it stays small."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from tests import arranged
from tests.arranged import signed_in
from tests.support import Browser, City, query_of
from tests.web.test_developer import OFFERED, person, post, ratna, secret_of

from sso import clock
from sso.jobs import clear_up
from sso.platform.metrics import Usage
from sso.platform.metrics.models import ClientRequest
from sso.platform.metrics.request_log import (
    KEEP,
    MAX_STORED,
    MAX_UNAUTHENTICATED_STORED,
    MAX_WAITING_PER_CLIENT,
    add_requests,
    requests_of,
)


@pytest.fixture
async def dimas(city: City) -> Any:
    await person(city, "dimas", "developer")
    browser = await signed_in(city, "dimas")
    yield browser
    await browser.http.aclose()


LOG = "/developer/apps/antrean/requests"


@OFFERED
async def test_each_request_of_a_sandbox_is_logged_and_of_production_only_errors_while_the_log_is_on(
    city: City, dimas: Browser
) -> None:
    admin = await ratna(city)
    await arranged.register(city, "dimas")
    await _sandbox_requests_are_logged(city, dimas)

    await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="")
    review = await admin.open("/admin/applications/antrean")
    await post(admin, review, "/admin/applications/antrean/review", choice="approve", text="")
    production = city.relying_party("antrean", "https://antrean.example/callback")
    wrong = production.url(redirect_uri="https://antrean.example/lain")

    async def logged() -> int:
        await dimas.open(wrong)
        await dimas.open(production.url(scope="openid profile"))
        await city.provider.write_usage()
        async with city.provider.db.read() as session:
            return len(await requests_of(session, ["antrean"]))

    assert await logged() == 0
    await post(dimas, await dimas.open(LOG), hours="8")
    assert await logged() == 1, "errors alone"
    clock.advance(timedelta(hours=9).total_seconds())
    dimas = await signed_in(city, "dimas")
    assert await logged() == 1
    await dimas.http.aclose()
    await admin.http.aclose()


async def _sandbox_requests_are_logged(city: City, dimas: Browser) -> None:
    secrets = await dimas.open("/developer/apps/antrean/secrets")
    city.secrets["antrean-sandbox"] = secret_of(await post(dimas, secrets, choice="make antrean-sandbox", valid="90"))
    sandbox = city.relying_party("antrean-sandbox", "http://localhost:3000/callback")
    consent = await dimas.open(sandbox.url(scope="openid profile"))
    answer = await dimas.submit(consent, choice="allow")
    tokens = await sandbox.exchange(query_of(answer.headers["location"])["code"])
    await sandbox.userinfo(tokens["access_token"])
    await sandbox.post("/introspect", {"token": tokens["access_token"]})
    await sandbox.post("/revoke", {"token": tokens["access_token"]})
    await sandbox.token(grant_type="authorization_code", code="x", code_verifier="v" * 43)
    refused = await dimas.open(sandbox.url(redirect_uri="http://localhost:3000/lain"))
    reference = refused.headers["x-request-id"]
    assert reference in refused.text, "the error page shows the reference"
    await dimas.open(sandbox.url(scope="openid", prompt="none", max_age="0"))
    assert "Belum ada permintaan" in (await dimas.open(LOG)).text, "nothing is written by a request itself"
    await city.provider.write_usage()
    async with city.provider.db.read() as session:
        rows = await requests_of(session, ["antrean-sandbox"])
    seen = [(row.endpoint, row.outcome, row.grant_type) for row in reversed(rows)]
    assert seen[:5] == [
        ("/authorize", "ok", ""), ("/token", "ok", "authorization_code"), ("/userinfo", "ok", ""),
        ("/introspect", "ok", ""), ("/revoke", "ok", ""),
    ]  # fmt: skip
    assert seen[5][:2] == ("/token", "invalid_grant")
    assert seen[6][:2] == ("/authorize", "unregistered_redirect_uri")
    assert seen[7][:2] == ("/authorize", "login_required")
    assert {row.network for row in rows} == {"203.0.113.0/24"}
    page = await dimas.open(LOG)
    for hidden in (tokens["access_token"], tokens["id_token"], city.secrets["antrean-sandbox"], "203.0.113.7"):
        assert hidden not in page.text
    filtered = (await dimas.open(f"{LOG}?q={reference}")).text
    assert (filtered.count(f"<code>{reference}</code>"), filtered.count("<code>/")) == (1, 1)
    assert (await dimas.open(f"{LOG}?outcome=errors")).text.count('class="tag warn"') == 3
    assert "Tidak ada permintaan yang cocok" in (await dimas.open(f"{LOG}?outcome=invalid_scope")).text


async def test_the_log_is_bounded_in_memory_and_in_the_database_over_several_processes(city: City) -> None:
    processes = [Usage(), Usage()]
    for _ in range(MAX_STORED // MAX_WAITING_PER_CLIENT // 2 + 1):
        for usage in processes:
            for _ in range(MAX_WAITING_PER_CLIENT + 20):
                usage.requests.add("antrean-sandbox", "/token", "ok", sandbox=True)
            batch = usage.take()
            assert len(batch.requests) == MAX_WAITING_PER_CLIENT
            async with city.provider.db.write() as session:
                await add_requests(session, batch.requests)

    async def stored() -> int:
        async with city.provider.db.read() as session:
            return (await session.execute(select(func.count()).select_from(ClientRequest))).scalar_one()

    assert await stored() == MAX_STORED, "without a job"
    strangers = Usage()
    for number in range(MAX_UNAUTHENTICATED_STORED + 20):
        strangers.requests.add(
            "antrean-sandbox",
            "/token",
            "invalid_client",
            sandbox=True,
            authenticated=False,
            network=f"198.51.{number}.0/24",
        )
        if number % 10 != 9:
            continue
        async with city.provider.db.write() as session:
            await add_requests(session, strangers.take().requests)
    assert await stored() == MAX_STORED + MAX_UNAUTHENTICATED_STORED, "they take no place of the application"
    await clear_up(city.provider)
    assert await stored() == MAX_STORED + MAX_UNAUTHENTICATED_STORED
    clock.advance((KEEP + timedelta(hours=1)).total_seconds())
    await clear_up(city.provider)
    assert await stored() == 0


async def test_entries_that_could_not_be_written_are_written_the_next_time() -> None:
    usage = Usage()
    usage.requests.add("antrean-sandbox", "/token", "ok", sandbox=True)
    batch = usage.take()
    assert not usage.take()
    usage.put_back(batch)
    assert [entry.client_id for entry in usage.take().requests] == ["antrean-sandbox"]
