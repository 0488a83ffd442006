"""Values written as literals of the languages of the quick starts, so that a value stays data whatever is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from sso.platform.security.text import one_line

_BARE = re.compile(r"[A-Za-z0-9:/._?=%+@,\-]+")
"""What a shell that reads the file takes as it is: neither ``&`` nor ``~`` is among it."""


def double_quoted(text: str) -> str:
    """Return a literal of JavaScript, C# or Java: ASCII alone, with the escapes that these share."""
    return json.dumps(text)


def python(text: str) -> str:
    """Return a literal of Python, where a character beyond U+FFFF is not written as two halves."""
    return json.dumps(text, ensure_ascii=False)


def kotlin(text: str) -> str:
    """Return a literal of Kotlin, where ``$`` begins a template."""
    return json.dumps(text).replace("$", "\\$")


def php(text: str) -> str:
    """Return a literal of PHP in single quotes, where nothing but ``\\`` and ``'`` means anything."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def spring(text: str) -> str:
    """Return a scalar of YAML in which Spring resolves no placeholder.

    ``${`` is written with a placeholder whose default is ``$``.
    """
    return json.dumps(text.replace("${", "${dollar:$}{"))


def spring_list(text: str) -> str:
    """Return the words of ``text`` as the inside of a list of YAML."""
    return ", ".join(spring(word) for word in text.split())


def dotenv(text: str) -> str:
    """Return a value of a ``.env`` file as phpdotenv reads it."""
    text = one_line(text)
    if _BARE.fullmatch(text):
        return text
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'


def apache(text: str) -> str:
    """Return an argument of a directive of Apache httpd.

    ``${`` is written with ``${dollar}``, which the file defines.
    """
    quoted = one_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + quoted.replace("${", "${dollar}{") + '"'


def apache_path(text: str) -> str:
    """Return the path of a ``Location``, in which no character stands for others."""
    return apache(re.sub(r"([\[\]*?\\])", r"\\\1", text))


def apache_below(text: str) -> str:
    """Return the regular expression of what is below a path."""
    return apache("^" + re.escape(text))


def apache_is_not(text: str) -> str:
    """Return the pattern of a ``RewriteCond`` that is met by every text but one."""
    return apache("!=" + text)


def php_number(text: str) -> str:
    return str(int(text))


LANGUAGES: dict[str, Callable[[str], str]] = {
    "js": double_quoted,
    "python": python,
    "csharp": double_quoted,
    "java": double_quoted,
    "kotlin": kotlin,
    "php": php,
    "spring": spring,
    "spring_list": spring_list,
    "dotenv": dotenv,
    "apache": apache,
    "apache_path": apache_path,
    "apache_below": apache_below,
    "apache_is_not": apache_is_not,
    "php_number": php_number,
}
"""What writes a value, by the name that stands in the quick starts before it."""
