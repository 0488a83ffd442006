"""Typed forms: the fields of a form as a model, and its mistakes by field.

FastAPI's own forms answer a mistake with a list of problems (docs/decisions/0055). Here a mistake is a text of the
page, which is shown at its field, in the language of the user, with everything that was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, NamedTuple, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.requests import Request

from sso.errors import validation_field, validation_message
from sso.http.common.forms import form_fields, read_id, read_revision

MAX_NOTE_CHARS = 500


class FormModel(BaseModel):
    """A form. Each field has a default: what it is where the browser sends nothing, or something that is wrong."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, defer_build=True)


Form = TypeVar("Form", bound=FormModel)


@dataclass(frozen=True, slots=True)
class Sent(Generic[Form]):
    """A form that was sent.

    Args:
        form: the values. A field with a mistake has its default.
        typed: every field as it was typed, for the page that shows the form again.
        mistakes: the text of the mistake of each field that has one.
    """

    form: Form
    typed: Mapping[str, str]
    mistakes: Mapping[str, str]


def read_form(model: type[Form], fields: Mapping[str, str]) -> Sent[Form]:
    """Return a form as its model reads it, with the mistakes by field. A field that was not sent is empty, or None
    where that is its default."""
    values: dict[str, str] = {}
    for name, info in model.model_fields.items():
        typed = fields.get(info.alias or name, None if info.default is None else "")
        if typed is not None:
            values[name] = typed
    try:
        return Sent(model.model_validate(values), fields, {})
    except ValidationError as error:
        mistakes = {validation_field(problem): validation_message(problem) for problem in error.errors()}
    right = {name: value for name, value in values.items() if name not in mistakes}
    return Sent(model.model_validate(right), fields, mistakes)


def ticked(fields: Mapping[str, str], prefix: str) -> list[str]:
    """Return what was ticked of several boxes: the rest of the names of fields that begin with ``prefix``."""
    return [name.removeprefix(prefix) for name, value in fields.items() if name.startswith(prefix) and value == "1"]


class SentForm(Generic[Form]):
    """The dependency of a route that reads a form.

    Args:
        model: the model of the form.
    """

    def __init__(self, model: type[Form]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> Sent[Form]:
        return read_form(self.model, await form_fields(request))


class Choice(NamedTuple):
    """The button that was pressed, such as ``remove <id>``: what to do, and with what."""

    act: str = ""
    target: str = ""


def _choice(text: object) -> object:
    if not isinstance(text, str):
        return text
    act, _, target = text.partition(" ")
    return Choice(act, target)


def cut(max_chars: int) -> AfterValidator:
    """Keep at most so many characters, without spaces around them."""
    return AfterValidator(lambda text: text.strip()[:max_chars])


def first(max_chars: int) -> AfterValidator:
    """Keep at most so many characters as they were typed."""
    return AfterValidator(lambda text: text[:max_chars])


def one_of(values: Collection[str], otherwise: str = "") -> AfterValidator:
    """Keep one of some values; for any other text, another value."""
    return AfterValidator(lambda text: text if text in values else otherwise)


def required(text: str) -> AfterValidator:
    """Refuse an empty field with a text of the page."""
    return refuse(text, lambda value: not value)


def refuse(text: str, is_wrong: Callable[[object], bool]) -> AfterValidator:
    """Refuse a value with a text of the page."""

    def check(value: object) -> object:
        if is_wrong(value):
            raise ValueError(text)
        return value

    return AfterValidator(check)


def one_line(text: str) -> str:
    """Return what was typed, on one line."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:MAX_NOTE_CHARS]


ChoiceField = Annotated[Choice, BeforeValidator(_choice)]
Ticked = Annotated[bool, BeforeValidator(lambda value: value in ("1", True))]
"""A box that may be ticked."""
Note = Annotated[str, AfterValidator(one_line)]
"""A reason, on one line."""
IdField = Annotated[UUID | None, BeforeValidator(lambda value: read_id(value) if isinstance(value, str) else value)]
"""The id of something; None: it is none."""
Revision = Annotated[int, BeforeValidator(lambda value: read_revision(value) if isinstance(value, str) else value)]
"""The revision that a form was made of."""
