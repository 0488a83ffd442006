"""docs/reference/commands.md: every command, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from sso.cli import command_line
from sso.cli.language import unwrapped

HEAD = """---
kind: reference
audience: operator
---
# Commands

Generated from the commands themselves with `make docs`; a test keeps it current. `--help` says the same.
`sso --version` prints the version.
Exit codes: 0 done; 1 it cannot be done, and why is said; 2 arguments or settings are wrong. Secrets are never
arguments: passwords are asked for, or read from standard input.
"""


def reference() -> str:
    """Return the page."""
    root: Any = typer.main.get_command(command_line())
    return HEAD + "".join(_sections(root, "sso"))


def _sections(command: Any, name: str) -> Iterator[str]:
    for sub_name, sub in getattr(command, "commands", {}).items():
        full = f"{name} {sub_name}"
        if hasattr(sub, "commands"):
            yield from _sections(sub, full)
            continue
        yield f"\n## {full}\n\n{unwrapped(sub.help)}\n"
        rows = list(_parameters(sub))
        if rows:
            yield "\n| argument or option | default | meaning |\n| --- | --- | --- |\n" + "".join(rows)


def _parameters(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_argument = parameter.param_type_name == "argument"
        names = (parameter.metavar or parameter.name).upper() if is_argument else ", ".join(parameter.opts)
        default = parameter.default
        default_text = "" if default in (None, "", False) or callable(default) or is_argument else f"`{default}`"
        if "UNSET" in default_text.upper():
            default_text = ""
        yield f"| `{names}` | {default_text} | {parameter.help or ''} |\n"
