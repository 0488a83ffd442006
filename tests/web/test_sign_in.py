"""The sign-in page and its form: what a person sees, and what an attacker cannot do (SECURITY 7, 9)."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from tests.demands import demand
from tests.support import PASSWORD, City, form_of, query_of

from sso import clock
from sso.identity.authn.passwords import Busy
from sso.platform.audit.models import AuditEvent


async def test_one_signs_in_with_any_identifier(city: City, subtests: pytest.Subtests) -> None:
    for name in (
        "siti", "SITI", " siti ", "siti@warga.example", "Siti@Warga.Example", "0812 3456 7890", "+6281234567890",
    ):  # fmt: skip
        with subtests.test(name=name):
            async with city.browser() as browser:
                answer = await browser.sign_in(city.relying_party("warga"), username=name)
            assert "code" in query_of(answer.headers["location"])


async def test_whatever_is_wrong_the_answer_is_the_same(city: City, subtests: pytest.Subtests) -> None:
    cases = (
        ("siti", "wrong"),
        ("nobody", PASSWORD),
        ("nobody@warga.example", "wrong"),
        ("' OR 1=1 --", "x"),
        ("a" * 3000, "x"),
        ("siti", "x" * 20_000),
    )
    for name, password in cases:
        with subtests.test(name=name[:40], password=password[:40]):
            async with city.browser() as browser:
                page = await browser.sign_in(city.relying_party("warga"), username=name, password=password)
            assert page.status_code == 400
            assert "kata sandi salah" in page.text
            assert password not in page.text or len(password) < 3
            assert browser.session is None


async def test_an_unknown_name_costs_as_much_work_as_a_wrong_password(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    original = PasswordHasher.verify

    def counting(*args: Any, **kwargs: Any) -> Any:
        checked.append("x")
        return original(*args, **kwargs)

    monkeypatch.setattr(PasswordHasher, "verify", counting)
    async with city.browser() as browser:
        await browser.sign_in(city.relying_party("warga"), username="nobody", password="wrong")
    assert len(checked) == 1


async def test_a_disabled_person_sees_what_a_wrong_password_shows(city: City) -> None:
    from sso.identity.users.store import set_disabled

    async with city.provider.db.write() as session:
        await set_disabled(session, city.users["siti"], clock.now(), clock.now())
    async with city.browser() as browser:
        page = await browser.sign_in(city.relying_party("warga"))
    assert "kata sandi salah" in page.text


@pytest.mark.parametrize("fields", [{"username": ""}, {"password": ""}, {"username": "", "password": ""}])
async def test_empty_fields_are_asked_for(city: City, fields: dict[str, str]) -> None:
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("warga").url())
        answer = await browser.submit(page, **{"username": "siti", "password": PASSWORD, **fields})
        assert answer.status_code == 400
        # each empty field has its error, in the summary and at the field; what was typed stays
        wrong = [name for name, value in {"username": "siti", "password": PASSWORD, **fields}.items() if not value]
        for name, text in (("username", "Masukkan email, nomor telepon"), ("password", "Masukkan kata sandi Anda")):
            assert answer.text.count(text) == (2 if name in wrong else 0)
            assert (f'href="#{name}"' in answer.text, f'id="{name}-error"' in answer.text) == (name in wrong,) * 2
        assert ('value="siti"' in answer.text) == ("username" not in wrong)
        assert re.search(rf'<input id="{wrong[0]}"[^>]*aria-invalid="true"[^>]* autofocus>', answer.text)
        assert "code" in query_of(
            (await browser.submit(answer, username="siti", password=PASSWORD)).headers["location"]
        )


async def test_too_many_failures_make_one_wait_but_only_from_that_network(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser(address="198.51.100.1") as attacker:
        page = await attacker.open(party.url())
        for _ in range(city.settings.sign_in_failures_per_account):
            page = await attacker.submit(page, username="siti", password="wrong")
            assert page.status_code == 400
        page = await attacker.submit(page, username="siti", password=PASSWORD)
        assert page.status_code == 429
        assert int(page.headers["retry-after"]) > 0
        assert "menit" in page.text
    async with city.browser(address="203.0.113.99") as owner:
        assert "code" in query_of((await owner.sign_in(party)).headers["location"])


@pytest.mark.parametrize("overrides", [{"sign_in_failures_per_ip_address": 5}])
async def test_one_address_cannot_try_many_accounts(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("warga").url())
        for number in range(5):
            page = await browser.submit(page, username=f"person{number}", password="wrong")
        assert (await browser.submit(page, username="siti", password=PASSWORD)).status_code == 429


async def test_a_flood_of_passwords_is_answered_with_come_back_soon(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise Busy("full")

    monkeypatch.setattr(city.site.passwords, "_run", busy)
    async with city.browser() as browser:
        page = await browser.sign_in(city.relying_party("warga"))
        assert page.status_code == 503
        assert page.headers["retry-after"] == "5"
        assert 'value="siti"' in page.text
        monkeypatch.undo()
        assert "code" in query_of((await browser.submit(page, username="siti", password=PASSWORD)).headers["location"])


@pytest.mark.parametrize("overrides", [{"password_hash_concurrency": 1, "password_hash_queue": 2}])
async def test_the_queue_of_passwords_ends(city: City) -> None:
    passwords = city.site.passwords
    results = await asyncio.gather(*(passwords.verify("x", None) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, Busy) for result in results) == 7


async def test_a_session_known_before_signing_in_is_worth_nothing(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        browser.http.cookies.set("__Host-sso-session", "f" * 43, domain="masuk.tangerang.example", path="/")
        await browser.sign_in(party)
        cookies = [c.value for c in browser.http.cookies.jar if c.name == "__Host-sso-session"]
        assert "f" * 43 not in cookies[-1:]
    async with city.browser() as thief:
        thief.http.cookies.set("__Host-sso-session", "f" * 43, domain="masuk.tangerang.example", path="/")
        assert (await thief.open(party.url())).status_code == 200


async def test_signing_in_again_makes_the_old_cookie_worthless(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.sign_in(party)
        old = browser.session
        assert old is not None
        await browser.sign_in(party, prompt="login")
    async with city.browser() as thief:
        thief.http.cookies.set("__Host-sso-session", old, domain="masuk.tangerang.example", path="/")
        assert (await thief.open(party.url())).status_code == 200


@demand("RFC 9700 4.16", "pages cannot be framed; cookies are bound to the host")
async def test_cookies_are_bound_to_the_host_and_kept_from_scripts(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("warga").url())
        answer = await browser.http.post(
            "/login", data={**form_of(page).fields, "username": "siti", "password": PASSWORD}
        )
    for header in (page.headers["set-cookie"], answer.headers["set-cookie"]):
        assert header.startswith("__Host-")
        for attribute in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
            assert attribute in header
        assert "Domain" not in header


async def test_a_form_that_is_not_ours_signs_nobody_in(city: City) -> None:
    """Sign-in CSRF: an attacker would sign the victim in as the attacker."""
    party = city.relying_party("warga")
    async with city.browser() as attacker, city.browser() as victim:
        theirs = form_of(await attacker.open(party.url())).fields
        own = form_of(await victim.open(party.url())).fields
        attempts = [
            {**own, "csrf_token": theirs["csrf_token"]},
            {**own, "csrf_token": ""},
            {name: value for name, value in own.items() if name != "csrf_token"},
            theirs,
            {"csrf_token": theirs["csrf_token"]},
        ]
        for fields in attempts:
            answer = await victim.http.post("/login", data={**fields, "username": "budi", "password": PASSWORD})
            assert answer.status_code == 400
            assert victim.session is None


async def test_a_waiting_request_belongs_to_one_browser(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as first, city.browser() as other:
        token = form_of(await first.open(party.url())).fields["i"]
        await other.open("/login")
        page = await other.open(f"/login?i={token}")
        assert page.status_code == 400
        assert "sudah kedaluwarsa" in page.text


async def test_a_form_is_used_once(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        await browser.submit(page, username="siti", password=PASSWORD)
        again = await browser.submit(page, username="siti", password=PASSWORD)
    assert again.status_code == 400
    assert "sudah kedaluwarsa" in again.text


async def test_a_person_may_take_half_an_hour_and_not_more(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        clock.advance(city.settings.authorization_request_lifetime - timedelta(seconds=5))
        answer = await browser.submit(page, username="siti", password="wrong")
        assert answer.status_code == 400
        clock.advance(10)
        late = await browser.submit(page, username="siti", password=PASSWORD)
        assert "sudah kedaluwarsa" in late.text


async def test_without_cookies_the_person_is_told_so(city: City) -> None:
    party = city.relying_party("warga")
    async with city.client() as http:
        form = form_of(await http.get(party.url()))
        http.cookies.clear()
        answer = await http.post("/login", data={**form.fields, "username": "siti", "password": PASSWORD})
    assert "cookie" in answer.text
    assert answer.status_code == 400


async def test_the_page_by_itself_leads_to_the_start_page(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/")
        assert "<h1>Masuk</h1>" in page.text
        home = await browser.submit(page, username="siti", password=PASSWORD)
        assert "Halo, Siti Rahmawati" in home.text
        assert "Halo" in (await browser.open("/login")).text
        out = await browser.submit(home)
        assert "Anda sudah keluar" in out.text


async def test_consent_and_choice_need_a_form_of_this_session(city: City) -> None:
    party = city.relying_party("mitra")
    async with city.browser() as browser:
        page = await browser.sign_in(party)
        fields = form_of(page).fields
        for token in ("", "x" * 43):
            answer = await browser.http.post("/consent", data={**fields, "csrf_token": token, "choice": "allow"})
            assert answer.status_code == 200, "asked again"
            assert "meminta izin" in answer.text
        browser.http.cookies.delete("__Host-sso-session")
        answer = await browser.http.post("/consent", data={**fields, "choice": "allow"})
        assert "<h1>Masuk</h1>" in answer.text
        assert (await browser.http.post("/select", data={"i": "x"})).status_code == 400


async def test_failures_and_sign_ins_are_in_the_audit_log_without_secrets(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("warga").url())
        page = await browser.submit(page, username="siti", password="geheim-und-falsch")
        await browser.submit(page, username="siti", password=PASSWORD)
    async with city.provider.db.read() as session:
        events = (await session.execute(select(AuditEvent).order_by(AuditEvent.id))).scalars().all()
    recorded = [event for event in events if event.type in ("sign_in.failed", "session.started")]
    assert [(event.type, event.outcome, event.address) for event in recorded] == [
        ("sign_in.failed", "failure", "203.0.113.0/24"),
        ("session.started", "success", "203.0.113.0/24"),
    ]
    assert recorded[0].subject == str(city.users["siti"])
    assert "geheim" not in repr([vars(event) for event in events])


@pytest.mark.parametrize("overrides", [{"argon2_memory": "8MiB"}])
async def test_a_stronger_hash_replaces_a_weaker_one_at_sign_in(city: City) -> None:
    from passlib.hash import argon2

    from sso.identity.users import store
    from sso.identity.users.models import Credential

    weak = argon2.using(type="ID", memory_cost=1024, time_cost=1, parallelism=1).hash(PASSWORD)
    async with city.provider.db.write() as session:
        await store.set_password_hash(session, city.users["siti"], weak, clock.now())
    async with city.browser() as browser:
        await browser.code(city.relying_party("warga"))
    async with city.provider.db.read() as session:
        statement = select(Credential).where(Credential.user_id == city.users["siti"])
        credential = (await session.execute(statement)).scalar_one()
    assert credential.secret != weak
    assert "m=8192" in credential.secret


async def test_a_password_is_the_same_from_every_keyboard(city: City) -> None:
    from sso.identity.authn.passwords import Passwords
    from sso.identity.users import store

    hashed = await Passwords(city.settings).hash("caf\u00e9-\ufb01lm-panjang-sekali")
    async with city.provider.db.write() as session:
        await store.set_password_hash(session, city.users["siti"], hashed, clock.now())
    async with city.browser() as browser:
        answer = await browser.sign_in(city.relying_party("warga"), password="cafe\u0301-film-panjang-sekali")
    assert "code" in query_of(answer.headers["location"])


async def test_the_portal_lists_the_citys_applications_by_group_and_opens_them(city: City) -> None:
    async with city.browser() as browser:
        await browser.submit(await browser.open("/login"), username="siti", password=PASSWORD)
        page = await browser.open("/apps")
        assert "E-Pemerintahan" in page.text
        assert 'href="/open/warga"' in page.text
        assert "/open/sehat" not in page.text
        answer = await browser.open("/open/warga")
        assert answer.status_code == 303
        assert answer.headers["location"] == "https://warga.example/masuk?iss=https%3A%2F%2Fmasuk.tangerang.example"
