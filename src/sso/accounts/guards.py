"""What several use cases refuse: locked accounts, test users, and leaving an application without an owner."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users.models import User
from sso.identity.users.service import UserError
from sso.portal import teams


class OnlyOwner(UserError):
    """Applications have no other owner than this user: ``applications`` names them."""

    def __init__(self, applications: list[str]) -> None:
        self.applications = ", ".join(applications)
        super().__init__(f"nobody else owns {self.applications}: make somebody else an owner first")


def is_locked(user: User) -> bool:
    """Tell whether an account is locked: somebody reported a sign-in as not theirs, and the account was not recovered
    since."""
    return user.locked_until is not None and user.locked_until > clock.now()


def refuse_locked(user: User) -> None:
    """Refuse to change a locked account.

    Raises:
        UserError: when the account is locked.
    """
    if is_locked(user):
        raise UserError("the account is locked: the user recovers the account, or an administrator ends the lock first")


def refuse_test_user(user: User) -> None:
    """Refuse to change a test user. Every team may sign in as a test user in its sandbox: every team would have what
    such an account got.

    Raises:
        UserError: when the account is a test user.
    """
    if user.preferences.get("test"):
        raise UserError("this is a test user: the account cannot be changed, verified or recovered")


async def refuse_only_owner(session: AsyncSession, user: User) -> None:
    """Refuse to delete the only owner of an application.

    Raises:
        OnlyOwner: when an application has no other owner.
    """
    applications = await teams.owned_alone(session, user.id)
    if applications:
        raise OnlyOwner(applications)
