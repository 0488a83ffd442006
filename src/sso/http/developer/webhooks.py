"""The page of the webhooks of an application: servers of the team that receive its events."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.common.field_errors import FieldError
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Box, CurrentSettings, Db, Outbox
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, cut, ticked
from sso.http.console.access import OwnForm, There
from sso.http.console.delivery_texts import STATUS, reason_text
from sso.http.developer.application_page import APPS, Owner, Reader, application_page, present
from sso.platform.db import Database
from sso.platform.outbox.models import Delivery
from sso.platform.security.encryption import SecretBox
from sso.portal.webhooks import service as webhooks
from sso.portal.webhooks.events import TEST
from sso.portal.webhooks.models import ApplicationWebhook

router = new_router()
NO_ANSWER = N_(
    "The receiver could not be reached. The address must be public and answer with https and a valid certificate."
)

EVENT_TEXTS = {
    "secret.created": N_("Client secret created"),
    "secret.revoked": N_("Client secret revoked"),
    "secret.expires_soon": N_("Client secret expires soon"),
    "application.submitted": N_("Application submitted for approval"),
    "application.approved": N_("Application approved"),
    "application.refused": N_("Application sent back by an administrator"),
    "application.suspended": N_("Application suspended"),
    "application.resumed": N_("Application resumed"),
    "application.retired": N_("Application retired"),
    "settings.changed": N_("Settings changed by an administrator"),
    "member.added": N_("Member added to the team"),
    "member.removed": N_("Member removed from the team"),
    "logout_notice.failed": N_("Logout notice failed permanently"),
    "sign_in.first": N_("First sign-in in production"),
    "privileges.decided": N_("Privilege granted or revoked"),
}
DISABLED_TEXTS = {
    "gone": N_("Disabled: the server answered 410 (Gone)."),
    "failing": N_("Disabled: the server did not accept any event for 3 days."),
}
REFUSED: dict[str, tuple[str, str]] = {
    "url": ("url", N_("Enter an address that begins with https://, without a username and without #.")),
    "events": ("", N_("Choose at least one event.")),
    "too_many": ("", N_("This application has 5 webhooks. Remove one to add another.")),
    "retired": ("", N_("This application is retired. It cannot get webhooks.")),
    "tests": ("", N_("Too many test events were sent. Try again in an hour.")),
    "disabled": ("", N_("This webhook is disabled. Enable it first.")),
    "unknown": ("", N_("This webhook or delivery no longer exists, or the delivery is still waiting.")),
}
DONE = {
    "test": N_("The test event is on its way. Reload this page to see the result."),
    "again": N_("The event is sent again. Reload this page to see the result."),
    "remove": N_("The webhook was removed."),
    "enable": N_("The webhook was enabled."),
}


class WebhookForm(FormModel):
    """A change: ``add``, ``remove <id>``, ``rotate <id>``, ``enable <id>``, ``test <id>`` or ``again <delivery>``."""

    choice: ChoiceField = Choice()
    url: Annotated[str, cut(webhooks.MAX_URL_CHARS + 1)] = ""


@dataclass(frozen=True, slots=True)
class NewWebhookSecret:
    """A secret that is shown once. ``is_rotated``: the old secret signs too, for a day."""

    url: str
    secret: str
    is_rotated: bool


@dataclass(frozen=True, slots=True)
class PageState:
    """What the page shows after a form: a mistake with what was typed, or a secret, or what was done."""

    errors: Sequence[FieldError] = ()
    typed: Mapping[str, str] | None = None
    secret: NewWebhookSecret | None = None
    done: str = ""


WebhookChange = Annotated[Sent[WebhookForm], Depends(OwnForm(WebhookForm, "webhooks {application_id}"))]


@router.get(APPS + "/{application_id}/webhooks")
async def webhooks_page(request: Request, there: Reader, db: Db) -> Response:
    """Show the webhooks of an application, and their last deliveries."""
    done = request.query_params.get("done", "")
    return await _page(request, there, db, PageState(done=DONE.get(done, "")))


@router.post(APPS + "/{application_id}/webhooks")
async def change_webhooks(
    request: Request, there: Owner, sent: WebhookChange, db: Db, settings: CurrentSettings, box: Box, outbox: Outbox
) -> Response:
    """Add a webhook, remove one, rotate its secret, enable it, or send something."""
    act, target = sent.form.choice
    secret: NewWebhookSecret | None
    try:
        async with db.write() as session:
            if act == "add":
                secret = await _add(request, session, there, sent, box, allow_http_loopback=settings.loopback)
            else:
                secret = await _change(session, there, act, read_id(target), box)
    except webhooks.WebhookRefused as error:
        field, text = REFUSED[error.code]
        typed = sent.typed if act == "add" else None
        return await _page(request, there, db, PageState([FieldError(field, text)], typed), 422 if typed else 409)
    outbox.nudge()
    if secret is not None:
        return await _page(request, there, db, PageState(secret=secret))
    done = f"?done={act}" if act in DONE else ""
    return RedirectResponse(f"{APPS}/{there.application_id}/webhooks{done}", 303)


async def _add(
    request: Request,
    session: AsyncSession,
    there: There,
    sent: Sent[WebhookForm],
    box: SecretBox,
    *,
    allow_http_loopback: bool,
) -> NewWebhookSecret:
    application = await present(request, session, there.application_id)
    webhook, secret = await webhooks.add_webhook(
        session,
        box,
        application,
        url=sent.form.url,
        events=ticked(sent.typed, "event "),
        allow_http_loopback=allow_http_loopback,
        actor=there.here.as_actor,
    )
    return NewWebhookSecret(webhook.url, secret, False)


async def _change(
    session: AsyncSession, there: There, act: str, target: uuid.UUID | None, box: SecretBox
) -> NewWebhookSecret | None:
    """Carry out a change of one webhook, or send a delivery again; return a new secret.

    Raises:
        WebhookRefused: when it cannot be done.
    """
    application_id, actor = there.application_id, there.here.as_actor
    if target is None:
        raise webhooks.WebhookRefused("unknown")
    if act == "rotate":
        secret = await webhooks.rotate_secret(session, box, application_id, target, actor=actor)
        rotated = await session.get(ApplicationWebhook, target)
        return NewWebhookSecret(rotated.url if rotated is not None else "", secret, True)
    if act == "again":
        await webhooks.send_again(session, application_id, target)
    elif act == "remove":
        await webhooks.remove_webhook(session, application_id, target, actor=actor)
    elif act == "enable":
        await webhooks.enable(session, application_id, target, actor=actor)
    elif act == "test":
        await webhooks.send_test(session, application_id, target, actor=actor)
    return None


async def _page(request: Request, there: There, db: Database, state: PageState, status: int = 200) -> Response:
    async with db.read() as session:
        stored = await webhooks.webhooks_of(session, there.application_id)
        deliveries = await webhooks.deliveries_of(session, there.application_id)
    urls = {str(webhook.id): webhook.url for webhook in stored}
    can_send = {str(webhook.id) for webhook in stored if webhook.enabled}
    words = translations(locale_of(request)).gettext
    return await application_page(
        request,
        there,
        "webhooks",
        "developer_webhooks.html",
        status,
        purpose="webhooks",
        webhooks=stored,
        overlapping={webhook.id for webhook in stored if webhooks.has_old_secret(webhook)},
        disabled_texts=DISABLED_TEXTS,
        event_texts=EVENT_TEXTS,
        deliveries=[_delivery_view(row, urls, can_send, words) for row in deliveries],
        full=len(stored) >= webhooks.MAX_WEBHOOKS,
        most=webhooks.MAX_WEBHOOKS,
        statuses=STATUS,
        errors=list(state.errors),
        typed=state.typed or {},
        chosen_events=ticked(state.typed, "event ") if state.typed is not None else list(EVENT_TEXTS),
        secret=state.secret,
        done=state.done,
    )


def _reason(error: str | None, words: Callable[[str], str]) -> str:
    """Return why a delivery failed, as its team may know it: the status that the receiver answered with, and of a
    request that got no answer nothing more, because the reasons together would draw a map of our network."""
    if not error or "answered" in error:
        return reason_text(error, words)
    return words(NO_ANSWER)


def _delivery_view(
    row: Delivery, urls: Mapping[str, str], can_send: set[str], words: Callable[[str], str]
) -> dict[str, object]:
    """Return a row of the list of deliveries."""
    webhook_id, type_ = str(row.payload.get("webhook_id")), str(row.payload.get("type"))
    return {
        "id": row.id,
        "at": row.created_at,
        "type": type_,
        "text": N_("Test event") if type_ == TEST else EVENT_TEXTS.get(type_, type_),
        "url": urls.get(webhook_id, ""),
        "status": row.status,
        "attempts": row.attempts,
        "reason": _reason(row.last_error, words),
        "again": row.finished_at is not None and webhook_id in can_send,
    }
