"""Making the administrator of a setup link, with two-step verification.

The name and the password are kept in a pending flow until the first code of the authenticator app is right. Then one
transaction uses the link up and creates the administrator with the password, the app and the recovery codes: an
administrator with a password alone never exists, whatever ``SSO_SECOND_FACTOR_ROLES`` says. Whoever gives up before
that leaves nothing behind, and the link goes on to work.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypedDict, cast

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.flows import FlowEnded, FlowRefused, Problem
from sso.accounts.second_factors import MAX_APP_ATTEMPTS, MAX_CODE_CHARS, add_app
from sso.accounts.services import AccountServices
from sso.errors import validation_line
from sso.identity.authn import factors, pending_flows
from sso.identity.authn.authenticated import Authenticated, by_password, with_factor
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users.models import User
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import ADMIN, UserError, check_free, create_users
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.visitor import Visitor
from sso.setup.links import NewAdministrator, find_link, use_link

FLOW_SECONDS = 1800


class AdministratorData(TypedDict):
    """What the pending flow keeps: the token of the link, what was typed, the hash of the password, the seed of the
    app."""

    link: str
    person: dict[str, str]
    locale: str
    password_hash: str
    seed: str


@dataclass(frozen=True, slots=True)
class CreatedAdministrator:
    """The administrator: how they are authenticated, and the recovery codes, which are shown once."""

    authenticated: Authenticated
    recovery_codes: list[str]


async def administrator_of_link(services: AccountServices, token: str) -> NewAdministrator:
    """Return for whom a link was made.

    Raises:
        LinkEnded: when the link cannot be used (any more).
    """
    async with services.db.read() as session:
        return await find_link(session, services.box, token)


async def begin_administrator(
    services: AccountServices, visitor: Visitor, token: str, person: NewAdministrator, password: str
) -> RunningFlow:
    """Keep the name and the password of the administrator, for the page on which the authenticator app is set up.
    Nothing is created yet.

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
    data: AdministratorData = {
        "link": token,
        "person": asdict(person),
        "locale": visitor.locale,
        "password_hash": hashed,
        "seed": factors.new_totp_seed(),
    }
    async with services.db.write() as session:
        await check_free(session, [_new_user(data)])
        return await pending_flows.begin(
            session, services.box, "setup", visitor.browser_id, dict(data), seconds=FLOW_SECONDS
        )


async def recall_administrator(services: AccountServices, visitor: Visitor, flow_token: str) -> RunningFlow | None:
    """Return the pending flow of this browser; None: it has expired, or the link cannot be used any more."""
    async with services.db.read() as session:
        flow = await pending_flows.recall(session, services.box, "setup", flow_token, visitor.browser_id)
        if flow is not None:
            await find_link(session, services.box, data_of(flow)["link"])
        return flow


def data_of(flow: RunningFlow) -> AdministratorData:
    """Return what the pending flow keeps."""
    return cast(AdministratorData, flow.data)


async def confirm_administrator(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, typed: str
) -> CreatedAdministrator:
    """Check the first code of the authenticator app, and create the administrator and use the link up, all or nothing.
    The e-mail address is not verified: the link may have come to the person in any way.

    Args:
        services: the database and encryption.
        visitor: who has the link.
        flow: the pending flow.
        typed: the code.

    Raises:
        FlowEnded: when the flow has ended, or too many codes were wrong.
        FlowRefused: when the code is wrong.
        LinkEnded: when the link cannot be used (any more).
        UserError: when the name or the address was given to another user meanwhile.
    """
    data = data_of(flow)
    async with services.db.write() as session:
        counted = await pending_flows.count_attempt(session, flow, MAX_APP_ATTEMPTS)
    if not counted:
        raise FlowEnded
    step = factors.totp_step(data["seed"], typed[:MAX_CODE_CHARS])
    if step is None:
        raise FlowRefused(Problem.WRONG_CODE)
    try:
        async with services.db.write() as session:
            if not await pending_flows.finish(session, flow):
                raise FlowEnded
            await use_link(session, data["link"])
            user = (await create_users(session, [_new_user(data)], actor="setup", box=services.box))[0]
            _record(session, user, visitor)
            await session.flush()
            codes = await add_app(
                session, services.changes, user, data["seed"], step, Actor(str(user.id), request_id=visitor.request_id)
            )
    except IntegrityError:
        raise UserError("the name or the address is already used") from None
    return CreatedAdministrator(with_factor(by_password(user), "totp"), codes)


def _record(session: AsyncSession, user: User, visitor: Visitor) -> None:
    record_by(
        session,
        visitor.as_actor(user.id),
        "setup.administrator_created",
        subject=str(user.id),
        address=visitor.stored_ip_address,
    )


def _new_user(data: AdministratorData) -> NewUser:
    person = data["person"]
    fields = {
        "username": person["username"],
        "name": person["name"],
        "email": person["email"] or None,
        "locale": data["locale"],
        "roles": [ADMIN],
        "password_hash": data["password_hash"],
    }
    try:
        return NewUser.model_validate(fields)
    except ValidationError as error:
        raise UserError(*map(validation_line, error.errors())) from None
