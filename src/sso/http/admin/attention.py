"""What needs an administrator today: each item with its number, and the page where it is done.

An item is read only for who may see its page. Every read is bounded: more than ``MANY`` of something is "more than".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.access_reviews import waiting_for_administrators
from sso.accounts.role_assignments import GIVES
from sso.clients import store as clients
from sso.http.common.i18n import N_
from sso.http.console.access import ADMIN, Here
from sso.identity.users import merge_proposals as merging
from sso.platform.keys.service import list_keys
from sso.platform.outbox import store as deliveries
from sso.portal.applications import count_waiting
from sso.portal.diagnosis import ENDS_SOON_DAYS
from sso.settings import Settings

MANY = 1000
LATE_KEYS = timedelta(days=7)
"""How long after the rotation was due the keys are late."""
REVIEWS = 5
"""How many applications with an access review are named."""
FAILING = 5
"""How many failing receivers are named."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to do.

    Args:
        count: how many.
        text: what it is, with ``%(count)s``.
        link: the page where it is done.
        urgent: whether something does not work until it is done.
        detail: what it is about; a name, not translated.
    """

    count: int
    text: str
    link: str
    urgent: bool = False
    detail: str = ""


async def attention_of(session: AsyncSession, settings: Settings, here: Here) -> list[Item]:
    """Return what the administrator has to do, the urgent first."""
    items: list[Item] = []
    if here.may("clients:read"):
        groups = sorted(here.groups) if here.groups is not None else None
        waiting = await count_waiting(session, groups)
        items.append(
            Item(waiting, N_("%(count)s applications wait for approval"), ADMIN + "/applications?shown=waiting")
        )
    if here.may("deliveries:read"):
        items += await _deliveries(session)
    if here.may("clients:read") and here.groups is None:
        soon = clock.now() + timedelta(days=ENDS_SOON_DAYS)
        secrets = await clients.count_secrets_ending(session, clock.now(), soon)
        items.append(Item(secrets, N_("%(count)s client secrets expire within 14 days"), ADMIN + "/applications"))
    if here.may("keys:read"):
        items += await _keys(session, settings)
    if here.may(GIVES):
        for client_id, count in await waiting_for_administrators(session, clock.now(), REVIEWS):
            link = f"{ADMIN}/applications/{client_id}/roles?unconfirmed=1"
            text = N_("%(count)s roles of %(detail)s are not confirmed in the access review")
            items.append(Item(count, text, link, detail=client_id))
    if here.may("users:merge"):
        proposals = await merging.count_open(session)
        items.append(Item(proposals, N_("%(count)s imported users may have an account already"), ADMIN + "/imports"))
    return sorted((item for item in items if item.count), key=lambda item: not item.urgent)


async def _deliveries(session: AsyncSession) -> Sequence[Item]:
    since = clock.now() - timedelta(days=1)
    failed = await deliveries.count_failed_messages(session, since, MANY)
    items = [
        Item(
            failed,
            N_("%(count)s messages to users failed in the last 24 hours"),
            ADMIN + "/deliveries?status=given_up&kind=message",
            urgent=True,
        )
    ]
    for failing in await deliveries.failing_receivers(session, FAILING):
        link = f"{ADMIN}/deliveries" + (f"?client={failing.client_id}" if failing.client_id else "")
        text = N_("%(count)s deliveries to %(detail)s fail")
        items.append(Item(failing.count, text, link, urgent=True, detail=failing.name))
    return items


async def _keys(session: AsyncSession, settings: Settings) -> Sequence[Item]:
    if not settings.key_rotation_interval:
        return []
    late = clock.now() - settings.key_rotation_interval - LATE_KEYS
    old = [
        key
        for key in await list_keys(session)
        if key.status == "active" and key.activated_at and key.activated_at < late
    ]
    return [
        Item(len(old), N_("%(count)s signing keys are older than the rotation interval"), ADMIN + "/keys", urgent=True)
    ]
