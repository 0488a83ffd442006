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


def asked(prompt: str = "", max_age: int | None = None, hinted: bool | None = None) -> RequestedAccess:
    return RequestedAccess(BASIC, frozenset(prompt.split()), max_age, hinted)


def consented(*scopes: str) -> Present:
    return Present(OLD.auth_time, frozenset(scopes))


TABLE = [
    # (asked, present, first party, progress, decision)
    (asked(), None, True, Progress(), SignIn(again=False)),
    (asked(), OLD, True, Progress(), Respond()),
    (asked("none"), None, True, Progress(), Fail("login_required", "")),
    (asked("none"), OLD, True, Progress(), Respond()),
    (asked("login"), OLD, True, Progress(), SignIn(again=True)),
    (asked("login"), OLD, True, SINCE, SignIn(again=True)),
    (asked("login"), FRESH, True, SINCE, Respond()),
    (asked(max_age=1001), OLD, True, Progress(), Respond()),
    (asked(max_age=999), OLD, True, Progress(), SignIn(again=True)),
    (asked(max_age=0), OLD, True, Progress(), SignIn(again=True)),
    (asked(max_age=0), FRESH, True, SINCE, Respond()),
    (asked("none", max_age=1), OLD, True, Progress(), Fail("login_required", "")),
    (asked("select_account"), None, True, Progress(), SignIn(again=False)),
    (asked("select_account"), OLD, True, Progress(), SelectAccount()),
    (asked("select_account"), OLD, True, Progress(SINCE.since, frozenset({"select_account"})), Respond()),
    (asked("select_account"), FRESH, True, SINCE, Respond()),
    (asked("login select_account"), OLD, True, Progress(), SignIn(again=True)),
    (asked(hinted=True), OLD, True, Progress(), Respond()),
    (asked(hinted=False), OLD, True, Progress(), SignIn(again=True)),
    (asked("none", hinted=False), OLD, True, Progress(), Fail("login_required", "")),
    (asked(hinted=False), FRESH, True, SINCE, Fail("login_required", "")),
    (asked(), OLD, False, Progress(), Consent(BASIC)),
    (asked(), consented("openid"), False, Progress(), Consent(BASIC)),
    (asked(), consented("openid", "email", "phone"), False, Progress(), Respond()),
    (asked("none"), OLD, False, Progress(), Fail("consent_required", "")),
    (asked("none"), consented("openid", "email"), False, Progress(), Respond()),
    (asked("consent"), consented("openid", "email"), False, Progress(), Consent(BASIC)),
    (asked("consent"), OLD, True, Progress(), Consent(BASIC)),
    (asked("consent"), OLD, True, Progress(SINCE.since, frozenset({"consent"})), Respond()),
    (asked("login consent"), OLD, False, Progress(), SignIn(again=True)),
    (asked("login consent"), FRESH, False, SINCE, Consent(BASIC)),
]


@pytest.mark.parametrize("row", TABLE, ids=[f"{n}" for n in range(len(TABLE))])
def test_what_a_request_needs_next(row: tuple[RequestedAccess, Present | None, bool, Progress, object]) -> None:
    request, present, first_party, progress, expected = row
    found = decide(request, present, first_party, progress, NOW)
    if isinstance(expected, Fail):
        assert isinstance(found, Fail)
        assert found.error == expected.error
    else:
        assert found == expected
