"""The attributes that a city declared, as fields of a form and as values of a page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sso.accounts.attributes import MISSING, AttributeView
from sso.clients.attributes import CityAttributes
from sso.http.common.field_errors import FieldError
from sso.http.common.i18n import N_
from sso.identity.attributes.definitions import MAX_INTEGER, Attribute, Reader
from sso.identity.attributes.values import Value

PREFIX = "attribute "
"""How the names of the fields of a form begin."""
MAX_SHOWN_CHARS = 2500
MAX_REJECTED_CHARS = 20_000
YES, NO = N_("yes"), N_("no")
WRONG = {
    "text": N_("Enter a text of at most %(longest)d characters, in the form that the field describes."),
    "integer": N_("Enter a whole number from %(minimum)d to %(maximum)d."),
    "boolean": N_("Choose one of the answers in the list."),
    "date": N_("Enter a date that exists, such as 21/04/2026."),
    "choice": N_("Choose one of the answers in the list."),
    "list": N_("Enter at most %(items)d entries of at most %(longest)d characters, with semicolons (;) between them."),
}
"""What to do about a value that an attribute cannot have, by its type."""
NOT_FILLED_IN = N_("Fill in this field: %(title)s.")


@dataclass(frozen=True, slots=True)
class AttributeField:
    """An attribute on a page.

    Args:
        name: of its field.
        title: in the language of the page.
        help: in the language of the page; empty: there is none.
        kind: its type.
        typed: the text of the field.
        display: the value in words; empty: there is none, or it is not shown.
        writable: whether the page has a field for it.
        choices: pairs of value and title; the titles of a boolean are translated by the page.
        longest: the most characters of its field.
    """

    name: str
    title: str
    help: str
    kind: str
    typed: str
    display: str
    writable: bool
    choices: Sequence[tuple[str, str]]
    longest: int


def id_of(field: str) -> str:
    """Return the id of a field on a page."""
    return field.replace(" ", "-")


def attribute_fields(
    attributes: Iterable[AttributeView], locale: str, typed: Mapping[str, str]
) -> list[AttributeField]:
    """Return the attributes of a user as a page shows them.

    Args:
        attributes: those that somebody may see.
        locale: the language of the page.
        typed: what was typed where the form was refused.
    """
    return [_field(each, locale, typed) for each in attributes]


def _field(each: AttributeView, locale: str, typed: Mapping[str, str]) -> AttributeField:
    attribute, name = each.attribute, f"{PREFIX}{each.name}"
    choices = [(value, texts.titled(locale)) for value, texts in attribute.choices.items()]
    if attribute.type == "boolean":
        choices = [("true", YES), ("false", NO)]
    return AttributeField(
        name,
        attribute.titled(locale),
        attribute.helped(locale),
        attribute.type,
        typed.get(name, as_typed(each.value))[:MAX_SHOWN_CHARS],
        _in_words(attribute, each.value, locale),
        each.writable,
        choices,
        attribute.longest,
    )


def as_typed(value: Value | None) -> str:
    """Return a value as the field of a form has it."""
    if isinstance(value, list):
        return "; ".join(value)
    return ("true" if value else "false") if isinstance(value, bool) else "" if value is None else str(value)


def _in_words(attribute: Attribute, value: Value | None, locale: str) -> str:
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, list):
        return ", ".join(value)
    if attribute.type == "choice" and isinstance(value, str) and value in attribute.choices:
        return attribute.choices[value].titled(locale)
    return "" if value is None else str(value)


def sent_attributes(fields: Mapping[str, str], city: CityAttributes, who: Collection[Reader]) -> dict[str, object]:
    """Return the values that a form sends, by the names of the attributes. A field of an attribute that somebody may
    not see is left out, unless a value was typed: an empty field must not delete what is not shown.

    Args:
        fields: the form, with other fields too.
        city: what the city declared.
        who: what somebody is for the rights of attributes.
    """
    values: dict[str, object] = {}
    for name, attribute in city.declaration.attributes.items():
        text = fields.get(f"{PREFIX}{name}")
        readable, writable = (not set(who).isdisjoint(rights) for rights in (attribute.read, attribute.write))
        if writable and text is not None and (readable or text.strip()):
            values[name] = text[:MAX_REJECTED_CHARS]
    return values


def attribute_errors(wrong: Collection[str], city: CityAttributes) -> list[FieldError]:
    """Return the errors of a form whose values were refused.

    Args:
        wrong: the names of the attributes.
        city: what the city declared.
    """
    return [
        FieldError(f"{PREFIX}{name}", WRONG[attribute.type], _limits(attribute))
        for name, attribute in city.declaration.attributes.items()
        if name in wrong
    ]


def required_errors(wrong: Mapping[str, str], city: CityAttributes, locale: str) -> list[FieldError]:
    """Return the errors of a form that asks for required attributes, each of which has a value.

    Args:
        wrong: what is wrong, by the name of the attribute.
        city: what the city declared.
        locale: the language of the page.
    """
    titles = {
        f"{PREFIX}{name}": city.declaration.attributes[name].titled(locale)
        for name, text in wrong.items()
        if text == MISSING
    }
    return [
        FieldError(error.field, NOT_FILLED_IN, {"title": titles[error.field]}) if error.field in titles else error
        for error in attribute_errors(wrong, city)
    ]


def required_fields(
    city: CityAttributes, names: Collection[str], locale: str, typed: Mapping[str, str]
) -> list[AttributeField]:
    """Return the fields of attributes that a registration, or a sign-in, asks a user for.

    Args:
        city: what the city declared.
        names: the attributes.
        locale: the language of the page.
        typed: what was typed where the form was refused.
    """
    declared = city.declaration.attributes
    fields = [AttributeView(name, declared[name], None, readable=True, writable=True) for name in names]
    return attribute_fields(fields, locale, typed)


def _limits(attribute: Attribute) -> dict[str, object]:
    return {
        "longest": attribute.longest,
        "items": attribute.max_items or 10,
        "minimum": -MAX_INTEGER if attribute.minimum is None else attribute.minimum,
        "maximum": MAX_INTEGER if attribute.maximum is None else attribute.maximum,
    }
