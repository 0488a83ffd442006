"""The history of an application: notes for its team and the administrators, and audit events."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application, ApplicationNote
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.portal.applications.settings import MAX_NOTE_CHARS, State


def add_note(session: AsyncSession, application: Application, kind: str, actor: Actor, text: str = "") -> None:
    """Add a note: an event of ``kind``, or a comment."""
    session.add(
        ApplicationNote(
            application_id=application.application_id,
            kind=kind,
            actor=str(actor.name),
            text=text.strip()[:MAX_NOTE_CHARS],
            created_at=clock.now(),
        )
    )


def record_event(
    session: AsyncSession, event: str, client_id: str, actor: Actor, data: Mapping[str, object] | None = None
) -> None:
    """Add an audit event about an application or its sandbox."""
    record_by(session, actor, event, client_id=client_id, data=data)


def mark(session: AsyncSession, application: Application, state: State, actor: Actor, text: str = "") -> None:
    """Set the state of an application that was suspended, resumed (``approved`` or ``sandbox``) or retired, and add the
    note about it."""
    kind = "resumed" if state in ("approved", "sandbox") else state
    application.state, application.updated_at = state, clock.now()
    add_note(session, application, kind, actor, text)


def mark_changed(session: AsyncSession, application: Application, actor: Actor, text: str) -> None:
    """Add the note that an administrator changed an application, and why."""
    add_note(session, application, "changed", actor, text)
