"""The pure decision of what a request needs next, as a table (Core sections 3.1.2.1 to 3.1.2.4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sso.oidc.authorize.decision import (
    Consent,
    Fail,
    Present,
    Progress,
    RequestedAccess,
    Respond,
    SelectAccount,
    SignIn,
    decide,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OLD = Present(NOW - timedelta(seconds=1000))
FRESH = Present(NOW)
SINCE = Progress(NOW - timedelta(seconds=100))
BASIC = frozenset({"openid", "email"})


def requested(prompt: str = "", max_age: int | None = None, hinted: bool | None = None) -> RequestedAccess:
    return RequestedAccess(BASIC, frozenset(prompt.split()), max_age, hinted)


def consented(*scopes: str) -> Present:
    return Present(OLD.auth_time, frozenset(scopes))


TABLE = [
    # (requested, present, first party, progress, decision)
    (requested(), None, True, Progress(), SignIn(again=False)),
    (requested(), OLD, True, Progress(), Respond()),
    (requested("none"), None, True, Progress(), Fail("login_required", "")),
    (requested("none"), OLD, True, Progress(), Respond()),
    (requested("login"), OLD, True, Progress(), SignIn(again=True)),
    (requested("login"), OLD, True, SINCE, SignIn(again=True)),
    (requested("login"), FRESH, True, SINCE, Respond()),
    (requested(max_age=1001), OLD, True, Progress(), Respond()),
    (requested(max_age=999), OLD, True, Progress(), SignIn(again=True)),
    (requested(max_age=0), OLD, True, Progress(), SignIn(again=True)),
    (requested(max_age=0), FRESH, True, SINCE, Respond()),
    (requested("none", max_age=1), OLD, True, Progress(), Fail("login_required", "")),
    (requested("select_account"), None, True, Progress(), SignIn(again=False)),
    (requested("select_account"), OLD, True, Progress(), SelectAccount()),
    (requested("select_account"), OLD, True, Progress(SINCE.since, frozenset({"select_account"})), Respond()),
    (requested("select_account"), FRESH, True, SINCE, Respond()),
    (requested("login select_account"), OLD, True, Progress(), SignIn(again=True)),
    (requested(hinted=True), OLD, True, Progress(), Respond()),
    (requested(hinted=False), OLD, True, Progress(), SignIn(again=True)),
    (requested("none", hinted=False), OLD, True, Progress(), Fail("login_required", "")),
    (requested(hinted=False), FRESH, True, SINCE, Fail("login_required", "")),
    (requested(), OLD, False, Progress(), Consent(BASIC)),
    (requested(), consented("openid"), False, Progress(), Consent(BASIC)),
    (requested(), consented("openid", "email", "phone"), False, Progress(), Respond()),
    (requested("none"), OLD, False, Progress(), Fail("consent_required", "")),
    (requested("none"), consented("openid", "email"), False, Progress(), Respond()),
    (requested("consent"), consented("openid", "email"), False, Progress(), Consent(BASIC)),
    (requested("consent"), OLD, True, Progress(), Consent(BASIC)),
    (requested("consent"), OLD, True, Progress(SINCE.since, frozenset({"consent"})), Respond()),
    (requested("login consent"), OLD, False, Progress(), SignIn(again=True)),
    (requested("login consent"), FRESH, False, SINCE, Consent(BASIC)),
]


@pytest.mark.parametrize("row", TABLE, ids=[f"{n}" for n in range(len(TABLE))])
def test_what_a_request_needs_next(row: tuple[RequestedAccess, Present | None, bool, Progress, object]) -> None:
    request, present, first_party, progress, expected = row
    decision = decide(request, present, first_party, progress, NOW)
    if isinstance(expected, Fail):
        assert isinstance(decision, Fail)
        assert decision.error == expected.error
    else:
        assert decision == expected
