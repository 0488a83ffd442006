"""Attributes that a city declares: applying a new declaration, and the values that users have."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.attribute_file import DeclarationRefused, read_declaration_file
from sso.clients import store as clients
from sso.clients.attributes import CityAttributes, CityDeclaration, city_attributes_of
from sso.clients.models import REMOVED
from sso.errors import Refusal
from sso.identity.attributes import store
from sso.identity.attributes.definitions import Attribute, Reader, Writer
from sso.identity.attributes.models import AttributeDeclaration
from sso.identity.attributes.values import (
    Value,
    ValueRefused,
    checked_value,
    is_current,
    is_encrypted,
    read_stored,
    stored_text,
)
from sso.identity.users import store as users
from sso.platform.actor import SYSTEM, Actor
from sso.platform.audit import record_by
from sso.platform.db import bump_version
from sso.platform.security.encryption import SecretBox
from sso.platform.services import Storage

log = logging.getLogger(__name__)
PAGE = 500
APPLIED, CHANGED = "attributes.applied", "user.attributes_changed"
MAX_REASON_CHARS = 500
MISSING = "is required"
"""What is wrong with a value that is missing."""
Sign = Literal["+", "-", "~", "!"]
OWN: frozenset[Literal["user"]] = frozenset({"user"})
"""What users are for the rights of their own attributes."""


class AttributeServices(Storage, Protocol):
    """What applying the file of the settings needs."""

    async def refresh(self) -> bool:
        """Read what changed."""


class NeedsConfirmation(Refusal):
    """A declaration deletes values of users: whoever applies it must confirm that."""

    status = 409
    code = "needs_confirmation"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new declaration changes.

    Args:
        lines: each change: ``+`` new, ``-`` removed, ``~`` changed, with the part of the file and what changes.
        deleted: how many values are deleted, by the attribute.
        refused: why the declaration cannot be applied; empty: it can.
    """

    lines: list[tuple[Sign, str]] = field(default_factory=list)
    deleted: Mapping[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


async def plan_declaration(session: AsyncSession, box: SecretBox, new: CityDeclaration) -> Plan:
    """Return what a declaration would change; nothing is changed."""
    city = await city_attributes_of(session)
    old, counts = city.declaration, await store.counts(session)
    lines = _differences(old, new)
    gone = {name: counts[name] for name in sorted(old.attributes.keys() - new.attributes.keys()) if name in counts}
    refused = await _registered_already(session, new.scopes.keys() - old.scopes.keys())
    for name in sorted(old.attributes.keys() & new.attributes.keys() & counts.keys()):
        if old.attributes[name] != new.attributes[name]:
            wrong = await _rewritten(session, box, name, new.attributes[name], write=False)
            if wrong:
                refused.append(
                    f"attributes.{name}: {wrong} of {counts[name]} stored values do not fit: change or delete these "
                    "values first, or declare a new attribute"
                )
    return Plan(lines, gone, refused)


def _differences(old: CityDeclaration, new: CityDeclaration) -> list[tuple[Sign, str]]:
    before, after, lines = old.stored(), new.stored(), list[tuple[Sign, str]]()
    for part in ("scopes", "attributes", "mappers"):
        was, now = _members(before.get(part)), _members(after.get(part))
        lines += [("-", f"{part}.{name}") for name in sorted(was.keys() - now.keys())]
        lines += [("+", f"{part}.{name}") for name in sorted(now.keys() - was.keys())]
        for name in sorted(was.keys() & now.keys()):
            if was[name] != now[name]:
                fields = sorted(_changed_fields(was[name], now[name]))
                lines.append(("~", f"{part}.{name}" + (f": {', '.join(fields)}" if fields else "")))
    return lines


def _members(part: object) -> dict[str, object]:
    return dict(part) if isinstance(part, dict) else {}


def _changed_fields(was: object, now: object) -> set[str]:
    before, after = _members(was), _members(now)
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


async def _registered_already(session: AsyncSession, scopes: Collection[str]) -> list[str]:
    """Return why new scopes cannot be declared: an application has registered them for something else, and users may
    have allowed that."""
    refused = []
    if not scopes:
        return []
    async for client_id, status, metadata in clients.changed_clients(session, 0):
        registered = set(str(orjson.loads(metadata).get("scope", "")).split())
        refused += [
            f"scopes.{scope}: the application {client_id} has registered this scope: take it out there first, or "
            "choose another name"
            for scope in sorted(registered & set(scopes))
            if status != REMOVED
        ]
    return refused


async def _rewritten(session: AsyncSession, box: SecretBox, name: str, attribute: Attribute, *, write: bool) -> int:
    """Check every stored value against a changed attribute; with ``write`` store it in its new form. Return how many
    values do not fit."""
    wrong, after = 0, None
    while True:
        page = await store.page_of_values(session, name, after, PAGE)
        for user_id, text in page:
            value = read_stored(text, name, user_id, box)
            try:
                checked = checked_value(attribute, _as_given(value))
            except ValueRefused:
                wrong += 1
                continue
            if write and checked is not None and (checked != value or is_encrypted(text) is not attribute.encrypted):
                changed = stored_text(attribute, name, user_id, checked, box)
                await store.replace_text(session, user_id, name, changed)
        if len(page) < PAGE:
            return wrong
        after = page[-1][0]


def _as_given(value: Value) -> object:
    """Return a stored value as it can be read for another type: a number or a boolean as its text."""
    if isinstance(value, bool):
        return value
    return str(value) if isinstance(value, int) else value


async def apply_declaration(
    session: AsyncSession,
    box: SecretBox,
    new: CityDeclaration,
    *,
    reason: str,
    actor: Actor,
    confirmed: bool = False,
) -> Plan:
    """Put a declaration into effect. Every process follows within two seconds.

    Args:
        session: the transaction.
        box: encrypts values of specific personal data.
        new: the declaration.
        reason: why; it is kept in the history and in the audit log.
        actor: who applies it.
        confirmed: values of attributes that are removed may be deleted.

    Raises:
        DeclarationRefused: when stored values or registered scopes stand against it.
        NeedsConfirmation: when values would be deleted, and nobody confirmed that.
    """
    await bump_version(session, store.COUNTER)  # locks the counter: one declaration after the other
    city, plan = await city_attributes_of(session), await plan_declaration(session, box, new)
    if plan.refused:
        raise DeclarationRefused(plan.refused)
    if plan.deleted and not confirmed:
        listed = ", ".join(f"{name} ({count})" for name, count in plan.deleted.items())
        raise NeedsConfirmation(f"values of users would be deleted: {listed}; confirm with --yes")
    if not plan.lines:
        return plan
    await _change_stored_values(session, box, city.declaration, new, plan.deleted)
    now, kept_reason = clock.now(), " ".join(reason.split())[:MAX_REASON_CHARS]
    row = AttributeDeclaration(
        document=orjson.dumps(new.stored()).decode(),
        since=_since(city, new, now.timestamp()),
        applied_at=now,
        applied_by=actor.name,
        reason=kept_reason,
    )
    await store.add_declaration(session, row)
    changes = [f"{sign}{text}" for sign, text in plan.lines][:100]
    data = {"changes": changes, "deleted": dict(plan.deleted), "note": kept_reason}
    record_by(session, actor, APPLIED, data=data)
    return plan


async def _change_stored_values(
    session: AsyncSession, box: SecretBox, old: CityDeclaration, new: CityDeclaration, deleted: Collection[str]
) -> None:
    """Delete the values of removed attributes, and store those of changed ones as the new declaration says."""
    for name in deleted:
        await store.delete_attribute(session, name)
    for name in sorted(old.attributes.keys() & new.attributes.keys()):
        if old.attributes[name] != new.attributes[name]:
            await _rewritten(session, box, name, new.attributes[name], write=True)


def _since(city: CityAttributes, new: CityDeclaration, now: float) -> dict[str, float]:
    """Return when each claim came into its scope: a claim of another attribute is another claim."""
    since = {}
    for scope in new.scopes:
        before = city.declaration.claims_of(scope)
        for claim, name in new.claims_of(scope).items():
            key = f"{scope} {claim}"
            since[key] = city.since.get(key, now) if before.get(claim) == name else now
    return since


async def apply_attributes_file(services: AttributeServices) -> None:
    """Apply the file of the settings when a server starts. A file that cannot be applied is logged, and the declaration
    that is in effect stays: sign-in must not depend on it."""
    path, db = services.settings.attributes_file, services.db
    if path is None:
        return
    try:
        declaration = read_declaration_file(path)
        async with db.read() as session:
            if not (await plan_declaration(session, services.box, declaration)).lines:
                return
        async with db.write() as session:
            reason = "SSO_ATTRIBUTES_FILE"
            await apply_declaration(session, services.box, declaration, reason=reason, actor=SYSTEM)
    except (DeclarationRefused, NeedsConfirmation) as error:
        for mistake in error.mistakes:
            log.error("the attributes of SSO_ATTRIBUTES_FILE are not applied: %s", mistake)
    else:
        await services.refresh()


class ValuesInvalid(Refusal):
    """Values cannot be stored. ``wrong``: what is wrong, by the attribute. Nothing was changed."""

    status = 422
    code = "invalid_values"

    def __init__(self, wrong: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in wrong.items()))
        self.wrong = dict(wrong)

    @property
    def mistakes(self) -> list[str]:
        """One line for each attribute."""
        return [f"{name}: {text}" for name, text in self.wrong.items()]

    @property
    def located_mistakes(self) -> list[tuple[str, str]]:
        """The member of the body and the text of each mistake."""
        return [(f"/{name}", text) for name, text in self.wrong.items()]


@dataclass(frozen=True, slots=True)
class AttributeView:
    """An attribute of a user as somebody may see it. ``value``: None where the user has none; ``writable``: whether
    who looks may change it, ``readable`` whether they may see it."""

    name: str
    attribute: Attribute
    value: Value | None
    readable: bool
    writable: bool


Staff = frozenset[Literal["administrators", "helpdesk"]]


def staff_of(permissions: Collection[str]) -> Staff:
    """Return what somebody with permissions is for the rights of attributes."""
    names: set[Literal["administrators", "helpdesk"]] = set()
    if "users:write" in permissions:
        names.add("administrators")
    if "users:recover" in permissions:
        names.add("helpdesk")
    return frozenset(names)


def may_see_any(city: CityAttributes, who: Collection[Reader]) -> bool:
    """Tell whether somebody may see or change any attribute: otherwise nothing is read."""
    return any(not set(who).isdisjoint({*each.read, *each.write}) for each in city.declaration.attributes.values())


async def attribute_views(
    session: AsyncSession, box: SecretBox, city: CityAttributes, user_id: uuid.UUID, who: Collection[Reader]
) -> list[AttributeView]:
    """Return the attributes of a user that somebody may see, in the order of the file. Who may only write an attribute
    does not see its value.

    Args:
        session: for reading.
        box: opens values of specific personal data.
        city: what the city declared.
        user_id: the user.
        who: what somebody is for the rights of attributes.
    """
    if not may_see_any(city, who):
        return []
    stored = await store.values_of(session, user_id)
    visible = []
    for name, attribute in city.declaration.attributes.items():
        readable, writable = (not set(who).isdisjoint(rights) for rights in (attribute.read, attribute.write))
        if readable or writable:
            value = read_stored(stored[name].value, name, user_id, box) if readable and name in stored else None
            visible.append(AttributeView(name, attribute, value, readable, writable))
    return visible


async def lacking(session: AsyncSession, city: CityAttributes, user_id: uuid.UUID) -> list[str]:
    """Return the attributes that the city requires at registration and of which a user has no value, in the order of
    the file. One statement; none where the city requires nothing."""
    required = city.declaration.required()
    stored = await store.values_of(session, user_id) if required else {}
    return [name for name in required if name not in stored]


def why_not_registered(city: CityAttributes, given: Mapping[str, object], names: Collection[str]) -> dict[str, str]:
    """Return what is wrong with the values of a registration, by the attribute: also of those that are missing.

    Args:
        city: what the city declared.
        given: the values by the names of the attributes.
        names: the attributes that are required.
    """
    declared = city.declaration.attributes
    checked, wrong = _checked(declared, {name: given.get(name) for name in names}, OWN)
    return wrong | {name: MISSING for name, value in checked.items() if value is None}


async def register_values(
    session: AsyncSession, box: SecretBox, user_id: uuid.UUID, given: Mapping[str, object], *, actor: Actor
) -> None:
    """Store the values of a new user, who gives every attribute that the city requires now.

    Raises:
        ValuesInvalid: when one is missing or cannot be stored: the declaration may have changed meanwhile.
    """
    city = await city_attributes_of(session)
    required = city.declaration.required()
    if wrong := why_not_registered(city, given, required):
        raise ValuesInvalid(wrong)
    if required:
        values = {name: given[name] for name in required}
        await change_values(session, box, user_id, values, who=OWN, actor=actor)


async def every_value(session: AsyncSession, box: SecretBox, user_id: uuid.UUID) -> list[dict[str, object]]:
    """Return every value of a user, as the download of personal data has it: whoever may read it otherwise."""
    declared = (await city_attributes_of(session)).declaration.attributes
    return [
        {
            "name": name,
            "title": declared[name].title if name in declared else name,
            "title_en": declared[name].title_en if name in declared else name,
            "value": read_stored(row.value, name, user_id, box),
            "source": row.source,
            "changed_at": row.updated_at,
        }
        for name, row in (await store.values_of(session, user_id)).items()
    ]


async def change_values(
    session: AsyncSession,
    box: SecretBox,
    user_id: uuid.UUID,
    given: Mapping[str, object],
    *,
    who: Collection[Writer],
    actor: Actor,
    reason: str = "",
) -> list[str]:
    """Change values of a user who is locked, all or none; None or empty deletes a value.

    The audit log names the attributes and never their values: it cannot be erased with the user.

    Args:
        session: the transaction.
        box: encrypts values of specific personal data.
        user_id: the user.
        given: the new values by the names of the attributes.
        who: what the actor is for the rights of attributes.
        actor: who changes them.
        reason: why, for the audit log; empty: users change their own.

    Returns:
        The attributes whose values are others now.

    Raises:
        ValuesInvalid: naming every attribute that is not there, may not be changed, or cannot have its value.
    """
    declared = (await city_attributes_of(session)).declaration.attributes
    checked, wrong = _checked(declared, given, who)
    if wrong:
        raise ValuesInvalid(wrong)
    stored = await store.values_of(session, user_id)
    before = {name: read_stored(stored[name].value, name, user_id, box) for name in checked if name in stored}
    changed = sorted(name for name, value in checked.items() if not _same(value, before.get(name)))
    source = _source_of(who)
    texts = {
        name: stored_text(declared[name], name, user_id, value, box)
        for name in changed
        if (value := checked[name]) is not None
    }
    await store.set_values(session, user_id, texts, source, clock.now())
    await store.delete_values(session, user_id, [name for name in changed if checked[name] is None])
    if changed:
        await _record_change(session, user_id, changed, source, actor, reason)
    return changed


def _source_of(who: Collection[Writer]) -> Literal["import", "user", "manual"]:
    """Return where a value comes from, as it is stored with the value."""
    if "import" in who:
        return "import"
    return "user" if "user" in who else "manual"


async def _record_change(
    session: AsyncSession, user_id: uuid.UUID, changed: list[str], source: str, actor: Actor, reason: str
) -> None:
    """Record which attributes of a user changed, never their values."""
    await users.mark_changed(session, user_id, clock.now())
    record_by(
        session,
        actor,
        CHANGED,
        subject=str(user_id),
        address=actor.stored_ip_address,
        data={"attributes": changed, "source": source} | ({"note": reason} if reason else {}),
    )


def _same(value: Value | None, other: Value | None) -> bool:
    """Tell whether values are the same; 1 and true are not."""
    return type(value) is type(other) and value == other


def _checked(
    declared: Mapping[str, Attribute], given: Mapping[str, object], who: Collection[Writer]
) -> tuple[dict[str, Value | None], dict[str, str]]:
    """Return the values in the form that is stored, and what is wrong, by the attribute."""
    checked: dict[str, Value | None] = {}
    wrong: dict[str, str] = {}
    for name, value in given.items():
        attribute = declared.get(name)
        if attribute is None:
            wrong[name[:60]] = "is not an attribute"
        elif set(who).isdisjoint(attribute.write):
            wrong[name] = "may not be changed by you"
        else:
            try:
                checked[name] = checked_value(attribute, value)
            except ValueRefused as error:
                wrong[name] = str(error)
    return checked, wrong


async def delete_old_values(session: AsyncSession, limit: int) -> int:
    """Delete values whose ``retention_days`` are over; return how many. For the jobs: one batch."""
    declared = (await city_attributes_of(session)).declaration.attributes
    count, now = 0, clock.now()
    for name, attribute in declared.items():
        if attribute.retention_days is not None and count < limit:
            before = now - timedelta(days=attribute.retention_days)
            count += await store.delete_older(session, name, before, limit - count)
    return count


async def reencrypt_attributes(session: AsyncSession, box: SecretBox) -> int:
    """Encrypt values of specific personal data with the newest key; return how many had an older one."""
    declared = (await city_attributes_of(session)).declaration.attributes
    count, after = 0, None
    while True:
        page = await store.encrypted_page(session, after, PAGE)
        for user_id, name, text in page:
            if name in declared and not is_current(text, box):
                value = read_stored(text, name, user_id, box)
                await store.replace_text(session, user_id, name, stored_text(declared[name], name, user_id, value, box))
                count += 1
        if len(page) < PAGE:
            return count
        after = page[-1][:2]
