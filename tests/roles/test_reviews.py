"""Access reviews and reasons, as use cases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from tests.citizens import SENDING
from tests.roles.conftest import Office
from tests.scheduled import run_jobs
from tests.support import City

from sso import clock
from sso.accounts import access_reviews as reviews
from sso.accounts.role_assignments import NewAssignment, RoleError, end_role, give_roles
from sso.accounts.role_files import EVERYTHING
from sso.clients.models import ClientRow
from sso.clients.registry import SANDBOX
from sso.identity.groups.models import AccessReview
from sso.platform.actor import CLI, Actor
from sso.platform.outbox.models import Delivery


async def test_reviews_and_ends_have_a_reason(city: City, office: Office) -> None:
    services, ends_at = city.provider, clock.now() + timedelta(days=9)
    async with city.provider.db.write() as session:
        new = [NewAssignment("chief", "Surat tugas", user_id=city.users["siti"])]
        [assignment] = await give_roles(session, services, "sinyal", new, giver=EVERYTHING, actor=CLI)
        begin = {"ends_at": ends_at, "giver": EVERYTHING, "actor": CLI}
        review = await reviews.start_review(session, services, "sinyal", **begin, reason="Tahunan")
        for wrong, field in (
            (reviews.start_review(session, services, "warga", **begin, reason=" "), "reason"),
            (reviews.cancel_review(session, services, review.id, giver=EVERYTHING, actor=CLI, reason=" \n"), "reason"),
            (end_role(session, services, assignment.id, giver=EVERYTHING, actor=CLI, reason=" "), "reason"),
        ):
            with pytest.raises(RoleError) as refused:
                await wrong
            assert refused.value.field == field
        assert (review.status, assignment.valid_until) == ("running", None)


async def test_a_sandbox_has_no_review(city: City, office: Office) -> None:
    async with city.provider.db.write() as session:
        row = await session.get(ClientRow, "warga")
        assert row is not None
        row.status = SANDBOX
    await office.set("warga", application_roles={})
    async with city.provider.db.write() as session:
        with pytest.raises(RoleError, match="in production"):
            await reviews.start_review(
                session,
                city.provider,
                "warga",
                ends_at=clock.now() + timedelta(days=9),
                giver=EVERYTHING,
                actor=CLI,
                reason="Tahunan",
            )


@pytest.mark.parametrize("overrides", [SENDING])
async def test_administrators_review_an_application_without_an_owner(city: City, office: Office) -> None:
    """The one who starts it and the administrators are told when it begins, ends soon and is over; an owner alone."""
    await office.team("warga", dewi="owner", joko="member")
    starter = Actor(office.user("joko"), None, None, None, None)
    for client_id, role in (("sinyal", "chief"), ("warga", "hakim")):
        async with city.provider.db.write() as session:
            new = [NewAssignment(role, "Surat tugas", user_id=city.users["siti"])]
            await give_roles(session, city.provider, client_id, new, giver=EVERYTHING, actor=CLI)
        clock.advance(timedelta(seconds=1))
        async with city.provider.db.write() as session:
            ends_at = clock.now() + timedelta(days=10)
            await reviews.start_review(
                session, city.provider, client_id, ends_at=ends_at, giver=EVERYTHING, actor=starter, reason="Tahunan"
            )
    async with city.provider.db.read() as session:
        assert await reviews.waiting_for_administrators(session, clock.now(), 5) == [("sinyal", 1)]
    for days in (4, 8):
        clock.advance(timedelta(days=days))
        await run_jobs(city.provider, "role_times", "access_reviews")
    async with city.provider.db.read() as session:
        rows = (
            await session.execute(select(Delivery).where(Delivery.kind == "notice").order_by(Delivery.id))
        ).scalars()
        notified = [
            (row.payload["notice"], row.payload["user_id"]) for row in rows if "review" in row.payload["notice"]
        ]
        assert await reviews.waiting_for_administrators(session, clock.now(), 5) == []
    for notice in ("access_review", "access_review_ends", "access_review_over"):
        assert [user for name, user in notified if name == notice] == [office.user("dewi")]
        unowned = sorted(user for name, user in notified if name == notice + "_admin")
        assert unowned == sorted([office.user("joko"), office.user("ratna")])


async def test_every_review_is_reminded_of(city: City, office: Office) -> None:
    """Owners are reminded of each review that ends soon, once for each reminder."""
    async with city.provider.db.write() as session:
        new = [NewAssignment("chief", "Surat tugas", user_id=city.users["siti"])]
        await give_roles(session, city.provider, "sinyal", new, giver=EVERYTHING, actor=CLI)
        new = [NewAssignment("hakim", "Surat tugas", user_id=city.users["siti"])]
        await give_roles(session, city.provider, "warga", new, giver=EVERYTHING, actor=CLI)
        for client_id, days in (("sinyal", 6), ("warga", 5)):
            await reviews.start_review(
                session,
                city.provider,
                client_id,
                ends_at=clock.now() + timedelta(days=days),
                giver=EVERYTHING,
                actor=CLI,
                reason="Tahunan",
            )
    counts = []
    for _ in range(2):
        async with city.provider.db.read() as session:
            due = await reviews.due(session, clock.now(), None)
        for review_id in due:
            async with city.provider.db.write() as session:
                assert not await reviews.follow_review(session, city.provider, review_id)
        counts.append(len(due))
    assert counts == [2, 0]
    async with city.provider.db.read() as session:
        assert (await session.execute(select(AccessReview.reminders))).scalars().all() == [1, 1]


async def test_a_review_ends_roles_in_parts(city: City, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests watch the order of locks: the row of the review is locked before people, grants and sessions."""
    monkeypatch.setattr(reviews, "PART", 2)
    await office.set("sinyal", end_unconfirmed_roles=True, end_session_on_role_loss=True)
    async with city.provider.db.write() as session:
        new = [NewAssignment("chief", "Surat tugas", user_id=city.users[name]) for name in ("siti", "budi", "dewi")]
        await give_roles(session, city.provider, "sinyal", new, giver=EVERYTHING, actor=CLI)
        await reviews.start_review(
            session,
            city.provider,
            "sinyal",
            ends_at=clock.now() + timedelta(days=2),
            giver=EVERYTHING,
            actor=CLI,
            reason="Tahunan",
        )
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("sinyal"), username="dewi", scope="openid roles")
    clock.advance(timedelta(days=3))
    async with city.provider.db.read() as session:
        [review_id] = await reviews.due(session, clock.now(), None)
    for is_left in (True, False):
        async with city.provider.db.write() as session:
            assert await reviews.follow_review(session, city.provider, review_id) is is_left
    async with city.provider.db.read() as session:
        review = (await session.execute(select(AccessReview))).scalar_one()
    assert (review.status, review.unconfirmed, review.ended_unconfirmed) == ("done", 3, True)
