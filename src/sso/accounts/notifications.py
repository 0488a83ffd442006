"""Messages to users, put into the outbox in the transaction of their cause. Their texts are in
``http/common/mail_texts.py``.

Whatever opens something, a code or a link, is encrypted there: a copy of the database tells no code.
"""

from __future__ import annotations

import base64
import uuid
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn import pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users.models import User
from sso.oidc.provider import Provider
from sso.platform.outbox import DeliveryKind, enqueue
from sso.platform.security.tokens import equal, keyed_token
from sso.settings import whole_seconds

NOTICE = DeliveryKind.NOTICE
"""The kind of delivery that is a notice to a person, at their address of the moment when it is sent."""
MESSAGE = DeliveryKind.MESSAGE
"""The kind of delivery that goes to one address or number, whoever's it is."""
_SEAL = "message"


def notify(session: AsyncSession, provider: Provider, user: User, about: str, **values: str) -> None:
    """Tell a person of something by mail, or by SMS where they have no mail; where anything is sent at all.

    Args:
        session: the transaction.
        provider: the provider.
        user: the person.
        about: what about; one of ``NOTICES`` in ``http/common/mail_texts.py``.
        values: what it says besides: a ``link`` among them opens something.
    """
    if not (provider.settings.can_send("email") or provider.settings.can_send("phone")):
        return
    payload = {"notice": about, "user_id": str(user.id), "at": clock.now().isoformat()}
    if values:
        payload["sealed"] = _encrypted(provider, values)
    enqueue(session, NOTICE, payload)


def send(
    session: AsyncSession,
    provider: Provider,
    kind: str,
    to: str,
    about: str,
    locale: str | None,
    *,
    seconds: int = 86400,
    **values: str,
) -> None:
    """Send something to an ``email`` address or a ``phone``.

    Args:
        session: the transaction.
        provider: the provider.
        kind: email or phone.
        to: the address or number.
        about: what about; one of ``NOTICES`` in ``http/common/mail_texts.py``.
        locale: the language.
        seconds: after how long it is of no use any more.
        values: what it says besides.
    """
    now = clock.now()
    until = (now + timedelta(seconds=seconds)).isoformat()
    said = {"kind": kind, "to": to, "about": about, "locale": locale, "at": now.isoformat(), "values": values}
    enqueue(session, MESSAGE, {"sealed": _encrypted(provider, said), "until": until})


async def send_code(
    session: AsyncSession,
    provider: Provider,
    running: RunningFlow,
    kind: str,
    to: str,
    about: str,
    locale: str | None,
    *,
    really: bool = True,
) -> bool:
    """Make a code for a pending flow and send it; tell whether it was: not where too many were, or one just now.

    Args:
        session: the transaction.
        provider: the provider.
        running: the pending flow.
        kind: email or phone.
        to: the address or number.
        about: what about.
        locale: the language.
        really: otherwise nothing is sent, everything looks as if it was, and no code is right.
    """
    code = await pending_flows.new_code(session, provider.box, running, usable=really)
    if code is None:
        return False
    if really:
        seconds = whole_seconds(provider.settings.one_time_code_lifetime)
        send(session, provider, kind, to, about, locale, seconds=seconds, code=code)
    return True


def opened(provider: Provider, payload: Any) -> dict[str, Any]:
    """Return what a delivery says that was encrypted."""
    encrypted = payload.get("sealed")
    if encrypted is None:
        return {}
    found: dict[str, Any] = orjson.loads(provider.box.decrypt(base64.b64decode(encrypted), _SEAL))
    return found


def _encrypted(provider: Provider, said: Any) -> str:
    return base64.b64encode(provider.box.encrypt(orjson.dumps(said), _SEAL)).decode()


def link_token() -> str:
    """Return a value for a link that opens something: unguessable, and short enough for a mail."""
    return uuid.uuid4().hex + uuid.uuid4().hex


def not_me_token(provider: Provider, session_id: uuid.UUID) -> str:
    """Return what the link "this was not me" holds: which session, and that we made it. Nothing is stored for it."""
    return f"{session_id.hex}.{keyed_token(provider.box.derived_keys('not-me')[0], session_id.hex)}"


def not_me_session(provider: Provider, token: str) -> uuid.UUID | None:
    """Return the session that such a link is about."""
    named, _, proof = token.partition(".")
    keys = provider.box.derived_keys("not-me")
    if not any([equal(proof, keyed_token(key, named)) for key in keys]):
        return None
    return uuid.UUID(hex=named)
