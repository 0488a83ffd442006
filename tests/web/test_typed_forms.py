"""Typed forms: what a model reads of the fields of a form, and the texts of mistakes by field."""

from __future__ import annotations

import uuid
from typing import Annotated

import pytest

from sso.http.common.typed_forms import (
    Choice,
    ChoiceField,
    FormModel,
    IdField,
    Note,
    Revision,
    Ticked,
    cut,
    first,
    one_of,
    read_form,
    required,
    ticked,
)

SESSION = uuid.UUID(int=7)
MISSING, NOT_SURE = "Type the reason.", "Tick the box."


class EveryKind(FormModel):
    """A field of every kind."""

    choice: ChoiceField = Choice()
    note: Annotated[Note, required(MISSING)] = ""
    sure: Annotated[Ticked, required(NOT_SURE)] = False
    words: Annotated[str, cut(5)] = ""
    password: Annotated[str, first(5)] = ""
    prompt: Annotated[str, one_of(("login", "none"))] = ""
    session: IdField = None
    revision: Revision = -1
    repeated: str | None = None


RIGHT = {"note": "Telepon dicuri", "sure": "1"}


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        ("choice", "remove 12 34", Choice("remove", "12 34")),
        ("choice", "", Choice("", "")),
        ("note", " dua\nbaris ", "dua baris"),
        ("note", "x" * 600, "x" * 500),
        ("sure", "1", True),
        ("words", "  panjang  ", "panja"),
        ("password", "  sandi  ", "  san"),
        ("prompt", "login", "login"),
        ("prompt", "consent", ""),
        ("session", str(SESSION), SESSION),
        ("session", "x", None),
        ("revision", "12", 12),
        ("revision", "x", -1),
        ("revision", "", -1),
        ("repeated", "", ""),
    ],
)
def test_a_field_is_read_as_its_type(field: str, typed: str, value: object) -> None:
    sent = read_form(EveryKind, {**RIGHT, field: typed, "unknown": "x"})
    assert sent.mistakes == {}
    assert getattr(sent.form, field) == value
    assert sent.typed[field] == typed


def test_a_field_that_was_not_sent_is_empty_or_none() -> None:
    form = read_form(EveryKind, RIGHT).form
    assert (form.words, form.choice, form.session, form.revision, form.repeated) == ("", ("", ""), None, -1, None)


def test_each_mistake_has_its_text_and_the_other_fields_are_read() -> None:
    sent = read_form(EveryKind, {"note": " \t ", "words": "satu"})
    assert sent.mistakes == {"note": MISSING, "sure": NOT_SURE}
    assert (sent.form.note, sent.form.sure, sent.form.words) == ("", False, "satu")


def test_ticked_boxes_are_named_by_their_prefix() -> None:
    assert ticked({"role admin": "1", "role auditor": "", "group A": "1", "role officer": "x"}, "role ") == ["admin"]
