"""Who can be invited to a team: by an e-mail address or a user name, and by nothing that must not be readable."""

from __future__ import annotations

import pytest

from sso.portal.invitations import NotInvitable, read_invitee


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [("Siti@Contoh.example", "email", "siti@contoh.example"), ("dimas", "username", "dimas")],
)
def test_an_address_or_a_user_name_is_normalised(typed: str, kind: str, value: str) -> None:
    invitee = read_invitee(typed)
    assert (invitee.kind, invitee.value) == (kind, value)


@pytest.mark.parametrize("typed", ["", "3671014101900001", "+62 812 3456 7890", "siti@@contoh"])
def test_a_nik_or_a_telephone_number_is_not_taken(typed: str) -> None:
    with pytest.raises(NotInvitable):
        read_invitee(typed)
