"""Tables on small screens: each cell says the title of its column, which the style shows where the rows are stacked."""

from __future__ import annotations

import re

_TABLE = re.compile(r"<table\b.*?</table>", re.S)
_HEAD = re.compile(r"<thead\b.*?</thead>", re.S)
_TITLE = re.compile(r"<th\b[^>]*>(.*?)</th>", re.S)
_ROW = re.compile(r"<tr\b.*?</tr>", re.S)
_CELL = re.compile(r"<(td|th)\b(?![^>]*\scolspan=)")
_TAG = re.compile(r"<[^>]*>")
_ROLES = (
    (re.compile(r"<table\b(?![^>]*\srole=)"), '<table role="table"'),
    (re.compile(r"<(thead|tbody)\b(?![^>]*\srole=)"), r'<\1 role="rowgroup"'),
    (re.compile(r"<tr\b(?![^>]*\srole=)"), '<tr role="row"'),
    (re.compile(r'<th scope="col"'), '<th role="columnheader" scope="col"'),
    (re.compile(r'<th (?=[^>]*scope="row")'), '<th role="rowheader" '),
    (re.compile(r"<td\b(?![^>]*\srole=)"), '<td role="cell"'),
)
"""Where rows and cells are shown as blocks, some browsers forget that they are a table."""


def with_labels(page: str) -> str:
    """Return a page whose tables can be stacked: cells have the title of their column as ``data-label``, and every part
    has its role.

    Args:
        page: as a template of ours made it, so that text in it is escaped.
    """
    return _TABLE.sub(lambda table: _labelled(table[0]), page) if "<table" in page else page


def _labelled(table: str) -> str:
    head = _HEAD.search(table)
    if head is not None:
        titles = [" ".join(_TAG.sub(" ", title).split()).replace('"', "&quot;") for title in _TITLE.findall(head[0])]
        body = _ROW.sub(lambda row: _row(row[0], titles), table[head.end() :])
        table = table[: head.end()] + body
    for tag, instead in _ROLES:
        table = tag.sub(instead, table)
    return table


def _row(row: str, titles: list[str]) -> str:
    left = iter(titles)
    return _CELL.sub(lambda cell: f'<{cell[1]} data-label="{next(left, "")}"', row)
