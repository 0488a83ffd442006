"""A refused form on a page of administrators: what the page shows of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


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


NOT_REFUSED = RefusedAction()
