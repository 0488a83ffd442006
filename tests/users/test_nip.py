"""The number of an employee: its parts, its printed form, and what is wrong about one that is none."""

from __future__ import annotations

from datetime import date
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sso import clock
from sso.accounts.refusal_texts import is_known
from sso.identity.users.identifiers import meanings, normalise_as
from sso.identity.users.nip import (
    OLD_WRONG,
    WRONG,
    Nip,
    NipRefused,
    normal_nip,
    normal_old_nip,
    printed_nip,
    read_nip,
)

CIVIL_SERVANT, PPPK = "198501012010011001", "198501012024211001"


@st.composite
def numbers(draw: st.DrawFn) -> Nip:
    """Every NIP that the rules allow."""
    birth = draw(st.dates(date(1940, 1, 1), date(2010, 12, 31)))
    year = draw(st.integers(birth.year + 15, max(birth.year + 15, clock.now().year)))
    agreement = draw(st.integers(0, 9))
    month = 0 if agreement else draw(st.integers(1, 12))
    sex: Literal[1, 2] = draw(st.sampled_from([1, 2]))
    return Nip(birth, year, month, agreement, sex, draw(st.integers(1, 999)))


def is_nip(text: str) -> bool:
    try:
        read_nip(text)
    except NipRefused:
        return False
    return True


@settings(deadline=None)
@given(numbers(), st.sampled_from(["{}", " {} ", "'{}"]))
def test_every_nip_is_read_as_it_was_written(nip: Nip, spelling: str) -> None:
    digits = str(nip)
    assert (read_nip(digits), read_nip(printed_nip(digits))) == (nip, nip)
    assert normalise_as("nip", spelling.format(digits)).value == digits
    assert digits in [meaning.value for meaning in meanings(printed_nip(digits))]
    assert nip.is_pppk is (digits[12:14] > "12")


@settings(deadline=None)
@given(st.text(alphabet="0123456789 .-abc", max_size=24))
def test_text_is_a_nip_or_is_refused_with_a_part(text: str) -> None:
    if is_nip(text):
        assert normal_nip(text) == str(read_nip(text))
        return
    with pytest.raises(NipRefused) as refused:
        read_nip(text)
    assert str(refused.value) == WRONG[refused.value.part]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("19850101201001100", "digits"),
        ("1985010120100110011", "digits"),
        ("19850101201001100a", "digits"),
        ("٣98501012010011001", "digits"),
        ("", "digits"),
        ("198513012010011001", "birth"),
        ("198502302010011001", "birth"),
        ("189912312010011001", "birth"),
        ("198501011999011001", "year"),
        ("198501012099011001", "year"),
        ("198501012010001001", "month"),
        ("198501012010131001", "month"),
        ("198501012010201001", "month"),
        ("198501012010301001", "month"),
        ("198501012010010001", "sex"),
        ("198501012010013001", "sex"),
        ("198501012010011000", "serial"),
    ],
)
def test_a_wrong_part_is_named(text: str, part: str) -> None:
    with pytest.raises(NipRefused) as refused:
        read_nip(text)
    assert refused.value.part == part


def test_what_is_wrong_is_said_in_both_languages() -> None:
    assert [text for text in (*WRONG.values(), OLD_WRONG) if not is_known(text)] == []


def test_a_spreadsheet_that_destroyed_digits_is_named() -> None:
    for text in ("1.98501E+17", "198501012010011001.00"):
        with pytest.raises(ValueError, match="rewritten by a spreadsheet"):
            normalise_as("nip", text)


def test_the_old_form_has_nine_digits() -> None:
    assert [normal_old_nip(text) for text in ("130119400", "130 119 400", "060.119.400")] == [
        "130119400", "130119400", "060119400",
    ]  # fmt: skip
    for text in ("13011940", "1301194000", "13011940a", "000000000"):
        with pytest.raises(ValueError, match="9 digits"):
            normal_old_nip(text)
    assert [printed_nip(text) for text in (CIVIL_SERVANT, PPPK, "130119400", "x")] == [
        "19850101 201001 1 001", "19850101 202421 1 001", "130 119 400", "x",
    ]  # fmt: skip
