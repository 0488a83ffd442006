"""Draw which package imports which: ``docs/contributing/architecture.svg``, and the table in the page beside it.

The arrows are the import statements of ``src/sso``, read from the syntax trees; the rows are the layers of the first
contract of import-linter in ``pyproject.toml``. An arrow that other arrows imply is left out of the picture and stands
in the table. ``make docs`` writes both, and a test keeps them current.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/sso"
BEGIN, END = "<!-- imports: begin -->", "<!-- imports: end -->"

Graph = dict[str, set[str]]

FOUNDATION = frozenset({"logs", "settings", "clock", "errors"})
"""What every package may import. These share the last row, and no arrow to them is drawn."""

WIDTH, MARGIN, GAP, BOX, LINE, ROW = 900, 16, 90, 36, 26, 38
"""Pixels: width of the picture, its margin, between boxes, height of a box, of the line of parts, between rows."""
CHARACTER = 7.4
"""Pixels of one character of the names of parts."""


@cache
def modules() -> dict[str, Path]:
    """Return the file of each module by its name, such as ``oidc.token.issue``; ``""`` is ``sso`` itself."""
    files = {}
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


@cache
def imports(file: Path) -> list[str]:
    """Return what a file imports from ``sso``, without ``sso`` itself, such as ``oidc.token.issue.issue_tokens``."""
    targets: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                full = [name.name for name in names]
            case ast.ImportFrom(module=str(module), level=0, names=names):
                full = [f"{module}.{name.name}" for name in names]
            case _:
                continue
        targets += [name.removeprefix("sso.") for name in full if name.startswith("sso.")]
    return targets


@cache
def package_graph() -> Graph:
    """Return what each package, and each module beside the packages, imports of the others."""
    graph: Graph = defaultdict(set)
    known = {name.partition(".")[0] for name in modules()} - {""}
    for name, file in modules().items():
        package = name.partition(".")[0]
        if package:
            graph[package] |= {target.partition(".")[0] for target in imports(file)} & known - {package}
    return dict(sorted(graph.items()))


@cache
def contracts() -> dict[str, list[list[str]]]:
    """Return the layers, the highest first, of each contract of import-linter, by the package that it is about."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return {
        contract["containers"][0]: [re.split(r" *[|:] *", layer) for layer in contract["layers"]]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and "containers" in contract
    }


def rows(graph: Graph) -> list[list[str]]:
    """Return the packages of each layer that exist, the highest layer first."""
    layers = [[name for name in layer if name in graph] for layer in contracts()["sso"]]
    shared = [name for layer in layers for name in layer if name in FOUNDATION]
    above = [[name for name in layer if name not in shared] for layer in layers]
    return [layer for layer in [*above, shared] if layer]


def parts(package: str) -> str:
    """Return the packages within a package, in the order of their own contract where there is one."""
    folders = sorted(file.parent.name for file in (SOURCE / package).glob("*/__init__.py"))
    own = contracts().get(f"sso.{package}", [folders])
    layers = [" | ".join(name for name in layer if name in folders) for layer in own]
    return (" > " if len(own) > 1 else "").join(layer for layer in layers if layer)


def necessary(graph: Graph) -> list[tuple[str, str]]:
    """Return the arrows that are drawn: those that no longer way along other arrows implies."""
    graph = {name: graph[name] - FOUNDATION for name in graph}
    level = {name: index for index, layer in enumerate(rows(graph)) for name in layer}
    down = {name: {target for target in graph[name] if level[target] > level[name]} for name in graph}
    drawn = []
    for name, targets in graph.items():
        implied = {far for near in targets & down[name] for far in _reached(down, near) if far != near}
        drawn += [(name, target) for target in sorted(targets) if target not in implied & down[name]]
    return drawn


def _reached(graph: Graph, start: str) -> set[str]:
    reached, waiting = set(), [start]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def picture() -> str:
    """Return the picture as SVG."""
    graph = package_graph()
    places: dict[str, tuple[float, float, float, float]] = {}
    top = float(MARGIN)
    for row in rows(graph):
        height = BOX + (LINE if any(parts(name) for name in row) else 0)
        widths = [_width(name) for name in row]
        left = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
        for name, width in zip(row, widths, strict=True):
            places[name] = (left, top, width, height)
            left += width + GAP
        top += height + ROW
    total = round(top - ROW + MARGIN)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}" '
        'font-family="ui-monospace, monospace" font-size="12" role="img">',
        "<title>The packages of sso and their imports</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>',
        *(_arrow(places[name], places[target]) for name, target in necessary(graph)),
        *(line for name, place in places.items() for line in _box(name, place)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _width(name: str) -> float:
    return max(110.0, len(parts(name)) * CHARACTER + 24, len(name) * 9.0 + 24)


def _box(name: str, place: tuple[float, float, float, float]) -> Iterator[str]:
    left, top, width, height = place
    yield (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}" rx="6" '
        'fill="#f6f8fa" stroke="#24292f"/>'
    )
    middle = left + width / 2
    yield (
        f'<text x="{middle:.0f}" y="{top + 23:.0f}" text-anchor="middle" font-size="14" font-weight="bold" '
        f'fill="#24292f">{escape(name)}</text>'
    )
    if parts(name):
        yield (
            f'<text x="{middle:.0f}" y="{top + BOX + 10:.0f}" text-anchor="middle" fill="#0550ae">'
            f"{escape(parts(name))}</text>"
        )


def _arrow(source: tuple[float, float, float, float], target: tuple[float, float, float, float]) -> str:
    left, top, width, height = source
    to_left, to_top, to_width, to_height = target
    line = '<path d="{}" fill="none" stroke="{}" stroke-width="1.3" marker-end="url(#head)"{}/>'
    if to_top == top:  # in the same layer
        right = to_left > left
        x, to_x = (left + width, to_left) if right else (left, to_left + to_width)
        y = top + height / 2 + (5 if right else -5)
        return line.format(f"M{x:.0f} {y:.0f} L{to_x:.0f} {y:.0f}", "#57606a", "")
    if to_top < top:  # against the layers: an exception that the contract lists
        x, y, to_x, to_y = left + width, top + 12, to_left + to_width, to_top + to_height - 12
        bend = max(x, to_x) + 60
        path = f"M{x:.0f} {y:.0f} C{bend:.0f} {y:.0f} {bend:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"
        return line.format(path, "#cf222e", ' stroke-dasharray="5 3"')
    if to_top - top - height > ROW:  # past a row: along the left side
        y, to_y, lane = top + height / 2, to_top + to_height / 2, min(left, to_left) - 50
        path = f"M{left:.0f} {y:.0f} C{lane:.0f} {y:.0f} {lane:.0f} {to_y:.0f} {to_left:.0f} {to_y:.0f}"
        return line.format(path, "#57606a", "")
    x, to_x = left + width / 2, to_left + to_width / 2
    shift = max(-width / 3, min(width / 3, (to_x - x) / 6))
    to_shift = max(-to_width / 3, min(to_width / 3, (x - to_x) / 6))
    y, bend = top + height, (to_top - top - height) / 2
    path = (
        f"M{x + shift:.0f} {y:.0f} C{x + shift:.0f} {y + bend:.0f} "
        f"{to_x + to_shift:.0f} {to_top - bend:.0f} {to_x + to_shift:.0f} {to_top:.0f}"
    )
    return line.format(path, "#57606a", "")


def table() -> str:
    """Return the table of all imports between packages, in Markdown."""
    graph = package_graph()
    arrows = sum(len(targets) for targets in graph.values())
    lines = [f"{len(graph)} packages and modules, {arrows} arrows between them.", "", "| package | imports |"]
    lines.append("| --- | --- |")
    for name in (name for row in rows(graph) for name in row):
        lines.append(f"| `{name}` | {', '.join(f'`{target}`' for target in sorted(graph[name])) or 'nothing'} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return ``docs/contributing/architecture.md`` with the table between its marks renewed."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"
