"""Icons inside pages: outlines of Tabler Icons, written into the page so that they need no request of their own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import orjson
from markupsafe import Markup

ICONS_FILE = Path(__file__).parent / "static" / "vendor" / "tabler-icons.json"


@cache
def icons() -> dict[str, str]:
    """Return the content of each icon by its name in Tabler Icons."""
    shapes: dict[str, str] = orjson.loads(ICONS_FILE.read_bytes())["icons"]
    return shapes


@cache
def icon(name: str, size: int = 20, classes: str = "") -> Markup:
    """Return an icon. Screen readers do not see it: the text beside it says what it means.

    Args:
        name: the name in Tabler Icons, such as ``user``.
        size: width and height, in CSS pixels.
        classes: further classes.

    Raises:
        KeyError: when the icon is not vendored (``scripts/icons.py`` adds it).
    """
    return Markup(
        '<svg class="icon{classes}" width="{size}" height="{size}" viewBox="0 0 24 24" aria-hidden="true" '
        'focusable="false">{shape}</svg>'
    ).format(classes=f" {classes}" if classes else "", size=size, shape=Markup(icons()[name]))  # noqa: S704
