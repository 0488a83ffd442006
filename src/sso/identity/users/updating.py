"""What ``sso users import --update`` may change about somebody who was taken over before.

Two rules, each for what it protects:

* Name, language and claims follow the file as long as nobody changed the account here since the last import.
* Password and contacts follow the file as long as nobody can have used the account: it has no factor but a password,
  that password is not one that a sign-in would have left (``is_current``), and nothing about the account is newer than
  the last import. A verified contact is never replaced, only added.

Somebody who came another way and was merged is nobody of whom the file says more than the account. What differs and
stays is noted as ``kept``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users.identifiers import Kind
from sso.identity.users.models import Credential, Identifier, LocalAccount, User
from sso.identity.users.rows import Note, Row
from sso.platform.audit import record
from sso.platform.db import new_id

CHUNK = 500
Paired = tuple[tuple[Kind, str, bool], str]
"""An identifier of a row, and the form under which it is found."""


@dataclass(slots=True)
class Present:
    """Somebody who is here, as far as an update must know. ``key`` is the key under which NIKs are found."""

    account: LocalAccount
    user: User
    key: bytes
    identifiers: list[Identifier] = field(default_factory=list)
    credentials: list[Credential] = field(default_factory=list)

    @property
    def is_reached(self) -> bool:
        """Whether the person has a contact that is told of changes."""
        contacts = [identifier for identifier in self.identifiers if identifier.kind in ("email", "phone")]
        return any(contact.verified_at is not None for contact in contacts)

    @property
    def looked_at(self) -> datetime:
        """When an import last looked at the person."""
        return self.account.imported_at or self.account.created_at


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to change, by the name of the column in ``what``; ``added``, ``removed`` and ``verified`` identifiers."""

    what: tuple[str, ...]
    values: dict[str, object]
    password: bool
    added: tuple[tuple[Kind, str, bool], ...]
    removed: tuple[Identifier, ...]
    verified: tuple[Identifier, ...]
    notes: tuple[Note, ...]

    @property
    def contacts(self) -> bool:
        """Whether identifiers change."""
        return bool(self.added or self.removed or self.verified)


async def present(session: AsyncSession, accounts: Sequence[LocalAccount], key: bytes) -> dict[str, Present]:
    """Return the people of these accounts by ``local_user_id``, locked in the order of their ids."""
    ids = sorted({account.user_id for account in accounts})
    users: dict[uuid.UUID, User] = {}
    identifiers: dict[uuid.UUID, list[Identifier]] = {}
    credentials: dict[uuid.UUID, list[Credential]] = {}
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        locked = select(User).where(User.id.in_(some)).order_by(User.id).with_for_update(key_share=True)
        locked = locked.execution_options(populate_existing=True)
        users |= {account.id: account for account in (await session.execute(locked)).scalars()}
        for known in (await session.execute(select(Identifier).where(Identifier.user_id.in_(some)))).scalars():
            identifiers.setdefault(known.user_id, []).append(known)
        for factor in (await session.execute(select(Credential).where(Credential.user_id.in_(some)))).scalars():
            credentials.setdefault(factor.user_id, []).append(factor)
    return {
        account.local_user_id: Present(
            account,
            users[account.user_id],
            key,
            identifiers.get(account.user_id, []),
            credentials.get(account.user_id, []),
        )
        for account in accounts
    }


def is_as_imported(here: Present) -> bool:
    """Tell whether the account was made by this import and nobody changed it since."""
    user, since = here.user, here.looked_at
    return user.created_at == here.account.created_at and user.updated_at <= since and user.disabled_at is None


def is_unused(here: Present, is_current: Callable[[str], bool]) -> bool:
    """Tell whether nobody can have signed in to the account since the import made it.

    A sign-in replaces the password hash of another system by one that is current (``identity/authn/passwords.py``);
    every other way in leaves a factor or a newer identifier.
    """
    user, since = here.user, here.looked_at
    if not is_as_imported(here) or user.security_version or user.locked_until is not None:
        return False
    for credential in here.credentials:
        if credential.kind != "password" or credential.updated_at > since or is_current(credential.secret):
            return False
    return all(max(known.created_at, known.verified_at or known.created_at) <= since for known in here.identifiers)


def changes_for(
    here: Present, row: Row, paired: Sequence[Paired], open_to: Collection[str], is_current: Callable[[str], bool]
) -> Changes:
    """Return what a row changes about somebody.

    Args:
        here: the person.
        row: what the file says now.
        paired: its identifiers, each with its lookup.
        open_to: the lookups that nobody else keeps from the person.
        is_current: whether a password hash is one that a sign-in here would have made.
    """
    values, notes = _values(here, row)
    unused = is_unused(here, is_current)
    stored = next((credential.secret for credential in here.credentials if credential.kind == "password"), "")
    password = bool(row.password) and unused and stored != row.password
    added: list[tuple[Kind, str, bool]] = []
    removed: list[Identifier] = []
    verified: list[Identifier] = []
    for (kind, value, is_verified), lookup in paired:
        of_kind = [identifier for identifier in here.identifiers if identifier.kind == kind]
        same = next((identifier for identifier in of_kind if identifier.lookup == lookup), None)
        if same is not None and (same.verified_at is not None or not is_verified):
            continue
        fixed = [identifier for identifier in of_kind if identifier.verified_at is not None and kind != "username"]
        if not unused or fixed or lookup not in open_to:
            notes.append(_kept_contact(kind, unused=unused, fixed=bool(fixed)))
        elif same is not None:
            verified.append(same)
        else:
            removed += of_kind
            added.append((kind, value, is_verified))
    contacts = [kind for kind, _, _ in added] + [identifier.kind for identifier in verified]
    what = (*values, *(["password"] if password else []), *contacts)
    return Changes(what, values, password, tuple(added), tuple(removed), tuple(verified), tuple(notes))


def _kept_contact(kind: str, *, unused: bool, fixed: bool) -> Note:
    if not unused:
        return Note("kept", f"{kind}: differs, and the account may have been used since the import")
    if fixed:
        return Note("kept", f"{kind}: differs from the verified one; change it by hand")
    return Note("left out", f"{kind}: somebody else has it")


def _values(here: Present, row: Row) -> tuple[dict[str, object], list[Note]]:
    """Return name, language and claims that are to change, and what stays though it differs."""
    user = here.user
    changed: dict[str, object] = {name: value for name, value in row.profile.items() if user.profile.get(name) != value}
    if row.has_name and row.name != user.name:
        changed["name"] = row.name
    if row.locale and row.locale != user.locale:
        changed["locale"] = row.locale
    if is_as_imported(here):
        return changed, []
    return {}, [Note("kept", f"{name}: differs, and the account was changed here since the import") for name in changed]


def apply(
    session: AsyncSession,
    here: Present,
    row: Row,
    changes: Changes,
    added: Sequence[dict[str, object]],
    client_id: str | None,
) -> None:
    """Make the changes in the session, which writes them with those of others, and record them.

    Args:
        session: the transaction.
        here: the person, locked.
        row: what the file says.
        changes: what is to change.
        added: the identifiers to be added, as they are inserted.
        client_id: the application whose person it is.
    """
    now, user = clock.now(), here.user
    values = dict(changes.values)
    user.name = cast(str, values.pop("name", user.name))
    user.locale = cast(str | None, values.pop("locale", user.locale))
    user.profile = {**user.profile, **values}
    user.updated_at = now
    for identifier in changes.removed:
        session.sync_session.delete(identifier)
    for identifier in changes.verified:
        identifier.verified_at = identifier.asserted_at = now
    session.add_all(Identifier(**columns, asserted_at=now if columns["verified_at"] else None) for columns in added)
    if changes.password:
        _set_password(session, here, row.password, now)
    here.account.imported_at = now
    data = {"changed": sorted(changes.what), "import": True}
    record(session, "user.changed", actor="cli", subject=str(user.id), client_id=client_id, data=data)


def _set_password(session: AsyncSession, here: Present, hashed: str, now: datetime) -> None:
    password = next((credential for credential in here.credentials if credential.kind == "password"), None)
    if password is not None:
        password.secret, password.updated_at = hashed, now
        return
    user_id = here.user.id
    session.add(
        Credential(id=new_id(), user_id=user_id, kind="password", secret=hashed, created_at=now, updated_at=now)
    )
