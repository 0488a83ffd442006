"""Reading a catalogue: a YAML file that lists applications, with exact messages for every mistake."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from sso.clients.metadata import ClientMetadata
from sso.clients.models import SELF_REGISTERED
from sso.clients.validation_errors import (
    NOT_TEXT,
    FieldMistake,
    fields_of_metadata,
    mistakes_of,
    nearest_name,
    not_text,
    not_text_as_written,
    unknown_field,
)
from sso.clients.yaml_documents import PlainLoader, WrittenInt, found_at, read_yaml
from sso.errors import SeveralMistakes

CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}")
ID_RULE = "must be 1 to 100 letters, digits, dots, hyphens or underscores, beginning with a letter or digit"
CATALOGUE_NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,59}")
MAX_FILE_BYTES = 64 * 1024 * 1024
_TOP = ("catalogue", "defaults", "applications")


class CatalogueError(SeveralMistakes):
    """The file cannot be used. ``mistakes`` holds one line for each: where, which field, what is allowed."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A valid file: its name and its applications by client_id."""

    name: str
    applications: dict[str, ClientMetadata]


def read_catalogue(path: Path, *, allow_http_loopback: bool = False) -> Catalogue:
    """Read and check a catalogue.

    Args:
        path: the file.
        allow_http_loopback: whether redirect URIs such as ``http://localhost:9000/callback`` are allowed.

    Raises:
        CatalogueError: with every mistake in it.
    """
    text = _read(path)
    # A large file makes millions of small objects and no garbage: collecting while it is read doubles the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        problems: list[tuple[int, str]] = []
        return _checked(path, text, _parse(path, text, problems), problems, allow_http_loopback)
    finally:
        if collecting:
            gc.enable()


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CatalogueError([f"{path}: is larger than {MAX_FILE_BYTES // 1024 // 1024} MB"])
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogueError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise CatalogueError([f"{path}: is not UTF-8 at byte {error.start}"]) from None


def _parse(path: Path, text: str, problems: list[tuple[int, str]]) -> object:
    try:
        return read_yaml(text, problems)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CatalogueError([f"{path}{line}: {_explained(text, error)}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise CatalogueError([f"{path}: is not YAML: {error}"]) from None


def _explained(text: str, error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong with a document that is no YAML, and what to write instead where that is known."""
    message, mark = str(error.problem or error.context), error.problem_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or "tab" in message:
        return f"{message}; indent with spaces, not with tabs"
    hint = next((hint for part, hint in _HINTS.items() if part in message), "")
    return f"{message}; {hint}" if hint else message


_HINTS = {
    "cannot start any token": "write text that begins with @ or ` in quotes",
    "directive": "write text that begins with % in quotes",
    "mapping values are not allowed": "check the indentation, and write text with a colon and a blank in quotes",
    "another document": "a file holds one document: take the line --- out",
    "undefined alias": "write text that begins with * in quotes",
    "end of stream": "a quotation mark or bracket is not closed",
}


def _checked(
    path: Path, text: str, data: object, problems: list[tuple[int, str]], allow_http_loopback: bool
) -> Catalogue:
    if data is None and not problems:
        raise CatalogueError([f"{path}:1: must have catalogue: NAME and applications: a list; the file is empty"])
    if not isinstance(data, dict):
        raise CatalogueError([f"{path}:1: must have catalogue: NAME and applications: a list"])
    mistakes = _of_the_file(data)
    defaults = data["defaults"] if isinstance(data.get("defaults"), dict) else {}
    applications: dict[str, ClientMetadata] = {}
    places: dict[str, int] = {}
    entries = data["applications"] if isinstance(data.get("applications"), list) else []
    for index, entry in enumerate(entries):
        client_id, metadata, found_mistakes = _application(index, entry, defaults, allow_http_loopback)
        if client_id in places:
            first = places[client_id] + 1
            found_mistakes.append(
                _Mistake(("applications", index, "client_id"), client_id, "client_id", f"is also used by entry {first}")
            )
        places[client_id] = index
        mistakes.extend(found_mistakes)
        if metadata is not None:
            applications[client_id] = metadata
    if mistakes or problems:
        raise CatalogueError(_located(path, text, mistakes, problems))
    return Catalogue(str(data["catalogue"]), applications)


@dataclass(frozen=True, slots=True)
class _Mistake:
    place: tuple[str | int, ...]
    application: str
    field: str
    message: str


def _of_the_file(data: dict[str, object]) -> list[_Mistake]:
    """Return what is wrong with the file outside its applications."""
    mistakes = [
        _Mistake((key,), "", key, unknown_field(key, _TOP, "is not known here")) for key in data if key not in _TOP
    ]
    name = data.get("catalogue")
    if not isinstance(name, str):
        message = not_text(name) if name is not None else "must be a name in small letters, such as tangerang"
        mistakes.append(_Mistake(("catalogue",), "", "catalogue", message))
    elif not CATALOGUE_NAME.fullmatch(name):
        mistakes.append(_Mistake(("catalogue",), "", "catalogue", "must be a name in small letters, such as tangerang"))
    elif name == SELF_REGISTERED:
        mistakes.append(_Mistake(("catalogue",), "", "catalogue", "is the name of those that registered themselves"))
    if not isinstance(data.get("defaults") or {}, dict):
        mistakes.append(_Mistake(("defaults",), "", "defaults", "must be fields with values"))
    entries = data.get("applications")
    if "applications" not in data:
        mistakes.append(_Mistake((), "", "applications", "is missing: the list of applications"))
    elif not isinstance(entries, list):
        message = "must be a list: begin each application with a hyphen (- client_id: ...)"
        mistakes.append(_Mistake(("applications",), "", "applications", message))
    return mistakes


def _application(
    index: int, entry: object, defaults: dict[str, object], allow_http_loopback: bool
) -> tuple[str, ClientMetadata | None, list[_Mistake]]:
    place: tuple[str | int, ...] = ("applications", index)
    label = f"entry {index + 1}"
    if not isinstance(entry, dict):
        message = "must be fields with values, such as - client_id: antrean"
        return label, None, [_Mistake(place, label, "", message)]
    client_id, wrong = entry.get("client_id"), _wrong_id(entry)
    name = client_id if isinstance(client_id, str) and not wrong else label
    mistakes = [_Mistake((*place, "client_id"), label, "client_id", wrong)] if wrong else []
    fields = {**defaults, **{key: value for key, value in entry.items() if key != "client_id"}}
    context = {"allow_http_loopback": allow_http_loopback}
    metadata: ClientMetadata | None = None
    found_mistakes: list[FieldMistake] = []
    try:
        metadata = ClientMetadata.model_validate(fields, context=context)
    except ValidationError as error:
        found_mistakes = mistakes_of(fields, error, context)
    found_mistakes += _odd_numbers(fields, {mistake.place for mistake in found_mistakes})
    for mistake in found_mistakes:
        inherited = mistake.place and mistake.place[0] in defaults and mistake.place[0] not in entry
        where, label = (("defaults",), "defaults") if inherited else (place, name)
        mistakes.append(_Mistake((*where, *mistake.place), label, mistake.field, mistake.text))
    return name, metadata if not mistakes else None, mistakes


def _wrong_id(entry: dict[str, object]) -> str:
    """Return what is wrong with the client_id of an entry; nothing where it is right."""
    client_id = entry.get("client_id")
    if client_id is None:
        near = nearest_name("client_id", [key for key in entry if key not in ("client_id", *fields_of_metadata())])
        return f"{ID_RULE}; it is missing" + (f": {near} is not known" if near else "")
    if not isinstance(client_id, str):
        return not_text(client_id)
    if not CLIENT_ID.fullmatch(client_id):
        return ID_RULE
    return ""


_Place = tuple[str | int, ...]


def _odd_numbers(value: object, known: set[_Place], place: _Place = ()) -> list[FieldMistake]:
    """Return a mistake for each number that YAML reads as another one than is written, such as 0600, which is 384."""
    if isinstance(value, WrittenInt) and place not in known:
        message = f"{value.raw} is read as {int(value)}: write {int(value)} for that number, or quotes for text"
        return [FieldMistake(place, message)]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [problem for key, each in inner for problem in _odd_numbers(each, known, (*place, key))]


def _located(path: Path, text: str, mistakes: list[_Mistake], problems: list[tuple[int, str]]) -> list[str]:
    """Say where each mistake stands: those of the file itself first, then the others in the order of the lines. The
    file is read a second time for it, only when there are mistakes."""
    root = yaml.compose(text, Loader=PlainLoader)
    lines = [(1, line, message) for line, message in problems]
    for mistake in dict.fromkeys(mistakes):
        parts = [part for part in (mistake.application, mistake.field) if part]
        assert root is not None, "a document with mistakes is not empty"
        line, node = found_at(root, mistake.place)
        message = mistake.message
        if message.startswith(NOT_TEXT) and isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:bool":
            message = not_text_as_written(node.value, "true or false in YAML")
        lines.append((int(bool(mistake.application)), line, ": ".join([*parts, message])))
    return [f"{path}:{line}: {message}" for _, line, message in sorted(lines, key=lambda mistake: mistake[:2])]
