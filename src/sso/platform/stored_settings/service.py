"""Changing settings in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import bump_version
from sso.platform.stored_settings import store
from sso.platform.stored_settings.models import MAX_REASON_CHARS, SettingChange
from sso.settings import CHANGEABLE, Settings, variable

COUNTER = "settings"
"""The counter by which processes notice that a setting has changed."""
CHANGED = "settings.changed"
"""The type of the audit event."""
MAX_AUDIT_CHARS = 200
NO_REASON = "a reason is required"
MEANWHILE = "the settings were changed meanwhile: look at them again"


class SettingRefused(Refusal):
    """Settings cannot be changed; each of ``mistakes`` gives a reason."""

    status = 422
    code = "invalid_setting"

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self._mistakes = list(mistakes)

    @property
    def mistakes(self) -> list[str]:
        """One line for each mistake."""
        return self._mistakes


class ChangedMeanwhile(SettingRefused):
    """Somebody else has changed a setting since the actor saw them."""

    status = 409


@dataclass(frozen=True, slots=True)
class SettingChanged:
    """A setting that was changed, with the values in the database before and after; None: none."""

    name: str
    before: str | None
    after: str | None


async def change_settings(
    session: AsyncSession,
    settings: Settings,
    changes: Mapping[str, str | None],
    *,
    reason: str,
    actor: Actor,
    seen: int | None = None,
) -> list[SettingChanged]:
    """Change settings in the database, all or none, with their history and an audit event.

    Every process takes over the new values within two seconds.

    Args:
        session: the transaction.
        settings: the settings of this process.
        changes: the new value of each setting, as it is written in the environment; None: no value in the database.
        reason: why; it is kept in the history and in the audit log.
        actor: who changes them.
        seen: the newest change of the history that the actor saw, 0 where there was none; None: any.

    Returns:
        What was changed. A setting that has the value already is left out.

    Raises:
        SettingRefused: with one line for each mistake.
        ChangedMeanwhile: when there is a newer change than the actor saw.
    """
    reason = " ".join(reason.split())[:MAX_REASON_CHARS]
    mistakes = [line for name in sorted(changes) if (line := _why_not(settings, name))]
    if not reason:
        mistakes.append(NO_REASON)
    if mistakes:
        raise SettingRefused(*mistakes)
    await bump_version(session, COUNTER)  # locks the counter: one change after the other
    if seen is not None and seen != await store.newest_change(session):
        raise ChangedMeanwhile(MEANWHILE)
    before = await store.stored_values(session)
    after = {name: text for name, text in {**before, **changes}.items() if text is not None}
    if mistakes := settings.mistakes_of(after):
        raise SettingRefused(*mistakes)
    done = [
        SettingChanged(name, before.get(name), after.get(name))
        for name in sorted(changes)
        if before.get(name) != after.get(name)
    ]
    for changed in done:
        await _store(session, changed, reason, actor)
    return done


async def _store(session: AsyncSession, changed: SettingChanged, reason: str, actor: Actor) -> None:
    """Store a change, with its history and its audit event."""
    now = clock.now()
    await store.store_value(session, changed.name, changed.after, now)
    change = SettingChange(
        name=changed.name, at=now, actor=actor.name, before=changed.before, after=changed.after, reason=reason
    )
    await store.add_change(session, change)
    _record(session, changed, reason, actor)


async def earlier_value(session: AsyncSession, name: str, change_id: int) -> str | None:
    """Return the value that a setting had after a change of its history; None: no value in the database.

    Raises:
        SettingRefused: when the history has no such change.
    """
    change = await store.change_of(session, name, change_id)
    if change is None:
        raise SettingRefused(f"the history of {variable(name)} has no change {change_id}")
    return change.after


def _why_not(settings: Settings, name: str) -> str:
    """Return why a setting cannot be changed; empty: it can."""
    if name not in type(settings).model_fields:
        return f"{variable(name)} is not a setting"
    if name not in CHANGEABLE:
        return f"{variable(name)} can only be set in the environment"
    if settings.source_of(name) == "environment":
        return f"{variable(name)} is set in the environment, which wins: change it there"
    return ""


def _record(session: AsyncSession, changed: SettingChanged, reason: str, actor: Actor) -> None:
    """Record a change in the audit log, with long values cut off."""
    values = {"from": changed.before, "to": changed.after}
    data = {name: text[:MAX_AUDIT_CHARS] if text is not None else None for name, text in values.items()}
    record_by(
        session,
        actor,
        CHANGED,
        subject=variable(changed.name),
        address=actor.stored_ip_address,
        data={**data, "note": reason},
    )
