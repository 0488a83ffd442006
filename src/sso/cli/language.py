"""The help of commands in the language of the terminal. English help is never touched, and this is not imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sso.cli import COMMANDS
from sso.messages import N_, _

OF_THE_LIBRARY = (
    N_("Usage:"),
    N_("Options"),
    N_("Commands"),
    N_("Arguments"),
    N_("Show this message and exit."),
    N_("Missing argument"),
    N_("Missing option"),
    N_("No such command {name!r}."),
    N_("No such option: {name}"),
    N_("Error: {message}"),
    N_("Try '{command} {option}' for help."),
    N_("Aborted!"),
    N_("required"),
    N_("default: {default}"),
)
"""Messages of the library of commands, which it translates by itself."""


def translate_help(command: Any) -> None:
    """Translate the help of a command and of all commands below it."""
    for part in _parts(command):
        if part.help:
            part.help = _(unwrapped(part.help))


def help_messages(command: Any) -> set[str]:
    """Return the help of a command and of all commands below it, for the message catalogues."""
    texts = {unwrapped(part.help) for part in _parts(command) if part.help}
    return texts | {text.partition("\n\n")[0] for text in map(unwrapped, COMMANDS.values())}


def unwrapped(text: str) -> str:
    """Return a text with each paragraph on one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _parts(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _parts(below)
