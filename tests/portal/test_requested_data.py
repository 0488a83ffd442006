"""The data that a team requests in the form: read from metadata, and written back."""

from __future__ import annotations

from typing import Any

import pytest

from sso.http.developer.form_texts import OFFERED
from sso.http.developer.requested_data import kept_data, requested_data, requested_data_fields


def sent(**reasons: str) -> dict[str, str]:
    """Return the fields of a form that requests these claims."""
    claims = [claim for claims in OFFERED.values() for claim in claims]
    fields = {f"ask {claim}": "1" if claim in reasons else "" for claim in claims}
    return fields | {f"reason {claim}": reasons.get(claim, "") for claim in claims}


def test_a_new_application_requests_the_name() -> None:
    fields = requested_data_fields({}, OFFERED)
    assert [name for name, value in fields.items() if value == "1"] == ["ask name"]


@pytest.mark.parametrize(
    "document",
    [
        {"scope": "openid email", "scope_reasons": {"email": "Kabar"}, "claim_reasons": {}},
        {"scope": "openid profile", "scope_reasons": {}, "claim_reasons": {"name": "Karcis", "gender": "Ruang"}},
        {"scope": "openid lain email", "scope_reasons": {"lain": "Server", "email": "Kabar"}, "claim_reasons": {}},
    ],
)
def test_what_is_registered_stays_when_the_form_is_sent_unchanged(document: dict[str, Any]) -> None:
    written = requested_data(requested_data_fields(document, OFFERED), document, OFFERED)
    assert written == document


def test_one_claim_of_a_scope_is_requested_by_itself() -> None:
    written = requested_data(sent(name="Karcis"), {"scope": "openid"}, OFFERED)
    assert written == {"scope": "openid profile", "scope_reasons": {}, "claim_reasons": {"name": "Karcis"}}


def test_a_scope_with_one_reason_for_all_of_it_is_requested_as_a_whole() -> None:
    reasons = dict.fromkeys(OFFERED["profile"], "Formulir")
    written = requested_data(sent(**reasons), {"scope": "openid"}, OFFERED)
    assert written == {"scope": "openid profile", "scope_reasons": {"profile": "Formulir"}, "claim_reasons": {}}


def test_a_program_keeps_the_scopes_that_the_form_does_not_offer() -> None:
    data = kept_data({"scope": "openid lain email", "scope_reasons": {"lain": "Server", "email": "Kabar"}}, OFFERED)
    assert data == {"scope": "lain", "scope_reasons": {"lain": "Server"}, "claim_reasons": {}}
