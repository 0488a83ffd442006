"""Webhooks of the team of an application, as on its page in the developer portal. Members read, owners change."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.problems import Problem, ProblemError, not_found, problems
from sso.http.api.schemas import application_webhooks as schemas
from sso.http.api.team_access import team_application
from sso.http.common.late_routes import new_router
from sso.http.common.services import Box, CurrentSettings, Db, Outbox
from sso.platform.outbox.models import Delivery
from sso.portal.webhooks import service
from sso.portal.webhooks.events import EVENT_TYPES
from sso.portal.webhooks.models import ApplicationWebhook

router = new_router(prefix=PREFIX, tags=["applications"])
WEBHOOKS = "/applications/{application_id}/webhooks"

_REFUSALS: dict[str, tuple[int, str, str]] = {
    "url": (422, "/url", "url: must begin with https://, without a username and without #"),
    "events": (422, "/events", f"events: must be some of {', '.join(EVENT_TYPES)}"),
    "too_many": (409, "", f"The application has {service.MAX_WEBHOOKS} webhooks. Remove one to add another."),
    "retired": (409, "", "The application is retired. It cannot get webhooks."),
    "tests": (429, "", "Too many test events were sent. Try again in an hour."),
    "disabled": (409, "", "The webhook is disabled. Enable it first."),
}
"""Status, pointer and text of each refusal; ``unknown`` is 404."""


@contextmanager
def _problems() -> Iterator[None]:
    """Turn a refusal of the use case into a problem."""
    try:
        yield
    except service.WebhookRefused as error:
        if error.code == "unknown":
            raise not_found("webhook") from None
        status, pointer, text = _REFUSALS[error.code]
        mistakes = [ProblemError(pointer=pointer, detail=text)] if pointer else []
        code = {422: "invalid_request", 429: "too_many"}.get(status, "refused")
        raise Problem(status, code, text, mistakes) from None


@router.get(
    WEBHOOKS,
    summary="List the webhooks of a team",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_webhooks(application_id: str, access: Access, db: Db) -> list[schemas.ApplicationWebhook]:
    async with db.read() as session:
        await team_application(access, session, application_id)
        webhooks = await service.webhooks_of(session, application_id)
    return [_representation(webhook) for webhook in webhooks]


@router.post(
    WEBHOOKS,
    status_code=201,
    summary="Add a webhook of a team",
    response_model=schemas.ApplicationWebhookWithSecret,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def add_webhook(
    application_id: str,
    body: schemas.ApplicationWebhookCreate,
    creation: Creation,
    access: Access,
    settings: CurrentSettings,
    box: Box,
) -> Response:
    """Owners add webhooks, at most 5 for each application. The secret is shown once."""

    async def check(session: AsyncSession) -> None:
        await team_application(access, session, application_id, owner=True)

    async def make(session: AsyncSession) -> Created:
        application = await team_application(access, session, application_id, owner=True)
        with _problems():
            webhook, secret = await service.add_webhook(
                session,
                box,
                application,
                url=body.url,
                events=body.events,
                allow_http_loopback=settings.loopback,
                actor=access.actor,
            )
        return _with_secret(webhook, secret)

    return await creation.once(check, make)


@router.delete(
    WEBHOOKS + "/{webhook_id}",
    status_code=204,
    summary="Remove a webhook of a team",
    responses=problems(404),
    **needs("applications:create"),
)
async def remove_webhook(application_id: str, webhook_id: uuid.UUID, access: Access, db: Db) -> Response:
    """Events that wait for the webhook are not sent."""
    async with db.write() as session:
        await team_application(access, session, application_id, owner=True)
        with _problems():
            await service.remove_webhook(session, application_id, webhook_id, actor=access.actor)
    return Response(status_code=204)


@router.post(
    WEBHOOKS + "/{webhook_id}/secret",
    status_code=201,
    summary="Rotate the secret of a webhook of a team",
    response_model=schemas.ApplicationWebhookWithSecret,
    responses=problems(404),
    **needs("applications:create"),
)
async def rotate_secret(
    application_id: str, webhook_id: uuid.UUID, creation: Creation, access: Access, box: Box
) -> Response:
    """Events are signed with the old secret too, for 24 hours."""

    async def check(session: AsyncSession) -> None:
        await team_application(access, session, application_id, owner=True)

    async def make(session: AsyncSession) -> Created:
        with _problems():
            secret = await service.rotate_secret(session, box, application_id, webhook_id, actor=access.actor)
        return _with_secret(await session.get_one(ApplicationWebhook, webhook_id), secret)

    return await creation.once(check, make)


@router.post(
    WEBHOOKS + "/{webhook_id}/enable",
    summary="Enable a webhook of a team",
    responses=problems(404),
    **needs("applications:create"),
)
async def enable_webhook(
    application_id: str, webhook_id: uuid.UUID, access: Access, db: Db
) -> schemas.ApplicationWebhook:
    """A webhook is disabled after 410, or when it fails for 3 days."""
    async with db.write() as session:
        await team_application(access, session, application_id, owner=True)
        with _problems():
            await service.enable(session, application_id, webhook_id, actor=access.actor)
        return _representation(await session.get_one(ApplicationWebhook, webhook_id))


@router.post(
    WEBHOOKS + "/{webhook_id}/test",
    status_code=202,
    summary="Send a test event to a webhook of a team",
    responses=problems(404, 409, 429),
    **needs("applications:create"),
)
async def test_webhook(
    application_id: str, webhook_id: uuid.UUID, access: Access, db: Db, outbox: Outbox
) -> schemas.ApplicationWebhook:
    """The result is shown among the deliveries."""
    async with db.write() as session:
        await team_application(access, session, application_id, owner=True)
        with _problems():
            await service.send_test(session, application_id, webhook_id, actor=access.actor)
        representation = _representation(await session.get_one(ApplicationWebhook, webhook_id))
    outbox.nudge()
    return representation


@router.get(
    "/applications/{application_id}/webhook-deliveries",
    summary="List the last deliveries to the webhooks of a team",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_deliveries(application_id: str, access: Access, db: Db) -> list[schemas.ApplicationWebhookDelivery]:
    """The last 20, the newest first."""
    async with db.read() as session:
        await team_application(access, session, application_id)
        deliveries = await service.deliveries_of(session, application_id)
    return [_delivery(delivery) for delivery in deliveries]


@router.post(
    "/applications/{application_id}/webhook-deliveries/{delivery_id}/retry",
    status_code=202,
    summary="Send an event to a webhook of a team again",
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def send_again(
    application_id: str, delivery_id: uuid.UUID, access: Access, db: Db, outbox: Outbox
) -> schemas.ApplicationWebhookDelivery:
    """The same event with the same `webhook-id`, once its earlier delivery is finished."""
    async with db.write() as session:
        await team_application(access, session, application_id, owner=True)
        with _problems():
            await service.send_again(session, application_id, delivery_id)
        representation = _delivery(await session.get_one(Delivery, delivery_id))
    outbox.nudge()
    return representation


def _with_secret(webhook: ApplicationWebhook, secret: str) -> Created:
    location = f"{PREFIX}{WEBHOOKS.format(application_id=webhook.application_id)}"
    return Created(schemas.ApplicationWebhookWithSecret(webhook=_representation(webhook), secret=secret), location)


def _representation(webhook: ApplicationWebhook) -> schemas.ApplicationWebhook:
    return schemas.ApplicationWebhook.model_validate(webhook, from_attributes=True)


def _delivery(delivery: Delivery) -> schemas.ApplicationWebhookDelivery:
    # Of a request without an answer a team learns nothing more: the reasons together would draw a map of our network.
    error = delivery.last_error
    failure = None if not error else error if "answered" in error else "no answer"
    return schemas.ApplicationWebhookDelivery(
        id=delivery.id,
        webhook_id=uuid.UUID(str(delivery.payload["webhook_id"])),
        type=str(delivery.payload["type"]),
        status=delivery.status,
        attempts=delivery.attempts,
        failure=failure,
        created_at=delivery.created_at,
        finished_at=delivery.finished_at,
    )
