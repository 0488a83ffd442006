"""Access to the applications of teams, and problems with their metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.models import Application
from sso.http.api.access import CallerAccess
from sso.http.api.problems import Problem, ProblemError, not_found
from sso.portal import applications as apps
from sso.portal import teams
from sso.portal.applications import Unfinished


async def team_application(
    access: CallerAccess, session: AsyncSession, application_id: str, *, owner: bool = False
) -> Application:
    """Return an application that the caller manages, locked.

    Raises:
        Problem: when the caller does not; the problem does not tell whether the application exists.
    """
    application, user_id = await apps.lock_application(session, application_id), access.caller.user_id
    if application is None:
        raise not_found("application")
    if access.manages_all:
        return application
    role = await teams.role_of(session, application_id, user_id) if user_id is not None else None
    if role is None:
        raise not_found("application")
    if owner and role != "owner":
        raise Problem(403, "not_an_owner", "Only an owner of the application does this.")
    return application


@contextmanager
def metadata_problems() -> Iterator[None]:
    """Turn metadata that cannot be registered into a problem."""
    try:
        yield
    except Unfinished as error:
        raise _unfinished(error) from None


def _unfinished(error: Unfinished) -> Problem:
    mistakes = [ProblemError(pointer=_pointer(name), detail=text) for name, text in error.problems.items()]
    first = mistakes[0]
    return Problem(422, "invalid_client_metadata", f"{first.pointer}: {first.detail}", mistakes)


def _pointer(name: str) -> str:
    if name in ("client_id", "kind"):
        return "/application_id" if name == "client_id" else "/kind"
    return f"/sandbox/{name.removeprefix('sandbox.')}" if name.startswith("sandbox.") else f"/document/{name}"
