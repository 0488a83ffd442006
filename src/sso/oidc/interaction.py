"""What an authorization request needs next. A pure decision: no I/O, no clock, tested as a table."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Page = Literal["sign_in", "select_account", "consent"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the application asks for.

    ``scopes`` are what needs consent. ``max_age`` is in seconds. ``hinted`` tells whether id_token_hint, or the claims
    parameter, names the person of the session (None: neither names anybody). ``acr`` holds the levels of which one is
    essential.
    """

    scopes: frozenset[str]
    prompt: frozenset[str] = frozenset()
    max_age: int | None = None
    hinted: bool | None = None
    acr: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """The browser's living session: when and at which level the person last proved who they are, and what they allowed
    the application."""

    auth_time: datetime
    consented: frozenset[str] = frozenset()
    acr: str = ""


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
class SelectAccount:
    """The person must choose to go on as who they are, or as somebody else."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The person must be asked whether the application may have ``scopes``."""

    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fail:
    """The application is told that it cannot have what it asked for (OpenID Connect Core section 3.1.2.6)."""

    error: str
    description: str


Decision = Respond | SignIn | SelectAccount | Consent | Fail


def decide(
    asked: Asked,
    present: Present | None,
    first_party: bool,
    progress: Progress,
    now: datetime,
    levels: Collection[str] = (),
) -> Decision:
    """Return what the request needs next (OpenID Connect Core sections 3.1.2.1 to 3.1.2.4).

    Args:
        asked: what the application asks for.
        present: the browser's living session, or None.
        first_party: whether the application is the city's own, which needs no consent.
        progress: what has been done for this request.
        now: the time.
        levels: every ``acr`` that a person can reach here.
    """
    silent = "none" in asked.prompt
    if asked.acr is not None and asked.acr.isdisjoint(levels):
        # OpenID Connect Core section 5.5.1.1: an essential level that is not met is a failed authentication.
        return Fail("unmet_authentication_requirements", "Nobody can sign in here at the level that is essential.")
    if _must_sign_in(asked, present, progress, now):
        if silent:
            return Fail("login_required", "The person must sign in.")
        return SignIn(again=present is not None)
    assert present is not None
    if asked.hinted is False:
        return _other_person(present, progress, silent)
    chosen = "select_account" in progress.done or _just_signed_in(present, progress)
    if "select_account" in asked.prompt and not chosen:
        return SelectAccount()
    missing = frozenset() if first_party else asked.scopes - present.consented
    if missing or ("consent" in asked.prompt and "consent" not in progress.done):
        if silent:
            return Fail("consent_required", "The person must consent.")
        return Consent(asked.scopes)
    return Respond()


def _must_sign_in(asked: Asked, present: Present | None, progress: Progress, now: datetime) -> bool:
    if present is None or (asked.acr is not None and present.acr not in asked.acr):
        return True
    if _just_signed_in(present, progress):
        return False
    if "login" in asked.prompt:
        return True
    return asked.max_age is not None and (now - present.auth_time).total_seconds() > asked.max_age


def _just_signed_in(present: Present, progress: Progress) -> bool:
    return progress.since is not None and present.auth_time >= progress.since


def _other_person(present: Present, progress: Progress, silent: bool) -> Decision:
    """id_token_hint, or sub in the claims parameter, names somebody else (OpenID Connect Core 3.1.2.1, 5.5.1)."""
    if silent or _just_signed_in(present, progress):
        return Fail("login_required", "The person who is signed in is not the one that is asked for.")
    return SignIn(again=True)
