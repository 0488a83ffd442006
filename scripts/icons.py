#!/usr/bin/env python3
"""Vendor icons of Tabler Icons, or remove those that no page uses.

npm pack @tabler/icons@VERSION && tar xzf tabler-icons-VERSION.tgz
python scripts/icons.py add package user key mail
python scripts/icons.py prune
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "sso"
FILE = SOURCE / "http" / "common" / "static" / "vendor" / "tabler-icons.json"
_BACKGROUND = '<path stroke="none" d="M0 0h24v24H0z" fill="none" />'
_QUOTED = re.compile(r"""["']([a-z0-9-]+)["']""")


def main(arguments: list[str]) -> int:
    """Add icons from an unpacked npm package, or remove the unused ones."""
    icons = json.loads(FILE.read_text()) if FILE.exists() else {"icons": {}}
    if arguments[:1] == ["add"] and len(arguments) > 2:
        package = Path(arguments[1])
        icons["source"] = "@tabler/icons " + json.loads((package / "package.json").read_text())["version"]
        for name in arguments[2:]:
            icons["icons"][name] = shape(package, name)
    elif arguments == ["prune"]:
        used = used_names()
        icons["icons"] = {name: text for name, text in icons["icons"].items() if name in used}
    else:
        print(__doc__, file=sys.stderr)
        return 2
    icons["icons"] = dict(sorted(icons["icons"].items()))
    FILE.write_text(json.dumps(icons, indent=1) + "\n")
    return 0


def shape(package: Path, name: str) -> str:
    """Return what stands in the ``svg`` element of an icon, on one line."""
    svg = (package / "icons" / "outline" / f"{name}.svg").read_text()
    inside = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")].replace(_BACKGROUND, "")
    return re.sub(r"\s*/>", "/>", "".join(line.strip() for line in inside.splitlines()))


def used_names() -> set[str]:
    """Return every quoted word of the templates and of the modules of pages: the names of used icons are among them."""
    files = [*SOURCE.glob("http/**/*.html"), *SOURCE.glob("http/**/*.py")]
    return {name for file in files for name in _QUOTED.findall(file.read_text())}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
