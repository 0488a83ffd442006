"""When a sign-in needs a second step, and which: as a table."""

from __future__ import annotations

import pytest

from sso.identity.authn.assurance import (
    ACR_CODE,
    ACR_MFA,
    ACR_PASSKEY,
    ACR_PASSWORD,
    IDENTITY_CONTACT,
    IDENTITY_COUNTER,
    IDENTITY_SELF,
    answered_acr,
    identity_level,
    is_met,
)
from sso.identity.authn.second_factor_policy import Situation, factor_due, methods

ROLES = ["admin"]


@pytest.mark.parametrize(
    ("situation", "requested", "risk", "expected"),
    [
        (Situation(), ACR_PASSWORD, "new_device", None),
        (Situation(known=False), ACR_PASSWORD, "new_device", None),
        (Situation(known=False, seen_before=True), ACR_PASSWORD, "new_device", ("risk", ACR_CODE)),
        (Situation(known=False, seen_before=True), ACR_PASSWORD, "new_country", None),
        (Situation(known=False, seen_before=True), ACR_PASSWORD, "none", None),
        (Situation(seen_before=True, country_known=False), ACR_PASSWORD, "new_country", ("risk", ACR_CODE)),
        (Situation(seen_before=True, country_known=True), ACR_PASSWORD, "new_country", None),
        (Situation(seen_before=True, country_known=None), ACR_PASSWORD, "new_country", None),
        (Situation(country_known=False), ACR_PASSWORD, "new_country", None),
        (Situation(factors=frozenset({"password", "totp"})), ACR_PASSWORD, "none", ("own", ACR_MFA)),
        (Situation(factors=frozenset({"passkey"})), ACR_PASSWORD, "none", ("own", ACR_MFA)),
        (Situation(factors=frozenset({"recovery_code"})), ACR_PASSWORD, "none", None),
        (Situation(factors=frozenset({"totp"}), trusted=True), ACR_PASSWORD, "new_device", None),
        (Situation(factors=frozenset({"totp"}), trusted=True), ACR_MFA, "none", ("asked", ACR_MFA)),
        (Situation(factors=frozenset({"totp"})), ACR_CODE, "none", ("asked", ACR_MFA)),
        (Situation(), ACR_CODE, "none", ("asked", ACR_CODE)),
        (Situation(), ACR_PASSKEY, "none", ("asked", ACR_PASSKEY)),
        (Situation(roles=frozenset({"admin"})), ACR_PASSWORD, "none", ("role", ACR_MFA)),
        (Situation(roles=frozenset({"citizen"})), ACR_PASSWORD, "none", None),
        (Situation(roles=frozenset({"admin"}), trusted=True), ACR_PASSWORD, "none", None),
    ],
)
def test_the_second_step(situation: Situation, requested: str, risk: str, expected: tuple[str, str] | None) -> None:
    assert factor_due(situation, requested, ROLES, risk) == expected


@pytest.mark.parametrize(
    ("factors", "contacts", "level", "expected"),
    [
        ({"password"}, {"email", "phone"}, ACR_CODE, ["email", "phone"]),
        ({"password"}, {"email"}, ACR_MFA, []),
        ({"password", "totp", "recovery_code"}, {"email"}, ACR_CODE, ["totp", "recovery_code"]),
        ({"passkey", "totp"}, set(), ACR_MFA, ["passkey", "totp"]),
        ({"passkey", "totp", "recovery_code"}, {"email"}, ACR_PASSKEY, ["passkey"]),
        ({"password"}, set(), ACR_CODE, []),
    ],
)
def test_the_ways_to_take_it(factors: set[str], contacts: set[str], level: str, expected: list[str]) -> None:
    assert list(methods(factors, contacts, level)) == expected


@pytest.mark.parametrize(
    ("requested", "acr", "identity", "met"),
    [
        (ACR_PASSWORD, ACR_PASSWORD, IDENTITY_SELF, True),
        (ACR_MFA, ACR_PASSWORD, IDENTITY_SELF, False),
        (ACR_CODE, ACR_PASSKEY, IDENTITY_SELF, True),
        (ACR_PASSKEY, ACR_MFA, IDENTITY_COUNTER, False),
        (IDENTITY_CONTACT, ACR_PASSWORD, IDENTITY_COUNTER, True),
        (IDENTITY_COUNTER, ACR_PASSKEY, IDENTITY_CONTACT, False),
        ("urn:other", ACR_PASSKEY, IDENTITY_COUNTER, False),
        (ACR_PASSWORD, "urn:sso:acr:assertion", IDENTITY_SELF, False),
    ],
)
def test_a_higher_level_is_as_good(requested: str, acr: str, identity: str, met: bool) -> None:
    assert is_met(requested, acr, identity) is met


def test_the_acr_of_a_token_is_what_was_asked_for_and_reached() -> None:
    assert answered_acr([ACR_MFA, ACR_PASSWORD], ACR_PASSWORD, IDENTITY_SELF) == ACR_PASSWORD
    assert answered_acr([IDENTITY_COUNTER, ACR_CODE], ACR_MFA, IDENTITY_COUNTER) == IDENTITY_COUNTER
    assert answered_acr([], ACR_MFA, IDENTITY_COUNTER) == ACR_MFA
    assert answered_acr(["urn:other"], ACR_CODE, IDENTITY_SELF) == ACR_CODE


def test_the_level_of_an_identity() -> None:
    assert identity_level(contact_verified=False, checked=False) == IDENTITY_SELF
    assert identity_level(contact_verified=True, checked=False) == IDENTITY_CONTACT
    assert identity_level(contact_verified=False, checked=True) == IDENTITY_COUNTER
