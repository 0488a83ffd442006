"""Whether a sign-in by password needs a second factor, and which. Pure decisions, tested as a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from sso.identity.authn.assurance import ACR_CODE, ACR_MFA, ACR_PASSKEY, ACR_PASSWORD, SIGN_IN_LEVELS, highest

Reason = Literal["asked", "own", "role", "risk"]
Method = Literal["passkey", "totp", "recovery_code", "email", "phone"]
LEVEL_OF: dict[Method, str] = {
    "passkey": ACR_PASSKEY,
    "totp": ACR_MFA,
    "recovery_code": ACR_MFA,
    "email": ACR_CODE,
    "phone": ACR_CODE,
}
STRONG = frozenset({"passkey", "totp"})
"""What a person sets up as a second factor; recovery codes go with them."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when a password was right.

    ``factors`` are the kinds of credential that are set up. ``trusted``: the person trusts this browser. ``known``: it
    was used before; ``seen_before``: any browser was. ``country_known`` is None where no country is known.

    Which identifier was typed is not part of it: proving an unverified contact is due besides a second factor, and is
    none itself (``accounts/sign_in/password.py``).
    """

    factors: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    trusted: bool = False
    known: bool = True
    seen_before: bool = False
    country_known: bool | None = None


def factor_due(
    situation: Situation, level: str, roles_that_must: Collection[str], risk: str
) -> tuple[Reason, str] | None:
    """Return why a second factor is needed and the level that it must reach; None: the password is enough.

    Args:
        situation: what is known.
        level: the level that the application asks for, or has as its minimum.
        roles_that_must: roles that need a second factor.
        risk: ``none``, ``new_country`` or ``new_device``.
    """
    if SIGN_IN_LEVELS.index(level) > SIGN_IN_LEVELS.index(ACR_PASSWORD):
        own = ACR_MFA if situation.factors & STRONG else ACR_PASSWORD
        return "asked", highest([level, own])
    if situation.trusted:
        return None
    if situation.factors & STRONG:
        return "own", ACR_MFA
    if situation.roles & frozenset(roles_that_must):
        return "role", ACR_MFA
    if _is_suspicious(situation, risk):
        return "risk", ACR_CODE
    return None


def _is_suspicious(situation: Situation, risk: str) -> bool:
    if risk == "none" or not situation.seen_before:
        return False
    if situation.country_known is False:
        return True
    return risk == "new_device" and not situation.known


def methods(factors: Collection[str], contacts: Collection[str], level: str) -> Sequence[Method]:
    """Return how somebody can take the second factor, the best first.

    A code by mail or SMS is the weakest: it is there only for those who have set up nothing better.

    Args:
        factors: the kinds of credential that are set up.
        contacts: ``email`` and ``phone``, as far as they are verified and something can be sent.
        level: what must be reached.
    """
    enough = SIGN_IN_LEVELS[SIGN_IN_LEVELS.index(level) :]
    available: list[Method] = [method for method in ("passkey", "totp", "recovery_code") if method in factors]
    if not STRONG & frozenset(factors):
        available = [method for method in ("email", "phone") if method in contacts]
    return [method for method in available if LEVEL_OF[method] in enough]
