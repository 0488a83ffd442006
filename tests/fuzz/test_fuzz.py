"""Every route answers every nasty value without failing. ``make fuzz`` tries more of them, for longer."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from tests.api.conftest import PROGRAM_SCOPES
from tests.arranged import signed_in
from tests.fuzz.fuzzer import (
    Fuzzer,
    of_administrators,
    of_citizens,
    of_developers,
    reads_sessions,
    reads_tokens,
    routes,
)
from tests.support import City
from tests.web.test_developer import person, register

from sso.identity.users.service import find, set_roles

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""How long to go on after the first round, which is all that the suite does."""
SHARE = 0.015
SEED = int(os.environ.get("FUZZ_SEED", "1"))
DATABASES = ["postgresql"]


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {
        "client_registration": "open",
        "relying_party_check": "offered",
        "reauthentication_age": "1h",
        "access_token_lifetime": "2h",
    }


async def known_values(city: City) -> dict[str, str]:
    """Return a real value for each part of a path."""
    return {
        "client_id": "mitra",
        "application_id": "antrean",
        "user_id": str(city.users["budi"]),
        "locale": "id",
        "notice": "welcome",
        "act": "disable",
        "name": "x",
    }


@pytest.mark.parametrize("database_kind", DATABASES)
@pytest.mark.filterwarnings("ignore")
async def test_no_route_fails_whatever_is_sent(city: City) -> None:
    await person(city, "dimas", "developer")
    developer = await signed_in(city, "dimas")
    await register(developer)
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "ratna"), ["admin", "developer", "officer", "helpdesk", "auditor"])
    administrator, citizen = await signed_in(city, "ratna"), await signed_in(city, "siti")
    tokens = await city.relying_party("petugas").token(grant_type="client_credentials", scope=PROGRAM_SCOPES)
    signals = await city.relying_party("sinyal").token(grant_type="client_credentials", scope="ssf.manage ssf.read")
    known = await known_values(city)
    fuzzer = Fuzzer(city, SEED)
    anonymous, program, receiver = city.client(), city.client(), city.client()
    program.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    receiver.headers["Authorization"] = f"Bearer {signals.body.get('access_token', '')}"
    parts = [
        lambda: fuzzer.addresses(anonymous, known, SHARE),
        lambda: fuzzer.addresses(program, known, SHARE, reads_tokens),
        lambda: fuzzer.addresses(administrator.http, known, SHARE, reads_sessions),
        lambda: fuzzer.each_query(administrator.http, known, SHARE),
        lambda: fuzzer.each_query(citizen.http, known, SHARE, of_citizens),
        lambda: fuzzer.bare_posts(anonymous, known, SHARE),
        lambda: fuzzer.bare_posts(administrator.http, known, SHARE, reads_sessions),
        lambda: fuzzer.bare_posts(receiver, known, SHARE, reads_tokens),
        lambda: fuzzer.headers(anonymous, known, SHARE),
        lambda: fuzzer.headers(program, known, SHARE),
        lambda: fuzzer.api(program, known, SHARE),
        lambda: fuzzer.documents(receiver, SHARE),
        lambda: fuzzer.forms(citizen, known, "siti", SHARE, of_citizens),
        lambda: fuzzer.forms(developer, known, "dimas", SHARE, of_developers),
        lambda: fuzzer.forms(administrator, known, "ratna", SHARE, of_administrators),
        lambda: fuzzer.forms(city.browser(), known, "budi", SHARE, of_citizens),
    ]
    for part in parts:
        await part()
    fuzzer.until = time.monotonic() + SECONDS
    while not fuzzer.over:
        for part in parts:
            await part()
    fuzzer.close()
    for http in (anonymous, program, receiver, developer.http, administrator.http, citizen.http):
        await http.aclose()
    print(f"\n{fuzzer.sent} requests with the seed {SEED}")
    assert fuzzer.reached >= set(routes()), "not every route was tried"
    assert not fuzzer.slow
    report = "\n".join(f"{where}\n    {what}" for where, what in sorted(fuzzer.failures.items()))
    assert not fuzzer.failures, f"{len(fuzzer.failures)} routes failed:\n{report}"
