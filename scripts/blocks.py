"""Find the blocks of code in a document: fenced with three backticks, or indented by four spaces or more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_ITEM = re.compile(r"^( *)(?:[-*]|\d+\.) +")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a document.

    Args:
        line: the number of its first line of code, from 1.
        language: the word behind the backticks; empty for an indented block.
        section: the heading that it stands below.
        text: the code, without its indentation, ending with a line break.
    """

    line: int
    language: str
    section: str
    text: str


def blocks(markdown: str) -> list[Block]:
    """Return the blocks of a document, in its order.

    An indented block is one after an empty line whose lines have four spaces more than the text around it.
    """
    lines = markdown.splitlines()
    result: list[Block] = []
    section, depth, number = "", 0, 0
    while number < len(lines):
        line = lines[number]
        if fence := _FENCE.match(line):
            end = next(i for i in range(number + 1, len(lines)) if lines[i].strip() == "```")
            result.append(Block(number + 2, fence[2], section, dedent("\n".join(lines[number + 1 : end])) + "\n"))
            number = end + 1
            continue
        if line.startswith("#"):
            section, depth = line.lstrip("# "), 0
        elif (item := _ITEM.match(line)) and (depth or len(item[1]) < 4):
            depth = len(item[0])
        elif line.strip() and not line.startswith(" "):
            depth = 0
        if _begins(lines, number, depth):
            end = number
            while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) >= depth + 4):
                end += 1
            code = dedent("\n".join(lines[number:end])).rstrip() + "\n"
            result.append(Block(number + 1, "", section, code))
            number = end
            continue
        number += 1
    return result


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _begins(lines: list[str], number: int, depth: int) -> bool:
    """Tell whether an indented block begins at a line."""
    line = lines[number]
    after_empty = number == 0 or not lines[number - 1].strip()
    return bool(line.strip()) and after_empty and _indent(line) >= depth + 4 and not (depth and _ITEM.match(line))
