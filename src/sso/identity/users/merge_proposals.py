"""Deciding about people who were imported and seem to be here already: they are one, they are two, or neither."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users import store
from sso.identity.users.identifiers import masked
from sso.identity.users.importing import MATCHING, SEAL, Made, Row, add_person, holders_of, identifier_row, lookup_of
from sso.identity.users.models import Identifier, ImportRun, LocalAccount, MergeProposal
from sso.identity.users.service import NIK, UserError, nik_key
from sso.platform.audit import record
from sso.platform.security.encryption import SecretBox

MAX_PAGE = 200
ProposalState = Literal["open", "merged", "separate", "dropped"]
PROPOSAL_STATES: tuple[ProposalState, ...] = get_args(ProposalState)


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a decision.

    ``username`` is the user name that applications see from now on, and ``other_usernames`` those with which the person
    signs in as well: a user name that is given up opens the account all the same. ``left_out`` is what of the row did
    not come along, because somebody else has it or because there is one already: kind and value, masked.
    ``local_user_ids`` is what the application is told of the person, the first that was taken over first.
    """

    proposal: MergeProposal
    username: str | None = None
    other_usernames: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    local_user_ids: list[str] = field(default_factory=list)

    def said(self) -> dict[str, Any]:
        """Return it to be shown."""
        return {
            "username": self.username,
            "other_usernames": self.other_usernames,
            "left_out": [{"kind": kind, "value": masked(kind, value)} for kind, value in self.left_out],
            "local_user_ids": self.local_user_ids,
        }


async def page_of_proposals(
    session: AsyncSession, status: str, after: uuid.UUID | None, limit: int
) -> list[MergeProposal]:
    """Return proposals in the order in which they came."""
    statement = select(MergeProposal).where(MergeProposal.status == status).order_by(MergeProposal.id).limit(limit)
    if after is not None:
        statement = statement.where(MergeProposal.id > after)
    return list((await session.execute(statement)).scalars())


async def count_open(session: AsyncSession) -> int:
    """Return how many proposals wait for a decision."""
    statement = select(func.count()).select_from(MergeProposal).where(MergeProposal.status == "open")
    return int((await session.execute(statement)).scalar_one())


async def import_runs(session: AsyncSession, limit: int) -> list[ImportRun]:
    """Return the files of people that were imported, the newest first."""
    newest = select(ImportRun).order_by(ImportRun.started_at.desc()).limit(limit)
    return list((await session.execute(newest)).scalars())


def shown(box: SecretBox, proposal: MergeProposal) -> dict[str, Any]:
    """Return what a proposal says, as far as it is shown: contacts masked, no password."""
    row = orjson.loads(box.decrypt(proposal.encrypted, SEAL))
    return {
        "id": str(proposal.id),
        "user_id": str(proposal.user_id),
        "client_id": proposal.client_id,
        "local_user_id": proposal.local_user_id,
        "reasons": proposal.reasons,
        "status": proposal.status,
        "name": row["name"],
        "identifiers": [
            {"kind": kind, "value": masked(kind, value), "verified": bool(verified)}
            for kind, value, verified in row["identifiers"]
        ],
        "created_at": proposal.created_at,
        "decided_at": proposal.decided_at,
        "decided_by": proposal.decided_by,
    }


async def decide(
    session: AsyncSession,
    box: SecretBox,
    proposal_id: uuid.UUID,
    decision: str,
    *,
    actor: str,
    request_id: str | None = None,
) -> Decided:
    """Decide about a proposal.

    Args:
        session: the transaction.
        box: opens the row.
        proposal_id: which.
        decision: ``merged``: they are one, and the person keeps the password they have here; ``separate``: they are
            two, and the other gets an account without what both have; ``dropped``: the row is forgotten. They are only
            merged while something is verified on both sides: in the row, and by the person, now.
        actor: who decides.
        request_id: the reference for log and audit.

    Returns:
        The proposal, and how the person signs in now.

    Raises:
        UserError: when there is no such proposal, it was decided before, nothing that is verified is the same any more,
            or nothing would be left to sign in with.
    """
    wanted = select(MergeProposal).where(MergeProposal.id == proposal_id).with_for_update(key_share=True)
    proposal = (await session.execute(wanted)).scalar_one_or_none()
    if proposal is None or proposal.status != "open":
        raise UserError("there is no such proposal, or it was decided before")
    said = orjson.loads(box.decrypt(proposal.encrypted, SEAL))
    identifiers = [(kind, value, verified) for kind, value, verified in said["identifiers"]]
    row = Row(
        0, said["name"], identifiers, proposal.local_user_id or "", said["password"], said["locale"], said["profile"]
    )
    user_id, left_out = None, []
    if decision == "merged":
        user_id, left_out = proposal.user_id, await _merge(session, box, proposal, row)
    elif decision == "separate":
        user_id, left_out = await _separate(session, box, proposal, row)
    now = clock.now()
    proposal.status, proposal.decided_at, proposal.decided_by = decision, now, actor
    proposal.encrypted = box.encrypt(orjson.dumps({**row.stored(), "password": ""}), SEAL)
    record(
        session,
        f"user.import_{decision}",
        actor=actor,
        subject=str(proposal.user_id),
        client_id=proposal.client_id,
        request_id=request_id,
        data={"proposal": str(proposal.id), "reasons": proposal.reasons},
    )
    return await _decided(session, proposal, user_id, left_out)


async def merged(session: AsyncSession, proposal_id: uuid.UUID) -> Decided | None:
    """Return how somebody signs in into whom a row was merged; None where it was not."""
    proposal = await session.get(MergeProposal, proposal_id)
    if proposal is None or proposal.status != "merged":
        return None
    return await _decided(session, proposal, proposal.user_id, [])


async def _decided(
    session: AsyncSession, proposal: MergeProposal, user_id: uuid.UUID | None, left_out: list[tuple[str, str]]
) -> Decided:
    if user_id is None:
        return Decided(proposal)
    names = [one for one in await store.identifiers_of(session, user_id) if one.kind == "username"]
    accounts = await store.local_accounts_of(session, user_id)
    return Decided(
        proposal,
        next((one.value for one in names if one.is_primary), None),
        [one.value for one in names if not one.is_primary],
        left_out,
        [one.local_user_id for one in accounts if one.client_id == proposal.client_id],
    )


async def reencrypt_users(session: AsyncSession, box: SecretBox) -> int:
    """Seal every NIK and every proposal with the newest key and return how many had an older one."""
    count, last = 0, uuid.UUID(int=0)
    async for one in store.each_nik(session):
        if one.encrypted is not None and not box.is_current(one.encrypted):
            one.encrypted = box.encrypt(box.decrypt(one.encrypted, NIK), NIK)
            count += 1
    while True:
        some = select(MergeProposal).where(MergeProposal.id > last).order_by(MergeProposal.id).limit(MAX_PAGE)
        found = list((await session.execute(some)).scalars())
        for proposal in found:
            if not box.is_current(proposal.encrypted):
                proposal.encrypted = box.encrypt(box.decrypt(proposal.encrypted, SEAL), SEAL)
                count += 1
        if len(found) < MAX_PAGE:
            return count
        last = found[-1].id
        await session.flush()
        session.expunge_all()


async def _merge(session: AsyncSession, box: SecretBox, proposal: MergeProposal, row: Row) -> list[tuple[str, str]]:
    """Add to the person what the other application knew besides, and return what somebody else has. Contacts are not
    verified by it; a user name that nobody has becomes theirs, after the one that they have."""
    user = await store.lock_user(session, proposal.user_id)
    if user is None or user.deleted_at is not None:
        raise UserError("the person was deleted")
    now, key = clock.now(), await nik_key(session, box)
    known = await store.identifiers_of(session, user.id)
    theirs = {one.lookup for one in known if one.verified_at is not None}
    paired = [(one, lookup_of(one[0], one[1], key)) for one in row.identifiers]
    vouched = {lookup for (kind, _, verified), lookup in paired if verified and kind in MATCHING}
    if not theirs & vouched:
        raise UserError("nothing that is verified on both sides is the same: unverified identifiers merge nobody")
    kinds, lookups = {one.kind for one in known}, {one.lookup for one in known}
    holders = await holders_of(session, [lookup for _, lookup in paired])
    wanted = [(one, lookup) for one, lookup in paired if lookup not in lookups]
    free = holders.free([((kind, value, False), lookup) for (kind, value, _), lookup in wanted])
    added = [(kind, value) for kind, value, _ in free if not (kind == NIK and kind in kinds)]
    for kind, value in added:
        made = identifier_row(box, user.id, kind, value, kind == "username", key)
        await session.execute(insert(Identifier), [{**made, "is_primary": kind not in kinds}])
    user.profile = {**row.profile, **user.profile}
    user.updated_at = now
    await _account(session, proposal, user.id)
    return [(kind, value) for (kind, value, _), _ in wanted if (kind, value) not in added]


async def _separate(
    session: AsyncSession, box: SecretBox, proposal: MergeProposal, row: Row
) -> tuple[uuid.UUID, list[tuple[str, str]]]:
    key = await nik_key(session, box)
    paired = [(one, lookup_of(one[0], one[1], key)) for one in row.identifiers]
    free = (await holders_of(session, [lookup for _, lookup in paired])).free(paired)
    if not free:
        raise UserError("nothing would be left to sign in with: both have the same. Merge them, or drop the row")
    made = Made()
    user_id = add_person(made, box, row, free, key, None)
    await made.insert(session)
    await _account(session, proposal, user_id)
    kept = [(kind, value) for kind, value, _ in free]
    return user_id, [(kind, value) for kind, value, _ in row.identifiers if (kind, value) not in kept]


async def _account(session: AsyncSession, proposal: MergeProposal, user_id: uuid.UUID) -> None:
    if proposal.client_id and proposal.local_user_id:
        session.add(
            LocalAccount(
                client_id=proposal.client_id,
                local_user_id=proposal.local_user_id,
                user_id=user_id,
                created_at=clock.now(),
            )
        )
        await session.flush()
