"""Claim mappers: what each kind makes, and that none reveals, replaces or loops."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sso.clients.mappers import MAX_JOINED_CHARS, ClaimMappers, mapped, mistakes_between
from sso.clients.metadata import ClientMetadata
from sso.clients.registry import stored_metadata

ADAPTER: TypeAdapter[Any] = TypeAdapter(ClaimMappers)
CLAIMS: dict[str, object] = {
    "sub": "s", "name": "Siti", "nickname": "Ti", "level": 3, "active_member": True, "tags": ["a"],
    "roles": ["operator"], "groups": ["DINKES"],
}  # fmt: skip
WEB: dict[str, Any] = {"type": "web", "client_name": "RP", "redirect_uris": ["https://rp.example/cb"]}


@pytest.mark.parametrize(
    ("mapper", "added"),
    [
        ({"kind": "copy", "claim": "x", "source": "name"}, {"x": "Siti"}),
        ({"kind": "copy", "claim": "x", "source": "tags"}, {"x": ["a"]}),
        ({"kind": "copy", "claim": "x", "source": "email"}, {}),
        ({"kind": "first_of", "claim": "x", "sources": ["email", "nickname", "name"]}, {"x": "Ti"}),
        ({"kind": "first_of", "claim": "x", "sources": ["email"]}, {}),
        ({"kind": "constant", "claim": "x", "value": "kota"}, {"x": "kota"}),
        ({"kind": "constant", "claim": "x", "value": 7}, {"x": 7}),
        ({"kind": "constant", "claim": "x", "value": False}, {"x": False}),
        (
            {"kind": "join", "claim": "x", "sources": ["name", "email", "nickname"], "separator": ", "},
            {"x": "Siti, Ti"},
        ),
        ({"kind": "join", "claim": "x", "sources": ["name", "level"]}, {"x": "Siti 3"}),
        ({"kind": "join", "claim": "x", "sources": ["tags", "active_member"]}, {}),
        ({"kind": "from_role", "claim": "x", "role": "operator"}, {"x": True}),
        ({"kind": "from_role", "claim": "x", "role": "operator", "value": "A1"}, {"x": "A1"}),
        ({"kind": "from_role", "claim": "x", "role": "reader"}, {}),
        ({"kind": "from_group", "claim": "x", "group": "DINKES"}, {"x": True}),
        ({"kind": "from_group", "claim": "x", "group": "KOTA"}, {}),
    ],
)
def test_each_kind_of_mapper(mapper: dict[str, Any], added: dict[str, object]) -> None:
    assert mapped(ADAPTER.validate_python([mapper]), CLAIMS) == CLAIMS | added


def test_rename_takes_the_old_name_away() -> None:
    result = mapped(ADAPTER.validate_python([{"kind": "rename", "claim": "x", "source": "name"}]), CLAIMS)
    assert result == {name: value for name, value in CLAIMS.items() if name != "name"} | {"x": "Siti"}


def test_a_role_that_is_limited_to_a_unit_is_not_the_role() -> None:
    mappers = ADAPTER.validate_python([{"kind": "from_role", "claim": "x", "role": "operator"}])
    assert "x" not in mapped(mappers, {"roles": ["operator@PKM-1"]})


def test_a_joined_text_is_bounded() -> None:
    mappers = ADAPTER.validate_python([{"kind": "join", "claim": "x", "sources": ["name", "nickname"]}])
    assert "x" not in mapped(mappers, {"name": "x" * MAX_JOINED_CHARS, "nickname": "y"})


@pytest.mark.parametrize(
    "claim",
    ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "acr", "amr", "azp", "sid", "at_hash", "c_hash", "scope",
     "client_id", "cnf", "roles", "groups", "email", "email_verified", "Email_Verified", "SUB", "nik", "identity_level",
     "_claim_sources", "__class__", "a b", "", "x" * 61, "a__b", "é", "local_user_id"],
)  # fmt: skip
def test_a_mapper_makes_no_claim_that_has_a_meaning(claim: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python([{"kind": "constant", "claim": claim, "value": "x"}])


@pytest.mark.parametrize(
    "mapper",
    [
        {"kind": "script", "claim": "x", "source": "name"},
        {"kind": "copy", "claim": "x", "source": "sub"},
        {"kind": "copy", "claim": "x", "source": "__class__"},
        {"kind": "copy", "claim": "x", "source": "name", "default": "y"},
        {"kind": "copy", "claim": "x"},
        {"kind": "first_of", "claim": "x", "sources": []},
        {"kind": "join", "claim": "x", "sources": ["name"] * 11},
        {"kind": "join", "claim": "x", "sources": ["name"], "separator": "\n"},
        {"kind": "constant", "claim": "x", "value": "x" * 201},
        {"kind": "constant", "claim": "x", "value": {"a": 1}},
        {"kind": "constant", "claim": "x", "value": 1.5},
        {"kind": "from_role", "claim": "x", "role": "operator@PKM-1"},
        {"kind": "from_group", "claim": "x", "group": "DINKES/*"},
        {"claim": "x", "source": "name"},
    ],
)
def test_the_kinds_are_closed(mapper: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python([mapper])
    with pytest.raises(ValidationError):
        ADAPTER.validate_python([{"kind": "constant", "claim": f"x{at}", "value": "y"} for at in range(31)])


def test_a_mapper_reads_no_result_of_another() -> None:
    loop = [{"kind": "copy", "claim": "a", "source": "b"}, {"kind": "copy", "claim": "b", "source": "a"}]
    itself = [{"kind": "copy", "claim": "a", "source": "a"}]
    twice = [{"kind": "constant", "claim": name, "value": 1} for name in ("a", "A")]
    for mappers, count in ((loop, 2), (itself, 1), (twice, 1)):
        assert len(mistakes_between(ADAPTER.validate_python(mappers))) == count
    assert mapped(ADAPTER.validate_python(loop), CLAIMS) == CLAIMS
    other = ADAPTER.validate_python([{"kind": "constant", "claim": "bloodType", "value": "O"}])
    assert mistakes_between(other, ["bloodtype"])
    assert mapped(other, {"bloodType": "A"}) == {"bloodType": "A"}, "the value of an attribute stays"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"scope": "openid"}, "name needs the scope profile"),
        ({"scope": "openid profile", "claim_reasons": {"birthdate": "x"}}, "name is not among the claims"),
    ],
)
def test_an_application_registers_no_mapper_of_a_claim_that_it_may_not_have(values: dict[str, Any], text: str) -> None:
    mappers = {"claim_mappers": [{"kind": "copy", "claim": "x", "source": "name"}]}
    with pytest.raises(ValidationError, match=text):
        ClientMetadata.model_validate({**WEB, **values, **mappers})
    right = ClientMetadata.model_validate({**WEB, "scope": "openid profile", **mappers})
    assert stored_metadata(right.stored()) == right
    roles = {"claim_mappers": [{"kind": "from_role", "claim": "x", "role": "operator"}]}
    with pytest.raises(ValidationError, match="roles needs the scope roles"):
        ClientMetadata.model_validate({**WEB, **roles})


def test_a_stored_mapper_that_this_release_cannot_use_is_left_out() -> None:
    stored = {**WEB, "claim_mappers": [{"kind": "constant", "claim": "sub", "value": "x"}]}
    assert stored_metadata(stored).claim_mappers == []
