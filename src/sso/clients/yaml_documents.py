"""YAML documents of plain values: strict, bounded, and with numbers and dates that remember how they were written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import yaml

MAX_GROWTH = 2
"""How many values a file may have for each of its characters, when its aliases are written out."""
PlainLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WrittenInt(int):
    """A number whose text is not its decimal form, such as 0123 (octal, 83) or 1:30 (90). ``raw`` is that text."""

    raw: str


class _Raw:
    """A value that is no text, and the text that was written."""

    raw: str


class _RawDate(dt.date, _Raw):
    pass


class _RawDateTime(dt.datetime, _Raw):
    pass


class _RawFloat(float, _Raw):
    pass


class _StrictLoader(PlainLoader):
    """Loads plain values only. A key that stands twice in one mapping, and one that is no text, is a problem: it is
    raised, or where ``problems`` is a list added to that, so that all are found."""

    problems: list[tuple[int, str]] | None = None


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[str, object]:
    own = [pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"]
    if len(own) < len(node.value):
        loader.flatten_mapping(node)
    merged = len(node.value) - len(own)
    merging: dict[str, object] = {}
    written: set[str] = set()
    for index, (key_node, value_node) in enumerate(node.value):
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            text = key_node.value if isinstance(key_node, yaml.ScalarNode) else key
            _problem(loader, key_node, f'the key {text} must be text: write it in quotes: "{text}"')
            continue
        if key in written:
            _problem(loader, key_node, f"{key} stands twice")
            continue
        if index >= merged:  # what is written here replaces what is merged in (<<)
            written.add(key)
        merging[key] = loader.construct_object(value_node, deep=True)
    return merging


def _problem(loader: _StrictLoader, node: yaml.Node, text: str) -> None:
    if loader.problems is None:
        raise yaml.MarkedYAMLError(None, None, text, node.start_mark)
    loader.problems.append((node.start_mark.line + 1, text))


def _with_raw(
    kind: type[WrittenInt | _RawFloat] | None, construct: str
) -> Callable[[_StrictLoader, yaml.ScalarNode], object]:
    def constructor(loader: _StrictLoader, node: yaml.ScalarNode) -> object:
        try:
            value = getattr(loader, construct)(node)
        except ValueError as error:  # 2024-13-45 has the form of a date, and is none
            _problem(loader, node, f'{node.value} cannot be read: {error}; for text write it in quotes: "{node.value}"')
            return None
        if kind is WrittenInt and str(value) == node.value:
            return value
        copy_ = _copied(kind, value)
        copy_.raw = node.value
        return copy_

    return constructor


def _copied(kind: type[WrittenInt | _RawFloat] | None, value: object) -> WrittenInt | _Raw:
    if isinstance(value, dt.datetime):
        return _RawDateTime.fromisoformat(value.isoformat())
    if isinstance(value, dt.date):
        return _RawDate.fromisoformat(value.isoformat())
    assert kind is not None
    return kind(str(value))


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _with_raw(WrittenInt, "construct_yaml_int"))
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _with_raw(_RawFloat, "construct_yaml_float"))
_StrictLoader.add_constructor("tag:yaml.org,2002:timestamp", _with_raw(None, "construct_yaml_timestamp"))


def read_yaml(text: str, problems: list[tuple[int, str]] | None = None) -> object:
    """Return a YAML document of plain values, in which no mapping has a key twice.

    Args:
        text: the document.
        problems: where keys that stand twice, or are no text, are listed with their lines instead of being raised.

    Raises:
        yaml.YAMLError, RecursionError: when it is none, is too deep, or grows by its aliases ("billion laughs").
    """
    loader = _StrictLoader(text)
    loader.problems = problems
    try:
        document = loader.get_single_data()
    finally:
        loader.dispose()
    if "*" in text and "&" in text and _size(document, {}) > MAX_GROWTH * len(text) + MAX_GROWTH:
        raise yaml.YAMLError("its aliases make it too large: write the values out")
    return document


def _size(value: object, known: dict[int, int]) -> int:
    """Return how many values there are when every alias is written out."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(child, known) for child in inner)
    return known[id(value)]


def found_at(node: yaml.Node, place: tuple[str | int, ...]) -> tuple[int, yaml.Node]:
    """Return the line on which a value stands, and its node; where it is not there, those of what is around it."""
    line = int(node.start_mark.line) + 1
    for part in place:
        present = None
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            present = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, present = int(key.start_mark.line) + 1, value
                    break
        if present is None:
            return line, node
        node = present
        if isinstance(part, int):
            line = int(node.start_mark.line) + 1
    return line, node


def line_of(text: str, place: tuple[str | int, ...]) -> int:
    """Return the line of a value in a document that can be read; where it is not there, that of what is around it."""
    root = yaml.compose(text, Loader=PlainLoader)
    return found_at(root, place)[0] if root is not None else 1
