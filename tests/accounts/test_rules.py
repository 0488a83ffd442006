"""Rules about accounts that need neither a database nor an application."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from sso import clock
from sso.accounts.contact_changes import Known, changes, receivers
from sso.accounts.contacts import read_contact
from sso.accounts.flows import FlowRefused, Problem
from sso.accounts.guards import is_locked, refuse_locked, refuse_test_user
from sso.accounts.identity_checks import read_check
from sso.accounts.profile import ProfileInvalid, profile_values, read_name, read_profile
from sso.accounts.protection import protection_of
from sso.accounts.second_factors import must_stay
from sso.http.account.access import page_name
from sso.identity.users.models import Credential, User
from sso.identity.users.service import UserError
from sso.settings import Settings


def credential(kind: str, **data: Any) -> Credential:
    return Credential(id=uuid.uuid4(), kind=kind, data=data)


def user(**values: Any) -> User:
    return User(**({"id": uuid.uuid4(), "name": "Siti", "profile": {}, "preferences": {}} | values))


@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        (["totp", "recovery_code"], Problem.LAST_CREDENTIAL),
        ([], Problem.LAST_CREDENTIAL),
        (["password"], None),
        (["passkey"], None),
        (["short"], Problem.NEEDS_LONGER_PASSWORD),
        (["short", "recovery_code"], Problem.NEEDS_LONGER_PASSWORD),
        (["short", "totp"], None),
        (["short", "passkey"], None),
    ],
)
def test_a_credential_stays_that_is_the_last_way_to_sign_in(kinds: list[str], problem: Problem | None) -> None:
    left = [credential("password", long=False) if kind == "short" else credential(kind) for kind in kinds]
    assert must_stay(left) is problem


@pytest.mark.parametrize(
    ("typed", "name"),
    [("  Siti   Rahma ", "Siti Rahma"), ("<b>", ""), ("a\u202eb", ""), ("", ""), ("x" * 300, "x" * 200)],
)
def test_a_name_is_one_printable_line_without_markup(typed: str, name: str) -> None:
    assert read_name(typed) == name


def test_a_profile_keeps_what_the_form_does_not_ask_for() -> None:
    stored = {"nickname": "Ti", "middle_name": "x", "zoneinfo": "Asia/Jakarta"}
    profile = read_profile(
        stored, {"given_name": "Siti", "address_locality": "Tangerang", "address_postal_code": "15111"}
    )
    assert profile.model_dump(exclude_none=True)["given_name"] == "Siti"
    assert profile.nickname is None
    assert profile.address is not None
    assert profile.address.formatted == "Tangerang 15111"
    values = profile_values(user(profile=profile.model_dump(exclude_none=True)))
    assert (values["name"], values["address_locality"]) == ("Siti", "Tangerang")


def test_a_profile_that_is_wrong_names_its_fields() -> None:
    with pytest.raises(ProfileInvalid) as error:
        read_profile({}, {"birthdate": "kemarin", "website": "bukan alamat"})
    assert set(error.value.fields) == {"birthdate", "website"}


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("1990-04-21", "1990-04-21"),
        ("21/04/1990", "1990-04-21"),
        ("1-4-1990", "1990-04-01"),
        ("1990", "1990"),
        ("", None),
    ],
)
def test_a_date_of_birth_is_read_as_people_write_it(typed: str, stored: str | None) -> None:
    assert read_profile({}, {"birthdate": typed}).birthdate == stored


@pytest.mark.parametrize(
    ("name", "typed", "expected"),
    [
        ("Siti Rahmawati", {}, ("Siti", "Rahmawati")),  # the name did not change
        ("Siti Ayu Rahmawati", {}, ("Siti", "Rahmawati")),  # the parts still agree with it
        ("Kartini", {"given_name": "Siti", "family_name": "Rahmawati"}, (None, None)),  # sent back as they stood
        ("Kartini", {"given_name": "Kartini", "family_name": ""}, ("Kartini", None)),  # changed together
    ],
)
def test_a_new_name_leaves_no_old_first_name_behind(
    name: str, typed: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    stored = {"given_name": "Siti", "family_name": "Rahmawati"}
    profile = read_profile(stored, typed, name, "Siti Rahmawati")
    assert (profile.given_name, profile.family_name) == expected


def test_an_address_is_stored_in_the_spelling_of_the_regions() -> None:
    typed = {
        "address_street_address": "Jalan Satria 1", "address_rt": "RT 3", "address_rw": "05",
        "address_village": "sukasari", "address_district": "TANGERANG", "address_locality": "kota tangerang",
        "address_region": "banten", "address_postal_code": "15118", "address_country": "Indonesia",
    }  # fmt: skip
    address = read_profile({}, typed).address
    assert address is not None
    assert address.model_dump() == {
        "street_address": "Jalan Satria 1", "rt": "003", "rw": "005", "village": "Sukasari", "district": "Tangerang",
        "locality": "Kota Tangerang", "region": "Banten", "postal_code": "15118", "country": "ID",
        "formatted": "Jalan Satria 1\nRT 003/RW 005\nKel./Desa Sukasari, Kec. Tangerang\n"
        "Kota Tangerang 15118\nBanten\nID",
    }  # fmt: skip
    elsewhere = read_profile({}, {"address_region": "Selangor", "address_country": "Malaysia"}).address
    assert elsewhere is not None
    assert (elsewhere.region, elsewhere.country) == ("Selangor", "MY")
    with pytest.raises(ProfileInvalid) as error:
        read_profile({}, {"address_rt": "tiga"})
    assert error.value.fields == ["address_rt"]


def test_an_address_of_which_only_the_whole_is_known_is_shown_in_one_field() -> None:
    values = profile_values(user(profile={"address": {"formatted": "Jalan Satria 1\nTangerang"}}))
    assert values["address_street_address"] == "Jalan Satria 1, Tangerang"


@pytest.mark.parametrize(
    ("kinds", "contacts", "level", "step"),
    [
        ([], 0, "low", "add_contact"),
        (["passkey", "recovery_code"], 0, "low", "add_contact"),
        (["password"], 1, "low", "add_passkey"),
        (["password", "totp"], 1, "medium", "make_codes"),
        (["passkey"], 2, "medium", "make_codes"),
        (["password", "totp", "recovery_code"], 1, "medium", "add_passkey"),
        (["passkey", "recovery_code"], 1, "high", "add_second_contact"),
        (["passkey", "recovery_code"], 2, "high", "nothing"),
    ],
)
def test_the_protection_of_an_account_has_one_next_step(kinds: list[str], contacts: int, level: str, step: str) -> None:
    assert protection_of(kinds, contacts) == (level, step)


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("bukan", Problem.NOT_A_CONTACT),
        ("", Problem.NOT_A_CONTACT),
        ("+62 21 5551234", Problem.NO_SMS),
        ("+62 812 3456 7890", None),
        ("Baru@Warga.Example", None),
    ],
)
def test_the_contact_of_a_sign_up(typed: str, problem: Problem | None) -> None:
    settings = Settings(smtp_url="smtp://127.0.0.1:9", sms_url="http://127.0.0.1:9")
    if problem is None:
        assert read_contact(settings.sign_up_kinds, typed).value in ("+6281234567890", "baru@warga.example")
        return
    with pytest.raises(FlowRefused) as error:
        read_contact(settings.sign_up_kinds, typed)
    assert error.value.problem is problem


def test_a_locked_account_and_a_test_user_are_refused() -> None:
    locked = user(locked_until=clock.now() + timedelta(hours=1))
    assert is_locked(locked)
    with pytest.raises(UserError):
        refuse_locked(locked)
    assert not is_locked(user(locked_until=clock.now() - timedelta(hours=1)))
    refuse_locked(user())
    refuse_test_user(user())
    with pytest.raises(UserError):
        refuse_test_user(user(preferences={"test": True}))


def test_a_document_names_every_mistake() -> None:
    with pytest.raises(UserError) as error:
        read_check("sim", "1", "")
    assert len(error.value.mistakes) == 3
    seen = read_check("ktp", "3671016104900001", " MPP ")
    assert (seen.nik, seen.place) == ("3671016104900001", "MPP")
    assert read_check("passport", "A1234567", "MPP").nik is None


def test_a_removed_contact_is_told_of_its_removal() -> None:
    old = Known("email", "a@warga.example", "a@warga.example", verified=True, primary=True)
    new = Known("email", "b@warga.example", "b@warga.example", verified=False, primary=True)
    changed = changes([old], [new])
    assert {name: [contact.value for contact in which] for name, which in changed.items()} == {
        "contact_added": ["b@warga.example"],
        "contact_removed": ["a@warga.example"],
    }
    assert receivers([old], [new]) == [("email", "a@warga.example")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/account", "account"),
        ("/account/security/app", "security"),
        ("/account/contacts/code", "contacts"),
        ("/account/picture", "profile"),
        ("/account/export", "data"),
        ("/account/delete", "data"),
        ("/account/sessions", "sessions"),
    ],
)
def test_every_form_of_the_own_account_belongs_to_a_page(path: str, name: str) -> None:
    assert page_name(path) == name
