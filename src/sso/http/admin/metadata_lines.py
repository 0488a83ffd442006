"""Registered metadata as lines of a page."""

from __future__ import annotations

from collections.abc import Mapping

import orjson


def lines(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return each field with its text."""
    return [(name, text_of(value)) for name, value in _split(values).items()]


def change_lines(changes: Mapping[str, tuple[object, object]]) -> list[tuple[str, str, str]]:
    """Return each field that differs, with its text before and after; of the gate each of its fields."""
    before = _split({name: pair[0] for name, pair in changes.items()})
    after = _split({name: pair[1] for name, pair in changes.items()})
    names = dict.fromkeys([*after, *before])
    lines = [(name, text_of(before.get(name)), text_of(after.get(name))) for name in names]
    return [line for line in lines if line[1] != line[2]]


def _split(values: Mapping[str, object]) -> dict[str, object]:
    """Return the fields with those of the gate one by one, as ``gate.NAME``."""
    split: dict[str, object] = {}
    for name, value in values.items():
        if name == "gate" and isinstance(value, dict):
            split |= {f"gate.{part}": text for part, text in value.items()}
        else:
            split[name] = value
    return split


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def text_of(value: object) -> str:
    """Return a value as text, a line for each entry."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if isinstance(value, dict):
        value = {name: item for name, item in value.items() if item is not None}
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return "\n".join(f"{name}: {item}" for name, item in value.items())
    if isinstance(value, dict) and all(_is_list_of_texts(item) for item in value.values()):
        return "\n".join(f"{name}: {', '.join(item)}" for name, item in value.items())
    return (
        value
        if isinstance(value, str)
        else str(value)
        if isinstance(value, int)
        else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    )
