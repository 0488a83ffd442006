"""Password hashes: argon2id (RFC 9106) by argon2-cffi, in few threads with a bounded queue; and the rules for new
passwords (NIST SP 800-63B-4 section 3.1.1.2).

Hashing is the one slow thing the provider does. It never runs on the event loop, never more at once than there are
cores, and past a bounded queue people are asked to come back, so that tokens and sign-on stay fast in a flood. Each
``source`` (the network that asks) has a share of that queue, see ``identity/authn/queue.py``.
"""

from __future__ import annotations

import os
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, VerifyMismatchError

from sso.identity.authn.breached import is_breached
from sso.identity.authn.queue import Busy as Busy
from sso.identity.authn.queue import FairQueue
from sso.platform.security.hash_costs import argon2_costs, check_costs
from sso.settings import Settings

MAX_PASSWORD_CHARS = 256
MIN_PASSWORD_SCORE = 2
MAX_JUDGED_CHARS = 32
"""How much of a password is judged: more makes none weaker, and may take very long."""
MIN_LETTERS_LEFT = 4
"""How many letters must be left of a password without what is known of its owner."""
EXAMPLES = frozenset({"kopihujansepeda77", "coffeerainbicycle77"})
"""The examples of a good password on the pages, without spaces: they are refused."""
ARGON2_ID = "$argon2id$"
_T = TypeVar("_T")


class WeakPassword(Exception):
    """The password is too short, too long, easily guessed or known to thieves. ``code`` says which: ``short``,
    ``long``,
    ``example``, ``common`` or ``breached``. ``least`` is how many characters it must have."""

    def __init__(self, code: str, message: str, minimum: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.minimum = minimum


class Passwords:
    """Hashes and checks passwords. One for each process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_iterations,
            memory_cost=settings.argon2_memory // 1024,
            parallelism=settings.argon2_parallelism,
        )
        self._concurrency = settings.password_hash_concurrency or os.cpu_count() or 1
        self.queue = FairQueue(self._concurrency, settings.password_hash_queue)
        self._limiter: anyio.CapacityLimiter | None = None
        self._dummy = _hash_of_nothing(self._hasher)

    async def hash(self, password: str, *, source: str = "") -> str:
        """Return the argon2id hash of ``password``. ``source``: the network that asks.

        Raises:
            Busy: when too many are waiting.
        """
        return await self._run(lambda: self._hash(password), source)

    async def verify(self, password: str, hashed: str | None, *, source: str = "") -> tuple[bool, str | None]:
        """Check ``password`` and return whether it is right, and a stronger hash where the stored one is outdated, or
        is another system's.

        Without a ``hashed`` (nobody has that name) the same work is done, so that time tells nothing.

        Raises:
            Busy: when too many are waiting.
        """
        return await self._run(lambda: self._verify(password, hashed), source)

    def _hash(self, password: str) -> str:
        return self._hasher.hash(_utf8(password))

    def _verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        if len(password) > MAX_PASSWORD_CHARS or "\x00" in password:
            password, hashed = "", None
        if hashed is None:
            self._as_much_work(password)
            return False, None
        if not hashed.startswith(ARGON2_ID):
            return self._verify_imported(password, hashed)
        try:
            self._check_cost(hashed)
            self._hasher.verify(hashed, _utf8(password))
        except VerifyMismatchError:
            return False, None
        except (Argon2Error, ValueError):
            self._as_much_work(password)
            return False, None
        return True, self._hash(password) if self._hasher.check_needs_rehash(hashed) else None

    def _check_cost(self, hashed: str) -> None:
        """Check that an argon2id hash costs no more than imported ones may, or than the settings say.

        Raises:
            ValueError: when it costs more, or is malformed.
        """
        costs, settings = argon2_costs(hashed), self._settings
        if costs["memory_kib"] * 1024 > settings.argon2_memory or costs["passes"] > settings.argon2_iterations:
            check_costs("argon2", costs)

    def _verify_imported(self, password: str, hashed: str) -> tuple[bool, str | None]:
        """Check a hash of another system. A wrong password costs an argon2id hash too, as a right one does."""
        from sso.identity.authn.legacy_hashes import verify_imported  # read only where somebody was imported

        if verify_imported((password, prepared(password)), hashed):
            return True, self._hash(password)
        self._as_much_work(password)
        return False, None

    def _as_much_work(self, password: str) -> None:
        with suppress(VerifyMismatchError):
            self._hasher.verify(self._dummy, _utf8(password))

    async def judge(
        self, password: str, about: Iterable[str], *, second_factor: bool = False, source: str = ""
    ) -> None:
        """Check a new password, as :func:`check_strength` does, in a thread: what is odd takes long to judge.

        Raises:
            WeakPassword: saying what to do.
            Busy: when too many are waiting.
        """
        words = list(about)
        await self._run(lambda: check_strength(self._settings, password, words, second_factor=second_factor), source)

    async def strength(
        self, password: str, about: Iterable[str], *, second_factor: bool = False, source: str = ""
    ) -> Strength:
        """Return how strong a password is, in a thread.

        Raises:
            Busy: when too many are waiting.
        """
        words = list(about)
        return await self._run(lambda: strength(self._settings, password, words, second_factor=second_factor), source)

    async def _run(self, work: Callable[[], _T], source: str) -> _T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._concurrency)
        async with self.queue.place(source):
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """Return random bytes in the form of a hash. Checking a password against it costs as much as against a real hash;
    making a real one would cost every start as much as a sign-in."""
    salt, digest = (b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"{ARGON2_ID}v=19${costs}${salt}${digest}"


def prepared(password: str) -> str:
    """Return ``password`` in Unicode normal form NFKC, so that it is the same from every keyboard (SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password)


def _utf8(password: str) -> bytes:
    return prepared(password).encode("utf-8")


@dataclass(frozen=True, slots=True)
class Strength:
    """How hard a password is to guess: ``score`` from 0 to 4 (zxcvbn), and how many characters it lacks."""

    score: int
    missing: int


def min_password_length(settings: Settings, *, second_factor: bool) -> int:
    """Return how many characters a password must have."""
    return settings.password_min_length_with_second_factor if second_factor else settings.password_min_length


def strength(settings: Settings, password: str, about: Iterable[str], *, second_factor: bool = False) -> Strength:
    """Return how strong a password is, while it is typed. Not for passwords of more than 256 characters."""
    minimum = min_password_length(settings, second_factor=second_factor)
    words = _words(about)
    score = 0 if is_example(password) or _is_own(password, words) else _score(password, words)
    return Strength(score, max(0, minimum - len(prepared(password))))


def check_strength(settings: Settings, password: str, about: Iterable[str], *, second_factor: bool = False) -> None:
    """Check a new password: no rules on which characters it has, but on what an attacker would try first.

    Args:
        settings: the lengths, and where stolen passwords are.
        password: the password.
        about: words that an attacker would try first: the person's name and identifiers, the city's and the service's.
        second_factor: whether a second factor is set up: then it may be shorter.

    Raises:
        WeakPassword: saying what to do.
    """
    minimum = min_password_length(settings, second_factor=second_factor)
    if len(password) > MAX_PASSWORD_CHARS or "\x00" in password:
        raise WeakPassword("long", f"The password must have at most {MAX_PASSWORD_CHARS} characters.")
    if len(prepared(password)) < minimum:
        raise WeakPassword("short", f"The password must have at least {minimum} characters.", minimum)
    if is_example(password):
        raise WeakPassword("example", "This password is the example on our pages. Choose words of your own.")
    words = _words([*about, settings.city_name, settings.service_name])
    if _is_own(password, words) or _score(password, words) < MIN_PASSWORD_SCORE:
        raise WeakPassword("common", "This password is easily guessed. Use several words that do not belong together.")
    if settings.breached_passwords is not None and is_breached(settings.breached_passwords, prepared(password)):
        raise WeakPassword("breached", "This password was stolen elsewhere, and is known to thieves. Choose another.")


@cache
def common_words() -> tuple[str, ...]:
    """Return the words that people here choose first."""
    lines = (Path(__file__).parent / "words_id.txt").read_text(encoding="utf-8").splitlines()
    return tuple(dict.fromkeys(word for line in lines if not line.startswith("#") for word in line.split()))


def is_example(password: str) -> bool:
    """Tell whether a password is one of the examples that the pages show: somebody will copy it."""
    return "".join(char for char in prepared(password).casefold() if char.isalnum()) in EXAMPLES


def _words(about: Iterable[str]) -> set[str]:
    return {word.casefold() for text in about for word in (text, *text.replace("@", " ").split()) if len(word) > 2}


def _is_own(password: str, words: set[str]) -> bool:
    """Tell whether little is left of a password without what is known of its owner."""
    whole = rest = prepared(password).casefold()
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != whole and sum(char.isalpha() for char in rest) < MIN_LETTERS_LEFT


def _score(password: str, words: set[str]) -> int:
    from zxcvbn import zxcvbn  # its dictionaries are read only where a password is chosen

    if not password:
        return 0
    return int(zxcvbn(prepared(password)[:MAX_JUDGED_CHARS], user_inputs=[*words, *common_words()])["score"])
