"""What an authorization request needs next. A pure decision: no I/O, no clock, tested as a table."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sso.identity.authn.assurance import IDENTITY_SELF, SIGN_IN_LEVELS, easiest, highest, is_met
from sso.oidc.demands import RULES, Demand, Way, is_recent


@dataclass(frozen=True, slots=True)
class RequestedAccess:
    """What the application asks for.

    ``scopes`` are what needs consent. ``max_age`` is in seconds. ``hinted`` tells whether id_token_hint, or the claims
    parameter, names the person of the session (None: neither names anybody). ``acr`` holds the levels of which one is
    essential, ``minimum`` those that the application has registered as its least, ``wished`` those that would be liked.
    """

    scopes: frozenset[str]
    prompt: frozenset[str] = frozenset()
    max_age: int | None = None
    hinted: bool | None = None
    acr: frozenset[str] | None = None
    minimum: frozenset[str] = frozenset()
    wished: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Present:
    """The browser's active session: when and at which level the person last proved who they are, what they allowed the
    application, at which level it is known who they are, whether they may try a sandbox, and why they may not use the
    application now."""

    auth_time: datetime
    consented: frozenset[str] = frozenset()
    acr: str = ""
    identity: str = IDENTITY_SELF
    invited: bool = True
    refused: Demand | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What the person has done for this request since it came, at ``since``."""

    since: datetime | None = None
    done: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Respond:
    """Everything is there: answer the application."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The person must prove who they are."""

    again: bool


@dataclass(frozen=True, slots=True)
class FactorNeeded:
    """The person must add a second factor that reaches ``level``; ``wished``: it may stay undone."""

    level: str
    wished: bool = False


@dataclass(frozen=True, slots=True)
class CheckIdentity:
    """It must be known better who the person is: ``level``."""

    level: str


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """The person wants an account (Initiating User Registration via OpenID Connect 1.0)."""


@dataclass(frozen=True, slots=True)
class SelectAccount:
    """The person must choose to go on as who they are, or as somebody else."""


@dataclass(frozen=True, slots=True)
class NotInvited:
    """The application is a sandbox, and the person is not one of those who may try it."""


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The person may not use the application: not with their roles, not from here, not now, or not with their account
    as it is."""

    why: Demand


@dataclass(frozen=True, slots=True)
class Consent:
    """The person must be asked whether the application may have ``scopes``."""

    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fail:
    """The application is told that it cannot have what it asked for (OpenID Connect Core section 3.1.2.6)."""

    error: str
    description: str


NOT_ALLOWED: dict[Demand, str] = {
    demand: rule.text
    for demand, rule in RULES.items()
    if Way.AUTHORIZE in rule.held and demand is not Demand.INVITATION
}
"""What the application is told where a person may not use it, and no page can lead them to what is missing."""
NOT_INVITED = RULES[Demand.INVITATION].text

Decision = (
    Respond
    | SignIn
    | FactorNeeded
    | CheckIdentity
    | CreateAccount
    | SelectAccount
    | NotInvited
    | NotAllowed
    | Consent
    | Fail
)


def decide(
    requested: RequestedAccess,
    present: Present | None,
    first_party: bool,
    progress: Progress,
    now: datetime,
    levels: Collection[str] = (),
) -> Decision:
    """Return what the request needs next (OpenID Connect Core sections 3.1.2.1 to 3.1.2.4).

    Args:
        requested: what the application asks for.
        present: the browser's active session, or None.
        first_party: whether the application is the city's own, which needs no consent.
        progress: what has been done for this request.
        now: the time.
        levels: every ``acr`` that can be reached here.
    """
    silent = "none" in requested.prompt
    if requested.acr is not None and requested.acr.isdisjoint(levels):
        # OpenID Connect Core section 5.5.1.1: an essential level that is not met is a failed authentication.
        return Fail("unmet_authentication_requirements", "Nobody can sign in here at the level that is essential.")
    if "create" in requested.prompt and not _just_signed_in(present, progress):
        return CreateAccount()
    if _must_sign_in(requested, present, progress, now):
        if silent:
            return Fail("login_required", "The person must sign in.")
        return SignIn(again=present is not None)
    assert present is not None
    if requested.hinted is False:
        return _other_person(present, progress, silent)
    lacking = _lacking(requested, present, progress, silent)
    if lacking is not None:
        return lacking
    chosen = "select_account" in progress.done or _just_signed_in(present, progress)
    if "select_account" in requested.prompt and not chosen:
        return SelectAccount()
    missing = frozenset() if first_party else requested.scopes - present.consented
    if missing or ("consent" in requested.prompt and "consent" not in progress.done):
        if silent:
            return Fail("consent_required", "The person must consent.")
        return Consent(requested.scopes)
    return Respond()


def _must_sign_in(requested: RequestedAccess, present: Present | None, progress: Progress, now: datetime) -> bool:
    if present is None:
        return True
    if _just_signed_in(present, progress):
        return False
    if "login" in requested.prompt:
        return True
    return requested.max_age is not None and not is_recent(requested.max_age, present.auth_time, progress.since, now)


def _lacking(requested: RequestedAccess, present: Present, progress: Progress, silent: bool) -> Decision | None:
    """Return what is needed besides a sign-in: to be one of those who may try a sandbox; and the levels that were asked
    for: one of the essential ones, and each of the minimum."""
    if not present.invited:
        return Fail("access_denied", NOT_INVITED) if silent else NotInvited()
    if present.refused is not None:
        return Fail("access_denied", NOT_ALLOWED[present.refused]) if silent else NotAllowed(present.refused)
    needed = [*([requested.acr] if requested.acr else []), *(frozenset({level}) for level in requested.minimum)]
    unmet = [levels for levels in needed if not _meets(levels, present)]
    steps = [easiest(levels) for levels in unmet]
    if unmet and None in steps:
        if silent:
            return Fail("unmet_authentication_requirements", RULES[Demand.IDENTITY].text)
        return CheckIdentity(next(iter(sorted(unmet[steps.index(None)]))))
    if unmet:
        if silent:
            return Fail("login_required", "The user must sign in with a second factor.")
        return FactorNeeded(highest(step for step in steps if step))
    wish = easiest(requested.wished)
    if silent or wish is None or "step_up" in progress.done or _meets(requested.wished, present):
        return None
    return FactorNeeded(wish, wished=True)


def _meets(levels: frozenset[str], present: Present) -> bool:
    return any(is_met(level, present.acr, present.identity) for level in levels)


def minimum_level(requested: RequestedAccess) -> str:
    """Return the lowest level of a sign-in that is enough for what is asked, so that it is asked for at once."""
    needed = [*([requested.acr] if requested.acr else []), *(frozenset({level}) for level in requested.minimum)]
    return highest([easiest(levels) or SIGN_IN_LEVELS[0] for levels in needed])


def _just_signed_in(present: Present | None, progress: Progress) -> bool:
    return present is not None and progress.since is not None and present.auth_time >= progress.since


def _other_person(present: Present, progress: Progress, silent: bool) -> Decision:
    """id_token_hint, or sub in the claims parameter, names somebody else (OpenID Connect Core 3.1.2.1, 5.5.1)."""
    if silent or _just_signed_in(present, progress):
        return Fail("login_required", "The person who is signed in is not the one that is asked for.")
    return SignIn(again=True)
