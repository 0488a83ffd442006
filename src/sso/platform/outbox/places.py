"""The places of a worker, shared between kinds of deliveries and between receivers.

Three rules keep what fails from delaying the rest (docs/decisions/0060):

- Each kind has an eighth of the places for itself; all kinds share the rest.
- A delivery whose receiver has not answered after a quarter of a second leaves its place to another one and waits on.
- A receiver that does not answer gets one delivery at a time until it answers. After three failures in a row its
  breaker opens, and it gets one delivery after each pause.
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


@dataclass(slots=True, eq=False)
class Place:
    """The place of one delivery.

    Args:
        kind: the kind of the delivery.
        key: its receiver, or the kind where no receiver is known.
        started: when it was taken, in seconds.
        is_slow: whether the delivery has left its place.
    """

    kind: str
    key: str
    started: float
    is_slow: bool = False


@dataclass(slots=True)
class Receiver:
    """What is known of a receiver. ``in_doubt``: a delivery took long, and none has succeeded since it began."""

    kind: str
    breaker: Breaker = field(default_factory=lambda: Breaker(FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
    sending: int = 0
    in_doubt: bool = False
    answered_at: float = 0.0


class Places:
    """The places.

    Args:
        places: how many deliveries of one kind are sent at the same time.
        per_receiver: how many deliveries are sent to one receiver at the same time.
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

    def room_of_receiver(self, kind: str, receiver: str | None, now: float) -> int:
        """Return how many more deliveries a receiver may get, apart from :meth:`room_of_kind`."""
        key = receiver or kind
        known = self._receivers.get(key)
        if known is not None and (known.in_doubt or known.breaker.is_open):
            return int(known.sending == 0 and self._slow < self._slow_limit and known.breaker.may_try(now))
        answers = known is not None and known.answered_at > 0  # until it has answered, it gets as many as a host
        of_a_kind = receiver is None or (receiver in self._unlimited and answers)
        limit = self._common + self._own if of_a_kind else self._per_receiver
        return limit - (known.sending if known else 0)

    def full_kinds(self) -> list[str]:
        """Return the kinds that may send no more now."""
        return sorted(kind for kind, used in self._used.items() if used and not self.room_of_kind(kind))

    def full_receivers(self, now: float) -> list[str]:
        """Return the receivers that may get no more now; a kind stands for its deliveries without a receiver."""
        return sorted(
            key
            for key, receiver in self._receivers.items()
            if self.room_of_receiver(receiver.kind, None if key == receiver.kind else key, now) <= 0
        )

    def take(self, kind: str, receiver: str | None, now: float) -> Place | None:
        """Take a place for a delivery; None: there is none."""
        if not self.room_of_kind(kind) or self.room_of_receiver(kind, receiver, now) <= 0:
            return None
        place = Place(kind, receiver or kind, now)
        known = self._receivers.setdefault(place.key, Receiver(kind))
        known.sending += 1
        self._used[kind] += 1
        if known.in_doubt or known.breaker.is_open:
            self.delay(place)
        return place

    def delay(self, place: Place) -> None:
        """Let a delivery that takes long leave its place, if there is room."""
        receiver = self._receivers[place.key]
        if receiver.answered_at <= place.started:
            receiver.in_doubt = True
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
        if not receiver.sending and not receiver.in_doubt and place.key not in self._unlimited:
            del self._receivers[place.key]
