"""Errors of a form: each stands at its field and in the summary above the form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error of a form.

    Args:
        field: the id of the field on the page; empty: the error is of no field.
        text: the message, marked for translation; it says what is wrong and what to do.
        values: of the placeholders in the message.
    """

    field: str
    text: str
    values: Mapping[str, object] = dataclasses.field(default_factory=dict)


def field_error(field_id: str, text: str, **values: object) -> list[FieldError]:
    """Return the errors of a form with one error; none where ``text`` is empty."""
    return [FieldError(field_id, text, values)] if text else []


def errors_in_order(mistakes: Mapping[str, str], fields: Iterable[str] = ()) -> Sequence[FieldError]:
    """Return the errors of a form that was read (``Sent.mistakes``).

    Args:
        mistakes: the message of each field that has an error.
        fields: the ids of the fields in the order of the page; those that are not named come last.
    """
    order = {name: place for place, name in enumerate(fields)}
    named = sorted(mistakes, key=lambda name: order.get(name, len(order)))
    return [FieldError(name, mistakes[name]) for name in named]
