"""Writing Lua."""

from __future__ import annotations

from collections.abc import Iterable


def lua_text(text: str) -> str:
    """Return a string of Lua. The texts here are addresses, keys and names of headers."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def lua_list(texts: Iterable[str]) -> str:
    """Return the entries of a table of Lua."""
    return ", ".join(map(lua_text, texts))
