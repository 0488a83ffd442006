"""Reading a catalogue: a YAML file that lists applications, with exact messages for every mistake."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sso.clients.metadata import ClientMetadata
from sso.clients.models import SELF_REGISTERED
from sso.errors import Refusal

CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}")
CATALOGUE_NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,59}")
MAX_GROWTH = 2
"""How many values a file may have for each of its characters, when its aliases are written out."""
MAX_FILE_BYTES = 64 * 1024 * 1024
_TOP = ("catalogue", "defaults", "applications")
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CatalogueError(Refusal):
    """The file cannot be used. ``mistakes`` holds one line for each: where, which field, what is allowed."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self._mistakes = mistakes

    @property
    def mistakes(self) -> list[str]:
        """One line for each mistake."""
        return self._mistakes


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
        return _checked(path, text, _parse(path, text), allow_http_loopback)
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


class _StrictLoader(_Loader):
    """Loads plain values only, and refuses a key that stands twice in one mapping."""


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
        loader.flatten_mapping(node)
    made: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.MarkedYAMLError(None, None, f"the key {key!r} must be text", key_node.start_mark)
        if key in made:
            raise yaml.MarkedYAMLError(None, None, f"{key} stands twice", key_node.start_mark)
        made[key] = loader.construct_object(value_node, deep=True)
    return made


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(text: str) -> Any:
    """Return a YAML document of plain values, in which no mapping has a key twice.

    Raises:
        yaml.YAMLError, RecursionError: when it is none, is too deep, or grows by its aliases ("billion laughs").
    """
    document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a safe loader, made stricter
    if "*" in text and "&" in text and _size(document, {}) > MAX_GROWTH * len(text) + MAX_GROWTH:
        raise yaml.YAMLError("its aliases make it too large: write the values out")
    return document


def _size(value: Any, known: dict[int, int]) -> int:
    """Return how many values there are when every alias is written out."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(value)]


def _parse(path: Path, text: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CatalogueError([f"{path}{line}: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise CatalogueError([f"{path}: is not YAML: {error}"]) from None


def _checked(path: Path, text: str, data: Any, allow_http_loopback: bool) -> Catalogue:
    if not isinstance(data, dict) or not isinstance(data.get("applications"), list):
        raise CatalogueError([f"{path}:1: must have catalogue: NAME and applications: a list"])
    mistakes: list[_Mistake] = [
        _Mistake((key,), "", key, f"is not known here; allowed are {', '.join(_TOP)}")
        for key in data
        if key not in _TOP
    ]
    name = data.get("catalogue")
    if not isinstance(name, str) or not CATALOGUE_NAME.fullmatch(name):
        mistakes.append(_Mistake(("catalogue",), "", "catalogue", "must be a name in small letters, such as tangerang"))
    if name == SELF_REGISTERED:
        mistakes.append(_Mistake(("catalogue",), "", "catalogue", "is the name of those that registered themselves"))
    defaults = data.get("defaults") or {}
    if not isinstance(defaults, dict):
        mistakes.append(_Mistake(("defaults",), "", "defaults", "must be fields with values"))
        defaults = {}
    applications: dict[str, ClientMetadata] = {}
    places: dict[str, int] = {}
    for index, entry in enumerate(data["applications"]):
        client_id, made, problems = _application(index, entry, defaults, allow_http_loopback)
        if client_id in places:
            first = places[client_id] + 1
            problems.append(
                _Mistake(("applications", index, "client_id"), client_id, "client_id", f"is also used by entry {first}")
            )
        places[client_id] = index
        mistakes.extend(problems)
        if made is not None:
            applications[client_id] = made
    if mistakes:
        raise CatalogueError(_located(path, text, mistakes))
    return Catalogue(str(name), applications)


@dataclass(frozen=True, slots=True)
class _Mistake:
    place: tuple[str | int, ...]
    application: str
    field: str
    message: str


def _application(
    index: int, entry: Any, defaults: dict[str, Any], allow_http_loopback: bool
) -> tuple[str, ClientMetadata | None, list[_Mistake]]:
    place: tuple[str | int, ...] = ("applications", index)
    label = f"entry {index + 1}"
    if not isinstance(entry, dict):
        return label, None, [_Mistake(place, label, "", "must be fields with values")]
    client_id = entry.get("client_id")
    if not isinstance(client_id, str) or not CLIENT_ID.fullmatch(client_id):
        message = "must be 1 to 100 letters, digits, dots, hyphens or underscores, beginning with a letter or digit"
        return label, None, [_Mistake((*place, "client_id"), label, "client_id", message)]
    fields = {**defaults, **{key: value for key, value in entry.items() if key != "client_id"}}
    try:
        made = ClientMetadata.model_validate(fields, context={"allow_http_loopback": allow_http_loopback})
    except ValidationError as error:
        return client_id, None, [_mistake(place, client_id, problem) for problem in error.errors()]
    return client_id, made, []


def _mistake(place: tuple[str | int, ...], client_id: str, problem: Any) -> _Mistake:
    where = tuple(part for part in problem["loc"] if isinstance(part, (str, int)))
    message = str(problem["msg"]).removeprefix("Value error, ")
    field = ".".join(str(part) for part in where)
    if not where and ": " in message:
        field, message = message.split(": ", 1)
        where = (field,)
    if problem["type"] == "extra_forbidden":
        message = f"is not known; allowed are {', '.join(_known_fields())}"
    elif problem["type"] == "missing":
        message = "is required"
    return _Mistake((*place, *where), client_id, field, message)


def _known_fields() -> list[str]:
    return ["client_id", *(field.alias or name for name, field in ClientMetadata.model_fields.items())]


def _located(path: Path, text: str, mistakes: list[_Mistake]) -> list[str]:
    """Say where each mistake stands. The file is read a second time for it, only when there are mistakes."""
    root = yaml.compose(text, Loader=_Loader)
    lines = []
    for mistake in mistakes:
        about = [part for part in (mistake.application, mistake.field) if part]
        lines.append(f"{path}:{_line(root, mistake.place)}: {': '.join([*about, mistake.message])}")
    return lines


def _line(node: Any, place: tuple[str | int, ...]) -> int:
    line = int(node.start_mark.line) + 1
    for part in place:
        found = None
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, found = int(key.start_mark.line) + 1, value
                    break
        if found is None:
            return line
        node = found
        if isinstance(part, int):
            line = int(node.start_mark.line) + 1
    return line
