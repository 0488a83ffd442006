"""Attempts to guess a secret: the kinds of secrets, how many failures each allows, and their counters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sso.platform.security.rate_limits.counts import Counts, Reservation
from sso.platform.security.rate_limits.rules import (
    DAY,
    MAX_KEPT_CHARS,
    MINUTE,
    PER_SUBNET,
    WINDOW_MINUTES,
    Rule,
    Windows,
    kept_rules_of_source,
    key_of,
    network_of,
    of_source,
)
from sso.platform.security.rate_limits.storage import MemoryStorage

PER_DAY = 3
"""Failures allowed within a day, as a multiple of those within 15 minutes."""
FROM_EVERYWHERE = 10
"""Failures of one account from all networks together, as a multiple of those from one network."""
LASTING_DAYS = 400
"""How long consecutive failures stay counted."""


class Purpose(StrEnum):
    """A kind of secret that can be guessed. ``tests/hostile/test_limits.py`` checks that every route that verifies a
    secret uses one."""

    PASSWORD = "password"
    PRESENT_PASSWORD = "present_password"
    PASSKEY = "passkey"
    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"
    MESSAGE_CODE = "message_code"
    PASSKEY_FACTOR = "step_passkey"
    NEW_TOTP = "new_totp"
    CONTACT_CODE = "contact_code"
    SIGN_UP_CODE = "sign_up_code"
    RECOVERY_MESSAGE = "recovery_message"
    USER_CODE = "user_code"
    LINK = "link"
    CLIENT_SECRET = "client_secret"
    REGISTRATION_TOKEN = "registration_token"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many failures a purpose allows for each account.

    Args:
        window: within 15 minutes, from one network if ``spread``, otherwise from all networks together. 0: failures are
            counted for the source only, because no account is named, or the secret is random and long.
        spread: each network has a separate budget, within :data:`FROM_EVERYWHERE` times as many in a day. Without it
            the first factor was verified already, and another network gives no new budget.
        lasting: consecutive failures until the user signs in with another factor or recovers the account; known
            browsers together have the same number in addition.
        durable: counted in the database, for every value of ``SSO_RATE_LIMIT_STORAGE``.
    """

    window: int = 0
    spread: bool = False
    lasting: int = 0
    durable: bool = False


_FACTOR = Budget(window=5, lasting=50, durable=True)
BUDGETS: dict[Purpose, Budget] = {
    Purpose.PASSWORD: Budget(window=10, spread=True, lasting=100),
    Purpose.PRESENT_PASSWORD: Budget(window=10, lasting=50, durable=True),
    Purpose.PASSKEY: Budget(),
    Purpose.TOTP: _FACTOR,
    Purpose.RECOVERY_CODE: _FACTOR,
    Purpose.MESSAGE_CODE: _FACTOR,
    Purpose.PASSKEY_FACTOR: _FACTOR,
    Purpose.NEW_TOTP: Budget(window=10),
    Purpose.CONTACT_CODE: Budget(window=10),
    Purpose.SIGN_UP_CODE: Budget(window=10, spread=True),
    Purpose.RECOVERY_MESSAGE: Budget(window=10, spread=True),
    Purpose.USER_CODE: Budget(),
    Purpose.LINK: Budget(),
    Purpose.CLIENT_SECRET: Budget(),
    Purpose.REGISTRATION_TOKEN: Budget(),
}
"""The budget of each purpose. ``SSO_SIGN_IN_FAILURES_PER_ACCOUNT`` sets the window of passwords."""


class Attempts:
    """Counts attempts to guess, by purpose, account and source.

    Args:
        per_account: wrong passwords allowed for one account from one network within 15 minutes.
        per_address: failures allowed from one IP address within 15 minutes.
        counts: the storage of the counters; memory by default.
        durable: the storage for second factors; ``counts`` by default.
    """

    def __init__(
        self, per_account: int, per_address: int, counts: Counts | None = None, durable: Counts | None = None
    ) -> None:
        self._per_account = per_account
        self._per_address = per_address
        self._counts = counts or Counts()
        self._durable = durable or self._counts
        self._here = MemoryStorage()

    def limit(self, per_account: int, per_address: int) -> None:
        """Set the limits from now on."""
        self._per_account, self._per_address = per_account, per_address

    async def reserve(
        self, purpose: Purpose, account: str, address: str, device: str = "", *, with_source: bool = True
    ) -> Reservation:
        """Reserve one attempt. Call this before the secret is verified, and outside any transaction.

        Args:
            purpose: the kind of secret.
            account: the id of the account, or the typed identifier if there is no account.
            address: the IP address.
            device: a known browser of the user, which has separate counters.
            with_source: count for the source too; false if another reservation of the same attempt did.

        Raises:
            TooManyFailures: when the limit is reached.
        """
        budget = self._budget(purpose)
        rules, clears = self._of_device(purpose, budget, account, device) if device else ([], [])
        if not device:
            if account and budget.window:
                rules, clears = self._of_account(purpose, budget, account, address)
            if with_source:
                rules += of_source("failures", address, self._per_address, WINDOW_MINUTES * MINUTE)
                rules += of_source("failures-day", address, self._per_address * PER_DAY, DAY)
        return await (self._durable if budget.durable else self._counts).take(rules, clears)

    def reserve_here(self, purpose: Purpose, account: str, address: str) -> ReservedHere:
        """Reserve one attempt in the memory of this process: for secrets of 256 random bits, which synchronous code
        verifies within a transaction.

        Raises:
            TooManyFailures: when the limit is reached.
        """
        rules = [Rule(key_of(purpose, account, address), self._per_address, WINDOW_MINUTES * MINUTE)]
        rules_of = kept_rules_of_source if len(address) <= MAX_KEPT_CHARS else of_source
        rules += rules_of(purpose, address, self._per_address * PER_SUBNET, WINDOW_MINUTES * MINUTE)
        return ReservedHere(self._here, self._here.take_now(rules))

    async def clear(self, account: str) -> None:
        """Delete the failures of an account from every network, because the user authenticated in another way."""
        for counts, durable in ((self._counts, False), (self._durable, True)):
            purposes = [purpose for purpose, budget in BUDGETS.items() if budget.durable is durable]
            names = ("everywhere", "everywhere-window", "lasting", "lasting-known")
            await counts.clear([key_of(name, purpose, account) for purpose in purposes for name in names])

    async def succeeded(self, account: str) -> None:
        """Delete the consecutive failures of an account, because the user signed in with another factor. Daily counters
        stay."""
        for counts, durable in ((self._counts, False), (self._durable, True)):
            purposes = [purpose for purpose, budget in BUDGETS.items() if budget.durable is durable and budget.lasting]
            names = ("lasting", "lasting-known")
            await counts.clear([key_of(name, purpose, account) for purpose in purposes for name in names])

    def _budget(self, purpose: Purpose) -> Budget:
        budget = BUDGETS[purpose]
        if purpose is Purpose.PASSWORD:
            return Budget(self._per_account, budget.spread, budget.lasting, budget.durable)
        return budget

    def _of_device(self, purpose: Purpose, budget: Budget, account: str, device: str) -> tuple[list[Rule], list[str]]:
        maximum = budget.window or self._per_account
        rules = [
            Rule(key_of("device", purpose, account, device), maximum, WINDOW_MINUTES * MINUTE),
            Rule(key_of("device-day", purpose, account, device), maximum * PER_DAY, DAY),
        ]
        if budget.lasting:
            rules.append(Rule(key_of("lasting-known", purpose, account), budget.lasting, LASTING_DAYS * DAY))
        return rules, [rule.key for rule in rules] + [key_of("lasting", purpose, account)]

    @staticmethod
    def _of_account(purpose: Purpose, budget: Budget, account: str, address: str) -> tuple[list[Rule], list[str]]:
        window, day = WINDOW_MINUTES * MINUTE, budget.window * PER_DAY
        if budget.spread:
            network = network_of(address)
            rules = [
                Rule(key_of("account", purpose, account, network), budget.window, window),
                Rule(key_of("account-day", purpose, account, network), day, DAY),
                Rule(key_of("everywhere", purpose, account), budget.window * FROM_EVERYWHERE, DAY),
            ]
        else:
            rules = [
                Rule(key_of("everywhere-window", purpose, account), budget.window, window),
                Rule(key_of("everywhere", purpose, account), day, DAY),
            ]
        clears = [rules[0].key]
        if budget.lasting:
            rules.append(Rule(key_of("lasting", purpose, account), budget.lasting, LASTING_DAYS * DAY))
            clears += [rules[-1].key, key_of("lasting-known", purpose, account)]
        return rules, clears


@dataclass(slots=True)
class ReservedHere:
    """Places of an attempt in the memory of this process."""

    storage: MemoryStorage
    windows: Windows

    def succeeded(self) -> None:
        """Give the places back."""
        self.storage.settle_now(self.windows)
