"""The results of the use cases: what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sso.accounts.sign_in.current_account import Account, CurrentAccount
from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.pending_request import PendingRequest
from sso.identity.groups.models import Group
from sso.identity.users.store import Person
from sso.oidc.authorize.response import AuthorizationResponse
from sso.oidc.demands import Demand


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """The application is answered. ``session_id`` is the session that the answer is about; None: the answer is an
    error."""

    answer: AuthorizationResponse
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SignInNeeded:
    """A person must sign in. ``again`` is the account that must do so once more."""

    pending: PendingRequest
    again: CurrentAccount | None = None


@dataclass(frozen=True, slots=True)
class RegistrationNeeded:
    """The application asks for a new account."""

    pending: PendingRequest


@dataclass(frozen=True, slots=True)
class AccountChooser:
    """The person must choose the account; ``others`` are those of this browser besides the current one."""

    pending: PendingRequest
    current: CurrentAccount
    others: Sequence[Account]


@dataclass(frozen=True, slots=True)
class ConsentNeeded:
    """The person must be asked for consent; ``new`` are the permissions that the application does not have yet."""

    pending: PendingRequest
    current: CurrentAccount
    new: frozenset[str]


@dataclass(frozen=True, slots=True)
class AccessRefused:
    """The person may not use the application. ``why`` is the demand that they do not meet; ``groups``: the units and
    groups whose members may, by code."""

    pending: PendingRequest
    current: CurrentAccount
    why: Demand
    groups: Mapping[str, Group] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IdentityCheckNeeded:
    """The application needs a higher identity assurance level."""

    pending: PendingRequest
    current: CurrentAccount
    level: str


@dataclass(frozen=True, slots=True)
class SecondFactorNeeded:
    """A second factor is needed. ``token`` identifies the pending flow."""

    token: str


@dataclass(frozen=True, slots=True)
class ContactMustBeVerified:
    """The contact that was typed must be verified. ``token`` identifies the pending flow."""

    token: str


@dataclass(frozen=True, slots=True)
class DeletionMustBeDecided:
    """The account is to be deleted, and the person must say whether to keep it. ``token`` identifies the pending
    flow."""

    token: str


@dataclass(frozen=True, slots=True)
class FlowExpired:
    """The pending flow has expired, or the account cannot be used any more."""


FlowStarted = SecondFactorNeeded | ContactMustBeVerified | DeletionMustBeDecided
NextStep = (
    RequestAnswered
    | SignInNeeded
    | RegistrationNeeded
    | AccountChooser
    | ConsentNeeded
    | AccessRefused
    | IdentityCheckNeeded
    | FlowStarted
    | FlowExpired
)
"""What an authorization request needs next."""


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A session has started.

    Args:
        person: whose session.
        session_id: the session.
        tokens: the cookie values of the accounts of this browser; the first is the new session's.
        remember: the new session is remembered on this device.
        device_id: the value by which the browser is known at the next sign-in.
        destination: where the sign-in leads when no application asked for it.
        next_step: what the authorization request needs next; None: there is no request, or something else is first.
        lacks_attributes: the user is asked first for attributes that the city requires.
    """

    person: Person
    session_id: UUID
    tokens: Sequence[str]
    remember: bool
    device_id: str
    destination: Destination
    next_step: NextStep | None = None
    lacks_attributes: bool = False


@dataclass(frozen=True, slots=True)
class WrongCredentials:
    """The identifier, the password or both are wrong, or the account is disabled: one result for all of them.
    ``several``: the identifier can mean several accounts, whether or not anybody has one of them."""

    several: bool = False


@dataclass(frozen=True, slots=True)
class PasskeyRefused:
    """The passkey is wrong."""


@dataclass(frozen=True, slots=True)
class AuthenticationExpired:
    """The account was disabled, or its credentials were changed, between the check and the start of the session."""


@dataclass(frozen=True, slots=True)
class TooManyAttempts:
    """There were too many wrong attempts: try again after ``retry_after`` seconds, which are ``minutes``."""

    retry_after: int
    minutes: int


@dataclass(frozen=True, slots=True)
class ServerBusy:
    """Too many passwords are being checked: try again after ``retry_after`` seconds."""

    retry_after: int


SignInResult = (
    SessionStarted
    | FlowStarted
    | FlowExpired
    | WrongCredentials
    | PasskeyRefused
    | AuthenticationExpired
    | TooManyAttempts
    | ServerBusy
)


@dataclass(frozen=True, slots=True)
class WrongSecondFactor:
    """The code or the passkey is wrong."""


@dataclass(frozen=True, slots=True)
class TooManyTries:
    """There were too many wrong codes in this flow."""


@dataclass(frozen=True, slots=True)
class RecoveryCodesIssued:
    """Recovery codes were made. They are shown once, and the sign-in continues when the person has kept them."""

    codes: Sequence[str]


@dataclass(frozen=True, slots=True)
class DeletionConfirmed:
    """The person does not want to keep the account: they are not signed in."""


SecondFactorResult = SignInResult | WrongSecondFactor | TooManyTries | RecoveryCodesIssued | DeletionConfirmed
