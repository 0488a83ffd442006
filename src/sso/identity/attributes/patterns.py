"""Patterns for text values: a small part of regular expressions that is matched in linear time.

A pattern is a sequence of characters and character classes, each with an optional quantifier. There are no groups, no
alternatives and no references, so that no pattern can take long: matching keeps every position that can be reached and
never goes back (:func:`matches`). The whole value must match.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_CHARS = 200
MAX_PARTS = 60
MAX_TIMES = 2000
_CLASSES = {"d": ((48, 57),), "w": ((48, 57), (65, 90), (95, 95), (97, 122))}
_NEEDS_ESCAPE = "()|^$"
_ALL = ((0, 0x10FFFF),)


class PatternRefused(ValueError):
    """A pattern that cannot be used; the message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Part:
    """One character or class of a pattern. ``ranges``: the code points that match; ``negated``: all others match."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False
    minimum: int = 1
    maximum: int = 1

    def accepts(self, char: str) -> bool:
        """Tell whether a character matches."""
        code = ord(char)
        return any(low <= code <= high for low, high in self.ranges) is not self.negated


@lru_cache(maxsize=500)
def compile_pattern(pattern: str) -> tuple[Part, ...]:
    """Return the parts of a pattern.

    Raises:
        PatternRefused: when it is too long or has what is not possible here.
    """
    if len(pattern) > MAX_CHARS:
        raise PatternRefused(f"must have at most {MAX_CHARS} characters")
    parts, at = [], 0
    while at < len(pattern):
        part, at = _part(pattern, at)
        minimum, maximum, at = _quantifier(pattern, at)
        parts.append(Part(part.ranges, part.negated, minimum, maximum))
    if not parts or len(parts) > MAX_PARTS:
        raise PatternRefused(f"must have 1 to {MAX_PARTS} characters or classes")
    return tuple(parts)


def matches(pattern: str, text: str) -> bool:
    """Tell whether all of ``text`` matches a pattern. The time grows with the length of the text times the number of
    parts, whatever both are."""
    reached = [True, *([False] * len(text))]
    for part in compile_pattern(pattern):
        reached = _after(part, text, reached)
    return reached[-1]


def _after(part: Part, text: str, reached: list[bool]) -> list[bool]:
    """Return which positions are reached after one more part: a sum over the differences of the reached ranges."""
    size = len(text)
    runs = [0] * (size + 1)
    for at in range(size - 1, -1, -1):
        runs[at] = runs[at + 1] + 1 if part.accepts(text[at]) else 0
    changes = [0] * (size + 2)
    for at in range(size + 1):
        longest = min(part.maximum, runs[at])
        if reached[at] and longest >= part.minimum:
            changes[at + part.minimum] += 1
            changes[at + longest + 1] -= 1
    after, depth = [], 0
    for at in range(size + 1):
        depth += changes[at]
        after.append(depth > 0)
    return after


def _part(pattern: str, at: int) -> tuple[Part, int]:
    char = pattern[at]
    if char == "[":
        return _character_class(pattern, at + 1)
    if char == "\\":
        return Part(_escaped(pattern, at)), at + 2
    if char == ".":
        return Part(_ALL), at + 1
    if char in _NEEDS_ESCAPE:
        raise PatternRefused(
            f"{char} is not possible in a pattern: there are no groups and no alternatives, and the whole value must "
            f"match anyway; write \\{char} for the character, or use type: choice"
        )
    if char in "*+?{}]":
        raise PatternRefused(f"{char} stands where no quantifier can stand; write \\{char} for the character")
    return Part(((ord(char), ord(char)),)), at + 1


def _escaped(pattern: str, at: int) -> tuple[tuple[int, int], ...]:
    char = pattern[at + 1 : at + 2]
    if char in _CLASSES:
        return _CLASSES[char]
    if not char or char.isalnum():
        raise PatternRefused(f"\\{char} is not possible in a pattern; allowed are \\d, \\w and signs such as \\.")
    return ((ord(char), ord(char)),)


def _character_class(pattern: str, at: int) -> tuple[Part, int]:
    negated = pattern[at : at + 1] == "^"
    end = at + negated
    while end < len(pattern) and pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    if end >= len(pattern):
        raise PatternRefused("[ is not closed by ]")
    ranges = tuple(_ranges(pattern[at + negated : end]))
    if not ranges:
        raise PatternRefused("[] must name characters, such as [A-Z]")
    return Part(ranges, negated), end + 1


def _ranges(inside: str) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(inside):
        if inside[at] == "[":
            raise PatternRefused("[ within a class must be written \\[")
        escaped = inside[at] == "\\"
        first = _escaped(inside, at) if escaped else ((ord(inside[at]),) * 2,)
        at += 2 if escaped else 1
        if inside[at : at + 1] == "-" and at + 1 < len(inside):
            last = inside[at + 1]
            if escaped or last in "\\[" or ord(last) < first[0][0]:
                raise PatternRefused(f"{chr(first[0][0])}-{last} is not a range of characters")
            yield first[0][0], ord(last)
            at += 2
        else:
            yield from first


def _quantifier(pattern: str, at: int) -> tuple[int, int, int]:
    char = pattern[at : at + 1]
    if char and char in "?*+":
        minimum, maximum, at = {"?": (0, 1), "*": (0, MAX_TIMES), "+": (1, MAX_TIMES)}[char] + (at + 1,)
    elif char == "{":
        end = pattern.find("}", at)
        low, comma, high = pattern[at + 1 : max(end, 0)].partition(",")
        if not (_is_number(low) and (not comma or not high or _is_number(high))):
            raise PatternRefused("{ must begin a number of times, such as {4} or {2,8}; write \\{ for the character")
        minimum = int(low)
        maximum = MAX_TIMES if comma and not high else int(high or low)
        if not minimum <= maximum <= MAX_TIMES or maximum == 0:
            raise PatternRefused(f"{{{low}{comma}{high}}} must be a number of times from 1 to {MAX_TIMES}")
        at = end + 1
    else:
        return 1, 1, at
    if pattern[at : at + 1] and pattern[at] in "?*+{":
        raise PatternRefused(f"{pattern[at]} follows another quantifier; one character or class has one quantifier")
    return minimum, maximum, at


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
