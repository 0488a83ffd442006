"""Draw the tables and their foreign keys: ``docs/contributing/data-model.svg``, and the list in the page beside it.

Everything is read from the metadata of SQLAlchemy. Tables are grouped by the package that declares them. A line leads
from a foreign key to a table of the same group; a key to a table of another group names that table. ``make docs``
writes picture and list, and a test keeps them current.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from html import escape
from pathlib import Path

from sqlalchemy import Column, Table

from sso.platform.db import Base
from sso.schema import metadata

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
COLUMNS, WIDTH, GAP, MARGIN = 4, 290, 24, 16
"""Groups beside each other; pixels of a group, between groups, and around the picture."""
LINE, HEAD, PADDING, SIDE = 17, 30, 8, 34
"""Pixels of a line of text, of the name of a group, around the lines of a table, and of the lane of the lines."""
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1b1b1b }
.g { font-weight: 700; font-size: 14px }
.t { font-weight: 700 }
.k { fill: #555 }
rect { fill: #f4f6f8; stroke: #c3cad2 }
.b { fill: #fff; stroke: #5b7083 }
path { fill: none; stroke: #0b5f5a; stroke-width: 1.2; marker-end: url(#a) }
"""


def groups() -> dict[str, list[Table]]:
    """Return the tables of each package, such as ``identity.users``, in the order of their names."""
    owners: dict[str, list[Table]] = defaultdict(list)
    for mapper in Base.registry.mappers:
        package = mapper.class_.__module__.removeprefix("sso.").rpartition(".")[0]
        table = mapper.local_table
        if isinstance(table, Table) and table not in owners[package]:
            owners[package].append(table)
    return {package: sorted(owners[package], key=lambda table: table.name) for package in sorted(owners)}


def shown(table: Table) -> list[Column[object]]:
    """Return the columns that the picture shows: those of the primary key, and foreign keys."""
    return [column for column in table.columns if column.primary_key or column.foreign_keys]


def target_of(column: Column[object]) -> str:
    """Return the table to which a column leads; empty: none."""
    return next((key.column.table.name for key in column.foreign_keys), "")


def height_of(table: Table) -> int:
    """Return the height of a table in pixels: its name, its keys, and the number of its other columns."""
    return (2 + len(shown(table))) * LINE + PADDING


def picture() -> str:
    """Return the picture as SVG."""
    places: list[int] = [MARGIN] * COLUMNS
    parts: list[str] = []
    for package, tables in sorted(groups().items(), key=lambda item: -sum(map(height_of, item[1]))):
        column = places.index(min(places))
        x, y = MARGIN + column * (WIDTH + GAP), places[column]
        drawn, height = _group(package, tables, x, y)
        parts += drawn
        places[column] += height + GAP
    width, height = MARGIN * 2 + COLUMNS * WIDTH + (COLUMNS - 1) * GAP, max(places)
    arrow = (
        '<marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" style="fill:#0b5f5a;stroke:none"/></marker>'
    )
    title = f"<title>The {len(metadata.tables)} tables of the database and their foreign keys</title>"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    return "\n".join([head, title, f"<style>{STYLE}</style><defs>{arrow}</defs>", *parts, "</svg>"]) + "\n"


def _group(package: str, tables: list[Table], x: int, y: int) -> tuple[list[str], int]:
    """Return the drawing of a group at a place, and its height."""
    tops: dict[str, int] = {}
    top = y + HEAD
    for table in tables:
        tops[table.name] = top
        top += height_of(table) + PADDING
    parts = [f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{top - y}" rx="6"/>']
    parts += [f'<text class="g" x="{x + PADDING}" y="{y + 20}">{package}</text>']
    lane = 0
    for table in tables:
        parts += _table(table, tops, x + SIDE, tops[table.name], WIDTH - SIDE - PADDING)
        for number, column in enumerate(shown(table)):
            if target_of(column) in tops and target_of(column) != table.name:
                lane = lane % 4 + 1
                start, end = tops[table.name] + (number + 2) * LINE - 3, tops[target_of(column)] + LINE - 4
                parts.append(f'<path d="M{x + SIDE},{start} H{x + SIDE - 7 * lane} V{end} H{x + SIDE}"/>')
    return parts, top - y


def _table(table: Table, near: dict[str, int], x: int, y: int, width: int) -> Iterator[str]:
    """Yield the box of a table: its name, its keys, and how many columns it has besides."""
    yield f'<rect class="b" x="{x}" y="{y}" width="{width}" height="{height_of(table) - 2}" rx="3"/>'
    yield f'<text class="t" x="{x + PADDING}" y="{y + LINE - 2}">{table.name}</text>'
    for number, column in enumerate(shown(table), 2):
        target = target_of(column)
        leads = f" → {target}" if target and (target not in near or target == table.name) else ""
        name = escape(f"{column.name}{leads}") + (" ●" if column.primary_key else "")
        yield f'<text x="{x + PADDING}" y="{y + number * LINE}">{name}</text>'
    others = len(table.columns) - len(shown(table))
    place = y + (2 + len(shown(table))) * LINE
    if others:
        yield f'<text class="k" x="{x + PADDING}" y="{place}">and {others} more</text>'


def _row(table: Table, package: str) -> str:
    targets = sorted({f"`{name}`" for name in map(target_of, table.columns) if name})
    return f"| `{table.name}` | `{package}` | {', '.join(targets)} |"


def page(text: str) -> str:
    """Return the page with its list of tables renewed."""
    rows = [_row(table, package) for package, tables in groups().items() for table in tables]
    table = "\n".join(["| table | package | leads to |", "| --- | --- | --- |", *rows])
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"
