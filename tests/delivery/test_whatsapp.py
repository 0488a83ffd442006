"""WhatsApp: codes over a fake of the Cloud API, receipts, and the fallback to SMS, which is sent once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from tests.citizens import last_code, post
from tests.delivery.cloud_api import NUMBER_ID, RECEIPTS, TOKEN, VERIFY_TOKEN, CloudApi, Reply, status_of, tell
from tests.support import Browser, City
from tests.web.test_console_access import browser_of

from sso import clock
from sso.identity.authn import pending_flows
from sso.identity.notifications import notify, send_code
from sso.identity.users import store as users
from sso.identity.users.models import Identifier, User
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditEvent
from sso.platform.metrics.counters import Tallies
from sso.platform.outbox import store
from sso.platform.outbox.models import Delivery
from sso.platform.stored_settings import change_settings
from sso.settings import Settings, SettingsError
from sso.setup.message_checks import messages

NUMBER = "+6281298765432"


@pytest.fixture(scope="module")
def listening() -> Iterator[CloudApi]:
    """One server for all tests: its address is in the settings, and reading those takes 5 ms."""
    server = CloudApi()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def api(listening: CloudApi) -> CloudApi:
    """The server, which has received nothing."""
    listening.forget()
    return listening


@pytest.fixture
def overrides(request: pytest.FixtureRequest, api: CloudApi) -> dict[str, Any]:
    return {**api.settings, **getattr(request, "param", {})}


async def code_to(city: City, number: str = NUMBER, channel: str = "") -> str:
    """Send a code to a telephone number and let the worker work; return the code."""
    async with city.provider.db.write() as session:
        box = city.provider.box
        running = await pending_flows.begin(session, box, "sign_up", "b", {}, seconds=1800)
        await send_code(session, city.provider, running, "phone", number, "code_sign_up", "id", channel=channel)
    await city.site.worker.drain()
    return await last_code(city)


async def later(city: City, seconds: float) -> None:
    """Move the clock and let the worker work."""
    clock.advance(seconds)
    await city.site.worker.drain()


async def row(city: City) -> Delivery:
    """Return the newest delivery."""
    async with city.provider.db.read() as session:
        return (await session.execute(select(Delivery).order_by(Delivery.id.desc()).limit(1))).scalar_one()


async def test_a_code_is_sent_with_the_template_and_confirmed_by_a_receipt(city: City, api: CloudApi) -> None:
    code = await code_to(city)
    (message,) = api.whatsapp
    parameters = [{"type": "text", "text": code}]
    assert message["to"] == NUMBER
    assert message["template"] == {
        "name": "kode_verifikasi",
        "language": {"code": "id"},
        "components": [
            {"type": "body", "parameters": parameters},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": parameters},
        ],
    }
    assert api.tokens == {f"Bearer {TOKEN}"}
    waiting = await row(city)
    assert (waiting.status, waiting.receipt, waiting.receiver) == ("pending", "accepted", "sms")
    assert message["id"].encode() not in (waiting.receipt_key or b""), "it contains the number"
    for status, receipt in (("sent", "sent"), ("delivered", "delivered"), ("sent", "delivered"), ("read", "read")):
        assert await tell(city, status_of(message, status)) == 200
        assert (await row(city)).receipt == receipt
    await later(city, 3600)
    assert (await row(city)).status == "done"
    assert api.sms == []


async def test_without_a_receipt_the_same_code_goes_out_by_sms_once(city: City, api: CloudApi) -> None:
    code = await code_to(city)
    (message,) = api.whatsapp
    await later(city, 30)  # of 60: seconds may pass meanwhile
    assert api.sms == []
    await later(city, 31)
    (sms,) = api.sms
    assert sms["to"] == NUMBER
    assert sms["text"].startswith(f"{code} adalah kode")
    assert sms["text"].splitlines()[-1] == f"@localhost #{code}"
    assert await tell(city, status_of(message, "delivered")) == 200, "late"
    await later(city, 600)
    assert len(api.sms) == len(api.whatsapp) == 1
    done = await row(city)
    assert (done.status, done.receipt) == ("done", "delivered")


async def test_a_receipt_during_the_sms_keeps_the_sms_from_being_repeated(city: City, api: CloudApi) -> None:
    await code_to(city)
    (message,) = api.whatsapp
    api.gateway_replies = [Reply(503)]
    await later(city, 61)
    assert (await row(city)).status == "pending"
    assert await tell(city, status_of(message, "failed", 131026)) == 200
    assert await tell(city, status_of(message, "delivered")) == 200
    await later(city, 60)
    assert api.sms == []
    assert (await row(city)).status == "done"


async def test_a_failed_receipt_sends_the_sms_at_once(city: City, api: CloudApi) -> None:
    code = await code_to(city)
    (message,) = api.whatsapp
    for _ in range(2):  # a replay changes nothing
        assert await tell(city, status_of(message, "failed", 131026)) == 200
        await city.site.worker.drain()
    assert [sms["text"][:6] for sms in api.sms] == [code]
    assert ((await row(city)).status, (await row(city)).receipt) == ("done", "failed")


async def test_a_receipt_that_overtakes_the_acceptance_counts(city: City, api: CloudApi) -> None:
    await code_to(city)
    (message,) = api.whatsapp
    async with city.provider.db.write() as session:  # as before the acceptance was recorded
        delivery = (await session.execute(select(Delivery))).scalar_one()
        delivery.receipt, delivery.receipt_key, delivery.fallback_at, delivery.receiver = None, None, None, "whatsapp"
        delivery_id = delivery.id
    assert await tell(city, status_of(message, "delivered")) == 200
    async with city.provider.db.write() as session:
        await store.await_receipt(session, delivery_id, b"k" * 32, "sms", clock.now())
    await later(city, 100)
    assert ((await row(city)).status, api.sms) == ("done", [])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(400, 131026), "not on WhatsApp"),
        (Reply(400, 131047), "24 hours"),
        (Reply(400, 131056), "too many messages to this recipient"),
        (Reply(401, 190), "token is not valid or has expired"),
        (Reply(400, 132001), "template does not exist"),
    ],
    ids=lambda value: str(getattr(value, "code", "")),
)
async def test_a_permanent_error_sends_the_sms_at_once(
    city: City, api: CloudApi, caplog: pytest.LogCaptureFixture, reply: Reply, reason: str
) -> None:
    caplog.set_level(logging.DEBUG)
    api.replies = [reply]
    code = await code_to(city)
    assert [sms["text"][:6] for sms in api.sms] == [code]
    assert api.whatsapp == []
    assert reason in caplog.text
    for secret in (TOKEN, NUMBER, NUMBER[1:], code, "6281200000000"):
        assert secret not in caplog.text
    await later(city, 600)
    assert len(api.sms) == 1


async def test_429_waits_as_long_as_the_provider_says(city: City, api: CloudApi) -> None:
    api.replies = [Reply(429, 130429, retry_after=30)]
    await code_to(city)
    await later(city, 20)  # of 30: seconds may pass meanwhile
    assert (api.whatsapp, api.sms) == ([], [])
    await later(city, 11)
    assert (len(api.whatsapp), api.sms) == (1, [])
    await later(city, 30)
    assert len(api.sms) == 1, "60 seconds after it was written, not after it was accepted"


@pytest.mark.parametrize("reply", [Reply(500, 131000), Reply(429, 4, retry_after=900)], ids=["5xx", "429"])
async def test_what_whatsapp_does_not_take_in_time_goes_out_by_sms(city: City, api: CloudApi, reply: Reply) -> None:
    api.replies = [reply] * 20
    code = await code_to(city)
    for _ in range(12):
        await later(city, 6)
    assert [sms["text"][:6] for sms in api.sms] == [code]
    assert api.whatsapp == []


async def test_with_an_open_breaker_codes_go_out_by_sms_at_once(city: City, api: CloudApi) -> None:
    api.replies = [Reply(503)] * 50
    for number in range(4):
        await code_to(city, f"+62812000000{number:02}")
        clock.advance(0.3)
    for _ in range(40):  # the first retry comes after 5 seconds at most, and one may try WhatsApp after each pause
        if len(api.sms) < 3:
            await later(city, 1.1)
    assert len(api.sms) >= 3
    assert len(api.replies) > 40, "it is hardly asked"
    api.replies = []
    await later(city, 35)
    await code_to(city, "+6281200000050")
    assert api.whatsapp[-1]["to"] == "+6281200000050", "the first message after the pause tries WhatsApp"


async def test_a_used_code_is_not_sent_again(city: City, api: CloudApi) -> None:
    async with city.browser() as browser:
        page = await browser.open("/signup")
        page = await post(browser, "/signup", {"contact": NUMBER, "agree": "1"}, page)
        await city.site.worker.drain()
        assert "WhatsApp" in page.text
        assert "Kirim lewat SMS saja" in page.text
        clock.advance(31)
        page = await post(browser, "/signup", {"choice": "resend sms"}, page)
        await city.site.worker.drain()
        code = await last_code(city)
        assert [sms["text"][:6] for sms in api.sms] == [code], "the newer code, by SMS, as was chosen"
        assert "Kirim lewat WhatsApp saja" in page.text
        await later(city, 61)
        assert len(api.sms) == 1, "the older code is not valid any more"
        page = await post(browser, "/signup", {"code": code}, page)
        page = await post(browser, "/signup", {"name": "Ani", "password": "perahu-hijau-menyapa-awan-27"}, page)
    async with city.provider.db.read() as session:
        contact = (await session.execute(select(Identifier).where(Identifier.value == NUMBER))).scalar_one()
    assert contact.channel == "sms", "remembered with the number"


async def test_a_notice_follows_the_choice_of_the_user(city: City, api: CloudApi) -> None:
    async with city.provider.db.write() as session:
        user = await session.get(User, city.users["ratna"])
        assert user is not None
        now = clock.now()
        contact = Identifier(
            user_id=user.id, kind="phone", value=NUMBER, lookup=NUMBER, created_at=now, verified_at=now
        )
        session.add(contact)
        notify(session, city.provider, user, "password_changed")
    await city.site.worker.drain()
    (message,) = api.whatsapp
    (component,) = message["template"]["components"]
    assert message["template"]["name"] == "pemberitahuan_akun"
    assert "Kata sandi akun Anda diganti pada" in component["parameters"][0]["text"]
    async with city.provider.db.write() as session:
        (await session.execute(select(Identifier).where(Identifier.value == NUMBER))).scalar_one().channel = "sms"
        notify(session, city.provider, user, "password_changed")
    await city.site.worker.drain()
    assert [sms["text"] for sms in api.sms] == ["Tangerang Satu: Kata sandi Anda diganti."], (
        await row(city)
    ).last_error


async def test_the_webhook_takes_only_what_is_signed_and_ours(city: City, api: CloudApi) -> None:
    await code_to(city)
    (message,) = api.whatsapp
    right = status_of(message, "delivered")
    assert await tell(city, right, secret="another") == 401
    async with city.client() as client:
        assert (await client.post(RECEIPTS, json=right)).status_code == 401
        assert (await client.post(RECEIPTS, json=right, headers={"X-Hub-Signature-256": b"\xe4"})).status_code in (
            400,
            401,
        )
        query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
        assert (await client.get(RECEIPTS, params=query)).text == "1158201444"
        for wrong in ({"hub.verify_token": "x"}, {"hub.mode": "x"}, {"hub.challenge": "<script>"}):
            assert (await client.get(RECEIPTS, params=query | wrong)).status_code == 403
        assert (await client.post(RECEIPTS, content=b"x" * 300_000)).status_code == 413
    assert (await row(city)).receipt == "accepted"
    for odd in (
        b"[]",
        b"{",
        b'{"a":1,"a":2}',
        {"object": "page"},
        {"object": "whatsapp_business_account", "entry": [1]},
    ):
        assert await tell(city, odd) == 200, "signed: Meta would repeat it for days"
    other = status_of(message, "delivered", id="wamid.other")
    stranger = status_of(message, "delivered", biz_opaque_callback_data="00000000-0000-0000-0000-000000000000")
    old = status_of(message, "delivered", at=clock.timestamp() - 3600)
    elsewhere = status_of(message, "delivered")
    elsewhere["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"] = NUMBER_ID + "0"
    for document in (other, stranger, old, elsewhere, status_of(message, "warning")):
        assert await tell(city, document) == 200
        assert (await row(city)).receipt == "accepted"


async def test_a_receipt_from_before_a_manual_retry_says_nothing_about_it(city: City, api: CloudApi) -> None:
    await code_to(city)
    (message,) = api.whatsapp
    replayed = status_of(message, "delivered")
    clock.advance(120)
    async with city.provider.db.write() as session:
        delivery = (await session.execute(select(Delivery))).scalar_one()
        assert await store.retry(session, delivery.id) is not None
    assert await tell(city, replayed) == 200
    assert (await row(city)).status == "pending"


@pytest.mark.parametrize("overrides", [{"sms_url": ""}], indirect=True, ids=["no SMS"])
async def test_without_sms_the_receipt_decides(city: City, api: CloudApi) -> None:
    await code_to(city)
    (message,) = api.whatsapp
    assert (await row(city)).status == "done"
    assert await tell(city, status_of(message, "failed", 131026)) == 200
    failed = await row(city)
    assert (failed.status, failed.receipt) == ("given_up", "failed")
    api.replies = [Reply(400, 131026)]
    await code_to(city, "+6281200000009")
    assert (await row(city)).status == "given_up"


BUDGET = {"whatsapp_per_day": 2, "phone_prefixes": ["+62", "+65=1"], "phone_budget_alarm": 50}


@pytest.mark.parametrize("overrides", [BUDGET], indirect=True, ids=["budget"])
async def test_budgets_hold_for_all_processes_and_alert_administrators_once(city: City, api: CloudApi) -> None:
    city.provider.usage.tallies = Tallies()
    async with city.provider.db.read() as session:
        administrators = len(await users.page_of_users(session, None, 9, role="admin", status="active"))
    for number in range(4):
        await code_to(city, f"+628120000000{number}")
    assert (len(api.whatsapp), len(api.sms)) == (2, 2), "what is over the budget goes out by SMS"
    await code_to(city, "+6591234567", "sms")
    await code_to(city, "+6591234568", "sms")
    assert len(api.sms) == 3, "the budget of the prefix is used up"
    assert "daily budget of SMS +65" in str((await row(city)).last_error)
    await code_to(city, "+12025550123")
    assert "SSO_PHONE_PREFIXES" in str((await row(city)).last_error)
    async with city.provider.db.read() as session:
        events = (await session.execute(select(AuditEvent.type, AuditEvent.data).order_by(AuditEvent.id))).all()
        kinds = (await session.execute(select(Delivery.payload, Delivery.receiver))).all()
    alarms = [data["channel"] + data["prefix"] for type_, data in events if type_ == "messages.budget_alarm"]
    assert alarms == ["whatsapp", "sms+65"]
    used_up = [data["channel"] + data["prefix"] for type_, data in events if type_ == "messages.budget_used_up"]
    assert used_up == ["whatsapp", "sms+65"]
    mails = [receiver for payload, receiver in kinds if payload.get("notice") == "message_budget"]
    assert mails == ["mail"] * administrators * 2, "once for each budget"
    assert administrators
    counted = city.provider.usage.take_tallies().events
    assert counted["message", "whatsapp:accepted"] == 2
    assert counted["message", "whatsapp:alarm"] == 1
    assert counted["message", "sms:prefix"] + counted["message", "whatsapp:prefix"] == 1
    clock.advance(24 * 3600 + 1)
    await code_to(city, "+6281200000008")
    assert len(api.whatsapp) == 3, "a new day"


async def test_numbers_of_other_countries_are_refused_where_they_are_typed(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/signup")
        page = await post(browser, "/signup", {"contact": "+12025550123", "agree": "1"}, page)
    assert page.status_code == 400
    assert "nomor telepon negara ini" in page.text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"whatsapp_app_secret": None}, "SSO_WHATSAPP_APP_SECRET is required"),
        ({"whatsapp_verify_token": None}, "SSO_WHATSAPP_VERIFY_TOKEN is required"),
        ({"whatsapp_token": None}, "SSO_WHATSAPP_TOKEN or SSO_WHATSAPP_TOKEN_FILE"),
        ({"whatsapp_fallback_after": "30m"}, "SSO_WHATSAPP_FALLBACK_AFTER must be less"),
    ],
    ids=["secret", "verify token", "token", "fallback"],
)
def test_settings_that_do_not_belong_together(api: CloudApi, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        Settings(_env_file=None, **{**api.settings, **changes})  # type: ignore[call-arg]


async def change(city: City, **values: str) -> None:
    """Change settings in the database, and let this process look for changes."""
    async with city.provider.db.write() as session:
        await change_settings(session, city.settings, values, reason="Uji", actor=Actor("cli"))
    await city.provider.refresh()


async def test_settings_of_the_database_hold_for_budgets_and_for_the_fallback(city: City, api: CloudApi) -> None:
    await change(city, sms_per_day="1", channels="email,sms")
    await code_to(city)
    assert (len(api.whatsapp), len(api.sms)) == (0, 1)
    await code_to(city, "+6281200000001")
    assert "daily budget of SMS is used up" in str((await row(city)).last_error)
    assert len(api.sms) == 1
    finding = await messages(city.settings, city.provider.db)
    assert {"budget": "SMS", "used": 1, "maximum": 1} in [words.values for words in finding.words]
    await change(city, sms_per_day="9", channels="email,sms,whatsapp")
    await code_to(city, "+6281200000002", "sms")
    assert len(api.sms) == 2


async def test_nothing_falls_back_to_a_channel_that_was_switched_off(city: City, api: CloudApi) -> None:
    await change(city, channels="email,whatsapp")
    api.replies = [Reply(503)] * 50
    for number in range(4):
        await code_to(city, f"+62812000000{number:02}")
        clock.advance(0.3)
    for _ in range(10):
        await later(city, 1.1)
    assert (await row(city)).receiver == "whatsapp"
    assert len(api.replies) > 30, "the breaker is open"
    api.replies = []
    for _ in range(6):
        await later(city, 15)
    assert (len(api.whatsapp), api.sms) == (4, [])


@pytest.mark.parametrize("overrides", [{"sms_url": ""}], indirect=True, ids=["no SMS"])
async def test_a_failed_message_is_retried_and_delivered(city: City, api: CloudApi) -> None:
    await code_to(city)
    assert await tell(city, status_of(api.whatsapp[0], "failed", 131026)) == 200
    failed = await row(city)
    assert (failed.status, failed.receipt) == ("given_up", "failed")
    async with city.provider.db.write() as session:
        assert await store.retry(session, failed.id) is not None
    assert (await row(city)).receipt is None
    await city.site.worker.drain()
    accepted = await row(city)
    assert (accepted.status, accepted.receipt) == ("done", "accepted")
    assert await tell(city, status_of(api.whatsapp[1], "delivered")) == 200
    delivered = await row(city)
    assert (delivered.status, delivered.receipt) == ("done", "delivered")


async def test_a_code_that_was_typed_in_a_sign_up_costs_no_sms(city: City, api: CloudApi) -> None:
    async with city.browser() as browser:
        page = await browser.open("/signup")
        page = await post(browser, "/signup", {"contact": NUMBER, "agree": "1"}, page)
        await city.site.worker.drain()
        page = await post(browser, "/signup", {"code": await last_code(city)}, page)
        assert 'name="password"' in page.text
        await later(city, 61)
        assert (api.sms, (await row(city)).status) == ([], "skipped")
        await post(browser, "/signup", {"name": "Ani", "password": "perahu-hijau-menyapa-awan-27"}, page)
    async with city.browser() as browser:
        clock.advance(60)
        page = await browser.open("/recover")
        page = await post(browser, "/recover", {"username": NUMBER}, page)
        await city.site.worker.drain()
        page = await post(browser, "/recover", {"code": await last_code(city)}, page)
        assert 'name="password"' in page.text
        before = (len(api.whatsapp), len(api.sms))
        await later(city, 61)
        assert (len(api.whatsapp), len(api.sms)) == before


async def add_number(city: City, username: str, channel: str | None = None) -> None:
    """Give a user a verified number and a preferred channel."""
    now = clock.now()
    async with city.provider.db.write() as session:
        contact = Identifier(
            user_id=city.users[username], kind="phone", value=NUMBER, lookup=NUMBER, created_at=now, verified_at=now
        )
        contact.channel = channel
        session.add(contact)


async def channel_shown(city: City, admin: Browser, username: str) -> str:
    """Return what the page of a user says of the channel of the newest message."""
    page = await admin.open(f"/admin/people/{city.users[username]}")
    return page.text.partition('id="messages"')[2].partition('data-label="Saluran">')[2].partition("</td>")[0]


async def test_the_page_of_a_user_names_the_channel_that_has_the_code(city: City, api: CloudApi) -> None:
    await add_number(city, "siti")
    async with await browser_of(city, "admin") as admin:
        await code_to(city)
        assert (await channel_shown(city, admin, "siti")).startswith("WhatsApp")
        assert "diterima" in await channel_shown(city, admin, "siti")
        assert await tell(city, status_of(api.whatsapp[0], "delivered")) == 200
        assert (await channel_shown(city, admin, "siti")).startswith("WhatsApp")
        clock.advance(31)
        await code_to(city)
        await later(city, 61)
        assert len(api.sms) == 1
        assert (await channel_shown(city, admin, "siti")).startswith("SMS")


async def test_the_page_of_a_user_counts_every_code(city: City) -> None:
    await add_number(city, "siti")
    for _ in range(23):
        async with city.provider.db.write() as session:
            running = await pending_flows.begin(session, city.provider.box, "sign_up", "b", {}, seconds=1800)
            await send_code(session, city.provider, running, "phone", NUMBER, "code_sign_up", "id")
    async with city.provider.db.write() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        notify(session, city.provider, user, "password_changed")
    async with await browser_of(city, "admin") as admin:
        page = await admin.open(f"/admin/people/{city.users['siti']}")
    counted = page.text.partition('id="messages"')[2].partition("</section>")[0]
    assert "satu jam terakhir: 23" in counted, counted[:1500]


async def test_a_receipt_during_an_attempt_that_is_given_up_stays(city: City, api: CloudApi) -> None:
    await code_to(city)
    (message,) = api.whatsapp
    send = city.site.worker._handlers["message"]

    async def confirmed_meanwhile(payload: Any) -> None:
        assert await tell(city, status_of(message, "delivered")) == 200
        await send(payload)

    api.gateway_replies = [Reply(400)]
    city.site.worker._handlers = {**city.site.worker._handlers, "message": confirmed_meanwhile}
    await later(city, 61)
    delivered = await row(city)
    assert (delivered.status, delivered.receipt) == ("done", "delivered")
    async with city.provider.db.read() as session:
        types = (await session.execute(select(AuditEvent.type))).scalars().all()
    assert "delivery.given_up" not in types


@pytest.mark.parametrize("overrides", [{"channels": ["sms", "whatsapp"]}], indirect=True, ids=["no mail"])
async def test_without_mail_a_notice_follows_the_choice_of_the_user(city: City, api: CloudApi) -> None:
    await add_number(city, "ratna", "sms")
    async with city.provider.db.write() as session:
        user = await session.get(User, city.users["ratna"])
        assert user is not None
        notify(session, city.provider, user, "password_changed")
    await city.site.worker.drain()
    assert (len(api.sms), api.whatsapp) == (1, [])


async def test_the_page_after_a_registration_changes_the_channel(city: City, api: CloudApi) -> None:
    async with city.browser() as browser:
        page = await browser.open("/signup")
        page = await post(browser, "/signup", {"contact": "ani@warga.example", "agree": "1"}, page)
        page = await post(browser, "/signup", {"code": await last_code(city)}, page)
        page = await post(browser, "/signup", {"name": "Ani", "password": "perahu-hijau-menyapa-awan-27"}, page)
        page = await post(browser, "/welcome", {"choice": "contact", "contact": NUMBER}, page)
        await city.site.worker.drain()
        assert len(api.whatsapp) == 1
        assert 'value="resend sms"' in page.text
        clock.advance(31)
        page = await post(browser, "/welcome", {"choice": "resend sms"}, page)
        await city.site.worker.drain()
        assert len(api.sms) == 1
        assert 'value="resend whatsapp"' in page.text
        await post(browser, "/welcome", {"choice": "code", "code": await last_code(city)}, page)
    async with city.provider.db.read() as session:
        contact = (await session.execute(select(Identifier).where(Identifier.value == NUMBER))).scalar_one()
    assert contact.channel == "sms"
