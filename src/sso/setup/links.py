"""The one-time link with which the first administrator sets up their account.

``sso setup`` makes the link and prints it. There is one at a time: a new link ends the one before. Only the hash of the
token is stored; the name and addresses are encrypted. A link ends when it is used, after :data:`LIFETIME`, and when
there is an administrator, unless it was made beside one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

import orjson
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.identity.users import store as users
from sso.identity.users.service import ADMIN
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import random_token, token_hash
from sso.setup.models import SetupLink

LIFETIME = timedelta(hours=24)
PATH = "/setup"
_PURPOSE = "setup-link"


class LinkEnded(Refusal):
    """The link is unknown, was used, has expired, or there is an administrator already."""

    status = 400
    code = "setup_link_ended"


@dataclass(frozen=True, slots=True)
class NewAdministrator:
    """What ``sso setup`` knows of the administrator; the person may change it on the page.

    Args:
        name: the full name.
        username: the name to sign in with.
        email: the e-mail address.
    """

    name: str = ""
    username: str = ""
    email: str = ""


async def has_administrator(session: AsyncSession) -> bool:
    """Tell whether somebody is an administrator who can sign in."""
    return bool(await users.page_of_users(session, None, 1, role=ADMIN, status="active"))


async def new_link(session: AsyncSession, box: SecretBox, person: NewAdministrator, *, actor: Actor) -> str:
    """Make a link and end the one before.

    Args:
        session: the transaction.
        box: encrypts what is known of the person.
        person: what is known of the new administrator.
        actor: who makes the link.

    Returns:
        The path of the link with its token. It is not stored and cannot be shown again.
    """
    now, token = clock.now(), random_token()
    beside = await has_administrator(session)
    await session.execute(delete(SetupLink).execution_options(synchronize_session=False))
    encrypted = box.encrypt(orjson.dumps(asdict(person)), _PURPOSE)
    times = {"created_at": now, "expires_at": now + LIFETIME}
    session.add(SetupLink(token_hash=token_hash(token), encrypted=encrypted, beside=beside, **times))
    record(session, "setup.link_created", actor=actor.name, data={"beside": beside})
    return f"{PATH}?c={token}"


async def find_link(session: AsyncSession, box: SecretBox, token: str) -> NewAdministrator:
    """Return for whom a link was made, without using it.

    Raises:
        LinkEnded: when the link cannot be used (any more).
    """
    row = await session.get(SetupLink, token_hash(token)) if token else None
    if row is None or row.expires_at <= clock.now():
        raise LinkEnded
    if not row.beside and await has_administrator(session):
        raise LinkEnded
    return NewAdministrator(**orjson.loads(box.decrypt(row.encrypted, _PURPOSE)))


async def use_link(session: AsyncSession, token: str) -> None:
    """Use a link up, in the transaction that makes the administrator.

    Raises:
        LinkEnded: when the link cannot be used (any more).
    """
    used = delete(SetupLink).where(SetupLink.token_hash == token_hash(token), SetupLink.expires_at > clock.now())
    row = (await session.execute(used.returning(SetupLink.beside))).first()
    if row is None or (not row[0] and await has_administrator(session)):
        raise LinkEnded
