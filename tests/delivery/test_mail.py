"""Mail: through a real SMTP receiver, in both languages, to verified addresses only, never lost."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import SecretStr
from sqlalchemy import select
from tests.ports import free_ports
from tests.support import City

from sso import clock
from sso.accounts.administration import disable_user
from sso.accounts.credentials import change_password
from sso.identity.notifications import notify
from sso.identity.users.service import find
from sso.platform.actor import Actor
from sso.platform.outbox.models import Delivery
from sso.platform.outbox.smtp import Mailer
from sso.platform.outbox.worker import Abandon
from sso.settings import SettingsError, load_settings


class Post:
    """An SMTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusal = ""
        self.users: list[bytes] = []
        self.port = free_ports(1)
        self.start()

    def start(self) -> None:
        """Listen (once more)."""
        self.controller = Controller(
            self, hostname="127.0.0.1", port=self.port, ready_timeout=60, authenticator=self.authenticate,
            auth_require_tls=False,
        )  # fmt: skip
        self.controller.start()

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login)
        right = data.password == b"kata:sandi"
        return AuthResult(success=right, handled=right)  # what is not handled is refused with 535

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        return "250 OK"


@pytest.fixture
def post() -> Iterator[Post]:
    server = Post()
    yield server
    server.controller.stop()


@pytest.fixture
def overrides(post: Post) -> dict[str, Any]:
    return {"smtp_url": SecretStr(f"smtp://sso:kata%3Asandi@127.0.0.1:{post.port}")}


async def change(city: City, name: str) -> None:
    async with city.provider.db.write() as session:
        await change_password(session, city.provider, await find(session, name), "hash", actor=Actor("cli"))


def bodies(mail: EmailMessage) -> tuple[str, str]:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


async def test_a_changed_password_is_told_to_the_person(city: City, post: Post) -> None:
    await change(city, "siti")
    await city.site.worker.drain()
    (mail,) = post.mails
    assert post.users == [b"sso"]
    assert mail["To"] == "siti@warga.example"
    assert mail["From"] == "Tangerang Satu <no-reply@tangerang.example>"
    assert mail["Subject"] == "Tangerang Satu: Kata sandi Anda diganti"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@tangerang.example>")
    text, html = bodies(mail)
    assert "Halo Siti Rahmawati," in text
    assert "WIB" in text
    assert "helpdesk@tangerang.example" in text
    assert '<html lang="id">' in html
    assert "Kata sandi akun Anda diganti pada" in html


async def test_in_english_and_without_what_a_name_could_do(city: City, post: Post) -> None:
    async with city.provider.db.write() as session:
        user = await find(session, "siti")
        user.locale, user.name = "en", "Siti & <b>%(x)s</b>\r\nBcc: x@y"
    async with city.provider.db.write() as session:
        await disable_user(session, city.provider, await find(session, "siti"), actor=Actor("cli"))
    await city.site.worker.drain()
    (mail,) = post.mails
    assert mail["Subject"] == "Tangerang Satu: Your account was disabled"
    assert mail["Bcc"] is None
    text, html = bodies(mail)
    assert "Siti & <b>%(x)s</b>" in text
    assert "Siti &amp; &lt;b&gt;%(x)s&lt;/b&gt;" in html


async def test_nothing_goes_to_an_address_that_nobody_verified(city: City, post: Post) -> None:
    await change(city, "budi")
    await city.site.worker.drain()
    assert post.mails == []
    async with city.provider.db.read() as session:
        (sent,) = (await session.execute(select(Delivery))).scalars()
    assert (sent.status, sent.last_error) == ("skipped", "the person has no address that was verified")


async def test_the_outbox_holds_no_address(city: City, post: Post) -> None:
    await change(city, "siti")
    async with city.provider.db.read() as session:
        (sent,) = (await session.execute(select(Delivery))).scalars()
    assert "warga.example" not in str(sent.payload), "it is looked up when it is sent"


@pytest.mark.parametrize(("refusal", "status"), [("550 no such user", "given_up"), ("451 try later", "pending")])
async def test_a_refusal_for_good_and_one_for_now(city: City, post: Post, refusal: str, status: str) -> None:
    post.refusal = refusal
    await change(city, "siti")
    await city.site.worker.drain()
    async with city.provider.db.read() as session:
        (sent,) = (await session.execute(select(Delivery))).scalars()
    assert sent.status == status
    post.refusal = ""
    clock.advance(10)
    await city.site.worker.drain()
    assert len(post.mails) == (1 if status == "pending" else 0)


async def test_a_mail_server_that_is_away_is_waited_for(city: City, post: Post) -> None:
    post.controller.stop()
    await change(city, "siti")
    await city.site.worker.drain()
    post.start()
    clock.advance(10)
    await city.site.worker.drain()
    assert len(post.mails) == 1


@pytest.mark.parametrize("overrides", [{}])
async def test_without_a_mail_server_nothing_is_put_by(city: City, overrides: dict[str, Any]) -> None:
    await change(city, "siti")
    async with city.provider.db.read() as session:
        assert (await session.execute(select(Delivery))).first() is None


@pytest.mark.parametrize("url", ["host", "http://x", "smtp://", "//host:25"])
def test_an_address_that_is_no_mail_server_stops_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSO_SMTP_URL", url)
    with pytest.raises(SettingsError, match="SSO_SMTP_URL"):
        load_settings()


async def test_a_server_outside_must_offer_starttls(city: City, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the network nothing goes in the clear: a server without STARTTLS gets nothing."""
    from sso.platform.outbox import smtp as mail

    monkeypatch.setattr(mail, "is_loopback_host", lambda _: False)
    await change(city, "siti")
    await city.site.worker.drain()
    assert post.mails == []
    assert post.users == [], "not even the password"


async def test_who_is_signed_out_by_an_administrator_is_told_once(city: City, post: Post) -> None:
    from tests.api.conftest import program

    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sehat"))
    api = await program(city)
    (active,) = await api.pages("/sessions")
    for _ in range(2):
        await api("POST", f"/sessions/{active['id']}/end", json={"note": "Telepon dicuri"})
    await city.site.worker.drain()
    (mail,) = post.mails
    assert mail["Subject"] == "Tangerang Satu: Sesi Anda diakhiri"
    text, _ = bodies(mail)
    assert "Administrator mengakhiri sesi Anda pada" in text
    assert "Telepon dicuri" not in text, "why is for the audit log"


async def test_no_value_breaks_a_mail_or_keeps_others_waiting(city: City, post: Post) -> None:
    """A draft's name with CR and LF kept its team's mails for a day."""
    for name in ("Antrean\r\nBcc: x@y.example", "Antrean\u2028Bcc: x", "Antre\x00an\x85\u202e", "A" * 500):
        async with city.provider.db.write() as session:
            notify(session, city.provider, await find(session, "siti"), "application_decided", what=name)
    async with city.provider.db.write() as session:
        notify(session, city.provider, await find(session, "siti"), "new_device")  # without what it needs
    await city.site.worker.drain()
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(Delivery).order_by(Delivery.id))).scalars().all()
    assert [delivery.status for delivery in rows] == ["done", "done", "done", "done", "given_up"]
    assert len(post.mails) == 4
    for mail in post.mails:
        assert mail["Bcc"] is None
        assert len(str(mail["Subject"]).splitlines()) == 1
    with pytest.raises(Abandon):
        await Mailer(city.settings).send("a@b.example", "x", "\ud800", "", "id")
