"""Whoever changes what somebody signs in with, every contact that was verified before the change is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Api, person_with, program
from tests.arranged import sign_in
from tests.citizens import SENDING, last_code, post, sent
from tests.support import Browser, City

from sso import clock
from sso.accounts.contact_changes import NAME_CHANGED, NOTICES, contacts_notified
from sso.http.common.mail_texts import compose
from sso.identity.authn.legacy_hashes import taken_over
from sso.identity.users import store
from sso.identity.users.importing import Options, import_file

MAIL, PHONE, NIK = "siti@warga.example", "+6281234567890", "3671014104900001"
TELLS = {*NOTICES, NAME_CHANGED}


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


async def test_every_old_contact_is_told_whoever_makes_the_change(city: City, tmp_path: Path) -> None:
    siti, seen = city.users["siti"], 0
    api = await program(city)

    async def check_notices(
        what: str, *about: str, by: Callable[[], Awaitable[Any]], others: frozenset[str] = frozenset()
    ) -> None:
        """Check that a change is told to the mail address and the telephone, both verified before it."""
        nonlocal seen
        await by()
        news = [message for message in (await sent(city))[seen:] if message["about"] in TELLS]
        seen = len(await sent(city))
        for notice in about:
            receivers = {message["to"] for message in news if message["about"] == notice}
            assert {MAIL, PHONE} <= receivers, f"{what}: {notice} went to {receivers}"
        assert {message["about"] for message in news} == {*about, *others}, what
        assert all("@" not in message["values"]["what"] or "•" in message["values"]["what"] for message in news), (
            "masked"
        )
        for message in (message for message in news if message["about"] in NOTICES):
            written = compose(city.settings, message["about"], message["to"], clock.now(), values=message["values"])
            assert message["values"]["what"] in written.text, "the address stands there as it is"

    async def patch(**change: Any) -> None:
        tag = await api.etag(f"/users/{siti}")
        answer = await api("PATCH", f"/users/{siti}", json=change, headers={"If-Match": tag})
        assert answer.status_code == 200, answer.text

    async def checked(answer: Awaitable[Any]) -> None:
        response = await answer
        assert response.status_code < 400, response.text

    async def own(browser: Browser, choice: str, **fields: str) -> None:
        page = await browser.open("/account/contacts")
        answer = await post(browser, "/account/contacts", {"choice": choice, **fields}, page)
        assert answer.status_code == 200, answer.text

    async def prove(browser: Browser, contact: str) -> None:
        page = await browser.open("/account/contacts")
        page = await post(browser, "/account/contacts", {"choice": "add", "contact": contact}, page)
        await post(browser, "/account/contacts/code", {"code": await last_code(city)}, page)

    async def identifier(value: str) -> str:
        async with city.provider.db.read() as session:
            return next(
                str(candidate.id) for candidate in await store.identifiers_of(session, siti) if candidate.value == value
            )

    async with city.browser() as browser:
        await sign_in(city, browser, "siti")
        seen = len(await sent(city))
        await check_notices("own page adds", "contact_added", by=lambda: prove(browser, "dua@warga.example"))
        second = await identifier("dua@warga.example")
        await check_notices("own page, main one", "contact_primary", by=lambda: own(browser, f"primary {second}"))
        first = await identifier(MAIL)
        await check_notices("own page, back", "contact_primary", by=lambda: own(browser, f"primary {first}"))
        await check_notices("own page removes", "contact_removed", by=lambda: own(browser, f"remove {second}"))
        await check_notices("own page, name", NAME_CHANGED, by=lambda: own(browser, "username", username="siti-baru"))
        await check_notices("own page, NIK", NAME_CHANGED, by=lambda: own(browser, "nik", nik=NIK))
    check = {"document": "ktp", "document_number": NIK, "place": "MPP Kota Tangerang"}
    officer = await person_with(city, "officer")
    seen = len(await sent(city))
    await check_notices("officer", NAME_CHANGED, by=lambda: _check(officer, siti, check))
    await check_notices("API, name", NAME_CHANGED, by=lambda: patch(username="siti-lagi"))
    await check_notices("API takes verified", "contact_unverified", by=lambda: patch(phone_number_verified=False))
    # the telephone is no old contact any more: told to the mail address alone, then verified by assertion
    await patch(phone_number_verified=True)
    assert [message["to"] for message in (await sent(city))[seen:] if message["about"] == "contact_verified"] == [
        MAIL,
        PHONE,
    ]
    seen = len(await sent(city))
    await check_notices(
        "API replaces",
        "contact_added",
        "contact_removed",
        by=lambda: patch(email="tiga@warga.example", email_verified=True),
    )
    await told_back(city, patch)
    seen = len(await sent(city))
    # an administrator on the pages
    async with city.browser() as admin:
        await sign_in(city, admin, "ratna")
        page = await admin.open(f"/admin/people/{siti}")
        seen = len(await sent(city))
        fields = {"name": "Siti", "username": "siti-lagi", "email": MAIL, "email_verified": "1", "note": "sebab"}
        fields |= {"phone_number": "0813 9999 0000", "phone_number_verified": "1"}
        edit = post(admin, f"/admin/people/{siti}/edit", fields, page)
        await check_notices("page replaces", "contact_added", "contact_removed", by=lambda: checked(edit))
    await patch(phone_number=PHONE, phone_number_verified=True)
    # an import that is merged
    rows = tmp_path / "orang.jsonl"
    rows.write_text('{"name": "Siti", "email": "siti@warga.example", "phone_number": "0811 7777 0000"}\n')
    vouched = Options(verified=frozenset({"email"}))
    await import_file(city.provider.db, city.provider.box, rows, vouched, taken_over, reject=lambda *_: None)
    (proposal,) = await api.pages("/merge-proposals")
    seen = len(await sent(city))
    decided = api("POST", f"/merge-proposals/{proposal['id']}/decision", json={"decision": "merged"})
    await check_notices("import", "contact_added", by=lambda: checked(decided))
    # an import that brings somebody up to date who never signed in
    seen = len(await sent(city))
    for row, update in (("", False), (', "phone_number": "0811 7777 1111", "phone_number_verified": true', True)):
        rows.write_text(f'{{"name": "B", "email": "b@warga.example", "local_user_id": "1"{row}}}')
        options = Options("sehat", frozenset({"email"}), update=update)
        await import_file(
            city.provider.db,
            city.provider.box,
            rows,
            options,
            taken_over,
            contacts_notified=lambda session, user: contacts_notified(session, city.provider, user),
        )
    assert sorted((message["about"], message["to"]) for message in (await sent(city))[seen:]) == [
        ("contact_added", "+6281177771111"),
        ("contact_added", "b@warga.example"),
    ]
    # another account that is merged: its own contacts are told too
    lengkap = city.users["lengkap"]
    merged = api("POST", f"/users/{siti}/merge", json={"other_id": str(lengkap)})
    await check_notices(
        "merge", "contact_added", others=frozenset({"contact_removed", NAME_CHANGED}), by=lambda: checked(merged)
    )
    receivers = {message["to"] for message in await sent(city) if message["about"] == "contact_removed"}
    assert "lengkap@warga.example" in receivers


async def _check(officer: Api, user: Any, check: dict[str, str]) -> None:
    assert (await officer("POST", f"/users/{user}/identity-checks", json=check)).status_code == 201


async def told_back(city: City, patch: Callable[..., Awaitable[None]]) -> None:
    """Let the mail address be what it was."""
    await patch(email=MAIL, email_verified=True)
    assert "tiga@warga.example" in {
        message["to"] for message in await sent(city) if message["about"] == "contact_removed"
    }
