"""docs/decisions/index.md: every decision with its date and its status. Written by `make docs`.

A decision says both in its third line: ``2026-11-24 · accepted``. The status is one of ``STATUSES``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DECISIONS = Path(__file__).resolve().parent.parent / "docs/decisions"
STATUSES = ("accepted", "changed by NNNN", "replaced by NNNN")
_STATUS = r"accepted|(?:changed|replaced) by \d{4}"
_FORM = re.compile(rf"# (?P<title>.+)\n\n(?P<date>\d{{4}}-\d\d-\d\d) · (?P<status>{_STATUS})\n")
HEAD = """---
kind: overview
audience: contributor
---
# Decisions

Why things are as they are: context, choice, consequence, and what was not chosen. This page is generated
with `make docs`.

- *accepted*: holds.
- *changed by*: holds, but for what the newer decision changes.
- *replaced by*: history.

To add one, take the next free number, and begin the file with its title, an empty line, and the date with the
status: `2026-11-27 · accepted`. A decision that is changed keeps its text and names the newer one in this line.

| number | decision | date | status |
| --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision.

    Args:
        number: its four digits.
        file: the name of its file.
        title: its heading.
        date: the day of the decision.
        status: one of ``STATUSES``.
    """

    number: str
    file: str
    title: str
    date: str
    status: str


def decisions() -> Iterator[Decision]:
    """Yield every decision in the order of the numbers.

    Raises:
        ValueError: where a file has no date and status.
    """
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        head = _FORM.match(path.read_text())
        if head is None:
            raise ValueError(f"{path.name}: write the date and the status into the third line: 2026-11-27 · accepted")
        yield Decision(path.name[:4], path.name, head["title"], head["date"], head["status"])


def page() -> str:
    """Return the page."""
    rows = []
    for decision in decisions():
        newer = decision.status[-4:]
        target = next((path.name for path in DECISIONS.glob(f"{newer}-*.md")), "") if newer.isdigit() else ""
        status = f"{decision.status[:-4]}[{newer}]({target})" if target else decision.status
        rows.append(f"| {decision.number} | [{decision.title}]({decision.file}) | {decision.date} | {status} |\n")
    return HEAD + "".join(rows)
