"""Make the tables of ``src/sso/identity/users/data`` from their public sources.

Run this when a source has a newer edition, and commit what changes:

    python scripts/codes.py languages language-subtag-registry
    python scripts/codes.py places 2026-02-13 "Kepmendagri 300.2.2-2430/2025" wilayah.sql [older editions ...]
    python scripts/codes.py regions 2026-02-13 "Kepmendagri 300.2.2-2430/2025" wilayah.sql

``language-subtag-registry`` is the file of that name of IANA (RFC 5646 section 3.1). ``wilayah.sql`` is that of
github.com/cahyadsn/wilayah (MIT), which follows the Ministry of Home Affairs; older editions are in ``db/archive``. A
NIK keeps the code of the place where it was issued, so ``places`` keeps older codes too. ``regions`` holds the names of
the present edition, one file for each province: an address form reads only the province that is chosen.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

DATA = Path(__file__).parent.parent / "src/sso/identity/users/data"
_PLACE = re.compile(r"\('([0-9]{2}(?:\.?[0-9]{2}){1,2})(?:\.?[0-9]{4})?',")
_REGION = re.compile(r"\('([0-9]{2}(?:\.[0-9]{2}){0,2}(?:\.[0-9]{4})?)','((?:[^'\\]|''|\\.)*)'\)")
_PRIVATE = re.compile(r"\S+\.\.\S+")


def languages(registry: Path) -> str:
    """Return the table of language subtags: one line for each kind, and one for each preferred value."""
    head, *records = registry.read_text("utf-8").split("%%\n")
    subtags: dict[str, list[str]] = defaultdict(list)
    preferred = []
    for record in records:
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", record, re.MULTILINE))
        kind, tag = fields["Type"], fields.get("Subtag") or fields["Tag"]
        if _PRIVATE.fullmatch(tag) or fields.get("Description") == "Private use":
            continue
        if kind not in ("grandfathered", "redundant"):
            subtags[kind].append(tag.lower())
        if "Preferred-Value" in fields and kind != "extlang":
            preferred.append(f"{kind}={tag.lower()}={fields['Preferred-Value']}")
    lines = [
        f"# IANA Language Subtag Registry (RFC 5646), {head.strip()}. Made by scripts/codes.py.",
        *(f"{kind}: {' '.join(sorted(districts_of))}" for kind, districts_of in sorted(subtags.items())),
        f"preferred: {' '.join(sorted(preferred))}",
    ]
    return "\n".join(lines) + "\n"


def places(date: str, edition: str, files: list[Path]) -> str:
    """Return the table of places: a line for each regency or city, with the last two digits of each district."""
    districts_of: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for match in _PLACE.finditer(file.read_text("utf-8", "replace")):
            code = match[1].replace(".", "")
            districts_of[code[:4]].update([code[4:]] if len(code) == 6 else [])
    lines = [
        f"# Codes of provinces, regencies and districts, {edition}, {date}, and earlier editions. Made by",
        "# scripts/codes.py from github.com/cahyadsn/wilayah (MIT License, Copyright (c) 2017-2025 Cahya DSN).",
        *(f"{regency} {''.join(sorted(districts))}" for regency, districts in sorted(districts_of.items())),
    ]
    return "\n".join(lines) + "\n"


def regions(date: str, edition: str, file: Path) -> dict[str, str]:
    """Return the text of each file of regions, by its name.

    ``provinces.txt`` has one line for each province: code and name. The file of a province has a line for each regency
    or city, and below it a line for each district that begins with a tab: the district, then its villages.
    """
    provinces, lines = [], defaultdict(list)
    for code, written in _REGION.findall(file.read_text("utf-8")):
        name, province = re.sub(r"''|\\'", "'", written).replace("\u2019", "'").strip(), code[:2]
        match len(code):
            case 2:
                provinces.append(f"{code} {name}")
            case 5:
                lines[province].append(name)
            case 8:
                lines[province].append(f"\t{name}")
            case _:
                lines[province][-1] += f"\t{name}"
    head = [
        f"# Provinces, regencies, districts and villages, {edition}, {date}. Made by scripts/codes.py",
        "# from github.com/cahyadsn/wilayah (MIT License, Copyright (c) 2017-2025 Cahya DSN).",
    ]
    texts = {"provinces": [*head, *provinces], **lines}
    return {f"{name}.txt": "\n".join(content) + "\n" for name, content in texts.items()}


def main() -> None:
    """Write the table that the first argument names."""
    match sys.argv[1:]:
        case ["languages", registry]:
            (DATA / "languages.txt").write_text(languages(Path(registry)), "utf-8")
        case ["places", date, edition, *files] if files:
            (DATA / "places.txt").write_text(places(date, edition, [Path(file) for file in files]), "utf-8")
        case ["regions", date, edition, file]:
            (DATA / "regions").mkdir(exist_ok=True)
            for name, text in regions(date, edition, Path(file)).items():
                (DATA / "regions" / name).write_text(text, "utf-8")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
