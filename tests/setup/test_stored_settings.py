"""Settings in the database: on pages, by the API, in every process, with history, below the environment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.api.conftest import program
from tests.arranged import signed_in
from tests.conftest import settings_for
from tests.support import City
from tests.web.test_admin import events_of_type
from tests.web.test_developer import post

from sso import clock
from sso.http.admin.setting_labels import CHOICES, LABELS, SECTIONS, errors_of
from sso.http.common.assets import Assets
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.platform.stored_settings import (
    KEPT_CHANGES,
    ChangedMeanwhile,
    SettingRefused,
    change_settings,
    changes_of,
    earlier_value,
    recent_changes,
    stored_values,
)
from sso.platform.stored_settings.models import SettingChange
from sso.settings import CHANGEABLE, Settings, SettingsError, load_settings
from sso.settings.changeable import MAX_COUNT, MAX_DURATION
from sso.settings.reference import variable

SECRETS = ("secret_key", "database_url", "smtp_url", "sms_token", "rate_limit_storage", "backup_passphrase")
FLOORS = (
    "issuer", "password_min_length", "second_factor_roles", "reauthentication_age", "risk_based_second_factor",
    "argon2_memory", "outbound_networks", "trusted_proxies", "development_outbox", "ip_address_privacy", "signing_alg",
)  # fmt: skip
WHY = {"reason": "Diputuskan rapat", "actor": Actor("cli")}
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><circle r="4"/></svg>'


def test_no_secret_and_no_floor_can_be_changed() -> None:
    assert not set(SECRETS + FLOORS) & set(CHANGEABLE)
    assert set(CHANGEABLE) <= set(Settings.model_fields)


def test_every_changeable_setting_has_a_place_and_a_label() -> None:
    placed = [name for section in SECTIONS.values() for name in section.names]
    assert sorted(placed) == sorted(CHANGEABLE)
    assert set(LABELS) == set(CHANGEABLE)
    assert set(CHOICES) <= set(CHANGEABLE)


def test_the_environment_wins_and_says_so(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, service_name="Dari Lingkungan")
    assert (
        settings.adopt({"service_name": "Dari Basis Data", "city_name": "Kota Baru", "session_lifetime": "12h"}) == []
    )
    assert (settings.service_name, settings.source_of("service_name")) == ("Dari Lingkungan", "environment")
    assert (settings.city_name, settings.source_of("city_name")) == ("Kota Baru", "database")
    assert settings.session_lifetime == timedelta(hours=12)
    assert settings.adopt({}) == []
    assert (settings.city_name, settings.source_of("city_name")) == ("Kota Tangerang", "default")


def test_stored_settings_do_not_depend_on_where_the_others_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part of the settings of WhatsApp is in the environment, the other in the file."""
    file = tmp_path / ".env"
    file.write_text(f"SSO_WHATSAPP_APP_SECRET={'a' * 32}\nSSO_WHATSAPP_VERIFY_TOKEN={'b' * 32}\nSSO_WHATSAPP_TOKEN=x\n")
    monkeypatch.setenv("SSO_WHATSAPP_PHONE_NUMBER_ID", "123456789")
    settings = load_settings(_env_file=file, data_dir=tmp_path)
    assert settings.adopt({"city_name": "Kota Baru"}) == []
    assert settings.city_name == "Kota Baru"


def test_a_value_that_cannot_be_used_any_more_is_left_out(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, session_idle_timeout="9h")
    (mistake,) = settings.adopt(
        {"session_lifetime": "8h", "city_name": "Kota Baru", "gone": "x", "secret_key": "y" * 40}
    )
    assert mistake == "SSO_SESSION_IDLE_TIMEOUT must not be more than SSO_SESSION_LIFETIME"
    assert settings.session_lifetime == timedelta(hours=24)
    assert settings.city_name == "Kota Baru"
    assert not settings.secret_key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session_lifetime", "soon"), ("session_lifetime", "1s"), ("brand_colour", "red"), ("city_name", " "),
        ("terms_url", "http://x.example"), ("default_locale", "fr"), ("support_whatsapp", "0812"),
    ],
)  # fmt: skip
def test_the_words_of_a_refusal_are_those_of_the_environment(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(data_dir=tmp_path, **{name: value})
    mistakes = Settings(data_dir=tmp_path).mistakes_of({name: value})
    assert mistakes == refused.value.mistakes
    assert all(error.field == name for error in errors_of(mistakes) if error.field)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("session_lifetime", "4d", "must be at most 3d"), ("sign_in_failures_per_account", "99", "must be at most 20"),
        ("sign_in_failures_per_account", "1", "must be at least 3"), ("client_registration", "open", "closed, token"),
        ("sessions_per_user", "0", "must be at least 1"), ("service_name", "x" * 61, "at most 60 characters"),
    ],
)  # fmt: skip
def test_the_bounds_of_the_database_are_narrower(tmp_path: Path, name: str, value: str, words: str) -> None:
    (mistake,) = Settings(data_dir=tmp_path).mistakes_of({name: value})
    assert words in mistake
    assert variable(name) in mistake
    (error,) = errors_of([mistake])
    assert error.text != "%(text)s", "the message has a translation"


def test_no_bound_is_far_above_the_default() -> None:
    for name, bounds in CHANGEABLE.items():
        default = Settings.model_fields[name].get_default(call_default_factory=True)
        if isinstance(default, (int, timedelta)):
            most = MAX_DURATION if isinstance(default, timedelta) else MAX_COUNT
            assert bounds.at_most is not None, name
            assert bounds.at_most <= most * default, name


async def test_changes_are_kept_checked_and_reverted(city: City) -> None:
    db, settings = city.provider.db, city.settings

    async def change(values: dict[str, str | None], **options: Any) -> Any:
        async with db.write() as session:
            return await change_settings(session, settings, values, **{**WHY, **options})

    for wrong in (
        {"secret_key": "x" * 40},
        {"nothing": "x"},
        {"brand_colour": "#0f766e"},
        {"issuer": "https://x.example"},
    ):
        with pytest.raises(SettingRefused):
            await change(wrong)
    with pytest.raises(SettingRefused, match="a reason is required"):
        await change({"city_name": "Kota Lain"}, reason=" ")
    await change({"city_name": "Kota Satu", "brand_colour": "#0f766e", "brand_colour_dark": "#5eead4"})
    assert not await change({"city_name": "Kota Satu"}), "nothing to change"
    (second,) = await change({"city_name": "Kota Dua"})
    assert (second.before, second.after) == ("Kota Satu", "Kota Dua")
    async with db.read() as session:
        newest, oldest = await changes_of(session, "city_name")
        assert await earlier_value(session, "city_name", oldest.id) == "Kota Satu"
        assert (newest.actor, newest.reason, newest.before) == ("cli", "Diputuskan rapat", "Kota Satu")
        with pytest.raises(SettingRefused):
            await earlier_value(session, "service_name", oldest.id)
    with pytest.raises(ChangedMeanwhile):
        await change({"city_name": "Kota Tiga"}, seen=oldest.id)
    for number in range(KEPT_CHANGES + 3):
        await change({"support_contact": f"helpdesk{number}@kota.example"})
    async with db.read() as session:
        assert len(await changes_of(session, "support_contact", 1000)) == KEPT_CHANGES
        assert len(await changes_of(session, "city_name")) == 2
        assert (await stored_values(session))["city_name"] == "Kota Dua"
    (event, *_) = await events_of_type(city, "settings.changed")
    assert event.data["note"] == "Diputuskan rapat"


@pytest.mark.usefixtures("reads_nothing_by_itself")
async def test_every_process_follows(city: City, database: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """Another process changes settings; this one notices by the counters that it reads anyway."""
    other = Database(settings_for(database[0], tmp_path))
    values = {
        "service_name": "Satu Pintu", "session_idle_timeout": "1h", "sign_up": "closed", "sms_per_day": "7",
        "client_registration": "closed", "brand_colour": "#0f766e", "brand_colour_dark": "#5eead4",
    }  # fmt: skip
    async with other.write() as session:
        await change_settings(session, settings_for(database[0], tmp_path), values, **WHY)
    await other.close()
    async with city.client() as http:
        before = (await http.get("/login")).text
        assert "registration_endpoint" in (await http.get("/.well-known/openid-configuration")).json()
        await city.provider.refresh()
        page = (await http.get("/login")).text
        assert "Satu Pintu" in page
        assert "Satu Pintu" not in before
        assert "registration_endpoint" not in (await http.get("/.well-known/openid-configuration")).json()
        style = page.split("/static/style.")[1].split('"')[0]
        assert style not in before
        assert "#0f766e" in (await http.get(f"/static/style.{style}")).text
        old = before.split("/static/style.")[1].split('"')[0]
        assert (await http.get(f"/static/style.{old}")).status_code == 200, "pages in browsers still name it"
    assert city.provider.idle == timedelta(hours=1)
    assert city.settings.sign_up_kinds == []
    assert city.site.limits.messages._sms_per_day == 7


async def test_a_name_of_a_new_style_is_looked_for(
    city: City, database: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    """A page of a process that knows the new brand names a file that this process does not know yet."""
    changed = settings_for(database[0], tmp_path)
    async with city.provider.db.write() as session:
        values = {"brand_colour": "#0f766e", "brand_colour_dark": "#5eead4"}
        await change_settings(session, changed, values, **WHY)
        changed.adopt(values)
    from sso.http.common.assets import Assets

    async with city.client() as http:
        assert (await http.get(Assets(changed).paths["style_css"])).status_code == 200
        assert (await http.get("/static/style.000000000000.css")).status_code == 404


async def test_settings_are_changed_on_their_page(city: City) -> None:
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/system")
        assert "/admin/system/brand" in page.text
        page = await ratna.open("/admin/system/sessions")
        assert "SSO_SESSION_LIFETIME" in page.text
        refused = await post(ratna, page, session_lifetime="99d", reason="Uji")
        assert refused.status_code == 422
        assert 'id="session_lifetime-error"' in refused.text
        assert 'value="99d"' in refused.text, "what was typed stays"
        refused = await post(ratna, page, session_lifetime="12h", reason="")
        assert 'id="reason-error"' in refused.text
        saved = await post(ratna, page, session_lifetime="12h", reason="Rapat")
        assert saved.status_code == 200
        assert city.settings.session_lifetime == timedelta(hours=12)
        assert city.settings.source_of("session_idle_timeout") == "default", "what was not changed is not stored"
        stale = await post(ratna, page, session_lifetime="13h", reason="Uji")
        assert stale.status_code == 409
        again = await post(ratna, saved, session_lifetime="", reason="Kembali")
        assert city.settings.source_of("session_lifetime") == "default"
        async with city.provider.db.read() as session:
            first = (await changes_of(session, "session_lifetime"))[-1]
        earlier = await ratna.open(f"/admin/system/sessions?name=session_lifetime&change={first.id}")
        assert 'value="12h"' in earlier.text
        assert "Rapat" in again.text
        for wrong in ("x", "99999999999999999999999"):
            assert (await ratna.open(f"/admin/system/sessions?name=session_lifetime&change={wrong}")).status_code == 200
        assert (await ratna.open("/admin/system/nothing")).status_code == 404
        off = await post(ratna, await ratna.open("/admin/system/channels"), **{"channels.sms": "0", "reason": "Biaya"})
        assert off.status_code == 200
        assert city.settings.channels == ["email", "whatsapp"]


async def test_a_page_shows_and_keeps_what_another_process_has_changed(city: City) -> None:
    """Between two refreshes of this process, another process changes a setting."""
    db = city.provider.db

    async def elsewhere(**values: str) -> None:
        async with db.write() as session:
            await change_settings(session, city.settings, values, **WHY)

    async with await signed_in(city, "ratna") as ratna:
        await ratna.open("/admin/system/sessions")
        await elsewhere(session_lifetime="12h")
        page = await ratna.open("/admin/system/sessions")
        assert 'value="12h"' in page.text, "the form shows the value that its version belongs to"
        await elsewhere(city_name="Kota Lain")
        assert (await post(ratna, page, session_idle_timeout="3h", reason="Uji")).status_code == 409
        page = await ratna.open("/admin/system/sessions")
        assert (await post(ratna, page, session_idle_timeout="3h", reason="Uji")).status_code == 200
        async with db.read() as session:
            stored = await stored_values(session)
    assert stored == {"city_name": "Kota Lain", "session_idle_timeout": "3h", "session_lifetime": "12h"}


async def test_of_two_changes_with_one_etag_one_is_made(city: City) -> None:
    api = await program(city)
    headers = {"If-Match": await api.etag("/settings")}
    bodies = [{"values": {"city_name": f"Kota {number}"}, "reason": "Bersamaan"} for number in (1, 2)]
    answers = await asyncio.gather(*(api("PATCH", "/settings", json=body, headers=headers) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    (refused,) = [answer for answer in answers if answer.status_code == 412]
    assert refused.json()["type"].endswith("precondition_failed")
    answer = await api("PATCH", "/settings", json=bodies[0], headers={"If-Match": "*"})
    assert answer.status_code == 200, "with * any version is changed"


async def test_a_page_lists_the_changes_of_its_own_settings_without_logos(city: City) -> None:
    db, large = city.provider.db, "data:image/svg+xml;base64," + "A" * 40000
    async with db.write() as session:
        session.add(SettingChange(name="city_name", at=clock.now(), after="Kota Lama", reason="Pertama"))
        for number in range(3):
            session.add(SettingChange(name="brand_logo_data", at=clock.now(), after=large, reason=f"Logo {number}"))
    async with db.read() as session:
        names = SECTIONS["brand"].names
        changes = await recent_changes(session, names, 3, without_values=["brand_logo_data"])
        assert [(change.name, change.after) for change in changes] == [("brand_logo_data", "")] * 3
        (change,) = await recent_changes(session, ["city_name"], 3)
        assert (change.after, change.before) == ("Kota Lama", None)
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/system/brand")
        assert "Logo 2" in page.text
        assert "AAAAAAAA" not in page.text


async def test_the_logo_is_stored_shown_and_removed(city: City) -> None:
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/system/brand")
        token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
        send = {"csrf_token": token, "reason": "Logo kota"}
        path = "/admin/system/brand/logo"
        wrong = await ratna.http.post(path, data=send, files={"logo": ("x.gif", b"GIF89a", "image/gif")})
        assert wrong.status_code == 400
        large = await ratna.http.post(path, data=send, files={"logo": ("x.svg", b"<svg>" + b" " * 33000)})
        assert large.status_code == 400
        done = await ratna.http.post(path, data=send, files={"logo": ("x.svg", LOGO, "image/svg+xml")})
        assert done.status_code == 303
        page = await ratna.open("/admin/system/brand")
        logo = page.text.split('<img src="/static/logo.')[1].split('"')[0]
        image = await ratna.http.get(f"/static/logo.{logo}")
        assert (image.content, "sandbox" in image.headers["content-security-policy"]) == (LOGO, True)
        await ratna.http.post(path, data={**send, "choice": "remove"}, files={"logo": ("", b"")})
        assert city.settings.brand_logo_data == ""


@pytest.mark.parametrize("overrides", [{"service_name": "Tetap"}])
async def test_who_may_not_change_sees_and_what_the_environment_sets_stays(city: City) -> None:
    async with await signed_in(city, "ratna") as ratna:
        page = await ratna.open("/admin/system/brand")
        assert 'name="service_name"' not in page.text
        assert "Tetap" in page.text
        page_of_sessions = await ratna.open("/admin/system/sessions")
        clock.advance(3600)
        old = await ratna.open("/admin/system/brand")
        assert 'method="post" action="/admin/system/brand"' not in old.text, "sign in again first"
        answer = await post(ratna, page_of_sessions, session_lifetime="12h", reason="x")
        assert answer.url.path == "/login"
    assert city.settings.session_lifetime == timedelta(hours=24)


async def test_settings_by_the_api(city: City) -> None:
    api = await program(city)
    rows = {row["name"]: row for row in await api.pages("/settings")}
    assert rows["secret_key"]["value"] == "••••••••"
    assert (rows["secret_key"]["changeable"], rows["city_name"]["changeable"]) == (False, True)
    tag = await api.etag("/settings")
    body = {"values": {"city_name": "Kota API"}, "reason": "Lewat API"}
    assert (await api("PATCH", "/settings", json=body)).status_code == 428
    changed = await api("PATCH", "/settings", json=body, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    assert (await api.get("/settings/city_name"))["source"] == "database"
    assert (await api("PATCH", "/settings", json=body, headers={"If-Match": tag})).status_code == 412
    tag = await api.etag("/settings")
    for wrong in (
        {"secret_key": "x" * 40},
        {"issuer": "https://x.example"},
        {"session_lifetime": "soon"},
        {"none": "x"},
    ):
        refused = await api("PATCH", "/settings", json={**body, "values": wrong}, headers={"If-Match": tag})
        assert refused.status_code == 422, refused.text
    undone = {"values": {"city_name": None}, "reason": "Kembali"}
    assert (await api("PATCH", "/settings", json=undone, headers={"If-Match": tag})).status_code == 200
    after, before = (await api.get("/settings/city_name/history"))["items"]
    assert (after["after"], before["after"], before["actor"]) == (None, "Kota API", "petugas")
    assert (await api("GET", "/settings/nothing")).status_code == 404
    checks = {check["about"]: check for check in (await api.get("/checks"))["items"]}
    assert checks["people"]["state"] == "warning"
    assert "audit" not in checks, "it reads the whole log"


async def test_settings_are_read_only_after_a_change(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    monkeypatch.setattr(city.settings.__class__, "adopt", lambda self, stored: reads.append(stored) or [])
    await city.provider.refresh()
    assert reads == [], "the counters say that nothing has changed"
    async with city.provider.db.write() as session:
        await change_settings(session, city.settings, {"city_name": "Kota Baru"}, **WHY)
    await city.provider.refresh()
    assert reads == [{"city_name": "Kota Baru"}]


async def test_a_migrated_database_without_settings_starts(city: City) -> None:
    async with city.provider.db.read() as session:
        assert (await session.execute(text("SELECT count(*) FROM stored_settings"))).scalar() == 0
    assert city.settings.stored == {}


BAD_CHARACTERS = ("\n", "\r", "\x00", "\x1b", "\u2028", "\u202e", "\u2066", "\u200f")
"""Line breaks, control characters, and characters that change the direction of a text."""
URLS = [name for name in Settings.model_fields if name.endswith("_url") and name not in SECRETS]
URLS = [name for name in URLS if not name.endswith("database_url")] + ["security_contact"]
TEXTS = sorted({name for name in CHANGEABLE if Settings.model_fields[name].annotation is str} | {"security_contact"})


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_has_line_breaks_or_control_characters(tmp_path: Path, name: str) -> None:
    base = {"terms_url": "https://kota.example/a", "privacy_url": "https://kota.example/a"}
    good = base.get(name) or Settings.model_fields[name].examples[0]
    pair = {"brand_colour": "#0f766e", "brand_colour_dark": "#5eead4"} if "colour" in name else {}
    load_settings(data_dir=tmp_path, **{**pair, name: good})
    settings = Settings(data_dir=tmp_path)
    for bad in BAD_CHARACTERS:
        for value in (good + bad, good[:3] + bad + good[3:]):
            with pytest.raises(SettingsError):
                load_settings(data_dir=tmp_path, **{**pair, name: value})
            if name in CHANGEABLE:
                assert settings.mistakes_of({**pair, name: value}), repr(value)


@pytest.mark.parametrize("name", URLS)
def test_an_address_is_https_or_loopback(tmp_path: Path, name: str) -> None:
    for value in (
        "javascript://localhost/%0aalert(1)", "javascript:alert(1)", "data:text/html,x", "data://localhost/x",
        "ftp://localhost/x", "file://localhost/etc/passwd", "http://kota.example/", "//localhost/x",
        "https://localhost@evil.example/", "https://kota.example/\nx", "https://kota.example/\x00",
        "https://kota.example/\u202e", "https://kota.example\\@evil.example/", " https://kota.example/", "HTTPS:kota",
    ):  # fmt: skip
        with pytest.raises(SettingsError):
            load_settings(data_dir=tmp_path, **{name: value})
    for value in ("https://kota.example/ketentuan?x=1#y", "http://localhost:9000/x", "http://127.0.0.1/"):
        load_settings(data_dir=tmp_path, **{name: value})


def test_old_logos_are_not_kept_for_good(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assets = Assets(settings)
    first = assets.paths["style_css"]
    for number in range(1, 20):
        settings.adopt({"brand_colour": f"#0f76{number:02x}", "brand_colour_dark": "#5eead4"})
        before = assets.paths["style_css"]
        assets.follow()
        assert before in assets.by_path, "a page that is open still asks for it"
    assert first not in assets.by_path
    assert len(assets.by_path) < 2 * len(assets.paths) + 2
