"""Merge proposals: imported rows that may belong to an existing user are merged, kept separate, or dropped."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users import store
from sso.identity.users.choices import PROPOSAL_STATES as PROPOSAL_STATES
from sso.identity.users.choices import ProposalState as ProposalState
from sso.identity.users.identifiers import masked
from sso.identity.users.importing import (
    MATCHING,
    PURPOSE,
    Created,
    Row,
    add_person,
    holders_of,
    identifier_row,
    lookup_of,
)
from sso.identity.users.models import Identifier, ImportRun, LocalAccount, MergeProposal
from sso.identity.users.service import NIK, UserError, nik_key
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.security.encryption import SecretBox

MAX_PAGE = 200


class MaskedIdentifier(TypedDict):
    kind: str
    value: str


class DecisionView(TypedDict):
    """The result of a decision; see :class:`Decided`."""

    username: str | None
    other_usernames: list[str]
    left_out: list[MaskedIdentifier]
    local_user_ids: list[str]


@dataclass(frozen=True, slots=True)
class Decided:
    """The result of a decision.

    ``username``: the user name that applications receive. ``other_usernames``: further user names for the sign-in.
    ``left_out``: identifiers (kind and value) of the row that were not added, because another user has them or the user
    has one already. ``local_user_ids``: the ids that the application receives, the first imported first. ``user_id``:
    the account that the row belongs to now.
    """

    proposal: MergeProposal
    username: str | None = None
    other_usernames: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    local_user_ids: list[str] = field(default_factory=list)
    user_id: uuid.UUID | None = None

    def view(self) -> DecisionView:
        """Return the result for display, with masked values."""
        return {
            "username": self.username,
            "other_usernames": self.other_usernames,
            "left_out": [{"kind": kind, "value": masked(kind, value)} for kind, value in self.left_out],
            "local_user_ids": self.local_user_ids,
        }


async def page_of_proposals(
    session: AsyncSession, status: str, after: uuid.UUID | None, limit: int
) -> list[MergeProposal]:
    """Return proposals in the order of their creation."""
    statement = select(MergeProposal).where(MergeProposal.status == status).order_by(MergeProposal.id).limit(limit)
    if after is not None:
        statement = statement.where(MergeProposal.id > after)
    return list((await session.execute(statement)).scalars())


async def count_open(session: AsyncSession) -> int:
    """Return the number of open proposals."""
    statement = select(func.count()).select_from(MergeProposal).where(MergeProposal.status == "open")
    return int((await session.execute(statement)).scalar_one())


async def import_runs(session: AsyncSession, limit: int) -> list[ImportRun]:
    """Return the imported files, the newest first."""
    newest = select(ImportRun).order_by(ImportRun.started_at.desc()).limit(limit)
    return list((await session.execute(newest)).scalars())


class IdentifierView(TypedDict):
    """An identifier of an imported row, masked."""

    kind: str
    value: str
    verified: bool


class ProposalView(TypedDict):
    """A proposal for display."""

    id: str
    user_id: str
    client_id: str | None
    local_user_id: str | None
    reasons: list[str]
    status: str
    name: str
    identifiers: list[IdentifierView]
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None


def proposal_view(box: SecretBox, proposal: MergeProposal) -> ProposalView:
    """Return a proposal for display: contacts masked, without the password."""
    row = orjson.loads(box.decrypt(proposal.encrypted, PURPOSE))
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
    actor: Actor,
) -> Decided:
    """Decide a merge proposal.

    Args:
        session: the transaction.
        box: decrypts the row.
        proposal_id: which.
        decision: ``merged``: they are one, and the person keeps the password they have here; ``separate``: they are
            two, and the other gets an account without what both have; ``dropped``: the row is forgotten. They are only
            merged while something is verified on both sides: in the row, and by the person, now.
        actor: who decides.

    Returns:
        The proposal, and how the user signs in now.

    Raises:
        UserError: when the proposal does not exist or was decided before, no verified identifier is the same any more,
            or the new user would have no identifier.
    """
    statement = select(MergeProposal).where(MergeProposal.id == proposal_id).with_for_update(key_share=True)
    proposal = (await session.execute(statement)).scalar_one_or_none()
    if proposal is None or proposal.status != "open":
        raise UserError("there is no such proposal, or it was decided before")
    row, user_id, left_out = _row_of(box, proposal), None, []
    if decision == "merged":
        user_id, left_out = proposal.user_id, await _merge(session, box, proposal, row)
    elif decision == "separate":
        user_id, left_out = await _separate(session, box, proposal, row)
    now = clock.now()
    proposal.status, proposal.decided_at, proposal.decided_by = decision, now, actor.name
    proposal.encrypted = box.encrypt(orjson.dumps({**row.stored(), "password": ""}), PURPOSE)
    record_by(
        session,
        actor,
        f"user.import_{decision}",
        subject=str(proposal.user_id),
        client_id=proposal.client_id,
        data={"proposal": str(proposal.id), "reasons": proposal.reasons},
    )
    return await _decided(session, proposal, user_id, left_out)


def _row_of(box: SecretBox, proposal: MergeProposal) -> Row:
    stored = orjson.loads(box.decrypt(proposal.encrypted, PURPOSE))
    identifiers = [(kind, value, verified) for kind, value, verified in stored["identifiers"]]
    local_user_id = proposal.local_user_id or ""
    return Row(
        0,
        stored["name"],
        identifiers,
        local_user_id,
        stored["password"],
        stored["locale"],
        stored["profile"],
        employment=stored.get("employment"),
    )


def employment_of(box: SecretBox, proposal: MergeProposal) -> dict[str, object] | None:
    """Return what the row of a proposal says of an employment; None: nothing."""
    return _row_of(box, proposal).employment


async def merged(session: AsyncSession, proposal_id: uuid.UUID) -> Decided | None:
    """Return how the user of a merged proposal signs in; None if the proposal was not merged."""
    proposal = await session.get(MergeProposal, proposal_id)
    if proposal is None or proposal.status != "merged":
        return None
    return await _decided(session, proposal, proposal.user_id, [])


async def _decided(
    session: AsyncSession, proposal: MergeProposal, user_id: uuid.UUID | None, left_out: list[tuple[str, str]]
) -> Decided:
    if user_id is None:
        return Decided(proposal)
    names = [row for row in await store.identifiers_of(session, user_id) if row.kind == "username"]
    accounts = await store.local_accounts_of(session, user_id)
    return Decided(
        proposal,
        next((name.value for name in names if name.is_primary), None),
        [name.value for name in names if not name.is_primary],
        left_out,
        [account.local_user_id for account in accounts if account.client_id == proposal.client_id],
        user_id,
    )


async def reencrypt_users(session: AsyncSession, box: SecretBox) -> int:
    """Encrypt every NIK and every proposal with the newest key; return how many had an older key."""
    count, last = 0, uuid.UUID(int=0)
    async for identifier in store.each_nik(session):
        if identifier.encrypted is not None and not box.is_current(identifier.encrypted):
            identifier.encrypted = box.encrypt(box.decrypt(identifier.encrypted, NIK), NIK)
            count += 1
    while True:
        some = select(MergeProposal).where(MergeProposal.id > last).order_by(MergeProposal.id).limit(MAX_PAGE)
        batch = list((await session.execute(some)).scalars())
        for proposal in batch:
            if not box.is_current(proposal.encrypted):
                proposal.encrypted = box.encrypt(box.decrypt(proposal.encrypted, PURPOSE), PURPOSE)
                count += 1
        if len(batch) < MAX_PAGE:
            return count
        last = batch[-1].id
        await session.flush()
        session.expunge_all()


async def _merge(session: AsyncSession, box: SecretBox, proposal: MergeProposal, row: Row) -> list[tuple[str, str]]:
    """Add the identifiers and claims of the row to the user, and return identifiers that were left out. Added contacts
    are unverified; a free user name is added after the existing one."""
    user = await store.lock_user(session, proposal.user_id)
    if user is None or user.deleted_at is not None:
        raise UserError("the user was deleted")
    now, key = clock.now(), await nik_key(session, box)
    known = await store.identifiers_of(session, user.id)
    verified_here = {row.lookup for row in known if row.verified_at is not None or row.kind == "nip"}
    paired = [(entry, lookup_of(entry[0], entry[1], key)) for entry in row.identifiers]
    verified_in_row = {lookup for (kind, _, verified), lookup in paired if verified and kind in MATCHING}
    if not verified_here & verified_in_row:
        raise UserError("the row and the account have no verified identifier in common: verify one first")
    kinds, lookups = {identifier.kind for identifier in known}, {identifier.lookup for identifier in known}
    holders = await holders_of(session, [lookup for _, lookup in paired])
    new = [(entry, lookup) for entry, lookup in paired if lookup not in lookups]
    free = holders.free([((kind, value, False), lookup) for (kind, value, _), lookup in new])
    added = [(kind, value) for kind, value, _ in free if not (kind == NIK and kind in kinds)]
    for kind, value in added:
        values = identifier_row(box, user.id, kind, value, kind == "username", key)
        await session.execute(insert(Identifier), [{**values, "is_primary": kind not in kinds and kind != "nip"}])
    user.profile = {**row.profile, **user.profile}
    user.updated_at = now
    await _account(session, proposal, user.id)
    return [(kind, value) for (kind, value, _), _ in new if (kind, value) not in added]


async def _separate(
    session: AsyncSession, box: SecretBox, proposal: MergeProposal, row: Row
) -> tuple[uuid.UUID, list[tuple[str, str]]]:
    key = await nik_key(session, box)
    paired = [(entry, lookup_of(entry[0], entry[1], key)) for entry in row.identifiers]
    free = (await holders_of(session, [lookup for _, lookup in paired])).free(paired)
    if not free:
        raise UserError("the row has no identifier of its own: merge or discard the row")
    rows = Created()
    user_id = add_person(rows, box, row, free, key, None)
    await rows.insert(session)
    await _account(session, proposal, user_id)
    taken_over = [(kind, value) for kind, value, _ in free]
    return user_id, [(kind, value) for kind, value, _ in row.identifiers if (kind, value) not in taken_over]


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
