"""Taking people over from the city's existing applications: any number, in bounded memory, and able to go on after
a stop.

A row that seems to be somebody who is here already, by NIK, e-mail or telephone, is never merged by itself: it becomes
a proposal, on which a person decides (``users/merging.py``). Only what is verified on both sides says so: the person
here has verified it, and the operator vouches for the file's (``--verified``, or its column). What somebody only typed,
here or there, matches nobody, and keeps nobody out. A row that cannot be taken over is reported with the reason.
"""

from __future__ import annotations

import csv
import hashlib
import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.audit import record
from sso.db import Database, new_id, table_of
from sso.errors import Refusal
from sso.security.box import SecretBox
from sso.security.documents import DocumentRefused, check_document
from sso.security.text import one_line
from sso.users.identifiers import Kind, can_be_verified, masked, nik_lookup, normalise_as
from sso.users.models import Credential, Identifier, ImportRun, LocalAccount, MergeProposal, User, UserRole
from sso.users.schemas import KIND_OF_FIELD, NAME, Profile, read_locale
from sso.users.service import NIK, nik_key

BATCH = 1000
CHUNK = 500
MAX_LINE_BYTES = 64 * 1024
SEAL = "import-row"
COLUMNS = (
    "username", "email", "email_verified", "phone_number", "phone_number_verified", "nik", "nik_verified", "name",
    "locale", "password_hash", "password_salt", "password_scheme", "local_user_id",
)  # fmt: skip
"""What a row may hold, besides the claims of a profile; each may be missing."""
PROFILE_COLUMNS = tuple(name for name in Profile.model_fields if name != "address")
MATCHING: tuple[Kind, ...] = ("nik", "email", "phone")
"""By what two rows are said to be of one person, the surest first."""
_TRUE = {"1", "true", "yes", "y", "ya", "t"}

TakeHash = Callable[..., str]


class RowRefused(Exception):
    """A row cannot be taken over; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody to be taken over."""

    number: int
    name: str
    identifiers: list[tuple[Kind, str, bool]]
    local_user_id: str
    password: str
    locale: str | None
    profile: dict[str, Any]
    roles: list[str] = field(default_factory=lambda: ["citizen"])

    def stored(self) -> dict[str, Any]:
        """Return the row as a proposal keeps it, sealed."""
        return {
            "name": self.name,
            "identifiers": [list(one) for one in self.identifiers],
            "password": self.password,
            "locale": self.locale,
            "profile": self.profile,
            "roles": self.roles,
        }


@dataclass(slots=True)
class Progress:
    """How far an import is: rows looked at, people made, proposals, rows that were rejected, bytes read."""

    rows: int = 0
    made: int = 0
    proposed: int = 0
    rejected: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is read.

    ``client_id`` is the application whose people they are; ``verified`` the contacts that it has verified itself;
    ``columns`` the names of its columns, by ours.
    """

    client_id: str | None = None
    verified: frozenset[str] = frozenset()
    columns: Mapping[str, str] = field(default_factory=dict)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, int]]:
    """Yield the rows of a file, CSV with a first line of names or JSON lines, one at a time: the number of the
    line, the
    row (None: it cannot be read), and how many bytes were read so far.

    Raises:
        Refusal: when the file is of neither kind.
    """
    with path.open("rb") as file:
        first = file.readline(MAX_LINE_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
        file.seek(0)
        if first.startswith(b"{"):
            yield from _json_rows(file)
        elif b"," in first or b";" in first or b"\t" in first:
            yield from _csv_rows(file, first)
        else:
            raise Refusal(f"{path} is neither CSV with a first line of column names nor JSON lines")


def _json_rows(file: io.BufferedReader) -> Iterator[tuple[int, dict[str, Any] | None, int]]:
    read = 0
    for number, line in enumerate(file, start=1):
        read += len(line)
        if not line.strip():
            continue
        try:
            row = orjson.loads(line) if len(line) <= MAX_LINE_BYTES else None
            check_document(row)
        except (orjson.JSONDecodeError, DocumentRefused):
            row = None
        yield number, row if isinstance(row, dict) else None, read


def _csv_rows(file: io.BufferedReader, first: bytes) -> Iterator[tuple[int, dict[str, Any] | None, int]]:
    delimiter = max(",;\t", key=lambda one: first.count(one.encode()))
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(text, delimiter=delimiter)
    names = [name.strip() for name in next(reader)]
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield reader.line_num, None, file.tell()
            continue
        if any(cell.strip() for cell in cells):
            row = dict(zip(names, cells, strict=False)) if len(cells) == len(names) else None
            yield reader.line_num, row, file.tell()


def read_row(number: int, given: Mapping[str, Any], options: Options, take_hash: TakeHash) -> Row:
    """Return a row, checked and normalised.

    Args:
        number: the number of its line.
        given: what it holds.
        options: how the file is read.
        take_hash: turns a password hash into the form that is kept.

    Raises:
        RowRefused: saying why.
    """
    said = {name: given.get(options.columns.get(name, name)) for name in (*COLUMNS, *PROFILE_COLUMNS)}
    text = {name: str(value).strip() for name, value in said.items() if value not in (None, "")}
    identifiers: list[tuple[Kind, str, bool]] = []
    for column, kind in KIND_OF_FIELD.items():
        if column in text:
            verified = kind == "username" or kind in options.verified or _is_true(text.get(f"{column}_verified", ""))
            value = _normal(column, kind, text[column])
            identifiers.append((kind, value, verified and can_be_verified(kind, value)))
    if not identifiers:
        raise RowRefused("has no user name, e-mail, telephone number or NIK to sign in with")
    name = " ".join(text.get("name", "").split()) or _name_of(text)
    if not NAME.fullmatch(name) or name != one_line(name):
        raise RowRefused("name: must have 1 to 200 characters, without < and >")
    password = ""
    if "password_hash" in text:
        try:
            salt, scheme = text.get("password_salt", ""), text.get("password_scheme", "")
            password = take_hash(text["password_hash"], salt=salt, scheme=scheme)
        except (ValueError, TypeError) as error:
            raise RowRefused(f"password_hash: {error}") from None
    local_user_id = text.get("local_user_id", "")[:200]
    try:
        locale = read_locale(text["locale"]) if "locale" in text else None
    except ValueError:
        locale = None
    return Row(number, name, identifiers, local_user_id, password, locale, _profile(text, given))


def _is_true(text: str) -> bool:
    return text.casefold() in _TRUE


def _normal(column: str, kind: Kind, text: str) -> str:
    try:
        return normalise_as(kind, text).value
    except ValueError as error:
        raise RowRefused(f"{column}: {error}") from None


def _name_of(text: Mapping[str, str]) -> str:
    whole = " ".join(text[part] for part in ("given_name", "middle_name", "family_name") if part in text)
    return whole or text.get("username", "") or text.get("email", "").partition("@")[0]


def _profile(text: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {name: text[name] for name in PROFILE_COLUMNS if name in text}
    if isinstance(given.get("address"), dict):
        said["address"] = given["address"]
    if isinstance(given.get("profile"), dict):
        said |= given["profile"]
    if not said:
        return {}
    try:
        return Profile.model_validate(said).model_dump(exclude_none=True)
    except ValidationError as error:
        problem = error.errors()[0]
        raise RowRefused(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


def digest_of(path: Path, options: Options) -> bytes:
    """Return what names an import: the file's content and the application."""
    made = hashlib.sha256((options.client_id or "").encode() + b"\0")
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            made.update(block)
    return made.digest()


async def import_file(
    db: Database,
    box: SecretBox,
    path: Path,
    options: Options,
    take_hash: TakeHash,
    *,
    reject: Callable[[int, str, str], None],
    told: Callable[[Progress], None] = lambda _: None,
    dry_run: bool = False,
) -> Progress:
    """Take people over from a file, a thousand at a time, each thousand in a transaction of its own.

    Args:
        db: the database.
        box: seals what is sealed.
        path: the file.
        options: how it is read.
        take_hash: turns a password hash into the form that is kept.
        reject: told of each row that cannot be taken over: its line, the application's id of it, and why.
        told: told how far it is, after each thousand.
        dry_run: change nothing.

    Returns:
        What came of it, rows of an earlier run that had been stopped included.

    Raises:
        Refusal: when the file is of no kind that can be read.
    """
    digest = digest_of(path, options)
    progress, done = Progress(), 0
    async with db.read() as session:
        before = await session.get(ImportRun, digest)
    if before is not None and not dry_run:
        done = before.rows_done
        progress = Progress(done, before.made, before.proposed, before.rejected)
    batch: list[Row] = []
    seen = 0
    for number, given, read in read_rows(path):
        seen += 1
        progress.bytes = read
        if seen <= done:
            continue
        progress.rows += 1
        try:
            if given is None:
                raise RowRefused("cannot be read")
            batch.append(read_row(number, given, options, take_hash))
        except RowRefused as error:
            progress.rejected += 1
            local = given.get(options.columns.get("local_user_id", "local_user_id"), "") if given else ""
            reject(number, str(local), str(error))
        if progress.rows % BATCH == 0:
            await _take_over(db, box, batch, options, progress, digest, reject, dry_run=dry_run)
            batch = []
            told(progress)
    await _take_over(db, box, batch, options, progress, digest, reject, dry_run=dry_run, last=True)
    told(progress)
    return progress


async def _take_over(
    db: Database,
    box: SecretBox,
    batch: Sequence[Row],
    options: Options,
    progress: Progress,
    digest: bytes,
    reject: Callable[[int, str, str], None],
    *,
    dry_run: bool,
    last: bool = False,
) -> None:
    """Take over one batch, and record how far the import is, in one transaction."""
    async with db.write() as session:
        key = await nik_key(session, box)
        rejected: list[tuple[int, str, str]] = []
        made = Made()
        if batch:
            await _decide(session, box, batch, options, key, made, rejected)
            await made.insert(session)
        progress.made += len(made.users)
        progress.proposed += len(made.proposals)
        progress.rejected += len(rejected)
        await _remember(session, digest, options, progress, last=last)
        if made.users or made.proposals:
            about = {"made": len(made.users), "proposed": len(made.proposals), "through_row": progress.rows}
            record(session, "users.imported", actor="cli", client_id=options.client_id, data=about)
        if dry_run:
            await session.rollback()
    for one in rejected:
        reject(*one)


@dataclass(slots=True)
class Made:
    """Rows of the tables, to be inserted together."""

    users: list[dict[str, Any]] = field(default_factory=list)
    identifiers: list[dict[str, Any]] = field(default_factory=list)
    credentials: list[dict[str, Any]] = field(default_factory=list)
    roles: list[dict[str, Any]] = field(default_factory=list)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    proposals: list[dict[str, Any]] = field(default_factory=list)

    async def insert(self, session: AsyncSession) -> None:
        """Insert them."""
        for table, rows in (
            (User, self.users), (Identifier, self.identifiers), (Credential, self.credentials), (UserRole, self.roles),
            (LocalAccount, self.accounts), (MergeProposal, self.proposals),
        ):  # fmt: skip
            if rows:
                await session.execute(table_of(table).insert(), rows)


async def _decide(
    session: AsyncSession,
    box: SecretBox,
    batch: Sequence[Row],
    options: Options,
    key: bytes,
    made: Made,
    rejected: list[tuple[int, str, str]],
) -> None:
    """Decide for each row: somebody new, somebody who seems to be here, or neither."""
    lookups = [[lookup_of(kind, value, key) for kind, value, _ in row.identifiers] for row in batch]
    holders = await holders_of(session, [one for mine in lookups for one in mine])
    owners = holders.verified
    known = await _known_accounts(session, options.client_id, [row.local_user_id for row in batch])
    for row, mine in zip(batch, lookups, strict=True):
        if row.local_user_id and row.local_user_id in known:
            rejected.append((row.number, row.local_user_id, "was taken over before"))
            continue
        if row.local_user_id:
            known.add(row.local_user_id)
        paired = list(zip(row.identifiers, mine, strict=True))
        matching = {kind: owners[its] for (kind, _, verified), its in paired if verified and its in owners}
        reasons = [kind for kind in MATCHING if kind in matching]
        if reasons:
            made.proposals.append(_proposal(box, row, options.client_id, matching[reasons[0]], reasons))
            continue
        free = holders.free(paired)
        if not free:
            kinds = ", ".join(kind for kind, _, _ in row.identifiers)
            why = f"{kinds}: is taken, and there is nothing else to sign in with"
            rejected.append((row.number, row.local_user_id, why))
            continue
        user_id = add_person(made, box, row, free, key, options.client_id)
        for (_, _, verified), its in paired:
            (owners if verified else holders.said).setdefault(its, user_id)


def add_person(
    made: Made,
    box: SecretBox,
    row: Row,
    identifiers: Sequence[tuple[Kind, str, bool]],
    key: bytes,
    client_id: str | None,
) -> uuid.UUID:
    """Add somebody new to what is inserted, and return the id."""
    now, user_id = clock.now(), new_id()
    made.users.append(
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
        made.identifiers.append(identifier_row(box, user_id, kind, value, verified, key))
    if row.password:
        made.credentials.append(
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
    made.roles += [{"user_id": user_id, "role": role} for role in row.roles]
    if client_id and row.local_user_id:
        made.accounts.append(
            {"client_id": client_id, "local_user_id": row.local_user_id, "user_id": user_id, "created_at": now}
        )
    return user_id


def identifier_row(
    box: SecretBox, user_id: uuid.UUID, kind: str, value: str, verified: bool, key: bytes
) -> dict[str, Any]:
    """Return an identifier as it is inserted."""
    now = clock.now()
    return {
        "id": new_id(),
        "user_id": user_id,
        "kind": kind,
        "value": masked(kind, value) if kind == NIK else value,
        "lookup": lookup_of(kind, value, key),
        "is_primary": True,
        "created_at": now,
        "verified_at": now if verified else None,
        "sealed": box.seal(value.encode(), NIK) if kind == NIK else None,
    }


def _proposal(
    box: SecretBox, row: Row, client_id: str | None, user_id: uuid.UUID, reasons: Sequence[str]
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "user_id": user_id,
        "client_id": client_id,
        "local_user_id": row.local_user_id or None,
        "reasons": list(reasons),
        "sealed": box.seal(orjson.dumps(row.stored()), SEAL),
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
    """Who has identifiers, by their lookup: ``verified`` (a user name is its holder's), or ``said`` only."""

    verified: dict[str, uuid.UUID] = field(default_factory=dict)
    said: dict[str, uuid.UUID] = field(default_factory=dict)

    def free(self, identifiers: Iterable[tuple[tuple[Kind, str, bool], str]]) -> list[tuple[Kind, str, bool]]:
        """Return those identifiers that somebody new can have, each with its lookup. What others only say is theirs
        keeps nobody from what is verified; of two unverified contacts that are the same, the second is left out: with
        both, neither could sign in by it. An unverified NIK opens nothing, so that several may say the same."""
        return [
            one
            for one, lookup in identifiers
            if lookup not in self.verified and (one[2] or one[0] == NIK or lookup not in self.said)
        ]


async def holders_of(session: AsyncSession, lookups: Sequence[str]) -> Holders:
    """Return who has these identifiers."""
    found = Holders()
    for start in range(0, len(lookups), CHUNK):
        wanted = select(Identifier.lookup, Identifier.user_id, Identifier.verified_at, Identifier.kind).where(
            Identifier.lookup.in_(lookups[start : start + CHUNK])
        )
        for lookup, user_id, verified_at, kind in (await session.execute(wanted)).all():
            if verified_at is not None:
                found.verified[lookup] = user_id
            else:
                (found.verified if kind == "username" else found.said).setdefault(lookup, user_id)
    return found


async def _known_accounts(session: AsyncSession, client_id: str | None, local_ids: Sequence[str]) -> set[str]:
    """Return which ids of the application were taken over, or proposed, before."""
    found: set[str] = set()
    wanted = [one for one in local_ids if one]
    for table in (LocalAccount, MergeProposal):
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            mine = select(table.local_user_id).where(table.client_id == client_id, table.local_user_id.in_(chunk))
            found.update(one for one in (await session.execute(mine)).scalars() if one)
    return found


async def _remember(session: AsyncSession, digest: bytes, options: Options, progress: Progress, *, last: bool) -> None:
    run = await session.get(ImportRun, digest)
    if run is None:
        run = ImportRun(digest=digest, client_id=options.client_id, started_at=clock.now())
        session.add(run)
    run.rows_done, run.made, run.proposed = progress.rows, progress.made, progress.proposed
    run.rejected = progress.rejected
    run.finished_at = clock.now() if last else None
