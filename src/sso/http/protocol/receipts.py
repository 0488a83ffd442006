"""The webhook to which Meta sends the delivery receipts of WhatsApp messages (Cloud API).

A receipt is only as trustworthy as its signature: ``X-Hub-Signature-256``, the HMAC of the body as it came with the app
secret. A request is answered once its receipts are stored: Meta repeats it otherwise.
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sso.http.common.late_routes import new_router
from sso.http.protocol.current import CallerAddress, CurrentSite
from sso.platform.outbox.receipts import apply_receipts
from sso.platform.outbox.whatsapp import is_signed, statuses_in
from sso.platform.security.rate_limits import TooManyFailures
from sso.platform.security.tokens import equal

log = logging.getLogger(__name__)

router = new_router()

RECEIPTS = "/receipts/whatsapp"
MAX_CHALLENGE_CHARS = 200


@router.get(RECEIPTS)
async def verify(request: Request, site: CurrentSite, address: CallerAddress) -> Response:
    """Answer the challenge with which Meta checks the address of the webhook."""
    token, query = site.settings.whatsapp_verify_token, request.query_params
    if token is None:
        return Response(status_code=404)
    try:
        await site.limits.receipts.take(address)
    except TooManyFailures as error:
        return _too_many(error)
    challenge = query.get("hub.challenge", "")
    is_known = equal(query.get("hub.verify_token", ""), token.get_secret_value())
    is_plain = challenge.isascii() and challenge.isalnum() and len(challenge) <= MAX_CHALLENGE_CHARS
    if not is_known or query.get("hub.mode") != "subscribe" or not is_plain:
        return Response(status_code=403)
    return PlainTextResponse(challenge)


@router.post(RECEIPTS)
async def receive(request: Request, site: CurrentSite, address: CallerAddress) -> Response:
    """Store delivery receipts."""
    settings, secret = site.settings, site.settings.whatsapp_app_secret
    if secret is None or not settings.whatsapp_phone_number_id:
        return Response(status_code=404)
    try:
        await site.limits.receipts.take(address)
    except TooManyFailures as error:
        return _too_many(error)
    body = await request.body()
    if not is_signed(body, request.headers.get("x-hub-signature-256", ""), secret.get_secret_value()):
        site.provider.usage.count("message", label="whatsapp:forged")
        return Response(status_code=401)
    try:
        statuses = statuses_in(body, settings.whatsapp_phone_number_id)
    except ValueError:
        log.warning("a signed request of the WhatsApp webhook cannot be read")
        return Response(status_code=200)
    if statuses:
        async with site.provider.db.write() as session:
            receipts = await apply_receipts(session, statuses)
        for receipt in receipts:
            site.provider.usage.count("message", label=f"whatsapp:{receipt}")
        site.worker.nudge()
    return Response(status_code=200)


def _too_many(error: TooManyFailures) -> Response:
    return Response(status_code=429, headers={"Retry-After": str(error.retry_after)})
