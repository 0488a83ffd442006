"""Asking questions in a terminal, or taking the defaults where nobody is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from sso.cli.common import complain, refuse
from sso.platform.messages import _


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Asks questions. ``asks``: whether there is somebody to answer; otherwise every answer is the default."""

    asks: bool

    def heading(self, number: int, text: str) -> None:
        """Print the heading of a step."""
        self.say("")
        self.say(f"{number}. {text}")

    def say(self, text: str) -> None:
        """Print a line on standard error: standard output is for the result."""
        print(text, file=sys.stderr)

    def text(self, question: str, default: str = "") -> str:
        """Ask for a text, and return what was typed."""
        if not self.asks:
            return default
        return str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()

    def checked(self, question: str, default: str, mistakes: Callable[[str], Sequence[str]]) -> str:
        """Return a text that has no mistake; ask again where it has."""
        while True:
            answer = self.text(question, default)
            problems = mistakes(answer)
            if not problems:
                return answer
            if not self.asks:
                refuse("; ".join(problems))
            complain(*problems)

    def yes(self, question: str, default: bool) -> bool:
        """Return whether somebody agrees."""
        return typer.confirm(question, default=default, err=True) if self.asks else default

    def choice(self, question: str, choices: Sequence[str], default: str) -> str:
        """Return one of some words."""
        wrong = _("Choose one of: %(choices)s") % {"choices": ", ".join(choices)}
        question_text = f"{question} ({', '.join(choices)})"
        return self.checked(question_text, default, lambda answer: [] if answer in choices else [wrong])

    def secret(self, question: str) -> str:
        """Return what is typed without being shown; empty: nothing."""
        if not self.asks:
            return ""
        return str(typer.prompt(question, default="", hide_input=True, show_default=False, err=True)).strip()


def read_secret_file(path: str) -> str:
    """Return the first line of a file; ``-``: of standard input.

    Raises:
        OSError: when the file cannot be read.
    """
    text = sys.stdin.readline() if path == "-" else Path(path).read_text()
    return text.strip().partition("\n")[0].strip()
