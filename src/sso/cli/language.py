"""The help and the tables of commands in the language of the terminal. English needs neither this nor a catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sso.platform.messages import N_, _

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


COLUMNS = (
    N_("actor"),
    N_("address"),
    N_("application"),
    N_("applications"),
    N_("at"),
    N_("attempts"),
    N_("case"),
    N_("code"),
    N_("created"),
    N_("created_at"),
    N_("description"),
    N_("detail"),
    N_("device"),
    N_("ended"),
    N_("ends_at"),
    N_("events"),
    N_("failure"),
    N_("finished_at"),
    N_("from"),
    N_("granted_at"),
    N_("granted_by"),
    N_("group"),
    N_("how"),
    N_("kind"),
    N_("last used"),
    N_("local id"),
    N_("members"),
    N_("name"),
    N_("nip"),
    N_("offline"),
    N_("outcome"),
    N_("person"),
    N_("position"),
    N_("privilege"),
    N_("reason"),
    N_("revoked_at"),
    N_("role"),
    N_("roles"),
    N_("same"),
    N_("secret"),
    N_("source"),
    N_("started_at"),
    N_("state"),
    N_("status"),
    N_("subject"),
    N_("title"),
    N_("title#en"),
    N_("to"),
    N_("total"),
    N_("type"),
    N_("unconfirmed"),
    N_("unit"),
    N_("units below"),
    N_("units_give"),
    N_("until"),
    N_("user"),
    N_("what"),
    N_("without_person"),
)
"""The titles of columns; ids and the names of the protocol stay as they are. ``print_table`` translates them."""

VALUES = (
    N_("accepted"),
    N_("active"),
    N_("approved"),
    N_("cancelled"),
    N_("closed"),
    N_("disabled"),
    N_("done"),
    N_("draft"),
    N_("enabled"),
    N_("ended"),
    N_("failed"),
    N_("failure"),
    N_("given_up"),
    N_("held"),
    N_("missing"),
    N_("next"),
    N_("not needed"),
    N_("not_applicable"),
    N_("open"),
    N_("passed"),
    N_("pending"),
    N_("planned"),
    N_("present"),
    N_("refused"),
    N_("retired"),
    N_("running"),
    N_("skipped"),
    N_("stopped"),
    N_("submitted"),
    N_("success"),
    N_("suspended"),
    N_("unclear"),
)
"""The words of the provider in columns such as ``status``. JSON has them as they are."""


def translate_help(command: Any) -> None:
    """Translate the help of a command, of its options, and of all commands below it."""
    context_class = command.context_class
    if context_class.formatter_class.__module__ != __name__:
        context_class.formatter_class = _translated_formatter(context_class.formatter_class)
    for part in _parts(command):
        _translate_help_option(part)
        for described in (part, *part.params):
            if text := getattr(described, "help", None):
                described.help = _(unwrapped(text))


def help_messages(command: Any, listed: Iterable[str]) -> set[str]:
    """Return the help of a command, of its options, and of all commands below it, for the message catalogues.

    Args:
        command: the program.
        listed: the texts of commands, of which the list of commands shows the first paragraph.
    """
    described = [entry for part in _parts(command) for entry in (part, *part.params)]
    texts = {unwrapped(text) for entry in described if (text := getattr(entry, "help", None))}
    return texts | {text.partition("\n\n")[0] for text in map(unwrapped, listed)}


def unwrapped(text: str) -> str:
    """Return a text with each paragraph on one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _translated_formatter(formatter: Any) -> type:
    """Return a formatter of help that begins with a translated word: the library has the English one in its code."""

    class Formatter(formatter):  # type: ignore[misc]
        def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
            super().write_usage(prog, args, _("Usage:") + " " if prefix is None else prefix)

    return Formatter


def _translate_help_option(part: Any) -> None:
    """Translate what help says of ``--help``: the library makes that option when it is asked for."""
    get_help_option = part.get_help_option

    def translated(context: Any) -> Any:
        if option := get_help_option(context):
            option.help = _("Show this message and exit.")
        return option

    part.get_help_option = translated


def _parts(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _parts(below)
