"""Attributes that a city declares: the file, patterns, values. Pure functions, without a provider."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sso.accounts.attribute_file import DeclarationRefused, read_declaration, read_declaration_file
from sso.clients.attributes import stored_declaration
from sso.identity.attributes.definitions import Attribute
from sso.identity.attributes.patterns import PatternRefused, compile_pattern, matches
from sso.identity.attributes.values import ValueRefused, checked_value, joined, read_stored, split, stored_text
from sso.platform.security.encryption import CannotDecrypt, SecretBox

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "attributes.example.yaml"


def attribute(**values: Any) -> Attribute:
    return Attribute.model_validate({"title": "Judul", "title#en": "Title", "type": "text", **values})


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"[A-Z]{2}-\d{4}", ["AB-1234"], ["AB-123", "ab-1234", "xAB-1234", "AB-12345", "AB-1234\n"]),
        (r"\w+@\w+\.id", ["a@b.id"], ["a@b.com", "@b.id"]),
        (r"a?b*c+", ["c", "abbbccc"], ["", "ab", "aac"]),
        (r"[^0-9]*", ["", "abc"], ["a1"]),
        (r"a*a*a*a{2,3}", ["aa", "aaaaaa"], ["a", "b"]),
        (r".{3,}", ["abc", "abcd"], ["ab"]),
        (r"[\]\-x]+", ["]-x"], ["y"]),
        (r"\(\d\)", ["(1)"], ["1"]),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, right: list[str], wrong: list[str]) -> None:
    assert all(matches(pattern, text) for text in right)
    assert not any(matches(pattern, text) for text in wrong)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "(a+)+", "(a|a)*", "a|b", "^a$", "a**", "a+?", "a{2}{3}", "*a", "{2}", "a{", "a{3,2}", "a{9999}", "[a",
        "[]", "[z-a]", "[[a]", r"\1", r"\b", "\\", "a{0}", "x" * 201, "ab" * 40, r"(?=a)", r"[\d-z]", "a{,2}",
    ],
)  # fmt: skip
def test_a_pattern_that_could_take_long_or_is_unclear_is_refused(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        compile_pattern(pattern)


def test_no_pattern_takes_long() -> None:
    assert not matches("a*" * 59 + "b", "a" * 2000)
    assert not matches("[a-z]*" * 30 + "!", "a" * 2000)


ORDINARY = [
    (attribute(), " Tangerang ", "Tangerang"),
    (attribute(), "", None),
    (attribute(), None, None),
    (attribute(pattern=r"\d{2}"), "12", "12"),
    (attribute(type="integer"), "42", 42),
    (attribute(type="integer"), -7, -7),
    (attribute(type="boolean"), "ya", True),
    (attribute(type="boolean"), False, False),
    (attribute(type="date"), "27/11/2026", "2026-11-27"),
    (attribute(type="date"), "2026-11-27", "2026-11-27"),
    (attribute(type="list"), "a; b;b; ", ["a", "b"]),
    (attribute(type="list"), ["a", "b"], ["a", "b"]),
    (attribute(type="list"), [], None),
    (attribute(type="choice", choices={"O": {"title": "Gol O", "title#en": "Type O"}}), "type o", "O"),
]


@pytest.mark.parametrize(("of", "given", "value"), ORDINARY)
def test_a_value_is_stored_in_one_form(of: Attribute, given: object, value: object) -> None:
    assert checked_value(of, given) == value


@pytest.mark.parametrize(
    ("of", "given"),
    [
        (attribute(), "x" * 10_000),
        (attribute(), "x" * 201),
        (attribute(max_length=3), "abcd"),
        (attribute(), "a\x00b"),
        (attribute(), "a\nb"),
        (attribute(), "a\u202eb"),
        (attribute(), "\ud800"),
        (attribute(), 42),
        (attribute(), {"a": 1}),
        (attribute(pattern=r"\d{2}"), "x"),
        (attribute(type="integer"), "4.2"),
        (attribute(type="integer"), "9" * 400),
        (attribute(type="integer"), 2**53),
        (attribute(type="integer"), True),
        (attribute(type="integer"), 1.0),
        (attribute(type="integer", maximum=5), 6),
        (attribute(type="boolean"), "perhaps"),
        (attribute(type="boolean"), 1),
        (attribute(type="date"), "31/02/2026"),
        (attribute(type="date"), "2026-11-27T00:00:00Z"),
        (attribute(type="list"), ["a", 1]),
        (attribute(type="list"), ["x"] * 5000),
        (attribute(type="list"), ";".join("abcdefghijk")),
        (attribute(type="list"), ["a\x07"]),
        (attribute(type="list"), ["a;b"]),
        (attribute(type="choice", choices={"O": {"title": "O", "title#en": "O"}}), "P"),
        (attribute(type="choice", choices={"O": {"title": "O", "title#en": "O"}}), ["O"]),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_not_repeated(of: Attribute, given: object) -> None:
    with pytest.raises(ValueRefused) as refused:
        checked_value(of, given)
    assert not isinstance(given, str) or len(given) < 3 or given not in str(refused.value)


def test_specific_data_is_encrypted_for_its_user_and_attribute() -> None:
    box, user = SecretBox([b"a" * 32]), uuid.uuid4()
    of = attribute(personal_data="specific")
    text = stored_text(of, "blood", user, "O", box)
    assert "O" not in text.split("=")[0] or text.startswith("~")
    assert read_stored(text, "blood", user, box) == "O"
    for name, other in (("blood", uuid.uuid4()), ("faith", user)):
        with pytest.raises(CannotDecrypt):
            read_stored(text, name, other, box)


def test_values_are_told_apart_whatever_they_hold() -> None:
    box, user = SecretBox([b"a" * 32]), uuid.uuid4()
    values = {"a": "x=1,y", "b": "~x", "c": ["é=", "~"], "d": -1, "e": True}
    of = {name: attribute(type="list" if isinstance(value, list) else "text") for name, value in values.items()}
    texts = {name: stored_text(of[name], name, user, value, box) for name, value in values.items()}  # type: ignore[arg-type]
    assert split(joined(texts.items())) == texts
    assert {name: read_stored(text, name, user, box) for name, text in texts.items()} == values
    assert split(None) == split("") == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_length": 0}, {"max_length": 5000}, {"type": "object"}, {"minimum": 1}, {"choices": {}, "type": "choice"},
        {"type": "integer", "minimum": 2, "maximum": 1}, {"type": "list", "max_items": 51}, {"read": ["everyone"]},
        {"write": ["nobody"]}, {"retention_days": 0}, {"claim": "x"}, {"personal_data": "secret"},
        {"personal_data": "specific", "scope": "city_health"}, {"scope": "specific_health"}, {"pattern": "(a+)+"},
        {"title": "x" * 101}, {"title": "a\u202eb"}, {"unknown": 1}, {"type": "text", "max_length": True},
    ],
)  # fmt: skip
def test_an_attribute_is_a_closed_schema(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        attribute(**wrong)


FILE = """\
scopes:
  city_profile:
    title: Data warga
    title#en: Citizen data
attributes:
  district_code:
    type: text
    title: Kode
    title#en: Code
    scope: city_profile
"""


@pytest.mark.parametrize(
    ("replaced", "by", "line", "text"),
    [
        ("type: text", "type: varchar", 7, "attributes.district_code.type: must be one of"),
        ("    title: Kode\n", "", 6, "attributes.district_code.title: is missing"),
        ("title#en: Code", "titel: x", 9, "attributes.district_code.titel: is not a field here"),
        ("scope: city_profile", "scope: city_other", 10, "city_other is not declared"),
        ("  district_code:", "  __class__:", 6, "must be at most 40 letters"),
        ("  district_code:", "  email:", 6, "email is a field of every account"),
        ("  district_code:", "  given_name:", 6, "given_name is a field of every account"),
        ("scope: city_profile", "scope: city_profile\n    claim: SUB", 11, "the claim SUB has a meaning already"),
        ("scope: city_profile", "scope: city_profile\n    claim: email_verified", 11, "has a meaning already"),
        ("scope: city_profile", "pattern: (a+)+", 10, "attributes.district_code.pattern: ( is not possible"),
        ("city_profile", "openid", 2, "openid is a scope of the provider"),
        ("type: text", "type: choice\n    choices: {no: {title: a, title#en: b}}", 8, "the key no must be text"),
        ("type: text", "type: text\n    type: date", 8, "type stands twice"),
        ("title: Kode", "title: 42", 8, "must be text: write it in quotes"),
        ("scope: city_profile\n", "", 2, "no attribute and no mapper has the scope city_profile"),
    ],
)
def test_a_mistake_names_its_line_and_field(replaced: str, by: str, line: int, text: str) -> None:
    with pytest.raises(DeclarationRefused) as refused:
        read_declaration(FILE.replace(replaced, by), "kota.yaml")
    assert any(mistake.startswith(f"kota.yaml:{line}: ") and text in mistake for mistake in refused.value.mistakes), (
        refused.value.mistakes
    )


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "a: &a [*a]",
        "x: " + "[" * 2000,
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "!!python/object/apply:os.system ['true']",
        "scopes: {a: !!python/name:os.system }",
        "\x00",
        "attributes: {a: {<<: *b}}",
    ],
)
def test_yaml_that_is_no_plain_document_is_refused(text: str) -> None:
    with pytest.raises(DeclarationRefused):
        read_declaration(text, "kota.yaml")


def test_a_large_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("#" * 600_000)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    for name in ("large.yaml", "latin.yaml", "missing.yaml"):
        with pytest.raises(DeclarationRefused, match=name):
            read_declaration_file(tmp_path / name)


def test_two_attributes_cannot_have_one_claim() -> None:
    twice = FILE + FILE.split("attributes:\n")[1].replace("district_code", "other") + "    claim: District_Code\n"
    with pytest.raises(DeclarationRefused, match="is also that of district_code"):
        read_declaration(twice, "kota.yaml")


def test_a_declaration_is_the_same_after_it_was_stored() -> None:
    declaration = read_declaration_file(EXAMPLE)
    assert stored_declaration(declaration.stored()).stored() == declaration.stored()
    assert read_declaration("", "kota.yaml").stored() == {"mappers": {}}
