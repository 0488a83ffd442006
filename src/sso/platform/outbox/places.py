"""The places of a worker, shared between kinds of deliveries and between receivers.

Four rules keep what fails from delaying the rest (docs/decisions/0060):

- Each kind has an eighth of the places for itself; all kinds share the rest.
- A delivery whose receiver has not answered after a quarter of a second leaves its place to another one and waits on.
- Where places of a kind are scarce, an endpoint that gets nothing now comes before one that does, however much waits
  for the other.
- A receiver that does not answer gets one delivery at a time until it answers. After three failures in a row its
  breaker opens, and it gets one delivery after each pause.

The receiver is an application's endpoint, not its host: several applications may have one host, and any team can
register an address at the host of another one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sso.platform.security.breaker import Breaker

SHARE_OF_A_KIND = 8
"""Each kind has one of so many parts of the places for itself."""
SLOW_SECONDS = 0.25
"""A delivery that takes longer leaves its place."""
SLOW_DELIVERIES = 4
"""How many deliveries wait for slow receivers without a place, as a multiple of the places."""
FAILURES = 3
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


def endpoint(kind: str, receiver: str | None, client_id: str | None) -> str:
    """Return the key of what a delivery is sent to: for applications, the application and the kind, whatever address it
    has registered; otherwise the receiver, or the kind where none is known."""
    return f"{client_id} {kind}" if client_id else receiver or kind


@dataclass(slots=True, eq=False)
class Place:
    """The place of one delivery.

    Args:
        kind: the kind of the delivery.
        key: its endpoint.
        started: when it was taken, in seconds.
        host: the host at which it counts, if any.
        is_slow: whether the delivery has left its place.
    """

    kind: str
    key: str
    started: float
    host: str | None
    is_slow: bool = False


@dataclass(slots=True)
class Receiver:
    """What is known of an endpoint. ``limit``: how many deliveries it gets at the same time. ``in_doubt``: a delivery
    took long, and none has succeeded since it began."""

    kind: str
    limit: int
    breaker: Breaker = field(default_factory=lambda: Breaker(FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
    sending: int = 0
    in_doubt: bool = False
    answered_at: float = 0.0


class Places:
    """The places.

    Args:
        places: how many deliveries of one kind are sent at the same time.
        per_receiver: how many deliveries are sent to one endpoint, and to one host, at the same time. Those of
            endpoints in doubt do not count at the host: otherwise one application could use up the host of others.
        unlimited: receivers that may get as many as their kind, once they have answered.
    """

    def __init__(self, places: int, per_receiver: int, unlimited: frozenset[str] = frozenset()) -> None:
        self._own = max(1, places // SHARE_OF_A_KIND)
        self._common = places - self._own
        self._slow_limit = places * SLOW_DELIVERIES
        self._per_receiver, self._unlimited = per_receiver, unlimited
        self._used: Counter[str] = Counter()
        self._slow = 0
        self._waiting: dict[Place, None] = {}  # slow deliveries for which no room was left, oldest first
        self._receivers: dict[str, Receiver] = {}
        self._at_hosts: Counter[str] = Counter()

    @property
    def used(self) -> int:
        """How many places are taken, without slow deliveries."""
        return self._used.total()

    @property
    def slow(self) -> int:
        """How many deliveries wait without a place."""
        return self._slow

    def open_breakers(self) -> Counter[str]:
        """Return the number of receivers whose breaker is open, by kind of delivery."""
        return Counter(receiver.kind for receiver in self._receivers.values() if receiver.breaker.is_open)

    def is_open(self, key: str) -> bool:
        """Tell whether the breaker of a receiver is open."""
        receiver = self._receivers.get(key)
        return receiver is not None and receiver.breaker.is_open

    def room_of_kind(self, kind: str) -> int:
        """Return how many more deliveries of a kind may be sent."""
        shared = sum(max(0, used - self._own) for used in self._used.values())
        return max(0, self._own - self._used[kind]) + max(0, self._common - shared)

    def _room_of(self, key: str, receiver: Receiver, now: float) -> int:
        """Return how many more deliveries an endpoint may get, apart from its host and from :meth:`room_of_kind`."""
        if receiver.in_doubt or receiver.breaker.is_open:
            return int(receiver.sending == 0 and self._slow < self._slow_limit and receiver.breaker.may_try(now))
        unknown = key in self._unlimited and not receiver.answered_at  # until it has answered: as many as a host
        return (self._per_receiver if unknown else receiver.limit) - receiver.sending

    def full_kinds(self) -> list[str]:
        """Return the kinds that may send no more now."""
        return sorted(kind for kind, used in self._used.items() if used and not self.room_of_kind(kind))

    def full_receivers(self, now: float) -> list[str]:
        """Return the endpoints that may get no more now."""
        return sorted(key for key, receiver in self._receivers.items() if self._room_of(key, receiver, now) <= 0)

    def busy_receivers(self) -> list[str]:
        """Return the endpoints that get something now, of kinds with few places left: others come before them."""
        scarce = {kind for kind, used in self._used.items() if used and self.room_of_kind(kind) <= self._per_receiver}
        return sorted(key for key, receiver in self._receivers.items() if receiver.sending and receiver.kind in scarce)

    def full_hosts(self) -> list[str]:
        """Return the hosts that may get no more now."""
        return sorted(host for host, sending in self._at_hosts.items() if sending >= self._per_receiver)

    def take(self, kind: str, receiver: str | None, now: float, client_id: str | None = None) -> Place | None:
        """Take a place for a delivery; None: there is none."""
        host = None if receiver in self._unlimited else receiver
        key = endpoint(kind, receiver, client_id)
        limit = self._per_receiver if host else self._common + self._own
        known = self._receivers.get(key) or Receiver(kind, limit)
        if not self.room_of_kind(kind) or self._room_of(key, known, now) <= 0:
            return None
        if host is not None and self._at_hosts[host] >= self._per_receiver:
            return None
        place = Place(kind, key, now, host)
        self._receivers[key] = known
        known.sending += 1
        self._used[kind] += 1
        if host is not None:
            self._at_hosts[host] += 1
        if known.in_doubt or known.breaker.is_open:
            self.delay(place)
        return place

    def delay(self, place: Place) -> None:
        """Let a delivery that takes long leave its place, if there is room."""
        receiver = self._receivers[place.key]
        if receiver.answered_at <= place.started:
            receiver.in_doubt = True
        if receiver.in_doubt or receiver.breaker.is_open:
            self._leave_host(place)
        if self._slow >= self._slow_limit:
            self._waiting[place] = None
            return
        place.is_slow = True
        self._slow += 1
        self._used[place.kind] -= 1

    def leave(self, place: Place, now: float, *, answered: bool | None) -> None:
        """Give a place back at the end of a delivery.

        Args:
            place: the place.
            now: the time in seconds.
            answered: whether the receiver answered; None: nothing is known of that.
        """
        receiver = self._receivers[place.key]
        receiver.sending -= 1
        self._leave_host(place)
        self._waiting.pop(place, None)
        if place.is_slow:
            self._slow -= 1
            if self._waiting:
                first = next(iter(self._waiting))
                del self._waiting[first]
                self.delay(first)
        else:
            self._used[place.kind] -= 1
        if answered:
            receiver.answered_at, receiver.in_doubt = now, False
            receiver.breaker.succeeded()
        elif answered is False:
            receiver.breaker.failed(now)
            receiver.in_doubt = True
        idle = not (receiver.sending or receiver.in_doubt or receiver.breaker.is_open)
        if idle and place.key not in self._unlimited:  # what is unlimited stays known: it has answered
            del self._receivers[place.key]

    def _leave_host(self, place: Place) -> None:
        if place.host is not None:
            self._at_hosts[place.host] -= 1
            if not self._at_hosts[place.host]:
                del self._at_hosts[place.host]
            place.host = None
