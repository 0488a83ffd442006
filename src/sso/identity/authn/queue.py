"""A queue for slow work that is fair between sources.

One source holds at most a share of the places, the sources take turns, and where every place is taken, a source that
has fewer gets in for one that has more. So nobody fills the queue for the others, whether their passwords are right or
wrong.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sso.errors import Refusal


class Busy(Refusal):
    """Too much is waiting; try again after ``retry_after`` seconds."""

    status = 503
    code = "unavailable"
    retry_after: int = 5

    @property
    def explanation(self) -> str:
        """Nothing: the text of the page says it."""
        return ""


class FairQueue:
    """Lets a few run at once and some wait.

    Args:
        concurrency: how many run at once.
        waiting: how many may wait.
    """

    def __init__(self, concurrency: int, waiting: int) -> None:
        self._free = concurrency
        self._room = concurrency + waiting
        self.share = max(1, self._room // 4)
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(line) for line in self._waiting.values())

    @property
    def running(self) -> int:
        """How many run."""
        return self._held.total() - self.waiting

    @asynccontextmanager
    async def place(self, source: str) -> AsyncIterator[None]:
        """Hold a place while the block runs; it begins when it is its turn.

        Args:
            source: who asks: a network. Nothing: the provider's own programs, which are only bounded in total.

        Raises:
            Busy: when the source holds its share, or every place is taken by others that hold no more than it.
        """
        await self._enter(source)
        try:
            yield
        finally:
            self._leave(source)

    async def _enter(self, source: str) -> None:
        if source and self._held[source] >= self.share:
            raise Busy("this source has its share of the places")
        if self._held.total() >= self._room and not self._displace(source):
            raise Busy("every place is taken")
        self._held[source] += 1
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(source, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # it was its turn meanwhile
                self._leave(source)
            else:
                self._remove(source, turn)
            raise

    def _displace(self, source: str) -> bool:
        """Let the newest that waits go, of the source that holds most, where that is more than ``source`` would."""
        if not self._waiting:
            return False
        largest = max(self._waiting, key=lambda waiting_source: self._held[waiting_source])
        if self._held[largest] <= self._held[source] + 1:
            return False
        turn = self._waiting[largest][-1]
        self._remove(largest, turn)
        turn.set_exception(Busy("others had fewer places"))
        return True

    def _remove(self, source: str, turn: asyncio.Future[None]) -> None:
        line = self._waiting.get(source)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._waiting[source]
            self._release(source)

    def _release(self, source: str) -> None:
        self._held[source] -= 1
        if not self._held[source]:
            del self._held[source]

    def _leave(self, source: str) -> None:
        self._release(source)
        while self._waiting:
            following, line = next(iter(self._waiting.items()))
            turn = line.popleft()
            if line:
                self._waiting.move_to_end(following)
            else:
                del self._waiting[following]
            if not turn.done():
                turn.set_result(None)
                return
            self._release(following)  # whoever waited is gone
        self._free += 1
