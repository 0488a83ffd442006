"""Counters in memory."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import orjson

from sso import clock
from sso.platform.metrics.request_log import LoggedRequest, RequestLog

MAX_COUNTERS = 20_000
"""Maximum number of different counters. Events for further counters are not counted, so that memory is bounded."""
MAX_MISTAKES, MAX_MISTAKES_PER_CLIENT = 500, 20
"""Maximum number of different mistakes in memory, of all applications and of one, until they are written."""
MAX_CHARS = 300
RECENT = "5m:"
"""Prefix of the names of five-minute counts, which are kept for some hours only."""
FIVE_MINUTES = timedelta(minutes=5)


@dataclass(slots=True)
class Mistake:
    """A mistake of an application, and how often it happened."""

    code: str
    sent: dict[str, str]
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Counts and mistakes that are to be written."""

    counts: Counter[tuple[datetime, str, str, str]]
    mistakes: dict[tuple[str, bytes], Mistake]
    secrets: dict[UUID, datetime]
    requests: list[LoggedRequest] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.counts or self.mistakes or self.secrets or self.requests)


BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds, in seconds, of the parts in which durations are counted."""


class Durations:
    """How often something took how long: the number in each part of :data:`BOUNDS`, and the sum."""

    __slots__ = ("parts", "total")

    def __init__(self) -> None:
        self.parts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.parts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Tallies:
    """What ``/metrics`` shows and was counted since it was last taken: events by name and label, requests by route and
    status, deliveries by kind and outcome. Only kept where metrics are on."""

    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: dict[tuple[str, int], Durations] = field(default_factory=dict)
    deliveries: dict[tuple[str, str], Durations] = field(default_factory=dict)


class Usage:
    """Counts and mistakes of one process that are not written yet."""

    def __init__(self) -> None:
        self.tallies: Tallies | None = None
        self.requests = RequestLog()
        self._counts: Counter[tuple[datetime, str, str, str]] = Counter()
        self._mistakes: dict[tuple[str, bytes], Mistake] = {}
        self._secrets: dict[UUID, datetime] = {}
        self._kinds: Counter[str] = Counter()
        self._hour: tuple[float, datetime] = (-1.0, clock.now())

    def count(self, name: str, client_id: str = "", label: str = "", times: int = 1) -> None:
        """Count an event that happened now.

        Args:
            name: the event, at most 40 characters.
            client_id: the application, if the event concerns one.
            label: the kind of the event; cut after 80 characters.
            times: the number of events.
        """
        key = (self._this_hour(), name, client_id, label[:80])
        if key in self._counts or len(self._counts) < MAX_COUNTERS:
            self._counts[key] += times
        if self.tallies is not None:
            self.tallies.events[name, label] += times

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request at its route, so that administrators see which are slow, and how many fail on our side.

        Args:
            path: the path of the route, not of the request.
            status: the status of the answer.
            seconds: how long the request took.
        """
        hour, label, counts = self._this_hour(), path[:80], self._counts
        names = [("requests", 1), ("milliseconds", round(seconds * 1000))]
        if status >= 500:
            names.append(("requests_failed", 1))
        for name, times in names:
            key = (hour, name, "", label)
            if key in counts or len(counts) < MAX_COUNTERS:
                counts[key] += times
        if self.tallies is not None:
            durations = self.tallies.requests.get((path, status))
            if durations is None:
                durations = self.tallies.requests[path, status] = Durations()
            durations.parts[bisect_left(BOUNDS, seconds)] += 1
            durations.total += seconds

    def count_delivery(self, kind: str, outcome: str, seconds: float) -> None:
        """Count an attempt to send a delivery, where metrics are on."""
        if self.tallies is not None:
            self.tallies.deliveries.setdefault((kind, outcome), Durations()).add(seconds)

    def take_tallies(self) -> Tallies:
        """Return what was counted for ``/metrics``, and begin again."""
        taken, self.tallies = self.tallies or Tallies(), Tallies()
        return taken

    def mistake(self, client_id: str, code: str, sent: Mapping[str, object]) -> None:
        """Record a mistake of an application, so that its team can see what the application sent.

        Args:
            client_id: a registered application.
            code: the kind of mistake.
            sent: details of the request; no secret, token or code.
        """
        short = {name: str(value)[:MAX_CHARS] for name, value in sent.items()}
        content = orjson.dumps([code, short], option=orjson.OPT_SORT_KEYS)
        key = (client_id, hashlib.sha256(content).digest()[:16])
        now = clock.now()
        known = self._mistakes.get(key)
        if known is not None:
            known.count, known.last_at = known.count + 1, now
        elif len(self._mistakes) < MAX_MISTAKES and self._kinds[client_id] < MAX_MISTAKES_PER_CLIENT:
            self._kinds[client_id] += 1
            self._mistakes[key] = Mistake(code, short, 1, now, now)

    def secret_used(self, secret_id: UUID) -> None:
        """Record that an application authenticated with a secret now."""
        self._secrets[secret_id] = clock.now()

    def _this_hour(self) -> datetime:
        now = clock.timestamp() // 3600
        if now != self._hour[0]:
            self._hour = (now, clock.now().replace(minute=0, second=0, microsecond=0))
        return self._hour[1]

    def take(self) -> Batch:
        """Return everything that was counted and reset the counters."""
        taken = Batch(self._counts, self._mistakes, self._secrets, self.requests.take())
        self._counts, self._mistakes, self._secrets, self._kinds = Counter(), {}, {}, Counter()
        return taken

    def put_back(self, batch: Batch) -> None:
        """Add back a batch that could not be written."""
        self._counts.update(batch.counts)
        self._mistakes = {**batch.mistakes, **self._mistakes}
        self._secrets = {**batch.secrets, **self._secrets}
        self.requests.put_back(batch.requests)


def with_recent(
    counts: Mapping[tuple[datetime, str, str, str], int], now: datetime
) -> Counter[tuple[datetime, str, str, str]]:
    """Return hourly counts together with the same counts by five minutes.

    Args:
        counts: counts of the last seconds, by the hour.
        now: the time of the write.
    """
    sums, moment = Counter(counts), five_minutes(now)
    for (
        _,
        name,
        client_id,
        label,
    ), count in counts.items():  # at a full hour, two hours can be in the same five minutes
        sums[moment, RECENT + name, client_id, label] += count
    return sums


def five_minutes(now: datetime) -> datetime:
    """Return the start of the five minutes that contain a moment."""
    return now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Span:
    """The period that a chart shows: from ``start``, in steps of ``step``."""

    name: str
    start: datetime
    step: timedelta
    steps: int

    @property
    def begins(self) -> str:
        """The prefix of the names of its counts."""
        return RECENT if self.name == "hour" else ""

    def moments(self) -> list[datetime]:
        """Return the beginning of each step."""
        return [self.start + self.step * number for number in range(self.steps)]


def span(name: str, now: datetime) -> Span:
    """Return the last ``hour`` by five minutes, ``day`` by the hour, ``week`` by six hours, or ``month`` by the day."""
    if name == "hour":
        return Span("hour", five_minutes(now) - FIVE_MINUTES * 11, FIVE_MINUTES, 12)
    hour = now.replace(minute=0, second=0, microsecond=0)
    if name == "month":
        day = hour.replace(hour=0)
        return Span("month", day - timedelta(days=29), timedelta(days=1), 30)
    if name == "week":
        quarter = hour.replace(hour=hour.hour - hour.hour % 6)
        return Span("week", quarter - timedelta(hours=6 * 27), timedelta(hours=6), 28)
    return Span("day", hour - timedelta(hours=23), timedelta(hours=1), 24)
