"""What a city declares: scopes, and attributes with types and rights. A closed schema: other fields are refused."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sso.identity.attributes.patterns import compile_pattern
from sso.platform.permissions import SPECIFIC_PREFIX
from sso.platform.security.text import check_line, composed

MAX_ATTRIBUTES, MAX_SCOPES, MAX_CHOICES = 100, 30, 200
MAX_TEXT_CHARS, MAX_LIST_ITEMS = 2000, 50
MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259 section 6)."""
MAX_RETENTION_DAYS = 36_500
_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*", re.ASCII)
_CLAIM = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*", re.ASCII)
_SCOPE = re.compile(r"[a-z](?:[._-]?[a-z0-9])*", re.ASCII)

Type = Literal["text", "integer", "boolean", "date", "choice", "list"]
Reader = Literal["user", "administrators", "helpdesk"]
Writer = Literal["user", "administrators", "helpdesk", "import"]
DataClass = Literal["ordinary", "specific"]


def _named(pattern: re.Pattern[str], longest: int, text: str, example: str) -> str:
    if len(text) > longest or not pattern.fullmatch(text):
        raise ValueError(
            f"{text[:60]!r} must be at most {longest} letters and digits in words joined by _, such as {example}"
        )
    return text


def check_name(text: str) -> str:
    """Return the name of an attribute.

    Raises:
        ValueError: when it is none.
    """
    return _named(_NAME, 40, text, "blood_type, in lowercase letters")


def check_claim_name(text: str) -> str:
    """Return the name of a claim that a city chooses.

    Raises:
        ValueError: when it is none.
    """
    return _named(_CLAIM, 60, text, "blood_type or bloodType")


def check_scope_name(text: str) -> str:
    """Return the name of a scope that a city chooses.

    Raises:
        ValueError: when it is none.
    """
    return _named(_SCOPE, 40, text, "city_health, in lowercase letters")


Name = Annotated[str, AfterValidator(check_name)]
ClaimName = Annotated[str, AfterValidator(check_claim_name)]
ScopeName = Annotated[str, AfterValidator(check_scope_name)]
Title = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_line), AfterValidator(composed)]
Help = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(check_line), AfterValidator(composed)]
Pattern = Annotated[str, AfterValidator(lambda text: (compile_pattern(text), text)[1])]
_CLOSED = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True, strict=True)


class Texts(BaseModel):
    """A title in Indonesian and in English."""

    model_config = _CLOSED

    title: Title = Field(description="The name that pages show, in Indonesian.")
    title_en: Title = Field(alias="title#en", description="The same in English.")

    def titled(self, locale: str) -> str:
        """Return the title in the language of ``locale``."""
        return self.title_en if locale == "en" else self.title


class DeclaredScope(Texts):
    """A scope with which applications ask for attributes. Its title is shown where a user decides."""


class DeclaredChoice(Texts):
    """One value of a choice."""


class Attribute(Texts):
    """One attribute. The fields that only some types have are refused for the others."""

    type: Type = Field(description="`text`, `integer`, `boolean`, `date`, `choice` or `list` (a list of text).")
    help: Help | None = Field(None, description="What the user should enter, in Indonesian.")
    help_en: Help | None = Field(None, alias="help#en", description="The same in English.")
    max_length: int | None = Field(
        None, ge=1, le=MAX_TEXT_CHARS, description="`text` and `list`: the most characters of a text. Default 200."
    )
    pattern: Pattern | None = Field(
        None,
        description="`text` and `list`: what each text must look like, such as `[A-Z]{2}-\\d{4}`. Characters, classes "
        "and quantifiers; no groups and no alternatives. The whole text must match.",
    )
    max_items: int | None = Field(
        None, ge=1, le=MAX_LIST_ITEMS, description="`list`: the most texts in a list. Default 10."
    )
    minimum: int | None = Field(None, ge=-MAX_INTEGER, le=MAX_INTEGER, description="`integer`: the smallest value.")
    maximum: int | None = Field(None, ge=-MAX_INTEGER, le=MAX_INTEGER, description="`integer`: the largest value.")
    choices: dict[Annotated[str, Field(min_length=1, max_length=60), AfterValidator(check_line)], DeclaredChoice] = (
        Field(default_factory=dict, max_length=MAX_CHOICES, description="`choice`: the titles of each value.")
    )
    read: list[Reader] = Field(
        default_factory=list,
        max_length=3,
        description="Who sees the value on pages and in the API: `user`, `administrators` (permission `users:write`), "
        "`helpdesk` (permission `users:recover`). Default: nobody. The download of personal data always has it.",
    )
    write: list[Writer] = Field(
        default_factory=list,
        max_length=4,
        description="Who may change the value: `user`, `administrators`, `helpdesk`, `import`. Default: nobody.",
    )
    personal_data: DataClass = Field(
        "ordinary",
        description="`ordinary`, or `specific` for data such as health, faith or children's data (UU PDP article 4). "
        "Specific data is encrypted in the database, and its scope begins with `specific_`.",
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=MAX_RETENTION_DAYS,
        description="The value is deleted so many days after its last change. Default: it is kept with the account.",
    )
    required_at_registration: bool = Field(
        False,
        description="A registration needs a value, and a user who has none is asked for it at each sign-in. Not for "
        "specific personal data. The user must be able to read and to write it.",
    )
    scope: ScopeName | None = Field(
        None, description="The scope of the file with which applications receive it. Default: no application does."
    )
    claim: ClaimName | None = Field(None, description="The name in tokens and answers. Default: the attribute's name.")

    @property
    def encrypted(self) -> bool:
        """Whether values are encrypted in the database: those of specific personal data."""
        return self.personal_data == "specific"

    @property
    def longest(self) -> int:
        """The most characters of a text."""
        return self.max_length or 200

    def helped(self, locale: str) -> str:
        """Return the help in the language of ``locale``; empty: there is none."""
        return (self.help_en if locale == "en" else self.help) or self.help or ""

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        for field, types in _ONLY_FOR.items():
            if getattr(self, field) not in (None, {}) and self.type not in types:
                raise ValueError(f"{field} is only for type {' and '.join(types)}: take it out")
        if self.type == "choice" and not self.choices:
            raise ValueError("choices is missing: type choice needs at least one value with its titles")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is greater than maximum: change one of them")
        if self.claim is not None and self.scope is None:
            raise ValueError("claim needs a scope: name the scope with which applications receive it")
        return self

    @model_validator(mode="after")
    def _can_be_required(self) -> Self:
        if self.required_at_registration and self.encrypted:
            raise ValueError(
                "required_at_registration: specific personal data is never required, because the consent to it must be "
                "free: take it out"
            )
        if self.required_at_registration and not ("user" in self.read and "user" in self.write):
            raise ValueError(
                "required_at_registration: the user must be able to read and to write it: add user to read and write"
            )
        return self

    @model_validator(mode="after")
    def _specific_data_is_restricted(self) -> Self:
        if self.scope is not None and self.encrypted is not self.scope.startswith(SPECIFIC_PREFIX):
            if self.encrypted:
                raise ValueError(
                    f"scope: specific personal data needs a scope whose name begins with {SPECIFIC_PREFIX}, such as "
                    f"{SPECIFIC_PREFIX}health"
                )
            raise ValueError(f"scope: a scope that begins with {SPECIFIC_PREFIX} is for personal_data: specific alone")
        return self


_ONLY_FOR: dict[str, tuple[Type, ...]] = {
    "max_length": ("text", "list"),
    "pattern": ("text", "list"),
    "max_items": ("list",),
    "minimum": ("integer",),
    "maximum": ("integer",),
    "choices": ("choice",),
}


class Declaration(BaseModel):
    """The scopes and the attributes of a city."""

    model_config = _CLOSED

    scopes: dict[ScopeName, DeclaredScope] = Field(
        default_factory=dict, max_length=MAX_SCOPES, description="The scopes of the attributes, with their titles."
    )
    attributes: dict[Name, Attribute] = Field(
        default_factory=dict, max_length=MAX_ATTRIBUTES, description="The attributes, by their names."
    )

    def required(self) -> list[str]:
        """Return the names of the attributes without which nobody registers, in the order of the file."""
        return [name for name, each in self.attributes.items() if each.required_at_registration]

    def claims_of(self, scope: str) -> dict[str, str]:
        """Return the names of the attributes of a scope, by their claims."""
        return {each.claim or name: name for name, each in self.attributes.items() if each.scope == scope}
