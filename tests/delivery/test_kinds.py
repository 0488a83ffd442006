"""Every kind and state of what is stored is shown by every list."""

from __future__ import annotations

import typing
import uuid

import pytest
from sqlalchemy import select
from tests.api.conftest import program
from tests.support import City

from sso import clock
from sso.cli import deliveries as cli_deliveries
from sso.http.admin import deliveries as admin_deliveries
from sso.http.common.labels import ROLE_TEXTS
from sso.identity.notifications import notify, send
from sso.identity.users.models import User
from sso.platform.audit.models import AuditEvent
from sso.platform.outbox import DeliveryKind, DeliveryStatus, Worker, enqueue
from sso.platform.outbox.models import Delivery
from sso.platform.permissions import RoleName


@pytest.fixture
def overrides() -> dict[str, typing.Any]:
    return {"smtp_url": "smtp://127.0.0.1:9"}


def test_pages_and_commands_know_every_kind_and_status() -> None:
    assert set(admin_deliveries.KINDS) == set(DeliveryKind)
    assert set(admin_deliveries.STATUS) == set(DeliveryStatus)
    assert set(cli_deliveries.KINDS) == set(DeliveryKind)
    assert set(ROLE_TEXTS) == set(typing.get_args(RoleName))


async def test_the_list_shows_every_kind_in_every_state(city: City) -> None:
    async with city.provider.db.write() as session:
        for kind in DeliveryKind:
            for status in DeliveryStatus:
                enqueue(session, kind, {}, status=status, client_id="warga", receiver="warga.example")
    api = await program(city)
    deliveries = await api.pages("/deliveries")
    assert {(delivery["kind"], delivery["status"]) for delivery in deliveries} == {
        (k, s) for k in DeliveryKind for s in DeliveryStatus
    }
    for kind in DeliveryKind:
        assert {delivery["kind"] for delivery in await api.pages("/deliveries", kind=kind)} == {kind}
    for status in DeliveryStatus:
        assert {delivery["status"] for delivery in await api.pages("/deliveries", status=status)} == {status}


async def test_a_notice_to_somebody_without_an_address_is_no_failure(city: City) -> None:
    from sso.app import handlers

    async with city.provider.db.write() as session:
        ratna = await session.get(User, city.users["ratna"])
        siti = await session.get(User, city.users["siti"])
        assert ratna is not None
        assert siti is not None
        siti.preferences = {"new_device": False}
        notify(session, city.provider, ratna, "password_changed")
        notify(session, city.provider, siti, "new_device", device="?", place="", token="x")
        gone = User(id=uuid.uuid4(), name="x", profile={}, created_at=clock.now(), updated_at=clock.now())
        notify(session, city.provider, gone, "password_changed")
        send(session, city.provider, "email", "a@b.example", "already_here", "id", seconds=-1)
    await Worker(city.provider.db, city.settings, handlers(city.provider)).drain()
    async with city.provider.db.read() as session:
        deliveries = list((await session.execute(select(Delivery).order_by(Delivery.id))).scalars())
        events = (await session.execute(select(AuditEvent).where(AuditEvent.type == "delivery.given_up"))).all()
    assert [delivery.status for delivery in deliveries] == ["skipped", "skipped", "skipped", "given_up"]
    assert all(delivery.finished_at is not None and delivery.last_error for delivery in deliveries)
    assert len(events) == 1, "only the message that came too late"
    api = await program(city)
    answer = await api("POST", f"/deliveries/{deliveries[0].id}/retry")
    assert answer.status_code == 409
