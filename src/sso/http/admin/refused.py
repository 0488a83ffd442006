"""A refused form on a page of administrators: what the page shows of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

MAX_TYPED_CHARS = 500


class RefusedContext(TypedDict):
    """What a template shows of a refused action."""

    problem: str
    field: str
    values: Mapping[str, object]
    acted: str
    typed: dict[str, str]


@dataclass(frozen=True, slots=True)
class RefusedAction:
    """A refused action, as the page shows it.

    Args:
        name: the action; its form is open.
        fields: the fields of the form, as they were typed.
        problem: why it was refused.
        field_name: the field that the mistake is about.
        values: the values that the text of the problem names.
        attributes: the attributes whose values were refused.
    """

    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    field_name: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    attributes: Collection[str] = ()

    @property
    def context(self) -> RefusedContext:
        """What a template shows of it, as arguments."""
        return {
            "problem": self.problem,
            "field": self.field_name,
            "values": self.values,
            "acted": self.name,
            "typed": {name: text[:MAX_TYPED_CHARS] for name, text in self.fields.items()},
        }


NOT_REFUSED = RefusedAction()
