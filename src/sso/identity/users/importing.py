"""Taking people over from the city's existing applications: any number, in bounded memory, and able to go on after
a stop.

A row that seems to be somebody who is here already, by NIK, NIP, e-mail or telephone, is never merged by itself: it
becomes a proposal, on which a person decides (``identity/users/merge_proposals.py``). Only what is verified on both
sides says so: the person here has verified it, and the operator vouches for the file's (``--verified``, or its column).
What somebody only typed, here or there, matches nobody, and keeps nobody out.

Every row that is read is counted as made, proposed, updated, unchanged or rejected; a row that is rejected and a value
that is left out are reported with the reason before the rows are committed. ``identity/users/rows.py`` reads a row,
``identity/users/updating.py`` changes people who were taken over before.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import cast

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.identity.attributes import store as attributes
from sso.identity.attributes.definitions import Attribute
from sso.identity.attributes.models import AttributeValue
from sso.identity.attributes.values import Value, read_stored, stored_text
from sso.identity.users import updating
from sso.identity.users.identifiers import Kind, masked, nik_lookup, normalise_as
from sso.identity.users.models import Credential, Identifier, ImportRun, LocalAccount, MergeProposal, User, UserRole
from sso.identity.users.records import Record
from sso.identity.users.rows import (
    IDENTIFIERS,
    Note,
    RowRefused,
    TakeHash,
    as_typed,
    fit_columns,
    line_break_in,
    read_row,
)
from sso.identity.users.rows import Options as Options
from sso.identity.users.rows import Row as Row
from sso.identity.users.service import NIK, nik_key
from sso.identity.users.store import GIVEN
from sso.platform.audit import record
from sso.platform.db import Database, new_id, table_of
from sso.platform.security.encryption import SecretBox

BATCH = 1000
CHUNK = 500
PURPOSE = "import-row"
IMPORT = "import"
"""The source of values of attributes that come from a file."""
MAX_COLUMNS = 10_000
MAX_TRIED = 500_000
"""How many identifiers a dry run remembers, to tell which rows are of one person: about 40 MB."""
MATCHING: tuple[Kind, ...] = ("nik", "nip", "email", "phone")
"""By what two rows are said to be of one person, the surest first."""


@dataclass(slots=True)
class Progress:
    """How far an import is. ``rows`` is how many rows were read; it is the sum of ``made``, ``proposed``, ``updated``,
    ``unchanged`` and ``rejected``. ``left_out`` counts values by column, ``read_as`` how values were understood.
    ``bytes`` is how much of the file was read. ``before``: this very import ended then, and nothing was done now."""

    rows: int = 0
    made: int = 0
    proposed: int = 0
    rejected: int = 0
    updated: int = 0
    unchanged: int = 0
    bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    read_as: Counter[str] = field(default_factory=Counter)
    before: datetime | None = None

    def balance(self) -> int:
        """Return how many rows have an outcome."""
        return self.made + self.proposed + self.updated + self.unchanged + self.rejected


class Report:
    """Is told of what is not taken over. This one forgets it; the command line writes it to a file."""

    def at(self, row: int) -> None:
        """Say which row of the file the next calls are about; the first is 1. Several rows may stand in one line."""

    def begin(self, line: int | None) -> None:
        """Begin. ``line``: an earlier run was stopped, and what is reported from this row on comes again."""

    def rejected(self, line: int, local_user_id: str, reason: str) -> None:
        """Take a row that is not taken over."""

    def noted(self, line: int, local_user_id: str, note: Note) -> None:
        """Take something about a row that is taken over."""

    def flush(self) -> None:
        """Keep what was reported: the rows that it is about are committed next."""


class _RejectReport(Report):
    def __init__(self, reject: Callable[[int, str, str], None]) -> None:
        self._reject = reject

    def rejected(self, line: int, local_user_id: str, reason: str) -> None:
        self._reject(line, local_user_id, reason)


ContactsNotified = Callable[[AsyncSession, User], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True)
class Checked:
    """A file whose options fit: the options with the columns of the file, and the columns that are not read."""

    options: Options
    unread: list[str]


def check_file(path: Path, options: Options) -> Checked:
    """Check the options against the file, and a file that is not read line by line to its end. Nothing is written.

    Raises:
        Refusal: when the options do not fit, the file is of no kind that can be read, or it holds no row that can.
    """
    from sso.identity.users.readers import guess_format, read_records  # fifteen modules, which servers do not need

    if options.format == "auto":
        options = replace(options, format=guess_format(path, options.encoding))
    names: dict[str, None] = {}
    reason = ""
    for entry in read_records(path, options.format, options.encoding):
        if entry.row is None:
            reason = reason or f"line {entry.line}: {entry.reason}"
            continue
        names.update(dict.fromkeys(entry.row))
        if len(names) > MAX_COLUMNS:
            raise Refusal(f"{path} has more than {MAX_COLUMNS} columns")
        if options.format == "csv":
            break
    if not names:
        raise Refusal(f"{path} holds no row that can be read{': ' + reason if reason else ''}")
    return Checked(*fit_columns(options, names))


def rows_of(path: Path, options: Options) -> Iterator[Record]:
    """Yield the records of a file, with the options that :func:`check_file` returned.

    A CSV record over several lines whose line break stands in a value of one line is refused line by line: either its
    quotation marks are wrong, and each line is a row that somebody must look at, or the line break was written on
    purpose, and what follows it must not become a person.
    """
    from sso.identity.users.readers import read_records

    for entry in read_records(path, options.format, options.encoding):
        if entry.row is not None and entry.lines > 1 and options.format == "csv":
            column = line_break_in(entry.row, options.columns)
            if column:
                last = entry.line + entry.lines - 1
                reason = f"{column}: has a line break (the record stands in lines {entry.line} to {last})"
                yield replace(entry, row=None, reason=reason, lines=1)
                for line in range(entry.line + 1, last + 1):
                    reason = f"belongs to the record that begins in line {entry.line}"
                    yield Record(line, None, reason, entry.read)
                continue
        yield entry


def find_row(path: Path, options: Options, who: str, take_hash: TakeHash) -> Row | None:
    """Return the first row of a file with this user name, e-mail, telephone number, NIK or ``local_user_id``.

    Raises:
        RowRefused: when that row cannot be taken over.
    """
    searched = {who.strip().casefold()}
    for _, kind in IDENTIFIERS:
        try:
            searched.add(normalise_as(kind, who).value)
        except ValueError:
            continue
    columns = [options.columns[column] for column, _ in IDENTIFIERS if column in options.columns]
    local = options.columns.get("local_user_id", "")
    for entry in rows_of(path, options):
        if entry.row is None:
            continue
        raw = {str(entry.row.get(name, "")).strip().casefold() for name in (*columns, local)}
        try:
            row = read_row(entry.line, entry.row, options, take_hash, entry.notes)
        except RowRefused:
            if searched & raw:
                raise
            continue
        if searched & raw or searched & {value for _, value, _ in row.identifiers}:
            return row
    return None


def sample_of(path: Path, options: Options, take_hash: TakeHash, count: int) -> list[Row]:
    """Return the first rows that can be taken over, as they would be stored."""
    rows: list[Row] = []
    for entry in rows_of(path, options):
        if entry.row is not None:
            try:
                rows.append(read_row(entry.line, entry.row, options, take_hash, entry.notes))
            except RowRefused:
                continue
        if len(rows) == count:
            break
    return rows


@dataclass(frozen=True, slots=True)
class Digests:
    """What names an import: ``named`` the file, the application and the options; ``content`` the file; ``former`` the
    file and the application, as releases before 0011 named it."""

    named: bytes
    content: bytes
    former: bytes


def digests_of(path: Path, options: Options) -> Digests:
    """Return what names an import."""
    client = (options.client_id or "").encode() + b"\0"
    content, former = hashlib.sha256(), hashlib.sha256(client)
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            content.update(block)
            former.update(block)
    named = hashlib.sha256(client + orjson.dumps(options.named()) + b"\0" + content.digest())
    return Digests(named.digest(), content.digest(), former.digest())


@dataclass(slots=True)
class _Trial:
    """What the earlier batches of a dry run would have stored: hashes of identifiers and ids."""

    verified: set[int] = field(default_factory=set)
    unverified: set[int] = field(default_factory=set)
    local: set[int] = field(default_factory=set)

    def add_to(self, holders: Holders, lookups: Iterable[str]) -> None:
        """Let the holders of the database be those too who would be there."""
        for lookup in lookups:
            if hash(lookup) in self.verified:
                holders.verified.setdefault(lookup, TRIED)
            elif hash(lookup) in self.unverified:
                holders.unverified.setdefault(lookup, TRIED)

    def remember(self, holders: Holders, local_ids: Iterable[str]) -> None:
        """Remember what a batch would have stored."""
        if len(self.verified) + len(self.unverified) + len(self.local) < MAX_TRIED:
            self.verified.update(map(hash, holders.verified))
            self.unverified.update(map(hash, holders.unverified))
            self.local.update(map(hash, filter(None, local_ids)))


TRIED = uuid.UUID(int=0)
"""Stands for somebody whom a dry run would have made."""


@dataclass(slots=True)
class _Import:
    """One import that is under way."""

    db: Database
    box: SecretBox
    options: Options
    digests: Digests
    report: Report
    dry_run: bool
    progress: Progress
    started_at: datetime
    is_current: Callable[[str], bool]
    contacts_notified: ContactsNotified
    named: dict[str, object]
    trial: _Trial = field(default_factory=_Trial)
    proposals: set[uuid.UUID] = field(default_factory=set)
    """The proposals that rows of this run made or replaced."""


async def import_file(
    db: Database,
    box: SecretBox,
    path: Path,
    options: Options,
    take_hash: TakeHash,
    *,
    reject: Callable[[int, str, str], None] = lambda *_: None,
    report: Report | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    checked: Checked | None = None,
    dry_run: bool = False,
    is_current: Callable[[str], bool] = lambda _: True,
    contacts_notified: ContactsNotified = lambda *_: nullcontext(),
) -> Progress:
    """Import users from a file, in batches of a thousand, each in its own transaction.

    Args:
        db: the database.
        box: encrypts what is stored so.
        path: the file.
        options: how the file is read.
        take_hash: turns a password hash into the stored form.
        reject: receives each row that cannot be imported: its line, its id in the application, and the reason.
        report: receives these rows and omitted values, in place of ``reject``.
        on_progress: receives the progress after each batch.
        checked: the result of :func:`check_file`, if known.
        dry_run: change nothing.
        is_current: whether a sign-in would create such a password hash; ``--update`` keeps these passwords.
        contacts_notified: notifies a user whose contacts an update changes.

    Returns:
        The progress, including rows of an earlier run that was interrupted.

    Raises:
        Refusal: when the file cannot be read or changes, or the options do not fit it or an earlier import.
    """
    checked = checked or check_file(path, options)
    state, digests = _state(path), digests_of(path, options)
    progress, done, started = await _earlier_progress(db, options, digests, dry_run=dry_run)
    if progress.before is not None:
        return progress
    work = _Import(
        db, box, checked.options, digests, report or _RejectReport(reject), dry_run, progress, started, is_current,
        contacts_notified, options.named(),
    )  # fmt: skip
    await _run(work, path, take_hash, done, on_progress)
    if _state(path) != state:
        raise Refusal(f"{path} was changed while it was read: import it again, with --update where it has --from")
    return progress


async def _earlier_progress(
    db: Database, options: Options, digests: Digests, *, dry_run: bool
) -> tuple[Progress, int, datetime]:
    """Return the progress of an earlier run of the same import, the rows that it imported, and its start."""
    async with db.read() as session:
        run = await session.get(ImportRun, digests.named)
        if not dry_run and not options.update:
            await _check_other_runs(session, options, digests)
    if run is None or dry_run or (options.update and run.finished_at):
        return Progress(), 0, clock.now()
    counts = (run.rows_done, run.made, run.proposed, run.rejected, run.updated, run.unchanged)
    return Progress(*counts, before=run.finished_at), run.rows_done, run.started_at


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


async def _check_other_runs(session: AsyncSession, options: Options, digests: Digests) -> None:
    """Refuse a file that was imported before with other options.

    Raises:
        Refusal: with these options and what to do.
    """
    same_file = (ImportRun.content == digests.content) | (ImportRun.digest == digests.former)
    other_runs = select(ImportRun).where(same_file, ImportRun.digest != digests.named).order_by(ImportRun.started_at)
    for run in (await session.execute(other_runs)).scalars():
        people = run.made + run.proposed + run.updated
        if run.client_id != options.client_id or (run.finished_at is not None and not people):
            continue
        given = as_typed(run.options) if run.options is not None else "options that are not known any more"
        state = "imported" if run.finished_at else f"imported up to row {run.rows_done}"
        advice = "Add" if run.finished_at or run.options is None else "Give the same options to go on, or add"
        raise Refusal(
            f"this file was {state} on {run.started_at:%Y-%m-%d %H:%M} UTC with other options ({given}; now "
            f"{as_typed(options.named())}): {run.made} people were made. {advice} --update, with --from and a column "
            "local_user_id, to bring these people up to date and take over the others"
        )


async def _run(
    work: _Import, path: Path, take_hash: TakeHash, done: int, on_progress: Callable[[Progress], None]
) -> None:
    """Read the rows after the first ``done`` and import them in batches."""
    progress, batch = work.progress, _Batch()
    begun = False
    for seen, entry in enumerate(rows_of(path, work.options), start=1):
        progress.bytes = entry.read
        if seen <= done:
            continue
        if not begun:
            work.report.at(seen)
            work.report.begin(entry.line if done else None)
            begun = True
        progress.rows += 1
        try:
            if entry.row is None:
                unreadable = f"cannot be read: {entry.reason}"
                raise RowRefused(entry.reason if entry.rejected_id is not None else unreadable)
            row = read_row(entry.line, entry.row, work.options, take_hash, entry.notes)
            batch.rows.append(replace(row, order=seen))
        except RowRefused as error:
            local_id = entry.rejected_id or _local_id(entry.row, work.options)
            batch.rejected.append((seen, entry.line, local_id, str(error)))
        if progress.rows % BATCH == 0:
            await _take_over(work, batch)
            batch = _Batch()
            on_progress(progress)
    if not begun:
        work.report.begin(None)
    await _take_over(work, batch, last=True)
    on_progress(progress)


def _local_id(given: dict[str, object] | None, options: Options) -> str:
    value = (given or {}).get(options.columns.get("local_user_id", ""), "")
    return str(value)[:200] if isinstance(value, str | int) else ""


@dataclass(slots=True)
class _Batch:
    """Rows that are taken over together, and what is reported of them: the number of the row, its line, the id that
    the application has for it, and what is said."""

    rows: list[Row] = field(default_factory=list)
    rejected: list[tuple[int, int, str, str]] = field(default_factory=list)
    notes: list[tuple[int, int, str, Note]] = field(default_factory=list)
    updated: int = 0
    unchanged: int = 0

    def reject(self, row: Row, reason: str) -> None:
        """Reject a row that could be read."""
        self.rejected.append((row.order, row.number, row.local_user_id, reason))

    def note(self, row: Row, *notes: Note) -> None:
        """Take notes about a row."""
        self.notes += [(row.order, row.number, row.local_user_id, note) for note in notes]


async def _take_over(work: _Import, batch: _Batch, *, last: bool = False) -> None:
    """Take over one batch, and record how far the import is, in one transaction. What is reported is kept before the
    transaction ends.

    Raises:
        Refusal: when the rows and their outcomes do not add up; nothing of the batch is written then.
    """
    progress = work.progress
    async with work.db.write() as session:
        key = await nik_key(session, work.box)
        new_rows = Created()
        if batch.rows:
            await _decide(session, work, batch, key, new_rows)
        progress.made += len(new_rows.users)
        progress.proposed += len(new_rows.proposals)
        progress.updated += batch.updated
        progress.unchanged += batch.unchanged
        progress.rejected += len(batch.rejected)
        if progress.balance() != progress.rows:
            raise Refusal(
                f"{progress.rows} rows were read, and {progress.balance()} have an outcome: this is a fault of the "
                "import. Its last rows were not taken over"
            )
        if work.dry_run:
            new_rows.proposals = [proposal for proposal in new_rows.proposals if proposal["user_id"] != TRIED]
        await new_rows.insert(session)
        await _remember(session, work, last=last)
        if new_rows.users or new_rows.proposals or batch.updated:
            about = {"made": len(new_rows.users), "proposed": len(new_rows.proposals), "through_row": progress.rows}
            about |= {"updated": batch.updated} if batch.updated else {}
            record(session, "users.imported", actor="cli", client_id=work.options.client_id, data=about)
        await session.flush()
        _tell(work, batch)
        if work.dry_run:
            await session.rollback()


def _tell(work: _Import, batch: _Batch) -> None:
    """Report what became of the rows, in the order of the file."""
    progress = work.progress
    refused = {order for order, _, _, _ in batch.rejected}
    for row in batch.rows:
        if row.order not in refused:
            batch.note(row, *row.notes)
            progress.read_as.update(row.read_as)
    lines: list[tuple[int, int, str, str | Note]] = [*batch.rejected, *batch.notes]
    for order, line, local, what in sorted(lines, key=lambda entry: entry[0]):
        work.report.at(order)
        if isinstance(what, Note):
            work.report.noted(line, local, what)
            if what.kind == "left out":
                progress.left_out[what.text.partition(":")[0]] += 1
        else:
            work.report.rejected(line, local, what)
    work.report.flush()


COLUMN_OF = {kind: column for column, kind in IDENTIFIERS}


@dataclass(slots=True)
class Created:
    """Rows of the tables, to be inserted together."""

    users: list[dict[str, object]] = field(default_factory=list)
    identifiers: list[dict[str, object]] = field(default_factory=list)
    credentials: list[dict[str, object]] = field(default_factory=list)
    roles: list[dict[str, object]] = field(default_factory=list)
    accounts: list[dict[str, object]] = field(default_factory=list)
    proposals: list[dict[str, object]] = field(default_factory=list)
    values: list[dict[str, object]] = field(default_factory=list)

    async def insert(self, session: AsyncSession) -> None:
        """Insert them."""
        for table, rows in (
            (User, self.users), (Identifier, self.identifiers), (Credential, self.credentials), (UserRole, self.roles),
            (LocalAccount, self.accounts), (MergeProposal, self.proposals), (AttributeValue, self.values),
        ):  # fmt: skip
            if rows:
                await session.execute(table_of(table).insert(), rows)


async def _decide(session: AsyncSession, work: _Import, batch: _Batch, key: bytes, new_rows: Created) -> None:
    """Decide for each row: somebody new, somebody who seems to be here, somebody to be updated, or none of these."""
    options, box = work.options, work.box
    lookups = [[lookup_of(kind, value, key) for kind, value, _ in row.identifiers] for row in batch.rows]
    holders, known = await _who_is_here(session, work, batch, lookups, key)
    owners = holders.verified
    for row, mine in zip(batch.rows, lookups, strict=True):
        if row.local_user_id and row.local_user_id in known:
            await _known_row(session, work, batch, row, mine, known[row.local_user_id], holders)
            known[row.local_user_id] = None
            continue
        paired = list(zip(row.identifiers, mine, strict=True))
        matching = {kind: owners[its] for (kind, _, verified), its in paired if verified and its in owners}
        reasons = [kind for kind in MATCHING if kind in matching]
        if reasons:
            proposal = proposal_row(box, row, options.client_id, matching[reasons[0]], reasons)
            new_rows.proposals.append(proposal)
            known[row.local_user_id] = None
            work.proposals.add(cast(uuid.UUID, proposal["id"]))
            continue
        free = holders.free(paired)
        if not free:
            kinds = ", ".join(kind for kind, _, _ in row.identifiers)
            batch.reject(row, f"{kinds}: is taken, and there is nothing else to sign in with")
            continue
        if len(free) < len(row.identifiers):
            left = [pair[0] for pair in row.identifiers if pair not in free]
            batch.note(row, *(Note("left out", f"{COLUMN_OF[kind]}: somebody else has it") for kind in left))
        user_id = add_person(new_rows, box, row, free, key, options.client_id)
        new_rows.values += value_rows(box, user_id, row.attributes, options.attributes)
        known[row.local_user_id] = None
        for (_, _, verified), its in paired:
            (owners if verified else holders.unverified).setdefault(its, user_id)
    if work.dry_run:
        work.trial.remember(holders, (row.local_user_id for row in batch.rows if row.local_user_id in known))


async def _who_is_here(
    session: AsyncSession, work: _Import, batch: _Batch, lookups: Sequence[Sequence[str]], key: bytes
) -> tuple[Holders, dict[str, Known]]:
    """Return who has the identifiers, and the application's ids, of a batch; in a dry run also who would have them."""
    every = [lookup for mine in lookups for lookup in mine]
    holders = await holders_of(session, every)
    known = await _known_accounts(session, work, [row.local_user_id for row in batch.rows], key)
    if work.dry_run:
        work.trial.add_to(holders, every)
        known |= {row.local_user_id: None for row in batch.rows if hash(row.local_user_id) in work.trial.local}
    return holders, known


Known = updating.Present | MergeProposal | None
"""Who has an id of the application: a person, a proposal, or a row of this run."""


async def _known_row(
    session: AsyncSession,
    work: _Import,
    batch: _Batch,
    row: Row,
    lookups: Sequence[str],
    known: Known,
    holders: Holders,
) -> None:
    """Decide about a row whose ``local_user_id`` was taken over, or proposed, before."""
    if why := _why_not_updated(work, known):
        batch.reject(row, f"local_user_id: {why}")
    elif isinstance(known, MergeProposal):
        work.proposals.add(known.id)
        if orjson.loads(work.box.decrypt(known.encrypted, PURPOSE)) == orjson.loads(orjson.dumps(row.stored())):
            batch.unchanged += 1
        else:
            known.encrypted = work.box.encrypt(orjson.dumps(row.stored()), PURPOSE)
            batch.updated += 1
    elif known is not None:
        await _update_person(session, work, batch, row, lookups, known, holders)


def _why_not_updated(work: _Import, known: Known) -> str:
    """Return why a row is rejected whose ``local_user_id`` was taken over, or proposed, before; empty: it is not."""
    if not work.options.update:
        return "was taken over before; --update brings the person up to date"
    if known is None or (isinstance(known, updating.Present) and known.looked_at >= work.started_at):
        return "stands twice in this file"
    if isinstance(known, MergeProposal):
        if known.id in work.proposals:
            return "stands twice in this file"
        return "" if known.status == "open" else "a person decided about this row before"
    return "the person was deleted here" if known.user.deleted_at is not None else ""


async def _update_person(
    session: AsyncSession,
    work: _Import,
    batch: _Batch,
    row: Row,
    lookups: Sequence[str],
    known: updating.Present,
    holders: Holders,
) -> None:
    paired = list(zip(row.identifiers, lookups, strict=True))
    theirs = {entry.lookup for entry in known.identifiers}
    free = {entry[0] for entry in holders.free([pair for pair in paired if pair[1] not in theirs])}
    open_to = {its for (kind, _, _), its in paired if kind in free and its not in theirs}
    open_to |= {its for _, its in paired if its in theirs and holders.verified.get(its) in (None, known.user.id)}
    changes = updating.changes_for(known, row, paired, open_to, work.is_current)
    values = await _update_attributes(session, work, batch, row, known.user.id)
    batch.note(row, *changes.notes)
    if not changes.what and values:
        known.account.imported_at = clock.now()
        batch.updated += 1
        return
    if not changes.what:
        known.account.imported_at = clock.now()
        batch.unchanged += 1
        return
    notifies = changes.contacts and known.is_reached
    async with work.contacts_notified(session, known.user) if notifies else nullcontext():
        inserted = [
            identifier_row(work.box, known.user.id, kind, value, verified, known.key)
            for kind, value, verified in changes.added
        ]
        updating.apply(session, known, row, changes, inserted, work.options.client_id)
    for (_, _, verified), its in paired:
        if its in open_to:
            (holders.verified if verified else holders.unverified).setdefault(its, known.user.id)
    batch.updated += 1


async def _update_attributes(
    session: AsyncSession, work: _Import, batch: _Batch, row: Row, user_id: uuid.UUID
) -> list[str]:
    """Change attributes to what the file says, and return which. What was changed here since an import stays."""
    if not row.attributes:
        return []
    declared, stored = work.options.attributes, await attributes.values_of(session, user_id)
    changed: dict[str, str] = {}
    for name, value in row.attributes.items():
        present = stored.get(name)
        if present is not None and read_stored(present.value, name, user_id, work.box) == value:
            continue
        if present is not None and present.source != IMPORT:
            batch.note(row, Note("kept", f"{name}: differs, and was changed here since the import"))
            continue
        changed[name] = stored_text(declared[name], name, user_id, value, work.box)
    if changed and not work.dry_run:
        await attributes.set_values(session, user_id, changed, IMPORT, clock.now())
        data = {"attributes": sorted(changed), "source": IMPORT}
        client_id = work.options.client_id
        record(session, "user.attributes_changed", actor="cli", subject=str(user_id), client_id=client_id, data=data)
    return sorted(changed)


def value_rows(
    box: SecretBox, user_id: uuid.UUID, values: Mapping[str, Value], declared: Mapping[str, Attribute]
) -> list[dict[str, object]]:
    """Return the rows of the values of attributes of somebody new."""
    return [
        {
            "user_id": user_id,
            "name": name,
            "value": stored_text(declared[name], name, user_id, value, box),
            "source": IMPORT,
            "updated_at": clock.now(),
        }
        for name, value in sorted(values.items())
    ]


def add_person(
    new_rows: Created,
    box: SecretBox,
    row: Row,
    identifiers: Sequence[tuple[Kind, str, bool]],
    key: bytes,
    client_id: str | None,
) -> uuid.UUID:
    """Add somebody new to what is inserted, and return the id."""
    now, user_id = clock.now(), new_id()
    new_rows.users.append(
        {
            "id": user_id,
            "name": row.name,
            "profile": row.profile,
            "locale": row.locale,
            "created_at": now,
            "updated_at": now,
            "preferences": {},
        }
    )
    for kind, value, verified in identifiers:
        new_rows.identifiers.append(identifier_row(box, user_id, kind, value, verified, key, now))
    if row.password:
        new_rows.credentials.append(
            {
                "id": new_id(),
                "user_id": user_id,
                "kind": "password",
                "secret": row.password,
                "created_at": now,
                "updated_at": now,
                "data": {},
            }
        )
    new_rows.roles += [{"user_id": user_id, "role": role} for role in row.roles]
    if client_id and row.local_user_id:
        new_rows.accounts.append(
            {"client_id": client_id, "local_user_id": row.local_user_id, "user_id": user_id, "created_at": now}
        )
    return user_id


def identifier_row(
    box: SecretBox,
    user_id: uuid.UUID,
    kind: str,
    value: str,
    verified: bool,
    key: bytes,
    now: datetime | None = None,
) -> dict[str, object]:
    """Return an identifier as it is inserted. A NIP is verified by the personnel office and by officers alone."""
    now = now or clock.now()
    return {
        "id": new_id(),
        "user_id": user_id,
        "kind": kind,
        "value": masked(kind, value) if kind == NIK else value,
        "lookup": lookup_of(kind, value, key),
        "is_primary": kind != "nip",
        "created_at": now,
        "verified_at": now if verified and kind != "nip" else None,
        "encrypted": box.encrypt(value.encode(), NIK) if kind == NIK else None,
    }


def proposal_row(
    box: SecretBox, row: Row, client_id: str | None, user_id: uuid.UUID, reasons: Sequence[str]
) -> dict[str, object]:
    return {
        "id": new_id(),
        "user_id": user_id,
        "client_id": client_id,
        "local_user_id": row.local_user_id or None,
        "reasons": list(reasons),
        "encrypted": box.encrypt(orjson.dumps(row.stored()), PURPOSE),
        "status": "open",
        "created_at": clock.now(),
        "decided_at": None,
        "decided_by": None,
    }


def lookup_of(kind: str, value: str, key: bytes) -> str:
    """Return the form under which an identifier is found."""
    return nik_lookup(value, key) if kind == NIK else value


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has identifiers, by their lookup: ``verified`` (a user name is its holder's), or ``unverified``."""

    verified: dict[str, uuid.UUID] = field(default_factory=dict)
    unverified: dict[str, uuid.UUID] = field(default_factory=dict)

    def free(self, identifiers: Iterable[tuple[tuple[Kind, str, bool], str]]) -> list[tuple[Kind, str, bool]]:
        """Return those identifiers that somebody new can have, each with its lookup. What others only say is theirs
        keeps nobody from what is verified; of two unverified contacts that are the same, the second is left out: with
        both, neither could sign in by it. An unverified NIK opens nothing, so that several may say the same."""
        return [
            identifier
            for identifier, lookup in identifiers
            if lookup not in self.verified and (identifier[2] or identifier[0] == NIK or lookup not in self.unverified)
        ]


async def holders_of(session: AsyncSession, lookups: Sequence[str]) -> Holders:
    """Return who has these identifiers."""
    holders = Holders()
    for start in range(0, len(lookups), CHUNK):
        statement = select(Identifier.lookup, Identifier.user_id, Identifier.verified_at, Identifier.kind).where(
            Identifier.lookup.in_(lookups[start : start + CHUNK])
        )
        for lookup, user_id, verified_at, kind in (await session.execute(statement)).all():
            if verified_at is not None:
                holders.verified[lookup] = user_id
            else:
                (holders.verified if kind in GIVEN else holders.unverified).setdefault(lookup, user_id)
    return holders


async def _known_accounts(
    session: AsyncSession, work: _Import, local_ids: Sequence[str], key: bytes
) -> dict[str, Known]:
    """Return who has these ids of the application: people who were taken over, or proposals. Without ``--update`` it
    is enough that somebody has."""
    found_accounts: dict[str, Known] = {}
    ordered = sorted({entry for entry in local_ids if entry})
    chunks = [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
    client_id, accounts = work.options.client_id, list[LocalAccount]()
    for chunk in chunks:
        mine = select(LocalAccount).where(LocalAccount.client_id == client_id, LocalAccount.local_user_id.in_(chunk))
        if work.options.update:
            accounts += (await session.execute(mine)).scalars()
        else:
            names = (await session.execute(mine.with_only_columns(LocalAccount.local_user_id))).scalars()
            found_accounts.update(dict.fromkeys(names))
    proposed = MergeProposal.local_user_id
    present = await updating.present(session, accounts, key)
    for chunk in chunks:
        those = select(MergeProposal).where(MergeProposal.client_id == client_id, proposed.in_(chunk))
        if work.options.update:
            those = those.order_by(MergeProposal.id).with_for_update(key_share=True)
            proposals = (await session.execute(those)).scalars()
            found_accounts.update((proposal.local_user_id or "", proposal) for proposal in proposals)
        else:
            found_accounts.update(
                dict.fromkeys(filter(None, (await session.execute(those.with_only_columns(proposed))).scalars()))
            )
    return found_accounts | present


async def _remember(session: AsyncSession, work: _Import, *, last: bool) -> None:
    progress = work.progress
    run = await session.get(ImportRun, work.digests.named)
    if run is None:
        run = ImportRun(digest=work.digests.named, client_id=work.options.client_id)
        run.content, run.options = work.digests.content, work.named
        session.add(run)
    run.started_at = work.started_at
    run.rows_done, run.made, run.proposed = progress.rows, progress.made, progress.proposed
    run.rejected, run.updated, run.unchanged = progress.rejected, progress.updated, progress.unchanged
    run.finished_at = clock.now() if last else None
