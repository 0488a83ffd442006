"""Taking employees over from a personnel system.

Each employee is a transaction: an import that was stopped is started again with the same file, and what was done before
is unchanged. A row is linked to an account with the same NIP, or with the same NIK where the account has proven it. A
row that may belong to another account (its user name is the NIP, or a verified contact is the same) becomes a proposal,
on which somebody decides (``sso.accounts.merging``).
"""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, TypedDict, TypeVar, Unpack

import orjson
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.employees import (
    OWN_EMPLOYMENT,
    EmploymentDetails,
    employ,
    employ_in_change,
    end_employment,
    stored_details,
)
from sso.accounts.services import AccountActions
from sso.errors import Refusal
from sso.identity.employees import store
from sso.identity.employees.models import Employment
from sso.identity.employees.rows import EmployeeFile, EmployeeRow, ReadLine, check_columns, read_lines
from sso.identity.groups.models import Group, Membership
from sso.identity.users import store as users
from sso.identity.users.identifiers import Kind, nik_lookup
from sso.identity.users.importing import PURPOSE, Created, add_person, proposal_row
from sso.identity.users.models import Identifier, MergeProposal, User
from sso.identity.users.rows import Row
from sso.identity.users.service import UserError, nik_key
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import DatabaseUnavailable

log = logging.getLogger(__name__)

BATCH = 200
CHUNK = 500
MAX_ENDED_PERCENT = 5
MISSING = "not in the complete list of the personnel office any more"
WAITS = "waits for a decision"
HAS_ENDED = "the employment is over"
WITHDRAWN = "the employment is over: the proposal is withdrawn"
Item = TypeVar("Item")
Result = Literal["created", "linked", "proposed", "changed", "unchanged", "rejected"]
RESULTS: tuple[Result, ...] = ("created", "linked", "proposed", "changed", "unchanged", "rejected")


class TooManyEnd(Refusal):
    """A complete list would end more employments than the limit allows.

    Args:
        text: what a command says.
        ended: how many would end, in words.
    """

    def __init__(self, text: str, ended: str) -> None:
        super().__init__(text)
        self.ended = ended


@dataclass(frozen=True, slots=True)
class LineResult:
    """What becomes of a line: ``text`` says why it is rejected or proposed, or what is left out."""

    line: int
    result: Result
    key: str = ""
    name: str = ""
    text: str = ""


@dataclass(slots=True)
class Outcome:
    """What came of an import: how many rows had each result, how many employments ended, and how many could not be
    ended.

    Of a complete list also ``missing``: the users whose employment ends, and ``total``: how many employments came from
    imports.
    """

    rows: int = 0
    counts: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    ended: int = 0
    not_ended: int = 0
    total: int = 0
    missing: Sequence[uuid.UUID] = ()

    def ends_too_many(self, max_ended_percent: int = MAX_ENDED_PERCENT) -> bool:
        """Tell whether more employments end than the limit allows."""
        return len(self.missing) * 100 > max_ended_percent * self.total


class ImportOptions(TypedDict, total=False):
    """How a list of employees is imported; see :class:`ImportRequest`."""

    complete: bool
    max_ended_percent: int
    confirmed: bool
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What is imported, and how.

    Args:
        file: the file, with its columns checked.
        reason: why, for the audit log.
        actor: who imports it.
        complete: the file names every employee: the employments of others end.
        max_ended_percent: how many employments a complete list may end.
        confirmed: more may end.
        dry_run: change nothing.
    """

    file: EmployeeFile
    reason: str
    actor: Actor
    complete: bool = False
    max_ended_percent: int = MAX_ENDED_PERCENT
    confirmed: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Holder:
    user_id: uuid.UUID
    kind: str
    verified: bool


@dataclass(frozen=True, slots=True)
class _Decision:
    """What is to be done with a row: ``user_id`` is the account it belongs to, or may belong to."""

    result: Result
    user_id: uuid.UUID | None = None
    text: str = ""
    reasons: tuple[str, ...] = ()
    details: EmploymentDetails | None = None


@dataclass(slots=True)
class _Present:
    """What is stored about the rows of a batch."""

    key: bytes
    holders: dict[str, list[_Holder]]
    niks: dict[uuid.UUID, str]
    employments: dict[uuid.UUID, Employment]
    units_of: dict[uuid.UUID, tuple[Membership, Group]]
    units: dict[str, Group]
    proposals: dict[str, MergeProposal]

    def verified(self, lookup: str, kind: str) -> uuid.UUID | None:
        """Return who has a verified identifier."""
        mine = (holder for holder in self.holders.get(lookup, ()) if holder.verified and holder.kind == kind)
        return next((holder.user_id for holder in mine), None)


async def import_employees(
    services: AccountActions,
    request: ImportRequest,
    *,
    report: Callable[[LineResult], None] = lambda _: None,
    moved: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Import employees from a file.

    Args:
        services: the database, and how users and applications are told.
        request: what is imported.
        report: receives what becomes of each line.
        moved: receives how many bytes were read.

    Raises:
        Refusal: when the file cannot be read, or is no complete list although it should be.
        TooManyEnd: when a complete list would end more employments than the limit allows.
    """
    seen: set[uuid.UUID] = set()
    if request.complete:
        await _check_complete(services, request, seen)
    outcome = await _run(services, request, seen, report, moved)
    if request.complete:
        missing = outcome.missing = await _missing(services, seen)
        outcome.total = await _total(services)
        to_end = [] if request.dry_run else missing
        failed = [user_id for user_id in to_end if not await _end(services, request, user_id)]
        outcome.ended, outcome.not_ended = len(missing) - len(failed), len(failed)
    if not request.dry_run:
        async with services.db.write() as session:
            about: dict[str, int] = {name: count for name, count in outcome.counts.items() if count}
            about |= {"ended": outcome.ended} if outcome.ended else {}
            about |= {"not_ended": outcome.not_ended} if outcome.not_ended else {}
            data = {"counts": about, "note": request.reason}
            record_by(session, request.actor, "employees.imported", data=data)
    return outcome


@dataclass(frozen=True, slots=True)
class EmployeeBytes:
    """A file of a request.

    Args:
        content: the bytes.
        format: a format of the import of users, or ``auto``.
        verified: what the personnel office has verified besides the NIP.
    """

    content: bytes
    format: str
    verified: frozenset[str]


async def import_bytes(
    services: AccountActions, given: EmployeeBytes, *, reason: str, actor: Actor, **how: Unpack[ImportOptions]
) -> tuple[Outcome, list[LineResult]]:
    """Import employees from the bytes of a request: see :func:`import_employees`. Return also what becomes of each
    line.

    Args:
        services: the database, and how users and applications are told.
        given: the file.
        reason: why, for the audit log.
        actor: who imports it.
        how: further arguments of :class:`ImportRequest`.
    """
    lines: list[LineResult] = []
    with _written(given.content) as path:
        file = EmployeeFile(path, verified=given.verified, format=given.format, time_zone=services.settings.time_zone)
        request = ImportRequest(check_columns(file)[0], reason, actor, **how)
        return await import_employees(services, request, report=lines.append), lines


@contextmanager
def _written(body: bytes) -> Iterator[Path]:
    """Yield a file with these bytes, which only this process can read, and delete it."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(body)
        file.flush()
        yield Path(file.name)


async def _check_complete(services: AccountActions, request: ImportRequest, seen: set[uuid.UUID]) -> None:
    """Check before any change that every line of a complete list says who it is about, and how many would end."""
    unreadable = [line.line for line in read_lines(request.file) if line.row is None and not line.key]
    if unreadable:
        raise Refusal(
            f"--complete: {len(unreadable)} lines have no NIP that can be read (the first is line {unreadable[0]}), "
            "so the file does not say who is missing. Correct these lines first"
        )
    await _run(services, request, seen, lambda _: None, lambda _: None, dry_run=True)
    outcome = Outcome(total=await _total(services), missing=await _missing(services, seen))
    if outcome.ends_too_many(request.max_ended_percent) and not request.confirmed and not request.dry_run:
        missing, total = len(outcome.missing), outcome.total
        ended = f"{missing} of {total} employments would end, more than {request.max_ended_percent} %"
        text = f"{ended}: is the file complete? See who with --dry-run, then confirm with --yes"
        raise TooManyEnd(text, ended)


async def _total(services: AccountActions) -> int:
    async with services.db.read() as session:
        return await store.count_imported(session)


async def _missing(services: AccountActions, seen: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Return the users whose employment came from an import, has not ended, and is not in the file."""
    missing: list[uuid.UUID] = []
    last = uuid.UUID(int=0)
    async with services.db.read() as session:
        while batch := await store.imported(session, last, CHUNK):
            missing += [row.user_id for row in batch if row.user_id not in seen]
            last = batch[-1].id
            session.expunge_all()
    return missing


async def _end(services: AccountActions, request: ImportRequest, user_id: uuid.UUID) -> bool:
    """End the employment of a user, in a transaction of its own; tell whether it is over. A failure is logged."""
    try:
        async with services.db.write() as session:
            user = await users.lock_user(session, user_id)
            if user is not None and await store.open_of_user(session, user_id) is not None:
                reason = f"{request.reason} ({MISSING})"
                await end_employment(session, services, user, actor=request.actor, reason=reason)
    except DatabaseUnavailable:
        raise
    except (Refusal, IntegrityError):
        log.exception("the employment of %s could not be ended", user_id)
        return False
    return True


async def _run(
    services: AccountActions,
    request: ImportRequest,
    seen: set[uuid.UUID],
    report: Callable[[LineResult], None],
    moved: Callable[[int], None],
    *,
    dry_run: bool = False,
) -> Outcome:
    outcome = Outcome()
    async with services.db.write() as session:
        key = services.nik_key or await nik_key(session, services.box)
    for batch in _batches(read_lines(request.file)):
        async with services.db.read() as session:
            present = await _read_present(session, batch, key)
        for line in batch:
            seen.update(holder.user_id for holder in _of_key(present, line.key))
            result, user_id = await _import_line(services, request, present, line, dry_run=dry_run or request.dry_run)
            seen.update(() if user_id is None else (user_id,))
            outcome.rows += 1
            outcome.counts[result.result] += 1
            report(result)
        moved(batch[-1].read)
    return outcome


def _batches(lines: Iterator[ReadLine]) -> Iterator[list[ReadLine]]:
    while batch := list(islice(lines, BATCH)):
        yield batch


def _of_key(present: _Present, key: str) -> Sequence[_Holder]:
    lookup = nik_lookup(key.removeprefix("nik "), present.key) if key.startswith("nik ") else key
    holders = present.holders.get(lookup, ()) if key else ()
    return [holder for holder in holders if holder.verified]


async def _import_line(
    services: AccountActions, request: ImportRequest, present: _Present, line: ReadLine, *, dry_run: bool
) -> tuple[LineResult, uuid.UUID | None]:
    """Do what is to be done with a line, in a transaction of its own; return also the account that it names, or may
    name."""
    row = line.row
    if row is None:
        return LineResult(line.line, "rejected", line.key, text=line.wrong), None
    notes = "; ".join(note.text for note in row.notes)
    decision = decide(row, present, request.file.verified)
    user_id = decision.user_id
    if str(user_id) == request.actor.name and decision.result in ("linked", "changed") and not decision.text:
        return LineResult(line.line, "rejected", row.key, row.name, OWN_EMPLOYMENT), user_id
    if not dry_run and decision.result not in ("unchanged", "rejected"):
        try:
            async with services.db.write() as session:
                user_id = await _carry_out(session, services, request, present, row, decision)
        except (UserError, Refusal) as error:
            return LineResult(line.line, "rejected", row.key, row.name, str(error)), user_id
        except IntegrityError:
            taken = "somebody else got one of these identifiers"
            return LineResult(line.line, "rejected", row.key, row.name, taken), user_id
    return LineResult(line.line, decision.result, row.key, row.name, decision.text or notes), user_id


def decide(row: EmployeeRow, present: _Present, verified: Collection[str]) -> _Decision:
    """Return what is to be done with a row. Pure.

    Args:
        row: the employee.
        present: what is stored.
        verified: what the personnel office has verified besides the NIP.
    """
    if row.nip is None and "nik" not in verified:
        return _Decision("rejected", text="nip: is missing. With --verified nik, the NIK names the employee")
    unit = present.units.get(row.unit_code or "")
    if row.unit_code and unit is None:
        return _Decision("rejected", text=f"unit_code: there is no unit {row.unit_code}. Import the units first")
    details = _details(row, unit)
    known = present.verified(row.nip, "nip") if row.nip else None
    by_nik = present.verified(nik_lookup(row.nik, present.key), "nik") if row.nik else None
    if known is not None:
        other_nik = row.nik and present.niks.get(known) not in (None, nik_lookup(row.nik, present.key))
        if other_nik or by_nik not in (None, known):
            return _Decision("rejected", known, "nik: is not the verified NIK of the account with this NIP")
        same = _is_unchanged(present, known, details, row)
        return _Decision("unchanged" if same else "changed", known, details=details)
    if by_nik is not None:
        is_new = by_nik not in present.employments
        same = not is_new and _is_unchanged(present, by_nik, details, row)
        return _Decision("unchanged" if same else "linked" if is_new else "changed", by_nik, details=details)
    return _unknown(row, present, verified, details)


def _unknown(row: EmployeeRow, present: _Present, verified: Collection[str], details: EmploymentDetails) -> _Decision:
    """Return what is to be done with somebody whom no NIP and no NIK names: a proposal, or a new account."""
    proposal = present.proposals.get(row.key)
    has_ended = details.valid_until is not None and details.valid_until <= clock.now()
    if proposal is not None and proposal.status != "open":
        return _Decision("rejected", proposal.user_id, "somebody decided about this row before")
    if proposal is not None and has_ended:
        return _Decision("changed", proposal.user_id, WITHDRAWN, details=details)
    if proposal is not None:
        return _Decision("proposed", proposal.user_id, WAITS, details=details)
    candidates: dict[str, uuid.UUID] = {}
    claimed = present.holders.get(row.nip or "", ())
    if claimed:
        candidates["nip"] = claimed[0].user_id
    for kind, value in (("email", row.email), ("phone", row.phone)):
        owner = present.verified(value, kind) if value and kind in verified else None
        if owner is not None:
            candidates[kind] = owner
    if not candidates:
        return _Decision("created", details=details)
    if has_ended:
        return _Decision("unchanged", text=HAS_ENDED)
    reasons = tuple(kind for kind in ("nip", "email", "phone") if kind in candidates)
    return _Decision("proposed", candidates[reasons[0]], "an account may belong to this employee", reasons, details)


def _details(row: EmployeeRow, unit: Group | None) -> EmploymentDetails:
    return EmploymentDetails(
        row.status,
        row.nip,
        row.old_nip,
        row.grade,
        unit.id if unit is not None else None,
        row.position,
        row.valid_from,
        row.valid_until,
    )


def _is_unchanged(present: _Present, user_id: uuid.UUID, details: EmploymentDetails, row: EmployeeRow) -> bool:
    employment = present.employments.get(user_id)
    now = clock.now()
    if employment is None:
        return details.valid_until is not None and details.valid_until <= now  # it ended, as the file says
    main = present.units_of.get(employment.membership_id) if employment.membership_id else None
    is_same = (
        (employment.status, employment.nip, employment.grade, employment.source)
        == (details.status, details.nip, details.grade, "import")
        and (employment.valid_from, employment.valid_until) == (details.valid_from, details.valid_until)
        and (main[0].group_id if main else None, main[0].position if main else None)
        == (details.unit_id, details.position)
    )
    if main is not None and main[0].valid_until is not None and main[0].valid_until <= now:
        return False
    old = present.holders.get(row.old_nip, ()) if row.old_nip else ()
    return is_same and (row.old_nip is None or bool(old))


async def _read_present(session: AsyncSession, batch: Sequence[ReadLine], key: bytes) -> _Present:
    rows = [line.row for line in batch if line.row is not None]
    lookups = {line.key for line in batch if line.key and not line.key.startswith("nik ")}
    for row in rows:
        lookups |= {text for text in (row.nip, row.old_nip, row.email, row.phone) if text}
        lookups |= {nik_lookup(row.nik, key)} if row.nik else set()
    lookups |= {nik_lookup(line.key[4:], key) for line in batch if line.key.startswith("nik ")}
    holders: dict[str, list[_Holder]] = {}
    for part in _parts(sorted(lookups)):
        mine = select(Identifier.lookup, Identifier.user_id, Identifier.kind, Identifier.verified_at)
        for lookup, user_id, kind, at in (await session.execute(mine.where(Identifier.lookup.in_(part)))).all():
            holders.setdefault(lookup, []).append(_Holder(user_id, kind, at is not None))
    user_ids = sorted({holder.user_id for some in holders.values() for holder in some})
    niks: dict[uuid.UUID, str] = {}
    for some_ids in _parts(user_ids):
        verified = (Identifier.kind == "nik") & Identifier.verified_at.is_not(None) & Identifier.user_id.in_(some_ids)
        niks |= {
            row[0]: row[1]
            for row in (await session.execute(select(Identifier.user_id, Identifier.lookup).where(verified))).all()
        }
    employments = await store.open_of_users(session, user_ids)
    memberships = [row.membership_id for row in employments.values() if row.membership_id is not None]
    units_of = await store.memberships_with_units(session, memberships)
    units = await store.units_by_code(session, sorted({row.unit_code for row in rows if row.unit_code}))
    proposals: dict[str, MergeProposal] = {}
    for part in _parts(sorted({row.key for row in rows if row.nip})):
        ours = MergeProposal.client_id.is_(None) & MergeProposal.local_user_id.in_(part)
        ordered = select(MergeProposal).where(ours).order_by(MergeProposal.id)
        proposals |= {row.local_user_id or "": row for row in (await session.execute(ordered)).scalars()}
    return _Present(key, holders, niks, employments, units_of, units, proposals)


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


async def _carry_out(
    session: AsyncSession,
    services: AccountActions,
    request: ImportRequest,
    present: _Present,
    row: EmployeeRow,
    decision: _Decision,
) -> uuid.UUID | None:
    """Do what was decided about a row; return the account that the row names, or may name."""
    assert decision.details is not None
    proposal = present.proposals.get(row.key)
    is_open = proposal is not None and proposal.status == "open"
    if proposal is not None and is_open and decision.text in (WAITS, WITHDRAWN):
        await _renew_proposal(session, services, request, row, proposal.id, decision)
        return decision.user_id
    if decision.result == "proposed":
        await _propose(session, services, request, row, decision, decision.details)
        return decision.user_id
    if decision.result == "created":
        user = await _make(session, services, present, row, request.file.verified)
        await employ_in_change(
            session, services, user, decision.details, source="import", actor=request.actor, reason=request.reason
        )
        return user.id
    assert decision.user_id is not None
    locked = await users.lock_user(session, decision.user_id)
    if locked is None:
        raise UserError("the user was deleted")
    await employ(
        session, services, locked, decision.details, source="import", actor=request.actor, reason=request.reason
    )
    if proposal is not None and is_open:
        await _renew_proposal(session, services, request, row, proposal.id, decision)
    return locked.id


async def _make(
    session: AsyncSession, services: AccountActions, present: _Present, row: EmployeeRow, verified: Collection[str]
) -> User:
    """Make an account for an employee. A contact that somebody else has is left out."""
    new_rows = Created()
    identifiers = [entry for entry in _identifiers(row, verified) if _is_free(present, *entry)]
    imported = Row(row.line, row.name, identifiers, "", "", None, {})
    user_id = add_person(new_rows, services.box, imported, identifiers, present.key, None)
    await new_rows.insert(session)
    user = await session.get(User, user_id)
    assert user is not None
    for kind, value, is_verified in identifiers:  # rows that follow in the batch see them
        lookup = nik_lookup(value, present.key) if kind == "nik" else value
        present.holders.setdefault(lookup, []).append(_Holder(user_id, kind, is_verified))
    return user


def _identifiers(row: EmployeeRow, verified: Collection[str]) -> list[tuple[Kind, str, bool]]:
    values: tuple[tuple[Kind, str | None], ...] = (("nik", row.nik), ("email", row.email), ("phone", row.phone))
    return [(kind, value, kind in verified) for kind, value in values if value]


def _is_free(present: _Present, kind: Kind, value: str, is_verified: bool) -> bool:
    lookup = nik_lookup(value, present.key) if kind == "nik" else value
    holders = present.holders.get(lookup, ())
    return not any(holder.verified for holder in holders) and (is_verified or kind == "nik" or not holders)


async def _propose(
    session: AsyncSession,
    services: AccountActions,
    request: ImportRequest,
    row: EmployeeRow,
    decision: _Decision,
    details: EmploymentDetails,
) -> None:
    if not decision.reasons or decision.user_id is None:
        return
    imported = _proposed_row(request, row, details)
    values = proposal_row(services.box, imported, None, decision.user_id, decision.reasons)
    await session.execute(insert(MergeProposal), [values])


def _proposed_row(request: ImportRequest, row: EmployeeRow, details: EmploymentDetails) -> Row:
    identifiers: list[tuple[Kind, str, bool]] = [("nip", row.nip, True)] if row.nip else []
    identifiers += _identifiers(row, request.file.verified)
    employment: dict[str, object] = {**stored_details(details, row.unit_code, request.reason)}
    return Row(row.line, row.name, identifiers, row.key, "", None, {}, employment=employment)


async def _renew_proposal(
    session: AsyncSession,
    services: AccountActions,
    request: ImportRequest,
    row: EmployeeRow,
    proposal_id: uuid.UUID,
    decision: _Decision,
) -> None:
    """Let a proposal that nobody has decided be what the newest file says of the employee: its row is replaced. It is
    removed where the employment is over, or where the row names an account by now.

    Raises:
        UserError: when somebody has decided it meanwhile.
    """
    assert decision.details is not None
    mine = select(MergeProposal).where(MergeProposal.id == proposal_id).with_for_update(key_share=True)
    proposal = (await session.execute(mine.execution_options(populate_existing=True))).scalar_one_or_none()
    if proposal is None or proposal.status != "open":
        raise UserError("somebody decided about this row before")
    if decision.text != WAITS:
        await session.delete(proposal)
        return
    renewed = _proposed_row(request, row, decision.details)
    proposal.encrypted = services.box.encrypt(orjson.dumps(renewed.stored()), PURPOSE)
