"""Which characters text from outside may have.

Three rules, from loose to strict:

* :func:`check_secret`: passwords. Only what no database stores and no keyboard types is refused.
* :func:`check_lines`: text with several lines.
* :func:`check_line`: everything else, names above all. Invisible characters are refused too, because a name with them
  looks like another name (Unicode Technical Report 36, section 2.5; CVE-2021-42574 for the bidirectional ones).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

_SECRET = re.compile("[\x00\ud800-\udfff]")
_NOT_IN_LINES = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters but tab, line feed and carriage return
    "\u2028\u2029"  # line and paragraph separators: a line break for some programs, not for others
    "\u202a-\u202e\u2066-\u2069"  # bidirectional embedding, override and isolates
    "\ud800-\udfff"  # surrogates: they are no characters
    "\ufdd0-\ufdef\ufffe\uffff"  # noncharacters
    "\ufff9-\ufffb"  # interlinear annotation
    "\U000e0000-\U000e007f"  # tags
)
_INVISIBLE = (
    "\t\n\r"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f\u2800\u3164"
    "\u070f\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\ufffc\U00013430-\U0001343f\U00016fe4\U0001bca0-\U0001bca3"
    "\U0001d159\U0001d173-\U0001d17a\U000e0080-\U000e0fff"
)
MAX_MARKS = 6
"""How many combining marks may follow each other: more than any language has, and too few to paint over other text."""
_LINES = re.compile(f"[{_NOT_IN_LINES}]")
_LINE = re.compile(f"[{_NOT_IN_LINES}{_INVISIBLE}]")


class TextRefused(ValueError):
    """Text has a character that is not accepted; the message names the character, never the text."""


def check_secret(text: str) -> str:
    """Return a password as it is.

    Raises:
        TextRefused: when it has a NUL or half a character.
    """
    return _checked(text, _SECRET)


def check_lines(text: str) -> str:
    """Return text that may have several lines.

    Raises:
        TextRefused: when it has control characters, bidirectional controls or half a character.
    """
    return _checked(text, _LINES)


def check_line(text: str) -> str:
    """Return text of one line.

    Raises:
        TextRefused: when it has line breaks, control characters, characters that nobody sees, or marks that would be
            drawn over other text.
    """
    if _checked(text, _LINE) != _without_many_marks(text):
        raise TextRefused(f"must not begin with a combining mark, or have more than {MAX_MARKS} in a row")
    return text


def one_line(text: str) -> str:
    """Return ``text`` as one line that can stand in a header or a log: what :func:`check_line` refuses becomes a space.

    For text that was stored before there were rules for it.
    """
    return _without_many_marks(" ".join(_LINE.sub(" ", text).split()))


def csv_cell(text: str) -> str:
    """Return ``text`` as a cell of a CSV file that no spreadsheet takes for a formula."""
    text = one_line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def composed(text: str) -> str:
    """Return ``text`` in the form in which equal text is equal (Unicode Normalization Form C)."""
    return unicodedata.normalize("NFC", text)


def _without_many_marks(text: str) -> str:
    """Return ``text`` without the combining marks that it begins with, and without those past :data:`MAX_MARKS` in a
    row. A mark is drawn on what stands before it: on text of the page, or far above and below the line."""
    if text.isascii():
        return text
    chars, marks = [], MAX_MARKS
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= MAX_MARKS:
            chars.append(char)
    return "".join(chars)


def _checked(text: str, refused: re.Pattern[str]) -> str:
    if text.isascii() and text.isprintable():
        return text
    match = refused.search(text)
    if match is not None:
        raise TextRefused(f"must not have the character U+{ord(match[0]):04X}")
    return text


Line = Annotated[str, AfterValidator(check_line), AfterValidator(composed)]
"""A pydantic type: text of one line without invisible characters, in Normalization Form C."""
Lines = Annotated[str, AfterValidator(check_lines), AfterValidator(composed)]
"""A pydantic type: text that may have several lines."""
