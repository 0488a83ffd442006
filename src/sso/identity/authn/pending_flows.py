"""What takes a person several pages, kept between them: encrypted, bound to the browser, over after a while.

A code that was sent is stored as a keyed hash. It may be tried a few times only, and each try is counted before it is
looked at, so that many at once are no more than as many one after the other.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import orjson
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn.models import PendingFlow
from sso.platform.db import delete_batch, fetch, table_of
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import random_token, token_hash

Purpose = Literal["sign_in", "sign_up", "recover", "contact", "try", "invite", "setup", "units", "employees"]

CODE_DIGITS = 6
MAX_ATTEMPTS = 5
MAX_CODES = 5
RESEND_SECONDS = 30
MAX_OF_ACCOUNT: dict[Purpose, int] = {"sign_in": 50, "contact": 10, "try": 10, "invite": 5, "units": 5, "employees": 5}
"""How many of a purpose may be under way for one account. Recoveries are not among them: anybody may begin one, and
nobody may push out somebody else's; they are limited by network."""
_PURPOSE = "ceremony"
_flows = table_of(PendingFlow)
_f = _flows.c
_MINE = _f.token_hash == bindparam("flow")
_COUNT_ATTEMPT = (
    update(_flows)
    .where(_MINE, _f.attempts < bindparam("maximum"))
    .values(attempts=_f.attempts + 1)
    .returning(_f.attempts)
)


@dataclass(slots=True)
class RunningFlow:
    """A pending flow: ``token`` names it, ``data`` is what has been said so far."""

    token: str
    row: PendingFlow
    data: dict[str, object]

    @property
    def user_id(self) -> uuid.UUID | None:
        """Whom it is about; None where that is nobody: the person is not told."""
        return self.row.user_id

    @property
    def channel(self) -> str:
        """The channel that the user chose for codes, ``sms`` or ``whatsapp``; empty where none was chosen."""
        return str(self.data.get("channel") or "")


_OF_ACCOUNT = (_f.user_id == bindparam("user_id")) & (_f.purpose == bindparam("purpose"))
_NEWEST = select(_f.token_hash).where(_OF_ACCOUNT).order_by(_f.created_at.desc()).limit(bindparam("others"))
_DELETE_OLDEST = delete(_flows).where(_OF_ACCOUNT, _f.token_hash.not_in(_NEWEST))
_INSERT = insert(_flows)


async def begin(
    session: AsyncSession,
    box: SecretBox,
    purpose: Purpose,
    browser: str,
    data: dict[str, object],
    *,
    user_id: uuid.UUID | None = None,
    seconds: int,
    end: str = "",
) -> RunningFlow:
    """Begin a pending flow.

    Args:
        session: the transaction.
        box: encrypts what is said.
        purpose: what it is for.
        browser: the random value that names the browser.
        data: what is known so far.
        user_id: whom it is about.
        seconds: how long it may take. Of what only the account itself begins, the oldest makes room for the newest.
        end: what its token ends with, so that its page can say which application it was for when the pending flow is
        over.
    """
    now, token = clock.now(), random_token() + end
    if user_id is not None and purpose in MAX_OF_ACCOUNT:
        account = {"user_id": user_id, "purpose": purpose}
        await fetch(session, _DELETE_OLDEST, {**account, "others": MAX_OF_ACCOUNT[purpose] - 1})
    values = {
        "token_hash": token_hash(token),
        "browser_hash": token_hash(browser),
        "purpose": purpose,
        "user_id": user_id,
        "encrypted": box.encrypt(orjson.dumps(data), _PURPOSE),
        "codes_sent": 0,
        "attempts": 0,
        "created_at": now,
        "expires_at": now + timedelta(seconds=seconds),
    }
    await fetch(session, _INSERT, values)
    return RunningFlow(token, PendingFlow(**values), data)


async def recall(
    session: AsyncSession, box: SecretBox, purpose: Purpose, token: str, browser: str
) -> RunningFlow | None:
    """Return a pending flow of this browser; None where it is unknown, over, or another browser's."""
    row = await session.get(PendingFlow, token_hash(token)) if token and browser else None
    if row is None or row.purpose != purpose or row.expires_at <= clock.now():
        return None
    if not hmac.compare_digest(row.browser_hash, token_hash(browser)):
        return None
    return RunningFlow(token, row, orjson.loads(box.decrypt(row.encrypted, _PURPOSE)))


_LOCK = select(_f.token_hash).where(_MINE).with_for_update(key_share=True)
_SET = update(_flows).where(_MINE)


async def lock(session: AsyncSession, running: RunningFlow) -> bool:
    """Lock a pending flow until the transaction ends: before what proves something is looked at and used up. Tell
    whether it has not ended."""
    return bool(await fetch(session, _LOCK, {"flow": running.row.token_hash}))


async def keep(
    session: AsyncSession, box: SecretBox, running: RunningFlow, *, anew: bool = False, code_used: bool = False
) -> None:
    """Keep what has been said.

    Args:
        session: the transaction.
        box: encrypts what has been said.
        running: the pending flow.
        anew: tries are counted anew, because something else is asked for now.
        code_used: the code that was sent is not valid any more, and is not sent again over another channel.
    """
    values: dict[str, object] = {"flow": running.row.token_hash}
    values["encrypted"] = box.encrypt(orjson.dumps(running.data), _PURPOSE)
    if anew:
        values["attempts"] = 0
    if code_used:
        values["code_hash"] = None
    await fetch(session, _SET, values)


_SET_CODE = update(_flows).where(_MINE, _f.codes_sent == bindparam("sent_before")).returning(_f.token_hash)


async def new_code(session: AsyncSession, box: SecretBox, running: RunningFlow, *, usable: bool = True) -> str | None:
    """Return a code to be sent; None where too many were, or the last only a moment ago. Where it is not ``usable``,
    because it is not sent, no code is right."""
    now = clock.now()
    row = running.row
    if row.codes_sent >= MAX_CODES:
        return None
    if row.code_sent_at is not None and now < row.code_sent_at + timedelta(seconds=RESEND_SECONDS):
        return None
    code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
    hashed = _hashed(box, running.token, code) if usable else secrets.token_bytes(32)
    values = {"code_hash": hashed, "code_sent_at": now, "codes_sent": row.codes_sent + 1, "attempts": 0}
    if not await fetch(session, _SET_CODE, {"flow": row.token_hash, "sent_before": row.codes_sent, **values}):
        return None
    row.code_hash, row.code_sent_at, row.codes_sent, row.attempts = hashed, now, row.codes_sent + 1, 0
    return code


async def count_attempt(session: AsyncSession, running: RunningFlow, maximum: int = MAX_ATTEMPTS) -> bool:
    """Count a try; tell whether it may still be looked at. Commit before it is: see the module."""
    values = {"flow": running.row.token_hash, "maximum": maximum}
    return (await fetch(session, _COUNT_ATTEMPT, values)).first() is not None


def is_code(box: SecretBox, running: RunningFlow, typed: str, valid: timedelta) -> bool:
    """Tell whether the code that was sent was typed, in time."""
    row, digits = running.row, "".join(char for char in typed if char.isascii() and char.isdigit())
    if row.code_hash is None or row.code_sent_at is None or clock.now() > row.code_sent_at + valid:
        return False
    return any([hmac.compare_digest(row.code_hash, digest) for digest in _hashes(box, running.token, digits)])


def name_of_code(running: RunningFlow) -> str:
    """Return what names the code that was made last, for :func:`is_current`."""
    return f"{running.row.token_hash.hex()} {running.row.codes_sent}"


async def is_current(session: AsyncSession, named: str) -> bool:
    """Tell whether a code can still be used: it was not used, its flow has not ended, and no newer code was made."""
    token_hash_hex, _, number = named.partition(" ")
    row = await session.get(PendingFlow, bytes.fromhex(token_hash_hex))
    if row is None or row.code_hash is None or row.expires_at <= clock.now():
        return False
    return str(row.codes_sent) == number


_FINISH = delete(_flows).where(_MINE).returning(_f.token_hash)
_END_THOSE_OF = delete(_flows).where(_f.user_id == bindparam("user_id"))


async def finish(session: AsyncSession, running: RunningFlow) -> bool:
    """End a pending flow; tell whether it had not ended. Exactly one of many callers wins."""
    return bool(await fetch(session, _FINISH, {"flow": running.row.token_hash}))


async def end_those_of(session: AsyncSession, user_id: uuid.UUID) -> None:
    """End every pending flow of a person: what opened the account has changed."""
    await fetch(session, _END_THOSE_OF, {"user_id": user_id})


async def delete_expired(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete expired pending flows, at most ``limit``; return how many."""
    return await delete_batch(session, PendingFlow, PendingFlow.expires_at, limit, PendingFlow.expires_at <= now)


def _hashed(box: SecretBox, token: str, code: str) -> bytes:
    return _hashes(box, token, code)[0]


def _hashes(box: SecretBox, token: str, code: str) -> list[bytes]:
    return [hmac.digest(key, f"{token} {code}".encode(), "sha256") for key in box.derived_keys("code")]
