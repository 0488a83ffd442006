"""How identifiers and codes are read: each field by its kind, one stored form for one thing, and no guesses."""

from __future__ import annotations

import re

import phonenumbers
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sso.accounts.languages import page_language
from sso.identity.users.codes import country, language_tag, place_warning, time_zone
from sso.identity.users.identifiers import (
    can_be_verified,
    is_nothing,
    masked,
    may_be_chosen,
    meanings,
    normal_nik,
    normalise_as,
    normalise_contact,
    receives_codes,
)
from sso.identity.users.schemas import NewUser, Profile, UserChange, warnings_of

NIK = "3671014104900001"
MOBILE, LANDLINE = "+6281277770003", "+62215550100"


def phone(text: str) -> str:
    return normalise_as("phone", text).value


@pytest.mark.parametrize(
    ("value", "spellings"),
    [
        (
            MOBILE,
            "0812-7777-0003|0812 7777 0003|0812.7777.0003|6281277770003|62 812-7777-0003|+62 812 7777 0003|81277770003"
            "|+62 (0)812 7777 0003|(+62) 812 7777 0003|+62 0812 7777 0003|0062 812 7777 0003|tel:+62-812-7777-0003"
            '|tel:+6281277770003|tel:081277770003;phone-context=+62|\'081277770003|’081277770003|="081277770003"'
            "|０８１２７７７７０００３|٠٨١٢٧٧٧٧٠٠٠٣"
            "|0812\u00a07777\u00a00003|0812\u20117777\u20130003|0812\u20097777-0003"
            "|\u202a+62 812-7777-0003\u202c|TEL:+62 812 7777 0003|81.277.770.003",
        ),
        (LANDLINE, "(021) 555-0100|021-5550100|+62 (21) 555 0100|021/5550100|tel:+62-21-555-0100|62215550100"),
        (
            f"{LANDLINE};ext=12",
            "021-5550100 ext. 12|(021) 555-0100 x12|021 5550100x12|tel:+62-21-555-0100;ext=12|021-5550100 #12"
            "|021-5550100 ext 12|021 555 0100 extension 12|021-5550100 psw. 12|021-5550100 pes 12"
            "|021-5550100 pesawat 12"
            f"|{LANDLINE};ext=12",
        ),
        ("+16502530000", "+1 650 253 0000|+1 (650) 253-0000|001 650 253 0000|tel:253-0000;phone-context=+1650"),
        ("+6561234567", "+65 6123 4567"),
    ],
)
def test_one_telephone_number_has_one_form_however_it_is_written(value: str, spellings: str) -> None:
    assert {spelling: phone(spelling) for spelling in spellings.split("|")} == dict.fromkeys(
        spellings.split("|"), value
    )
    assert can_be_verified("phone", value)


NO_NUMBERS = (
    "81277770003.0|81277770003.00|8.12E+11|8,12E+11|8.1277770003E10|8E+11|+6281277770003.0|0800-FLOWERS"
    "|081277770003,0813|081277770003 / 081377770003|081277770003/081377770003|081277770003;081377770003"
    "|081277770003 atau 0813|++62812|62+81277770003|110|-|NULL|0|tel:1234;phone-context=example.com"
    "|tel:+62812;isub=1|x12|0812 7777 0003 ext|081277770003abc|siti@warga.example|812777700030000123|=1+1|0812\n7777"
)


@pytest.mark.parametrize("text", NO_NUMBERS.split("|"))
def test_what_is_no_telephone_number_is_refused_and_never_another_number(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        phone(text)


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"spreadsheet.*column as text"):
        phone("8.12E+11")
    with pytest.raises(ValueError, match="two phone numbers: enter one"):
        phone("0812 7777 0003 / 0813 7777 0003")
    with pytest.raises(ValueError, match="username has no @"):
        normalise_as("username", "siti@warga.example")


@given(st.integers(min_value=10**6, max_value=10**12), st.sampled_from(["E+", "e", "E"]), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_what_a_spreadsheet_makes_of_a_number_is_refused(number: int, letter: str, digits: int) -> None:
    for text in (f"{number}.0", f"{number},00", f"{number:.{digits}e}".replace("e+", letter), f"{number:.2E}"):
        for kind in ("phone", "nik"):
            with pytest.raises(ValueError):
                normalise_as(kind, text)


@given(st.text(alphabet="0123456789+-() ./x;=ext,E\u00a0٠", min_size=1, max_size=24))
@example("0812-7777-0003")
@example("(021) 555-0100 ext 7")
@example("000000000")
@example("+62 000 000 0000")
@settings(max_examples=300, deadline=None)
def test_a_stored_form_reads_as_itself_and_keeps_every_digit(text: str) -> None:
    try:
        number = normalise_as("phone", text)
    except ValueError:
        return
    assert phone(number.value) == number.value
    assert re.fullmatch(r"\+[1-9][0-9]{4,14}(;ext=[0-9]{1,7})?", number.value)
    national = str(phonenumbers.parse(number.value.partition(";")[0]).national_number)
    digits = "".join(char for char in text.replace("٠", "0") if char.isdigit())
    assert national.lstrip("0") in digits
    assert number.provable == can_be_verified("phone", number.value)


def test_a_number_that_is_only_possible_is_kept_and_never_proven() -> None:
    number = normalise_as("phone", "+62-21-555")
    assert (number.value, number.provable, len(number.warnings)) == ("+6221555", False, 1)
    assert normalise_as("phone", MOBILE).provable
    assert not can_be_verified("phone", "+6221555")
    assert can_be_verified("email", "a@b.example")


@pytest.mark.parametrize("text", ["000000000", "+62 001 542 043", "+49 000 751 11"])
def test_a_number_that_would_lose_zeros_when_it_is_read_again_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a phone number"):
        normalise_as("phone", text)


def test_a_landline_is_promised_no_sms() -> None:
    for number in (LANDLINE, f"{LANDLINE};ext=12", f"{MOBILE};ext=1", "+628001234567"):
        assert not receives_codes("phone", number), number
    for number in (MOBILE, "+16502530000"):
        assert receives_codes("phone", number), number
    assert receives_codes("email", "a@b.example")
    assert not receives_codes("username", "siti")
    assert not receives_codes("nik", "3671••••••••0001")


def test_what_is_nothing() -> None:
    nothing = [
        "",
        " ",
        "-",
        "--",
        "NULL",
        "null",
        "(null)",
        "\\N",
        "n/a",
        "N/A",
        "#N/A",
        "0",
        "0000",
        "00/00/0000",
        "'",
    ]
    nothing += ["None", "nil", "NaN", "tidak ada", "Belum Ada", "+", "( )", "0.0", "–"]
    assert [text for text in nothing if not is_nothing(text)] == []
    assert [text for text in ("siti", "10", "0812", "a", "Nullah", "-1") if is_nothing(text)] == []


@given(st.integers(min_value=5, max_value=18).flatmap(lambda n: st.text(alphabet="0123456789", min_size=n, max_size=n)))
@example("198501012010011001")
@example(NIK)
@example("081277770003")
@settings(max_examples=60, deadline=None)
def test_a_user_name_of_digits_is_a_user_name(digits: str) -> None:
    assume(not is_nothing(digits))
    username = normalise_as("username", digits)
    assert (username.kind, username.value) == ("username", digits)
    assert meanings(digits)[0] == username
    assert not may_be_chosen(digits)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Siti", ["username siti"]),
        ("  siti.r-2  ", ["username siti.r-2"]),
        ("Ｓiti", ["username siti"]),
        ("123e45", ["username 123e45"]),
        ("Siti@Warga.EXAMPLE", ["email siti@warga.example"]),
        ("siti@bücher.example", ["email siti@xn--bcher-kva.example"]),
        ("081277770003", ["username 081277770003", f"phone {MOBILE}"]),
        ("0812-7777-0003", ["username 0812-7777-0003", f"phone {MOBILE}"]),
        ("0812 7777 0003", [f"phone {MOBILE}"]),
        ("6281277770003", ["username 6281277770003", f"phone {MOBILE}"]),
        ("62215550100", ["username 62215550100", f"phone {LANDLINE}", "phone +6262215550100"]),
        (MOBILE, [f"phone {MOBILE}"]),
        (NIK, [f"username {NIK}", f"nik {NIK}"]),
        ("3671 0141 0490 0001", [f"nik {NIK}"]),
        ("367101.410490.0001", ["username 367101.410490.0001", f"nik {NIK}"]),
        ("198501012010011001", ["username 198501012010011001"]),
        ("19850101 201001 1 001", ["username 198501012010011001"]),
        ("19850101.201001.1.001", ["username 19850101.201001.1.001", "username 198501012010011001"]),
        ("1.98501E+17", []),
        *((typed, []) for typed in ("", " ", "ab", "a" * 300, "a b", "@", "a@", "@b", "a@b..c", "a@b c", "a@b@c")),
        *((typed, []) for typed in ("a\x00bc", "../etc", "<b>x")),
    ],
)
def test_what_is_typed_has_every_meaning_in_the_stated_order(typed: str, expected: list[str]) -> None:
    assert [f"{meaning.kind} {meaning.value}" for meaning in meanings(typed)] == expected


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_forms_of_different_kinds_are_never_the_same(text: str) -> None:
    lookups = [(meaning.kind, meaning.lookup(b"k" * 32)) for meaning in meanings(text)]
    assert len({lookup for _, lookup in lookups}) == len(lookups)
    for kind, lookup in lookups:
        marks = ("@" in lookup, lookup.startswith("+"), lookup.startswith("nik:"))
        assert marks == (kind == "email", kind == "phone", kind == "nik")


def test_names_that_people_choose_have_a_letter_and_one_meaning() -> None:
    for name in ("siti", "siti.r-2", "x123", "e10293"):
        assert may_be_chosen(name), name
    for name in ("10293", "0812-7777-0003", "0215550100x12", "01a212d5-bf21-73d5-9346-8f736cc3568b"):
        assert not may_be_chosen(name), name


def test_a_contact_is_an_address_or_a_number() -> None:
    assert normalise_contact("Siti＠Warga.example").kind == "email"
    assert normalise_contact("0812 7777 0003").kind == "phone"
    with pytest.raises(ValueError, match="phone number"):
        normalise_contact("siti")


@pytest.mark.parametrize(
    "typed", [NIK, "3671 0141 0490 0001", "367101.410490.0001", "３６７１０１４１０４９００００１", f"'{NIK}"]
)
def test_a_nik_is_read(typed: str) -> None:
    nik = normalise_as("nik", typed)
    assert (nik.value, nik.warnings) == (NIK, ())
    assert NIK not in nik.lookup(b"k" * 32)
    assert nik.lookup(b"k" * 32) != nik.lookup(b"x" * 32)


@pytest.mark.parametrize(
    ("digits", "why"),
    [
        ("367101410490000", "16 digits"), ("3671014104900000", "end"), ("0071014104900001", "beginning"),
        ("3671013002900001", "date"), ("3671017213900001", "date"), ("3671018104900001", "date"),
        ("3671013404900001", "date"), ("367101410490000a", "16 digits"), ("3.67101E+15", "16 digits"),
    ],
)  # fmt: skip
def test_what_can_be_no_nik(digits: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        normal_nik(digits)


def test_a_nik_of_a_leap_day_and_the_day_of_a_woman() -> None:
    assert normal_nik("3671016902000001") == "3671016902000001"
    assert normal_nik("3671017112900001") == "3671017112900001"
    assert masked("nik", NIK) == "3671••••••••0001"


def test_a_place_that_no_table_has_warns_and_is_kept() -> None:
    known = {"3671": "", "9301": "", "9601": "", "9201": "", "9501": ""}  # the provinces of 2022, and codes of before
    assert {code: place_warning(f"{code}01") for code in known} == known
    for digits, part in (("5401010104900001", "province 54"), ("3698010104900001", "regency 3698")):
        assert part in place_warning(digits)
    assert "district 367199" in place_warning("3671994104900001")
    nik = normalise_as("nik", "9971014104900001")
    assert nik.value == "9971014104900001"
    assert "Kepmendagri" in nik.warnings[0]
    assert re.search(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", nik.warnings[0])


def test_language_tags_have_their_canonical_form() -> None:
    canonical = {
        "ID-id": "id-ID", "id_ID": "id-ID", "id_ID.UTF-8": "id-ID", "in": "id", "in_ID": "id-ID", "iw": "he",
        "ji": "yi", "jw": "jv", "ind": "id", "ENG": "en", "ZH-hant-tw": "zh-Hant-TW", "zh-yue": "yue",
        "zh-cmn-hans": "cmn-Hans",
        "i-klingon": "tlh", "en-gb-oed": "en-GB-oxendict", "sgn-us": "ase", "de-DE-1996": "de-DE-1996",
        "my-BU": "my-MM", "EN-x-City": "en-x-city", "ban": "ban", "min": "min",
        "en-u-ca-buddhist-a-foo-x-1": "en-a-foo-u-ca-buddhist-x-1",
        "ja-latn-hepburn-heploc": "ja-Latn-hepburn-alalc97",
    }  # fmt: skip
    for text, expected in canonical.items():
        assert language_tag(text).value == expected, text
        assert language_tag(expected).value == expected
        assert language_tag(text).warning == "", text
    for wrong in (
        "",
        "i",
        "en-u",
        "en-u-x-a",
        "en-x",
        "foo bar",
        "id-",
        "-id",
        "id--ID",
        "12",
        "de-1996-de",
        "x" * 36,
        "<b>",
    ):
        with pytest.raises(ValueError, match="BCP 47"):
            language_tag(wrong)
    assert language_tag("qx").value == "qx"
    assert "IANA language subtag registry of 20" in language_tag("qx-YY").warning
    assert (page_language("in_ID", ""), page_language("nonsense tag", "")) == ("id", "")


def test_countries_and_time_zones_are_kept_and_what_is_unknown_warns() -> None:
    known = {"id": "ID", "ID": "ID", "idn": "IDN", "Indonesia": "Indonesia", "Jepang": "Jepang", "Japan": "Japan"}
    assert {name: country(name).value for name in known} == known
    assert [name for name in known if country(name).warning] == []
    assert [name for name in ("XX", "ZZ", "EU", "UK", "QQQ", "Wakanda") if not country(name).warning] == []
    zones = {
        "asia/jakarta": "Asia/Jakarta",
        "WIB": "Asia/Jakarta",
        "wita": "Asia/Makassar",
        "Asia/Jayapura": "Asia/Jayapura",
    }
    assert {zone: time_zone(zone).value for zone in zones} == zones
    assert (time_zone("Asia/Atlantis").value, bool(time_zone("Asia/Atlantis").warning)) == ("Asia/Atlantis", True)


def test_a_person_is_kept_with_warnings() -> None:
    person = NewUser(
        username="081277770003", name="Siti", locale="IN_id", nik="9971014104900001", phone_number="+62-21-555",
        profile=Profile.model_validate({"zoneinfo": "Asia/Atlantis", "address": {"country": "xx"}}),
    )  # fmt: skip
    assert (person.username, person.locale, person.phone_number) == ("081277770003", "id-ID", "+6221555")
    assert person.profile.address is not None
    assert person.profile.address.country == "XX"
    fields = [warning.partition(":")[0] for warning in warnings_of(person)]
    assert fields == ["phone_number", "nik", "profile.zoneinfo", "profile.address.country"]
    assert warnings_of(UserChange(name="Siti")) == []
