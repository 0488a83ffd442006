"""Making the administrator of a setup link."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError

from sso.accounts.services import AccountServices
from sso.errors import validation_message
from sso.identity.authn.authenticated import Authenticated, by_password
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import ADMIN, UserError, create_users
from sso.platform.audit import record
from sso.platform.visitor import Visitor
from sso.setup.links import NewAdministrator, find_link, use_link


async def administrator_of_link(services: AccountServices, token: str) -> NewAdministrator:
    """Return for whom a link was made.

    Raises:
        LinkEnded: when the link cannot be used (any more).
    """
    async with services.db.read() as session:
        return await find_link(session, services.box, token)


async def create_administrator(
    services: AccountServices, visitor: Visitor, token: str, person: NewAdministrator, password: str
) -> Authenticated:
    """Create the administrator and use the link up, all or nothing. The e-mail address is not verified: the link may
    have come to the person in any way.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who has the link.
        token: of the link.
        person: what was typed.
        password: the password that was chosen.

    Raises:
        LinkEnded: when the link cannot be used (any more).
        UserError: when a name or an address cannot be used.
        WeakPassword: when the password is too weak.
        Busy: when too many passwords are waiting.
    """
    await administrator_of_link(services, token)
    about = [person.name, person.username, person.email]
    await services.passwords.judge(password, about, source=visitor.network)
    hashed = await services.passwords.hash(password, source=visitor.network)
    new_user = _new_user(person, visitor.locale, hashed)
    try:
        async with services.db.write() as session:
            await use_link(session, token)
            user = (await create_users(session, [new_user], actor="setup", box=services.box))[0]
            record(
                session,
                "setup.administrator_created",
                actor=str(user.id),
                subject=str(user.id),
                address=visitor.stored_ip_address,
                request_id=visitor.request_id,
            )
            await session.flush()
    except IntegrityError:
        raise UserError("the name or the address is already used") from None
    return by_password(user)


def _new_user(person: NewAdministrator, locale: str, hashed: str) -> NewUser:
    fields = {
        "username": person.username,
        "name": person.name,
        "email": person.email or None,
        "locale": locale,
        "roles": [ADMIN],
        "password_hash": hashed,
    }
    try:
        return NewUser.model_validate(fields)
    except ValidationError as error:
        texts = [f"{problem['loc'][0]}: {validation_message(problem)}" for problem in error.errors()]
        raise UserError(*texts) from None
