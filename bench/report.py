"""Tables and aims, and the figures of docs/reference/performance.md and README.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.turns import Spread, Turns, ratios, spread

RATIO_AIMS = {
    "authorize + code exchange": 0.8,
    "refresh": 0.8,
    "introspection": 0.9,
    "userinfo": 1.0,
    "client credentials": 1.3,
    "discovery": 1.3,
}
"""Server CPU of this product by that of node-oidc-provider, at most."""
MEMORY_AIM = 130
"""MB of one process after the run, at most."""
READY_AIM = 1.2
"""Seconds, at most."""
COMMAND_AIM = 0.5
"""Seconds of CPU of one `sso` command, at most."""
SQLITE_FLOW, SQLITE_AIM = "authorize + code exchange", 2.0
"""Milliseconds of CPU of this flow on SQLite, at most."""
README_FLOWS = ("authorize + code exchange", "refresh", "userinfo")
START = '<!-- Figures, written by make bench ARGS="--peer node --write" -->'
END = "<!-- End of the figures -->"
_BETWEEN = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.S)
_README = re.compile(r"- \*\*Performance\*\*: .*?(?=\n- |\n\n)", re.S)


@dataclass(frozen=True)
class PeerRun:
    """One run of this product beside node-oidc-provider. `ours`, `peer` and `sqlite` are names of sides.

    Attributes:
        conditions: machine, versions and how it was measured, in one paragraph.
        memory: MB after the run, by side.
        ready: seconds to ready, by side.
        command: seconds of CPU of one command.
    """

    conditions: str
    turns: Turns
    memory: Mapping[str, float]
    ready: Mapping[str, Spread]
    command: Spread
    ours: str = "sso"
    peer: str = "node-oidc-provider"
    sqlite: str = "sso on SQLite"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table whose first column is text and whose others are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def digits(figure: float) -> int:
    """Return how many digits after the point a figure is written with."""
    return 0 if figure >= 20 else 2 if figure >= 0.2 else 3


def cpu(turns: Turns, flow: str, side: str) -> Spread:
    """Return the server CPU of a flow in milliseconds."""
    return spread([turn.cpu for turn in turns[flow][side]])


def written(figure: Spread) -> str:
    return figure.text(digits(figure.median))


def verdict(figure: float, aim: float) -> str:
    """Return whether an aim is met, judged by the figure as it is printed."""
    return "met" if round(figure, 2) <= aim else "missed"


def plain_table(turns: Turns, side: str) -> str:
    """Return what each flow cost on one server."""
    rows = []
    for flow, sides in turns.items():
        for turn in sides[side]:
            times = f"{turn.per_second:.0f}", f"{turn.p50:.1f}", f"{turn.p99:.1f}"
            rows.append([flow, *times, f"{turn.cpu:.2f}", f"{turn.database:.2f}", f"{turn.driver:.2f}"])
    return table(["flow", "flows/s", "p50 ms", "p99 ms", "server CPU ms", "database CPU ms", "driver CPU ms"], rows)


def against_table(turns: Turns, side: str, other: str) -> str:
    """Return what each flow cost on two versions, and the ratio."""
    rows = [
        [flow, written(cpu(turns, flow, side)), written(cpu(turns, flow, other)), ratios(sides, side, other).text(2)]
        for flow, sides in turns.items()
    ]
    return table(["server CPU ms", side, other, "ratio"], rows)


def peer_table(run: PeerRun) -> str:
    """Return the table of docs/reference/performance.md."""
    rows = []
    for flow, sides in run.turns.items():
        aim, ratio = RATIO_AIMS.get(flow), ratios(sides, run.ours, run.peer)
        row = [f"{flow}, CPU ms", *(written(cpu(run.turns, flow, side)) for side in (run.ours, run.peer))]
        row += [ratio.text(2), f"ratio {aim}: {verdict(ratio.median, aim)}" if aim else ""]
        rows.append([*row, written(cpu(run.turns, flow, run.sqlite))])
    memory = [f"{run.memory[side]:.0f}" for side in (run.ours, run.peer, run.sqlite)]
    rows.append(
        ["memory after the run, MB", *memory[:2], f"{run.memory[run.ours] / run.memory[run.peer]:.2f}",
         f"{MEMORY_AIM}: {verdict(run.memory[run.ours], MEMORY_AIM)}", memory[2]]
    )  # fmt: skip
    ready = [run.ready[side] for side in (run.ours, run.peer, run.sqlite)]
    rows.append(
        ["time to ready, s", ready[0].text(2), ready[1].text(2), f"{ready[0].median / ready[1].median:.2f}",
         f"{READY_AIM}: {verdict(ready[0].median, READY_AIM)}", ready[2].text(2)]
    )  # fmt: skip
    command = f"{COMMAND_AIM}: {verdict(run.command.median, COMMAND_AIM)}"
    rows.append(["`sso clients list`, CPU s", run.command.text(2), "", "", command, ""])
    return table(["", run.ours, run.peer, "ratio", "aim (at most)", run.sqlite], rows)


def aims(run: PeerRun) -> str:
    """Return one line for each aim: the figure, and whether the aim is met."""
    lines = []
    for flow, aim in RATIO_AIMS.items():
        if flow in run.turns:
            ratio = ratios(run.turns[flow], run.ours, run.peer).median
            lines.append((f"{flow}, by {run.peer}", f"{ratio:.2f}", f"{aim}", verdict(ratio, aim)))
    if SQLITE_FLOW in run.turns:
        figure = cpu(run.turns, SQLITE_FLOW, run.sqlite).median
        lines.append((f"{SQLITE_FLOW} on SQLite", f"{figure:.2f} ms", f"{SQLITE_AIM} ms", verdict(figure, SQLITE_AIM)))
    memory, ready, command = run.memory[run.ours], run.ready[run.ours].median, run.command.median
    lines.append(("memory", f"{memory:.0f} MB", f"{MEMORY_AIM} MB", verdict(memory, MEMORY_AIM)))
    lines.append(("time to ready", f"{ready:.2f} s", f"{READY_AIM} s", verdict(ready, READY_AIM)))
    lines.append(("CPU of a command", f"{command:.2f} s", f"{COMMAND_AIM} s", verdict(command, COMMAND_AIM)))
    return "\n".join(f"- {name}: {figure}, aim at most {aim}: {result}" for name, figure, aim, result in lines)


def renewed_page(page: str, run: PeerRun) -> str:
    """Return docs/reference/performance.md with the figures of a run.

    Raises:
        ValueError: when the page does not mark where the figures are.
    """
    if not _BETWEEN.search(page):
        raise ValueError(f"docs/reference/performance.md has no line {START}")
    text = (
        f"{START}\n\n{run.conditions}\n\n{peer_table(run)}\n\n"
        f"Aim for {SQLITE_FLOW} on SQLite: at most {SQLITE_AIM:g} ms of CPU, "
        f"{verdict(cpu(run.turns, SQLITE_FLOW, run.sqlite).median, SQLITE_AIM)}.\n\n{END}"
    )
    return _BETWEEN.sub(lambda _: text, page)


def readme_figures(page: str) -> str:
    """Return the entry of README.md with the figures of docs/reference/performance.md.

    Args:
        page: the text of docs/reference/performance.md.
    """
    rows = {}
    for line in (_BETWEEN.search(page) or [""])[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 2:
            rows[cells[0]] = [cell.partition(" (")[0] for cell in cells[1:3]]

    def both(row: str) -> str:
        return f"{rows[row][0]} (there {rows[row][1]})"

    authorize, refresh, userinfo = (both(f"{flow}, CPU ms") for flow in README_FLOWS)
    memory, ready = rows["memory after the run, MB"][0], rows["time to ready, s"][0]
    return (
        "- **Performance**: server CPU of one flow on PostgreSQL, and of node-oidc-provider in the same run:\n"
        f"  authorize + code exchange {authorize} ms, refresh {refresh} ms, userinfo {userinfo} ms.\n"
        f"  One process uses {memory} MB and is ready in {ready} s.\n"
        "  [Measured](docs/reference/performance.md) with `make bench`."
    )


def renewed_readme(readme: str, page: str) -> str:
    """Return README.md with the figures of docs/reference/performance.md."""
    return _README.sub(lambda _: readme_figures(page), readme)
