"""Password hashes: argon2id (RFC 9106) through passlib, in threads that are few and a queue that ends.

Hashing is the one slow thing the provider does. It never runs on the event loop, never more at once than there are
cores, and past a bounded queue people are asked to come back, so that tokens and sign-on stay fast in a flood.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from passlib.context import CryptContext

from sso.settings import Settings

MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 256
MIN_PASSWORD_SCORE = 2
_T = TypeVar("_T")


class Busy(Exception):
    """Too many passwords are waiting to be checked; try again after ``retry_after`` seconds."""

    retry_after = 5


class WeakPassword(Exception):
    """The password is too short, too long or too easily guessed. ``code`` says which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Passwords:
    """Hashes and checks passwords. One for each process."""

    def __init__(self, settings: Settings) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=settings.argon2_memory_kib,
            argon2__time_cost=settings.argon2_iterations,
            argon2__parallelism=settings.argon2_lanes,
        )
        self._concurrency = settings.hash_concurrency or os.cpu_count() or 1
        self._room = self._concurrency + settings.hash_queue
        self._inside = 0
        self._limiter: anyio.CapacityLimiter | None = None
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """Return the argon2id hash of ``password``.

        Raises:
            Busy: when too many are waiting.
        """
        return await self._run(lambda: str(self._context.hash(prepared(password))))

    async def verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """Check ``password`` and return whether it is right, and a stronger hash where the stored one is outdated.

        Without a ``hashed`` (nobody has that name) the same work is done, so that time tells nothing.

        Raises:
            Busy: when too many are waiting.
        """
        return await self._run(lambda: self._verify(password, hashed))

    def _verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        if len(password) > MAX_PASSWORD_CHARS or "\x00" in password:
            password, hashed = "", None
        if hashed is None:
            if self._dummy is None:
                self._dummy = str(self._context.hash("nobody"))
            self._context.verify(prepared(password), self._dummy)
            return False, None
        right, stronger = self._context.verify_and_update(prepared(password), hashed)
        return bool(right), stronger

    async def prepare(self) -> None:
        """Make the hash that is checked for unknown people, so that the first of them is not told by time."""
        if self._dummy is None:
            self._dummy = await anyio.to_thread.run_sync(lambda: str(self._context.hash("nobody")))

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._inside >= self._room:
            raise Busy("too many passwords are waiting to be checked")
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._concurrency)
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._inside -= 1


def prepared(password: str) -> str:
    """Return ``password`` in Unicode normal form NFKC, so that it is the same from every keyboard (SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password)


def check_strength(password: str, about: list[str]) -> None:
    """Check a new password.

    Args:
        password: the password.
        about: words that an attacker would try first: the person's name and identifiers.

    Raises:
        WeakPassword: saying what to do.
    """
    from zxcvbn import zxcvbn  # its dictionaries are read only where a password is chosen

    if len(password) < MIN_PASSWORD_CHARS:
        raise WeakPassword("short", f"The password must have at least {MIN_PASSWORD_CHARS} characters.")
    if len(password) > MAX_PASSWORD_CHARS or "\x00" in password:
        raise WeakPassword("long", f"The password must have at most {MAX_PASSWORD_CHARS} characters.")
    words = {word.casefold() for text in about for word in (text, *text.replace("@", " ").split()) if len(word) > 2}
    rest = prepared(password).casefold()
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    own = len(rest) < MIN_PASSWORD_CHARS // 2
    if own or zxcvbn(prepared(password)[:72], user_inputs=list(words))["score"] < MIN_PASSWORD_SCORE:
        raise WeakPassword("common", "This password is easily guessed. Use several words that do not belong together.")
