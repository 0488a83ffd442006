"""Which applications a user sees: a pure decision."""

from __future__ import annotations

from typing import Any

import pytest

from sso.clients.access_policy import RolesAndGroups
from sso.clients.listing import is_listed
from sso.clients.metadata import ClientMetadata

pytestmark = pytest.mark.unit

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def registered(**members: Any) -> ClientMetadata:
    document = {"type": "web", "client_name": "Aplikasi", "redirect_uris": ["https://aplikasi.example/cb"], **members}
    return ClientMetadata.model_validate(document)


SERVICE = ClientMetadata.model_validate({"type": "service", "client_name": "Program"})


@pytest.mark.parametrize(
    ("meta", "roles", "used", "listed"),
    [
        (registered(), ["citizen"], False, True),
        (registered(), [], False, True),
        (SERVICE, ["admin"], True, False),
        (registered(redirect_uris=[], response_types=[], grant_types=[DEVICE]), ["citizen"], False, True),
        (registered(allowed_roles=["officer"]), ["citizen"], True, False),
        (registered(allowed_roles=["officer"]), ["citizen", "officer"], False, True),
        (registered(listed_for="staff"), ["citizen"], False, False),
        (registered(listed_for="staff"), ["citizen"], True, True),
        (registered(listed_for="staff"), ["citizen", "employee"], False, True),
        (registered(listed_for="staff"), ["helpdesk"], False, True),
        (registered(listed_for="staff", allowed_roles=["officer"]), ["employee"], True, False),
    ],
)
def test_who_sees_an_application(meta: ClientMetadata, roles: list[str], used: bool, listed: bool) -> None:
    assert is_listed(meta, RolesAndGroups(roles), used=used) is listed


def test_another_audience_is_refused() -> None:
    with pytest.raises(ValueError, match="everyone"):
        registered(listed_for="pegawai")
