"""Charts as SVG that needs no script and no colour, each with a table that says the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sso.platform.metrics.counters import Span

WIDTH, BASE, TOP = 600, 112, 10
MAX_TICKS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a bar, where it is drawn."""

    x: float
    y: float
    width: float
    height: float
    series: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars over time.

    Args:
        title: what is counted.
        names: of the series, one on top of the other.
        moments: the beginning of each step.
        rows: for each step the value of each series.
        bars: where they are drawn.
        maximum: the highest bar.
        link: where the list behind it is.
        span: ``hour``, ``day``, ``week`` or ``month``.
    """

    title: str
    names: tuple[str, ...]
    moments: list[datetime]
    rows: list[tuple[int, ...]]
    bars: list[Bar]
    maximum: int
    link: str
    span: str

    @property
    def lines(self) -> list[tuple[int, float]]:
        """The lines of the axis: the value, and where it is drawn; the highest last."""
        scale = self.scale
        values = [0, scale // 2, scale] if scale % 2 == 0 else [0, scale]
        return [(value, round(BASE - (BASE - TOP) * value / scale, 1)) for value in values]

    @property
    def scale(self) -> int:
        """The highest value of the axis: a round number, not below the highest bar."""
        return round_up(self.maximum)

    @property
    def ticks(self) -> list[tuple[float, int]]:
        """The moments that the axis names: where each is drawn, and its index."""
        count = len(self.moments)
        step = max(1, -(-count // MAX_TICKS))
        return [(round(at * WIDTH / count, 1), at) for at in range(0, count, step)]

    @property
    def total(self) -> int:
        """Everything together."""
        return sum(sum(row) for row in self.rows)

    @property
    def totals(self) -> list[int]:
        """The total of each series."""
        return [sum(row[at] for row in self.rows) for at in range(len(self.names))]


def round_up(value: int) -> int:
    """Return the next round number: 1, 2, 4, 6 or 10 times a power of ten; at least 2."""
    power = 1
    while True:
        for factor in (2, 4, 6, 10):
            if factor * power >= value:
                return factor * power
        power *= 10


def chart(
    title: str,
    span: Span,
    counts: Iterable[tuple[datetime, str, int]],
    names: Sequence[str],
    *,
    link: str = "",
    highest: bool = False,
) -> Chart:
    """Return a chart.

    Args:
        title: what is counted.
        span: which time.
        counts: moment, series and count; what is of no series in ``names`` is left out.
        names: the series, those below first.
        link: where the list behind it is.
        highest: counts of one step are states, not events: the highest counts, and a step in which nobody looked is as
            the one before.
    """
    rows = [[0] * len(names) for _ in range(span.steps)]
    seen = set()
    for moment, name, count in counts:
        at = int((moment - span.start) / span.step)
        if name in names and 0 <= at < span.steps:
            series = list(names).index(name)
            seen.add(at)
            rows[at][series] = max(rows[at][series], count) if highest else rows[at][series] + count
    for at in range(1, span.steps) if highest else ():
        if at not in seen and at - 1 in seen:
            rows[at] = rows[at - 1]
    maximum = max((sum(row) for row in rows), default=0)
    scale = round_up(maximum)
    step = WIDTH / span.steps
    bars = []
    for at, row in enumerate(rows):
        base = float(BASE)
        for series, value in enumerate(row):
            height = (BASE - TOP) * value / scale
            if value:
                base -= height
                bars.append(Bar(round(at * step + 1, 1), round(base, 1), round(step - 2, 1), round(height, 1), series))
    return Chart(title, tuple(names), span.moments(), [tuple(row) for row in rows], bars, maximum, link, span.name)
