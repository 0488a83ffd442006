"""WhatsApp messages over Meta's Cloud API, with approved templates: codes with an authentication template, notices with
a utility template.

Nothing that the API answers is written into the log or the database but its error code: its texts may contain numbers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from sso.platform.outbox.dev_mailbox import keep
from sso.platform.outbox.models import Receipt
from sso.platform.outbox.phone import PhoneMessage
from sso.platform.outbox.worker import Abandon, ReceiverAnswered, Retry
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.platform.security.outbound_errors import OutboundRefused
from sso.settings import Settings

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Answer, Outbound

TOKEN_INVALID = 190
ERRORS = {
    10: "the app lacks a permission",
    100: "the request is not valid",
    TOKEN_INVALID: "the access token is not valid or has expired",
    368: "the account is blocked for policy violations",
    130429: "too many messages",
    130472: "the number is part of an experiment of Meta",
    131000: "WhatsApp reports an unknown error",
    131005: "access is denied",
    131008: "a parameter is missing",
    131009: "a parameter is not valid",
    131016: "WhatsApp is temporarily unavailable",
    131021: "sender and recipient are the same number",
    131026: "the message cannot be delivered: the number is not on WhatsApp, or its app is too old",
    131030: "the recipient is not in the list of test numbers",
    131031: "the account is locked",
    131042: "the payment method of the account does not work",
    131045: "the sender number is not registered",
    131047: "more than 24 hours have passed since the recipient's last message",
    131049: "Meta did not deliver the message, to limit messages to this user",
    131050: "the recipient has stopped these messages",
    131056: "too many messages to this recipient",
    132000: "the template has another number of parameters",
    132001: "the template does not exist in this language, or is not approved",
    132005: "the text of the template is too long",
    132007: "the template violates a policy",
    132012: "a parameter of the template has the wrong form",
    132015: "the template is paused because of its quality",
    132016: "the template is disabled",
    133010: "the sender number is not registered",
}
"""What the error codes of the Cloud API mean."""
TEMPORARY = frozenset({1, 2, 4, 80007, 130429, 131000, 131016, 131057, 133004})
"""Error codes after which a retry may succeed. 131056 is not one: the limit for one recipient lasts too long."""
MAX_TEMPLATE_TEXT = 1024
MAX_STATUSES = 1000
RECEIPTS = {"sent": Receipt.SENT, "delivered": Receipt.DELIVERED, "read": Receipt.READ, "failed": Receipt.FAILED}
"""What the statuses of the webhook mean. Others say nothing about the delivery."""


@dataclass(frozen=True, slots=True)
class Status:
    """A delivery receipt: which delivery (``delivery_id`` is what we sent with the message, where the receipt has it),
    what happened, when, and the error code (0: none)."""

    delivery_id: UUID | None
    key: bytes
    receipt: Receipt
    at: datetime
    code: int


class WhatsApp:
    """Sends messages with the Cloud API.

    Args:
        settings: the sender, its token and the templates.
        outbound: sends the request.
    """

    def __init__(self, settings: Settings, outbound: Outbound) -> None:
        self._settings, self._outbound = settings, outbound

    async def send(self, message: PhoneMessage) -> bytes | None:
        """See :class:`sso.platform.outbox.phone.PhoneChannel`."""
        settings = self._settings
        if settings.development_outbox:
            record = {"kind": "whatsapp", "to": message.to, "subject": "", "text": message.whatsapp, "html": ""}
            keep(settings, record)
            return None
        url = f"{settings.whatsapp_api_url}/{settings.whatsapp_phone_number_id}/messages"
        headers = {"Content-Type": "application/json", **self._authorization()}
        try:
            answer = await self._outbound.call("POST", url, headers, orjson.dumps(self._body(message)))
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if answer.status == 200:
            return _key(_message_id(answer.body))
        raise _failure(answer)

    async def check(self) -> str:
        """Ask the API for the sender number; return its name, quality and status in words.

        Raises:
            Abandon: when the token or the number is refused.
            Exception: when the API cannot be reached.
        """
        fields = "verified_name,quality_rating,name_status"
        url = f"{self._settings.whatsapp_api_url}/{self._settings.whatsapp_phone_number_id}?fields={fields}"
        answer = await self._outbound.call("GET", url, self._authorization())
        if answer.status != 200:
            raise _failure(answer)
        number = _object(answer.body)
        return f"sender {number.get('verified_name', '?')}, quality {number.get('quality_rating', '?')}"

    def _authorization(self) -> dict[str, str]:
        settings, token = self._settings, ""
        if settings.whatsapp_token_file is not None:
            try:
                token = settings.whatsapp_token_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise Abandon("WhatsApp: the token file cannot be read (SSO_WHATSAPP_TOKEN_FILE)") from None
        elif settings.whatsapp_token is not None:
            token = settings.whatsapp_token.get_secret_value()
        if not token or not token.isascii() or not token.isprintable():
            raise Abandon("WhatsApp: there is no access token (SSO_WHATSAPP_TOKEN)")
        return {"Authorization": f"Bearer {token}"}

    def _body(self, message: PhoneMessage) -> dict[str, object]:
        settings = self._settings
        templates = settings.whatsapp_code_templates if message.code else settings.whatsapp_notice_templates
        language, name = _template(templates, message.locale)
        text = message.code or message.whatsapp[:MAX_TEMPLATE_TEXT]
        parameters = [{"type": "text", "text": text}]
        components: list[dict[str, object]] = [{"type": "body", "parameters": parameters}]
        if message.code:  # the button copies the code: it needs the code once more
            components.append({"type": "button", "sub_type": "url", "index": "0", "parameters": parameters})
        return {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": message.to,
            "type": "template",
            "template": {"name": name, "language": {"code": language}, "components": components},
            "biz_opaque_callback_data": message.reference,
        }


def is_signed(body: bytes, header: str, secret: str) -> bool:
    """Tell whether ``X-Hub-Signature-256`` is the HMAC of a body with the app secret, in constant time."""
    computed = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(computed.encode(), header.encode("utf-8", "surrogatepass"))


def statuses_in(body: bytes, phone_number_id: str) -> list[Status]:
    """Return the receipts in a signed request of the webhook for our number, at most :data:`MAX_STATUSES`.

    Raises:
        ValueError: when the request has another form.
    """
    try:
        document = read_json(body, several_lines=None)
    except (NotJson, DocumentRefused) as error:
        raise ValueError(str(error)) from None
    statuses: list[Status] = []
    for value in _values(document):
        metadata = value.get("metadata")
        if not isinstance(metadata, dict) or metadata.get("phone_number_id") != phone_number_id:
            continue
        for entry in _dicts(value.get("statuses")):
            status = _status(entry)
            if status is not None and len(statuses) < MAX_STATUSES:
                statuses.append(status)
    return statuses


def _values(document: object) -> Iterator[Mapping[str, object]]:
    if not isinstance(document, dict) or document.get("object") != "whatsapp_business_account":
        raise ValueError("it is no webhook of WhatsApp")
    for entry in _dicts(document.get("entry")):
        for change in _dicts(entry.get("changes")):
            value = change.get("value")
            if change.get("field") == "messages" and isinstance(value, dict):
                yield value


def _status(entry: Mapping[str, object]) -> Status | None:
    receipt, message_id, stated = RECEIPTS.get(str(entry.get("status"))), entry.get("id"), str(entry.get("timestamp"))
    if receipt is None or not isinstance(message_id, str) or not (stated.isascii() and stated.isdigit()):
        return None
    try:
        at = datetime.fromtimestamp(int(stated), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    errors = _dicts(entry.get("errors"))
    code = errors[0].get("code") if errors else 0
    return Status(_uuid(entry), _key(message_id), receipt, at, code if isinstance(code, int) else 0)


def _uuid(entry: Mapping[str, object]) -> UUID | None:
    reference = entry.get("biz_opaque_callback_data")
    try:
        return UUID(reference) if isinstance(reference, str) else None
    except ValueError:
        return None


def _dicts(value: object) -> list[dict[str, object]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def error_text(code: int) -> str:
    """Return what an error code means."""
    return f"WhatsApp: {ERRORS.get(code, 'an error')} ({code})"


def _failure(answer: Answer) -> Exception:
    """Return the exception for an answer that is none of success."""
    error = _object(answer.body).get("error")
    code = error.get("code", 0) if isinstance(error, dict) else 0
    code = code if isinstance(code, int) else 0
    text = error_text(code) if code else f"WhatsApp answered {answer.status}"
    if code in TEMPORARY or answer.status in (408, 429) or answer.status >= 500:
        status = 429 if code in (4, 80007, 130429) else answer.status
        return Retry(ReceiverAnswered(text, status), answer.retry_after)
    return Abandon(text)


def _object(body: bytes) -> dict[str, object]:
    try:
        document = read_json(body)
    except (NotJson, DocumentRefused):
        return {}
    return document if isinstance(document, dict) else {}


def _message_id(body: bytes) -> str:
    messages = _dicts(_object(body).get("messages"))
    return str(messages[0].get("id", "")) if messages else ""


def _key(message_id: str) -> bytes:
    """Return the hash of an id of WhatsApp, which contains the telephone number."""
    return hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).digest()


def _template(templates: list[str], locale: str) -> tuple[str, str]:
    """Return language and name of the template for a locale; the first one where there is none."""
    pairs = [entry.partition("=")[::2] for entry in templates]
    return next((pair for pair in pairs if pair[0].partition("_")[0] == locale), pairs[0])
