"""docs/reference/settings.md and .env.example, made from the settings (``python scripts/reference.py``)."""

from __future__ import annotations

import re
import textwrap
import types
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from sso.settings.groups import GROUPS, Group
from sso.settings.values import format_duration, format_size

_TYPES: dict[object, str] = {
    str: "text",
    SecretStr: "text",
    float: "decimal number",
    int: "integer",
    bool: "`true` or `false`",
    Path: "path",
    timedelta: "duration",
    ByteSize: "size",
}
_ACTIVE = ("issuer", "database_url", "secret_key", "trusted_proxies", "city_name", "service_name", "support_contact")
"""Settings that .env.example sets; the others stand there as comments."""

_MASK = "••••••••"
_PASSWORD = re.compile(r"(://[^:/?#@]*:)[^@]+(@)")
_PASSWORD_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&]+")
_HEAD = """\
---
kind: reference
audience: operator
---
# Settings

The server reads its settings at start, from the environment or from a file `.env` in the working directory; the
environment wins. [.env.example](../../.env.example) is a file to begin with. Administrators see the settings at
`/admin/system`. Some settings can be changed there, or with `sso settings set`, while the server runs; they are kept in
the database, and the environment wins ([which and why](../decisions/0069-settings-in-the-database.md)).

- A **duration** is a number and one unit: `500ms`, `30s`, `10m`, `24h`, `14d`. A number without a unit is refused.
- A **size** is a number and one unit: `512B`, `64KiB`, `5MiB`, `1GiB`. A number without a unit is refused.
- A **list** is separated by commas.
- A variable that begins with `SSO_` and is not a setting stops the start, so that a misspelt name is noticed. Variables
  that Kubernetes sets for a service named `sso` (`SSO_SERVICE_HOST`, `SSO_PORT`, …) are ignored.
- `SSO_LANGUAGE` (`id` or `en`) is the language of commands. Without it `LC_ALL`, `LC_MESSAGES` and `LANG` count.

This page is generated from `src/sso/settings/groups.py` with `python scripts/reference.py`; a test keeps it current.
"""
_ENV_HEAD = """\
# Copy this file to .env and change it. docs/reference/settings.md explains every setting.
# Lines that begin with "# SSO_" are examples that have no effect.
# Durations: 30s, 10m, 24h, 14d. Sizes: 64KiB, 5MiB. Lists: separated by commas.
#
# This file is generated from src/sso/settings/groups.py with: python scripts/reference.py
"""


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"SSO_{name.upper()}"


def display(value: object) -> str:
    """Return a value of a setting in the form in which it is written in the environment."""
    if value is None:
        return ""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, ByteSize):
        return format_size(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(display(item) for item in value)
    return str(value)


def masked(value: object) -> str:
    """Return a value as the page shows it; of a secret, and of a password in a URL, only that there is one."""
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    if isinstance(value, (list, tuple)):
        return ", ".join(masked(item) for item in value)
    text = display(value)
    if "://" in text:
        text = _PASSWORD.sub(rf"\1{_MASK}\2", text)
        text = _PASSWORD_PARAMETER.sub(rf"\1{_MASK}", text)
    return text


def fields_of(group: type[Group]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the name and the field of each setting of ``group``, in order."""
    yield from group.model_fields.items()


def reference() -> str:
    """Return docs/reference/settings.md: every setting with its type, default, example and meaning, in groups."""
    return _HEAD + "".join(_section(group) for group in GROUPS)


def env_example() -> str:
    """Return .env.example: every setting with its meaning and an example, in groups."""
    return _ENV_HEAD + "".join(_env_section(group) for group in GROUPS)


def _section(group: type[Group]) -> str:
    lines = [
        "",
        f"## {group.title}",
        "",
        "| setting | type | default | example | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, field in fields_of(group):
        default = display(field.get_default(call_default_factory=True))
        cells = (
            f"`{variable(name)}`",
            _type_name(field.annotation),
            f"`{default}`" if default else "",
            f"`{example(field)}`",
            f"{field.description}{_limits_in_words(field.metadata)}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _env_section(group: type[Group]) -> str:
    lines = ["", f"# {group.title}", f"# {'-' * len(group.title)}"]
    for name, field in fields_of(group):
        lines += ["", *textwrap.wrap(field.description or "", 98, initial_indent="# ", subsequent_indent="# ")]
        value = "" if name == "secret_key" else example(field)
        lines.append(f"{'' if name in _ACTIVE else '# '}{variable(name)}={value}")
    return "\n".join(lines) + "\n"


def example(field: FieldInfo) -> str:
    """Return the example of a setting."""
    return str((field.examples or [""])[0])


def _type_name(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is list:
        return "list"
    if isinstance(annotation, types.UnionType):
        return _type_name(get_args(annotation)[0])
    return _TYPES[annotation]


def _limits_in_words(metadata: list[Any]) -> str:
    parts = [f"at least {display(limit.ge)}" for limit in metadata if getattr(limit, "ge", None) is not None]
    parts += [f"at most {display(limit.le)}" for limit in metadata if getattr(limit, "le", None) is not None]
    return f" ({', '.join(parts)})" if parts else ""
