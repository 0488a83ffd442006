"""Limits on one-time codes, and budgets of the messages to telephone numbers.

There are two kinds of limits. The visible limit depends only on the typed text and the network, so that the page does
not reveal whether an account exists. The hidden limit counts the codes that a contact receives within a day: beyond it
nothing is sent, and the page does not change. Each purpose has separate counters. A known browser and a signed-in user
have separate counters too, so that strangers cannot use up the codes that the user needs.

Every SMS and WhatsApp message also counts against the daily budget of its channel and of the prefix of its number, when
it is sent. Nothing is sent to a number whose prefix is not listed. These counters are in the database, so that they
hold for every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sso.errors import Refusal
from sso.platform.security.rate_limits import (
    DAY,
    HOUR,
    Counts,
    Reservation,
    Rule,
    TooManyFailures,
    key_of,
    network_of,
    of_source,
)
from sso.settings import Settings

CodePurpose = Literal["sign_up", "sign_in", "recover", "contact"]
MANY = 10**6
STRANGERS_OF_TEN = 8
"""How many tenths of the daily SMS can go to numbers that are not verified, or to users who have not authenticated."""
RESERVED_PER_ACCOUNT = 20
"""How many SMS of the reserved part one account receives within a day; further ones count as those of strangers."""
NEW_NUMBERS_PER_DAY = 3
"""To how many telephone numbers that are not verified one account has codes sent within a day."""


class NoMessagesLeft(Refusal):
    """The daily SMS are used up. Nobody learns from this who has an account."""


class TooManyNumbers(Refusal):
    """The account has had codes sent to too many new numbers today."""


class MessageLimits:
    """Limits on one-time codes by e-mail and SMS.

    Args:
        per_hour: codes for one contact and purpose that one network requests within an hour.
        per_day: codes that one contact receives for one purpose within a day.
        per_address: codes that one IP address requests within an hour.
        sms_per_day: codes to telephone numbers within a day in total.
        counts: the storage of the counters.
        durable: the storage of the counters of codes to telephone numbers, for all processes; by default ``counts``.
    """

    def __init__(
        self,
        per_hour: int,
        per_day: int,
        per_address: int,
        sms_per_day: int,
        counts: Counts,
        durable: Counts | None = None,
    ) -> None:
        self._counts, self._durable = counts, durable or counts
        self.limit(per_hour, per_day, per_address, sms_per_day)

    def limit(self, per_hour: int, per_day: int, per_address: int, sms_per_day: int) -> None:
        """Set the limits from now on."""
        self._per_hour, self._per_day = per_hour, max(per_hour, per_day)
        self._per_address, self._sms_per_day = per_address, sms_per_day

    async def allow(
        self,
        purpose: CodePurpose,
        typed: str,
        contact: str,
        kind: str,
        address: str,
        own: str = "",
        reserved: str = "",
    ) -> bool:
        """Count one code. Call this outside any transaction.

        Args:
            purpose: the purpose of the code.
            typed: the typed text, or the account of an authenticated user: the response may depend on nothing else.
            contact: the receiver of the code; empty if no code is sent.
            kind: email or phone.
            address: the IP address of the sender of the request.
            own: a known browser of the user, or the account that is signed in.
            reserved: the account whose verified contact receives the code; empty: the contact is not verified, or the
                user has not authenticated.

        Returns:
            Whether a code may be sent. Otherwise the page claims that a code was sent, and none is sent.

        Raises:
            TooManyFailures: when the visible limit is exceeded.
            NoMessagesLeft: when the daily SMS are used up.
        """
        source = own or network_of(address)
        visible = [Rule(key_of("codes", purpose, typed, source), self._per_hour, HOUR)]
        if not own:
            visible += of_source("codes-from", address, self._per_address, HOUR)
        await self._counts.take(visible)
        if not contact:
            return False
        try:
            await self._counts.take([Rule(key_of("codes-to", purpose, contact, own), self._per_day, DAY)])
        except TooManyFailures:
            return False
        if kind == "phone":
            await self._take_sms(reserved)
        return True

    async def allow_number(self, account: str, number: str) -> None:
        """Count a number that an account wants to add: each once a day. Call this outside any transaction.

        Raises:
            TooManyNumbers: when there were too many others today.
        """
        known = key_of("new-number", account, number)
        if await self._durable.count(known):
            return
        try:
            # Together, so that a number that is refused is not known afterwards.
            await self._durable.take(
                [Rule(known, MANY, DAY), Rule(key_of("new-numbers", account), NEW_NUMBERS_PER_DAY, DAY)]
            )
        except TooManyFailures:
            raise TooManyNumbers from None

    async def _take_sms(self, reserved: str) -> None:
        total = Rule(key_of("sms"), self._sms_per_day, DAY)
        if reserved:
            with suppress(TooManyFailures):
                await self._durable.take([total, Rule(key_of("sms-reserved", reserved), RESERVED_PER_ACCOUNT, DAY)])
                return
        maximum = max(1, self._sms_per_day * STRANGERS_OF_TEN // 10)
        try:
            await self._durable.take([total, Rule(key_of("sms-strangers"), maximum, DAY)])
        except TooManyFailures:
            raise NoMessagesLeft from None


@dataclass(frozen=True, slots=True)
class Budget:
    """The messages of one channel within a day: ``prefix`` is empty for all numbers together."""

    channel: str
    prefix: str
    maximum: int

    @property
    def rule(self) -> Rule:
        """The counter and its limit."""
        return Rule(key_of("messages", self.channel, self.prefix), self.maximum, DAY)

    @property
    def name(self) -> str:
        """The budget in words."""
        channel = {"sms": "SMS", "whatsapp": "WhatsApp"}[self.channel]
        return f"{channel} {self.prefix}".strip()


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How much of a budget is used within the present day."""

    budget: Budget
    used: int

    @property
    def percent(self) -> int:
        """The percentage, rounded down."""
        return self.used * 100 // self.budget.maximum


class PrefixRefused(Exception):
    """Nothing is sent to a number with this prefix (``SSO_PHONE_PREFIXES``)."""


class BudgetUsedUp(Exception):
    """A daily budget is used up."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(f"the daily budget of {budget.name} is used up")
        self.budget = budget


class MessageBudgets:
    """The budgets of the messages to telephone numbers. The settings are read each time: some of them change while the
    process runs.

    Args:
        settings: prefixes and limits.
        durable: counters in the database.
    """

    def __init__(self, settings: Settings, durable: Counts) -> None:
        self._settings, self._durable = settings, durable

    @property
    def _prefixes(self) -> dict[str, int]:
        return dict(prefix_and_maximum(entry) for entry in self._settings.phone_prefixes)

    async def take(self, channel: str, number: str) -> Reservation:
        """Count one message. Call this outside any transaction, before the message is sent.

        Raises:
            PrefixRefused: when nothing is sent to such a number.
            BudgetUsedUp: when a budget is used up.
        """
        budgets = self._budgets(channel, number)
        try:
            return await self._durable.take([budget.rule for budget in budgets])
        except TooManyFailures:
            raise BudgetUsedUp(await self._fullest(budgets)) from None

    async def alarms(self, channel: str, number: str) -> list[BudgetUse]:
        """Return the budgets of which so much is used that administrators must know, each once a day."""
        alarms = []
        for budget in self._budgets(channel, number):
            use = BudgetUse(budget, await self._durable.count(budget.rule.key))
            if use.percent >= self._settings.phone_budget_alarm and await self._first_today("messages-alarm", budget):
                alarms.append(use)
        return alarms

    async def is_first_refusal(self, budget: Budget) -> bool:
        """Tell whether a budget that is used up refuses for the first time today."""
        return await self._first_today("messages-refused", budget)

    async def uses(self) -> list[BudgetUse]:
        budgets = [budget for channel in self._settings.phone_channels for budget in self._all_of(channel)]
        return [BudgetUse(budget, await self._durable.count(budget.rule.key)) for budget in budgets]

    async def _first_today(self, what: str, budget: Budget) -> bool:
        try:
            await self._durable.take([Rule(key_of(what, budget.channel, budget.prefix), 1, DAY)])
        except TooManyFailures:
            return False
        return True

    async def _fullest(self, budgets: Sequence[Budget]) -> Budget:
        uses = [BudgetUse(budget, await self._durable.count(budget.rule.key)) for budget in budgets]
        return max(uses, key=lambda use: use.percent).budget

    def _budgets(self, channel: str, number: str) -> list[Budget]:
        """Return the budgets of a message: the total, and that of the longest listed prefix, if it has one."""
        matching = [prefix for prefix in self._prefixes if number.startswith(prefix)]
        if not matching:
            raise PrefixRefused("no messages are sent to numbers with this prefix (SSO_PHONE_PREFIXES)")
        prefix = max(matching, key=len)
        return [budget for budget in self._all_of(channel) if budget.prefix in ("", prefix)]

    def _all_of(self, channel: str) -> list[Budget]:
        limited = [Budget(channel, prefix, maximum) for prefix, maximum in self._prefixes.items() if maximum]
        per_day = {"sms": self._settings.sms_per_day, "whatsapp": self._settings.whatsapp_per_day}
        return [Budget(channel, "", per_day[channel]), *limited]


def prefix_and_maximum(entry: str) -> tuple[str, int]:
    """Return the prefix and the daily limit (0: none) of an entry of ``SSO_PHONE_PREFIXES``."""
    prefix, _, maximum = entry.partition("=")
    return prefix, int(maximum or 0)


def is_served(prefixes: Sequence[str], number: str) -> bool:
    """Tell whether messages are sent to a number in E.164."""
    return any(number.startswith(prefix_and_maximum(entry)[0]) for entry in prefixes)
