"""What is sent: every message in both languages, seen by those who may; through real servers; the terms; the brand."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.citizens import SENDING, here, last_code, post, sent
from tests.delivery.test_mail import Post
from tests.support import City

from sso import clock
from sso.http.common.mail_notices import LINKS, NOTICES
from sso.http.common.mail_texts import compose
from sso.identity.users.service import find, set_roles
from sso.platform.outbox.sms_text import BASIC, EXTENSION, fits_one_segment
from sso.settings import Settings, contrast

LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>1</script></svg>'


async def administrator(city: City, browser: Any, role: str = "admin") -> None:
    async with city.provider.db.write() as session:
        await set_roles(session, await find(session, "budi"), [role])
    await here(city, browser, "budi")


@pytest.mark.parametrize("locale", ["id", "en"])
@pytest.mark.parametrize("notice", list(NOTICES))
def test_a_message_is_whole_in_both_languages(notice: str, locale: str) -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    later = clock.now().isoformat()
    values = dict.fromkeys(("code", "device", "what", "place", "token", "percent"), "X") | {
        "ready": later,
        "until": later,
    }
    message = compose(settings, notice, "a@b.example", clock.now(), name="<Siti>", locale=locale, values=values)
    for text in (message.subject, message.text, message.html, message.sms):
        assert text
        assert "%(" not in text
        assert "{{" not in text
    assert "<Siti>" not in message.html
    assert "&lt;Siti&gt;" in message.html
    assert f'lang="{locale}"' in message.html
    assert ("X" in message.sms) == NOTICES[notice].code or notice in LINKS
    assert (settings.issuer in message.text) == (notice in LINKS)
    if NOTICES[notice].code:
        assert message.sms.endswith("#X")


NAMES = ["Tangerang Satu", "Layanan Terpadu Kota Tangerang Selatan", "Satu Akun – Kota Daéng €"]


@pytest.mark.parametrize("service_name", NAMES)
def test_every_sms_fits_one_segment(service_name: str) -> None:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, issuer="https://masuk.tangerangkota.go.id", secret_key=["x" * 40],
        database_url="postgresql://x/x", service_name=service_name,
    )  # fmt: skip
    later = clock.now().isoformat()
    tokens = {"new_device": "t" * 45}
    values = {
        "code": "123456",
        "device": "Chrome 131",
        "what": "s•••i@warga.example",
        "place": "Tangerang",
        "percent": "80",
    }
    for notice in NOTICES:
        own = values | {"ready": later, "until": later, "token": tokens.get(notice, "t" * 26)}
        for locale in ("id", "en"):
            sms = compose(settings, notice, "+628123", clock.now(), name="Siti", locale=locale, values=own).sms
            assert fits_one_segment(sms), (notice, locale, sms)
            assert set(sms) <= BASIC | EXTENSION, (notice, locale, sms)
            if NOTICES[notice].code:
                assert sms.splitlines()[-2:] == ["", "@masuk.tangerangkota.go.id #123456"]
                assert ("kepada siapa pun" if locale == "id" else "to anybody") in sms


async def test_administrators_see_every_message_and_nobody_else(city: City) -> None:
    async with city.browser() as browser:
        await administrator(city, browser)
        page = await browser.open("/admin/mails")
        for name in NOTICES:
            assert f"({name})" in page.text
        message = await browser.open("/admin/mails/code_sign_in/en")
        assert "123456" in message.text
        assert "sandbox" in message.headers["content-security-policy"]
        assert "script" not in message.headers["content-security-policy"]
        assert (await browser.open("/admin/mails/nothing/en")).status_code == 404
        assert (await browser.open("/admin/mails/code_sign_in/fr")).status_code == 404
    async with city.browser() as browser:
        await here(city, browser)
        for path in ("/admin/mails", "/admin/mails/code_sign_in/en"):
            assert (await browser.open(path)).status_code == 403


async def test_there_is_no_outbox_where_messages_are_sent(city: City) -> None:
    async with city.browser() as browser:
        assert (await browser.open("/outbox")).status_code == 404


def test_the_outbox_is_for_this_machine_only() -> None:
    with pytest.raises((ValidationError, Exception), match="loopback"):
        Settings(  # type: ignore[call-arg]
            _env_file=None, issuer="https://masuk.example", development_outbox=True, secret_key=["x" * 40],
            database_url="sqlite:///x",
        )  # fmt: skip


@pytest.mark.parametrize("path", ["/terms", "/privacy"])
async def test_terms_and_privacy(city: City, path: str) -> None:
    async with city.browser() as browser:
        assert (await browser.open(path)).status_code == 200


@pytest.mark.parametrize("overrides", [{"terms_url": "https://kota.example/ketentuan"}], ids=[""])
async def test_the_citys_own_terms(city: City) -> None:
    async with city.browser() as browser:
        assert (await browser.open("/terms")).headers["location"] == "https://kota.example/ketentuan"


# Through real servers


@pytest.fixture
def post_office() -> Iterator[Post]:
    server = Post()
    yield server
    server.controller.stop()


async def test_a_code_arrives_by_mail(post_office: Post, database: Any, tmp_path: Path) -> None:
    from tests.conftest import settings_for

    from sso.app import create_app

    url, contents = database
    app = create_app(settings_for(url, tmp_path, smtp_url=f"smtp://127.0.0.1:{post_office.port}"))
    async with app.router.lifespan_context(app):
        city = City(app, app.state.site.settings, contents["secrets"], contents["users"])
        async with city.browser() as browser:
            page = await browser.open("/signup")
            page = await post(browser, "/signup", {"contact": "baru@warga.example", "agree": "1"}, page)
            await city.site.worker.drain()
            (mail,) = post_office.mails
            code = await last_code(city)
            assert mail["To"] == "baru@warga.example"
            assert mail["Subject"] == f"Tangerang Satu: Kode Anda {code}"
            assert code in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
            assert code in mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
            page = await post(browser, "/signup", {"code": code}, page)
            assert page.status_code == 200


class Gateway(http.server.BaseHTTPRequestHandler):
    """An SMS gateway."""

    answers: list[int] = []
    got: list[tuple[dict[str, Any], str | None]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.got.append((body, self.headers["Authorization"]))
        self.send_response(self.answers.pop(0) if self.answers else 202)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def gateway() -> Iterator[str]:
    Gateway.answers, Gateway.got = [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/kirim"
    server.shutdown()
    server.server_close()


async def test_a_code_arrives_by_sms(gateway: str, database: Any, tmp_path: Path) -> None:
    from tests.conftest import settings_for

    from sso.app import create_app

    url, contents = database
    settings = settings_for(
        url,
        tmp_path,
        issuer="http://localhost:8000",
        sms_url=gateway,
        sms_token="rahasia",
        outbound_networks=["127.0.0.0/8"],
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        city = City(app, settings, contents["secrets"], contents["users"])
        from sso.identity.authn import pending_flows
        from sso.identity.notifications import send_code

        async with city.provider.db.write() as session:
            box = city.provider.box
            running = await pending_flows.begin(session, box, "sign_up", "b", {}, seconds=60)
            await send_code(session, city.provider, running, "phone", "+6285711112222", "code_sign_up", "id")
        Gateway.answers = [503]
        await city.site.worker.drain()
        clock.advance(30)
        await city.site.worker.drain()
        code = await last_code(city)
    assert len(Gateway.got) == 2
    body, authorization = Gateway.got[-1]
    assert authorization == "Bearer rahasia"
    assert body == {
        "to": "+6285711112222",
        "text": f"{code} adalah kode Tangerang Satu Anda. Jangan berikan kode ini kepada siapa pun.\n\n@localhost "
        f"#{code}",
        "sender": "TANGERANG",
    }


@pytest.mark.parametrize("overrides", [SENDING], ids=[""])
async def test_a_code_that_comes_too_late_is_not_sent(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/signup")
        await post(browser, "/signup", {"contact": "baru@warga.example", "agree": "1"}, page)
    clock.advance(11 * 60)
    await city.site.worker.drain()
    from sqlalchemy import select

    from sso.platform.outbox.models import Delivery

    async with city.provider.db.read() as session:
        row = (await session.execute(select(Delivery))).scalar_one()
    assert (row.status, row.last_error) == ("given_up", "it is of no use any more")
    assert len(await sent(city)) == 1


# The brand


def test_colours_that_cannot_be_read_are_refused() -> None:
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
    for colours in (
        {"brand_colour": "#ffcc00", "brand_colour_dark": "#ffcc00"},
        {"brand_colour": "#0b5f5a", "brand_colour_dark": "#0b5f5a"},
        {"brand_colour": "red", "brand_colour_dark": "#ffcc00"},
        {"brand_colour": "#8a1538"},
    ):
        with pytest.raises(Exception, match=r"BRAND|contrast|colour"):
            Settings(_env_file=None, **colours)  # type: ignore[arg-type]


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    path = tmp_path / "kota.svg"
    path.write_bytes(LOGO)
    return path


async def test_the_citys_logo_and_colours(database: Any, tmp_path: Path, logo: Path) -> None:
    from tests.conftest import settings_for

    from sso.app import create_app

    url, contents = database
    settings = settings_for(
        url, tmp_path, brand_logo=logo, brand_colour="#8a1538", brand_colour_dark="#ff9db5", service_name="Satu Pintu"
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        city = City(app, settings, contents["secrets"], contents["users"])
        async with city.browser() as browser:
            page = (await browser.open("/login")).text
            assert "Satu Pintu" in page
            address = page.split('<img src="')[1].split('"')[0]
            assert address.startswith("/static/logo.")
            got = await browser.http.get(address)
            assert got.content == LOGO
            assert "sandbox" in got.headers["content-security-policy"]
            style = await browser.http.get(page.split('rel="stylesheet" href="')[1].split('"')[0])
            assert "--pico-primary:#8a1538" in style.text
            assert "--city-ink:#ff9db5" in style.text
    assert "#8a1538" in compose(settings, "welcome", "a@b.example", clock.now()).html


@pytest.mark.parametrize("body", [b"GIF89a", b"x" * 40_000, b""])
def test_a_logo_that_is_none_stops_the_start(tmp_path: Path, body: bytes) -> None:
    from sso.errors import Refusal
    from sso.http.common.assets import Assets

    path = tmp_path / "logo"
    path.write_bytes(body)
    with pytest.raises(Refusal, match="SSO_BRAND_LOGO"):
        Assets(Settings(_env_file=None, brand_logo=path))  # type: ignore[call-arg]
