"""Update the message catalogues (``sso.po``) from the pages and the code, in one canonical order.

``python scripts/messages.py`` adds messages that are new (without a translation), removes messages that nothing uses,
and prints both. ``--check`` changes nothing and fails if a catalogue is not up to date. Translate what is printed as
new in the ``.po`` file, then run the command again: the layout of the file stays the same whoever edits it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import typer.main
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

from sso.cli import COMMANDS, command_line
from sso.cli.language import help_messages

LOCALES = Path(__file__).resolve().parent.parent / "src/sso/http/common/locale"
CODE = LOCALES.parents[2]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None, "says": None}
CALL = re.compile(rb"\b(?:%s)\s*\(" % "|".join(KEYWORDS).encode())
"""A call of one of the keywords."""
WIDTH = 120
CHANGING_HEADERS = (b'"POT-Creation', b'"PO-Revision', b'"Last-Translator', b'"Generated-By', b'"Report-Msgid')


@cache
def found_messages() -> frozenset[tuple[str, str | tuple[str, ...]]]:
    """Return every message of the pages and the code, a string or a tuple of singular and plural, with its file."""
    with (LOCALES / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    pages = [(pattern, method) for pattern, method in methods if method != "python"]
    messages = {(where, message) for where, _, message, _, _ in extract_from_dir(str(CODE), pages, options, KEYWORDS)}
    for path in CODE.rglob("*.py"):
        if CALL.search(path.read_bytes()):  # to split the rest into tokens takes most of the time
            where = str(path.relative_to(CODE))
            messages |= {(where, message) for _, message, _, _ in extract_from_file("python", path, KEYWORDS)}
    return frozenset(messages)


@cache
def used_messages() -> frozenset[str | tuple[str, ...]]:
    """Return every message of the pages, the code and the help of commands."""
    program = typer.main.get_command(command_line())
    return frozenset(message for _, message in found_messages()) | help_messages(program, COMMANDS.values())


def updated(path: Path) -> tuple[bytes, list[str], list[str]]:
    """Return the canonical content of the catalogue ``path``, the new messages and the removed ones."""
    present = read_po(BytesIO(path.read_bytes()), locale=path.parts[-3])
    used = used_messages()
    catalogue = Catalog(locale=path.parts[-3], project="sso", fuzzy=False, header_comment="")
    known = {message.id: message for message in present if message.id}
    for message in used:
        catalogue.add(message, known[message].string if message in known else "")
    content = BytesIO()
    write_po(content, catalogue, width=WIDTH, sort_output=True, no_location=True, ignore_obsolete=True)
    lines = [line for line in content.getvalue().splitlines(keepends=True) if not line.startswith(CHANGING_HEADERS)]
    return b"".join(lines), sorted(map(str, used - set(known))), sorted(map(str, set(known) - used))


def main(arguments: Sequence[str] | None = None) -> int:
    """Update or check every catalogue. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a catalogue is not up to date")
    check = parser.parse_args(arguments).check
    stale = 0
    for path in sorted(LOCALES.glob("*/LC_MESSAGES/sso.po")):
        content, added, removed = updated(path)
        for text in added:
            print(f"new: {text}")
        for text in removed:
            print(f"removed: {text}")
        if content != path.read_bytes():
            stale += 1
            if not check:
                path.write_bytes(content)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
