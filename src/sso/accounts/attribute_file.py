"""Reading the file in which a city declares its attributes, with the line of every mistake."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sso.clients.attributes import CityDeclaration, Mistake, mistakes_in
from sso.errors import SeveralMistakes, validation_message

MAX_FILE_BYTES = 512 * 1024
_HINTS = {
    "extra_forbidden": "is not a field here: take it out; docs/reference/attributes.md lists the fields",
    "missing": "is missing: add it",
    "string_type": "must be text: write it in quotes",
    "literal_error": "must be one of {expected}",
    "union_tag_not_found": "kind is missing: add it",
    "union_tag_invalid": "kind must be one of {expected_tags}",
    "dict_type": "must be fields with values",
    "model_type": "must be fields with values",
    "model_attributes_type": "must be fields with values",
    "list_type": "must be a list: begin each entry with a hyphen",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
}


class DeclarationRefused(SeveralMistakes):
    """A declaration cannot be used; each of ``mistakes`` says where, what is wrong, and what to do."""

    status = 422
    code = "invalid_attributes"


def read_declaration_file(path: Path) -> CityDeclaration:
    """Read and check a file.

    Raises:
        DeclarationRefused: with every mistake in it.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DeclarationRefused([f"{path}: is larger than {MAX_FILE_BYTES // 1024} KB"])
        return read_declaration(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise DeclarationRefused([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise DeclarationRefused([f"{path}: is not UTF-8 at byte {error.start}"]) from None


def read_declaration(text: str, name: str) -> CityDeclaration:
    """Read and check a document.

    Args:
        text: YAML.
        name: what mistakes call it, such as the name of its file.

    Raises:
        DeclarationRefused: with every mistake in it.
    """
    import yaml  # only a city that has such a file needs it

    from sso.clients.yaml_documents import read_yaml

    problems: list[tuple[int, str]] = []
    try:
        document = read_yaml(text, problems)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DeclarationRefused([f"{name}{line}: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise DeclarationRefused([f"{name}: is not YAML: {error}"]) from None
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise DeclarationRefused([f"{name}:1: must have scopes, attributes and mappers, each with fields"])
    try:
        declaration = CityDeclaration.model_validate(document)
        mistakes = mistakes_in(declaration)
    except ValidationError as error:
        mistakes = [_mistake(dict(problem)) for problem in error.errors()]
    if mistakes or problems:
        raise DeclarationRefused(_located(name, text, mistakes, problems))
    return declaration


def _mistake(problem: dict[str, object]) -> Mistake:
    """Return a mistake in our words, with its place in the document. The place that pydantic names also has the kinds
    of mappers and ``[key]``, which are not in the document."""
    place = problem["loc"]
    assert isinstance(place, tuple)
    if len(place) > 3 and place[0] == "mappers":
        place = (*place[:3], *place[4:])
    if place and place[-1] == "[key]":
        place = place[:-1]
    context = problem.get("ctx")
    hint = _HINTS.get(str(problem["type"]), "")
    return place, hint.format(**context) if hint and isinstance(context, dict) else hint or validation_message(problem)


def _located(name: str, text: str, mistakes: list[Mistake], problems: list[tuple[int, str]]) -> list[str]:
    from sso.clients.yaml_documents import line_of

    lines = list(problems)
    for place, message in dict.fromkeys(mistakes):
        field = ".".join(str(part) for part in place)
        lines.append((line_of(text, place), f"{field}: {message}" if field else message))
    return [f"{name}:{line}: {message}" for line, message in sorted(lines)]
