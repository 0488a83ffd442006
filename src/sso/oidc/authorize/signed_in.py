"""The person who is signed in at the browser that sent an authorization request."""

from __future__ import annotations

from dataclasses import dataclass

from sso.identity.sessions.store import ActiveSession
from sso.identity.users.store import Person
from sso.oidc.enforcement import from_session
from sso.oidc.store.standing import Standing


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The browser's active session, its person, what the person allowed the application, and what is known of them:
    from the session, until more is read."""

    session: ActiveSession
    user: Person
    consented: frozenset[str]
    read: Standing | None = None

    @property
    def standing(self) -> Standing:
        """What is known of the person."""
        return self.read if self.read is not None else from_session(self.user, self.session)
