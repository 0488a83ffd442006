"""When an application has passed the relying-party check."""

from __future__ import annotations

import pytest

from sso.clients.models import Application, RelyingPartyCheck
from sso.portal.applications import checked_digest
from sso.portal.rp_check.fake_provider import WRONG
from sso.portal.rp_check.results import passed, passes_now

RIGHT = {"honest": "passed", "honest_again": "passed", **dict.fromkeys(WRONG, "refused")}


def check_with(outcomes: dict[str, str], status: str = "done") -> RelyingPartyCheck:
    findings = [{"case": case, "outcome": outcome, "detail": ""} for case, outcome in outcomes.items()]
    return RelyingPartyCheck(application_id="antrean", status=status, results={"findings": findings})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"wrong_nonce": "not_applicable"}, True),
        ({"wrong_nonce": "accepted"}, False),
        ({"wrong_nonce": "unclear"}, False),
        ({"honest": "failed"}, False),
        ({"honest_again": "failed"}, False),
    ],
)
def test_an_application_passes_when_it_refuses_every_wrong_case_and_nothing_else(
    changed: dict[str, str], expected: bool
) -> None:
    assert passed(check_with({**RIGHT, **changed})) is expected


@pytest.mark.parametrize("missing", list(RIGHT))
def test_a_check_without_one_of_the_cases_is_not_passed(missing: str) -> None:
    assert not passed(check_with({case: outcome for case, outcome in RIGHT.items() if case != missing}))


def test_a_check_that_runs_or_is_missing_is_not_passed() -> None:
    assert not passed(check_with(RIGHT, status="running"))
    assert not passed(None)


def test_a_check_is_of_the_application_as_it_was() -> None:
    application = Application(
        application_id="antrean", kind="web", document={"scope": "openid"}, sandbox={}, granted={}
    )
    check = check_with(RIGHT)
    check.digest = checked_digest(application)
    assert passes_now(check, application)
    application.document = {"scope": "openid", "client_name": "Antrean Baru"}
    assert passes_now(check, application), "a text is not what was checked"
    application.document = {"scope": "openid", "redirect_uris": ["https://lain.example/cb"]}
    assert not passes_now(check, application)
