"""Counters in Redis or Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from sso.platform.security.rate_limits.rules import Rule, TooManyFailures, Windows

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found, wait = {}, 0
for i, key in ipairs(KEYS) do
  local row = redis.call('HMGET', key, 'count', 'until')
  local count, ends = tonumber(row[1]) or 0, tonumber(row[2]) or 0
  if ends <= now then count, ends = 0, now + ARGV[2 * i] * 1000 end
  if count >= tonumber(ARGV[2 * i - 1]) then wait = math.max(wait, ends - now) end
  found[i] = {count, ends}
end
if wait > 0 then return {wait} end
local answer = {0}
for i, key in ipairs(KEYS) do
  local ends = string.format('%.0f', found[i][2])
  redis.call('HSET', key, 'count', found[i][1] + 1, 'until', ends)
  redis.call('PEXPIREAT', key, ends)
  answer[i + 1] = ends
end
return answer
"""
_SETTLE = """
for i, key in ipairs(KEYS) do
  if ARGV[i] == '' then
    redis.call('DEL', key)
  elseif redis.call('HGET', key, 'until') == ARGV[i] and tonumber(redis.call('HGET', key, 'count')) > 0 then
    redis.call('HINCRBY', key, 'count', -1)
  end
end
"""
_PREFIX = "sso:limit:"
CHECKS = 1_000_000
"""How many checks there may be in a second, which is never a reason to refuse."""


class RedisStorage:
    """Counters in Redis or Valkey, for several hosts. Each step is a script, which the server runs atomically.

    Args:
        url: ``redis://`` or ``rediss://``.
        connect_seconds: the time limit for a new connection.
        command_seconds: the time limit for a command on an open connection.
    """

    def __init__(self, url: str, connect_seconds: float = 0.5, command_seconds: float = 0.5) -> None:
        from redis.asyncio import Redis  # optional
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._seconds = connect_seconds + command_seconds
        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=command_seconds,
            socket_connect_timeout=connect_seconds,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._take = self._redis.register_script(_TAKE)
        self._settle = self._redis.register_script(_SETTLE)

    async def take(self, rules: Sequence[Rule]) -> Windows:
        limits = [value for rule in rules for value in (rule.maximum, rule.seconds)]
        async with asyncio.timeout(self._seconds):
            wait, *ends = await self._take(keys=[_PREFIX + rule.key for rule in rules], args=limits)
        if int(wait) > 0:
            raise TooManyFailures(int(wait) / 1000)
        return dict(zip((rule.key for rule in rules), ends, strict=True))

    async def settle(self, windows: Windows, clear: Iterable[str] = ()) -> None:
        values = {**windows, **dict.fromkeys(clear, "")}
        if values:
            async with asyncio.timeout(self._seconds):
                await self._settle(keys=[_PREFIX + key for key in values], args=list(values.values()))

    async def count(self, key: str) -> int:
        async with asyncio.timeout(self._seconds):
            return int(await self._redis.hget(_PREFIX + key, "count") or 0)  # deleted when its window ends

    async def check(self) -> bool:
        """Tell whether the server counts. It answers PING also where it refuses each write: as a replica, with a full
        memory, or for a user who may not run scripts."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._take(keys=[_PREFIX + "check"], args=[CHECKS, 1])
                return True
        except Exception:  # whatever the library raises
            return False

    async def reset(self) -> None:
        async for key in self._redis.scan_iter(match=_PREFIX + "*", count=1000):
            await self._redis.delete(key)

    async def close(self) -> None:
        await self._redis.aclose()
