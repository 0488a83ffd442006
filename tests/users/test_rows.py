"""What a row says: values are what they are, and one that is wrong costs itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sso.identity.users.records import SchemeUnknown
from sso.identity.users.rows import Options, OptionsRefused, Row, RowRefused, fit_columns, read_row, yes_or_no
from sso.identity.users.schemas import Profile


def take(text: str, *, salt: str = "", scheme: str = "") -> str:
    if scheme:
        raise SchemeUnknown(f"password_scheme {scheme!r} is not known")
    if text.startswith(("!", "*", "{SASL}")):
        raise ValueError("no password opens the account")
    return text


def row(options: Options = Options(), **given: Any) -> Row:
    given = {"username": "siti", **given}
    return read_row(2, given, fit_columns(options, given)[0], take)


def left_out(**given: Any) -> list[str]:
    """Return the columns of which the value is left out; the person is taken over."""
    person = row(**given)
    assert person.name
    return [note.text.partition(":")[0] for note in person.notes if note.kind == "left out"]


BIRTHDATES = ["1990-04-21", "0000-04-21", "0000-02-29", "2000-02-29", "1990", "1900-01-01"]
NO_BIRTHDATES = [
    "21-04-1990", "21/04/1990", "0000-00-00", "1990-02-30", "1900-02-29", "1990-13-01", "1990-00-10", "1990-04",
    "1990-04-21 00:00:00", "1990-04-21T00:00:00Z", "2990-04-21", "2990", "0000", "0000-02-30", "19900421", "kemarin",
    "١٩٩٠-٠٤-٢١", "8.12E+11",
]  # fmt: skip


def test_a_birthdate_is_a_day_that_exists_and_is_past() -> None:
    for text in BIRTHDATES:
        assert row(birthdate=text).profile == {"birthdate": text}
        Profile(birthdate=text)
    for text in NO_BIRTHDATES:
        assert left_out(birthdate=text) == ["birthdate"], text
        with pytest.raises(ValidationError):
            Profile(birthdate=text)


def test_one_wrong_value_costs_itself() -> None:
    assert left_out(website="http://x.example", gender="f") == ["website"]
    assert left_out(email="siti@x.example", username="siti r") == ["username"]
    assert left_out(email="siti@x.example", username="Siti@X.example") == ["username"]
    assert left_out(email="nobody", phone_number="8.12E+11", nik="3671") == ["email", "phone_number", "nik"]
    for hashed in ("!", "*", "!$6$abc", "{SASL}siti"):
        assert left_out(password_hash=hashed) == ["password_hash"]
    assert left_out(locale="bahasa indonesia") == ["locale"]
    assert [row(locale=locale).locale for locale in ("id_ID", "EN-us", "in", "fr")] == ["id-ID", "en-US", "id", "fr"]
    odd = row(locale="qq", zoneinfo="Asia/Jakarte", address={"country": "XQ"}).notes
    assert sorted((note.kind, note.text.partition(":")[0]) for note in odd) == [
        ("warning", "address.country"), ("warning", "locale"), ("warning", "zoneinfo"),
    ]  # fmt: skip
    assert left_out(nickname="a\u200bb", given_name="S" * 201, gender="f") == ["given_name", "nickname"]
    person = row(address={"locality": "Kota", "region": ["a"], "planet": "x"}, profile={"gender": "f", "sub": "1"})
    assert person.profile == {"address": {"locality": "Kota"}, "gender": "f"}
    assert [note.text.partition(":")[0] for note in person.notes] == ["address.region", "address.planet", "sub"]
    assert row(address="Jalan 1\nKota").profile == {"address": {"formatted": "Jalan 1\nKota"}}
    for nothing in ("", "-", "NULL", "\\N", None):
        person = row(email=nothing, phone_number=nothing, birthdate=nothing, password_hash=nothing, name=nothing)
        assert (len(person.identifiers), person.profile, person.password, person.notes) == (1, {}, "", ())


@pytest.mark.parametrize(
    "given",
    [
        {"name": {"first": "Siti"}}, {"name": ["Siti"]}, {"name": True}, {"name": 1.5}, {"name": "Siti\nBudi"},
        {"username": {"a": 1}}, {"email": ["a@x.example"]}, {"email": "a@x.example\nb@x.example"},
        {"username": "si\rti"}, {"nik": "3671\n0141"}, {"phone_number": "0812\u2028345"}, {"gender": "f\nm"},
        {"password_hash": "a\nb"}, {"password_hash": {"hash": "a"}}, {"local_user_id": 8.12e11},
        {"local_user_id": "8.12E+11"}, {"local_user_id": "x" * 201}, {"local_user_id": "a\u202eb"},
        {"password_hash": "a", "password_scheme": "rot13"}, {"email": "a@x.example", "email_verified": "maybe"},
        {"username": "a b"}, {"username": None},
    ],
)  # fmt: skip
def test_what_makes_the_whole_row_doubtful_rejects_it(given: dict[str, Any]) -> None:
    with pytest.raises(RowRefused):
        row(**given)


def test_numbers_are_never_another_number() -> None:
    assert row(local_user_id=7, phone_number=81277770003).local_user_id == "7"
    assert row(phone_number=81277770003).identifiers[1] == ("phone", "+6281277770003", False)
    for number in (8.12e11, 81277770003.0, True, {"a": 1}):
        assert left_out(postal=1, zoneinfo=number) == ["zoneinfo"]
    assert left_out(phone_number=8.12e11) == ["phone_number"]


def test_yes_and_no_are_words_or_times() -> None:
    for text in ("yes", "YES", "true", "1", "y", "ya", "t"):
        assert yes_or_no("c", text) == (True, False)
    for text in ("no", "false", "0", "n", "Tidak", "f"):
        assert yes_or_no("c", text) == (False, False)
    for text in ("2024-01-01 10:00:00", "2024-01-01T10:00:00.123456Z", "2024-02-29", "2024-01-01 10:00:00+07"):
        assert yes_or_no("c", text) == (True, True)
    for text in ("0000-00-00 00:00:00", "0000-00-00", "1970-01-01 00:00:00", "0001-01-01T00:00:00Z"):
        assert yes_or_no("c", text) == (False, True)
    for text in ("maybe", "2", "-1", "verified", "2023-02-29 10:00:00", "2990-01-01", "1704103200", "2024-01-01 25:00"):
        with pytest.raises(RowRefused):
            yes_or_no("c", text)


def test_the_row_itself_says_what_is_verified_before_the_options() -> None:
    vouched = Options(verified=frozenset({"email"}))
    verified_by_text = {"": True, "no": False, "yes": True, "0000-00-00 00:00:00": False}
    for text, verified in verified_by_text.items():
        person = row(vouched, email="a@x.example", email_verified=text)
        assert person.identifiers[1] == ("email", "a@x.example", verified)
    assert row(email="a@x.example", email_verified="2024-01-01 10:00:00").read_as == (
        "email_verified: a time is read as yes",
    )
    assert row(email="a@x.example", email_verified=True).identifiers[1][2]


def mistakes(options: Options, *names: str) -> list[str]:
    with pytest.raises(OptionsRefused) as refused:
        fit_columns(options, names)
    return refused.value.mistakes


def test_options_fit_the_file() -> None:
    options, unread = fit_columns(Options(columns={"name": "Nama Lengkap"}), ["E-mail", "EMAIL", "nama lengkap", "x"])
    assert (options.columns, unread) == ({"email": "EMAIL", "name": "nama lengkap"}, ["E-mail", "x"])
    assert "did you mean 'email'" in mistakes(Options(columns={"emial": "mail"}), "mail", "username")[0]
    (wrong,) = mistakes(Options(columns={"email": "surel"}), "email", "surat")
    assert "no column 'surel'; did you mean 'surat'?" in wrong
    assert "--column email=email_address" not in mistakes(Options(), "email_address", "nama")[0]
    assert "'email_address', 'nama'" in mistakes(Options(), "email_address", "nama")[0]
    assert "choose with --column" in mistakes(Options(), "email", "Email (x)", "nik (column 1)", "nik (column 3)")[0]
    assert "choose with --column" in mistakes(Options(), "Email", "EMAIL")[0]
    assert "no column phone_number" in mistakes(Options(verified=frozenset({"phone"})), "email")[0]
    several = Options(None, frozenset({"fax"}), {"nama": "x", "email": "y"}, update=True)
    assert len(mistakes(several, "username")) == 4
    assert "no column local_user_id" in mistakes(Options("sehat", update=True), "email")[0]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*Profile.model_fields, "email", "name"]), st.text(max_size=20)))
def test_whatever_a_row_holds_is_kept_as_it_is_or_named(given: dict[str, str]) -> None:
    """No value is lost without a word, and none is stored that the API would refuse."""
    try:
        person = row(**given)
    except RowRefused:
        return
    Profile.model_validate(person.profile)
    named = {note.text.partition(":")[0].partition(".")[0] for note in person.notes}
    stored = {*person.profile, *(kind for kind, _, _ in person.identifiers), "name"}
    for name, value in given.items():
        assert name in stored or name in named or value.strip() in ("", "-", "NULL", "\\N") or "email" in name
