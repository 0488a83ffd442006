"""Limits on one-time codes by e-mail and SMS.

There are two kinds of limits. The visible limit depends only on the typed text and the network, so that the page does
not reveal whether an account exists. The hidden limit counts the codes that a contact receives within a day: beyond it
nothing is sent, and the page does not change. Each purpose has separate counters. A known browser and a signed-in user
have separate counters too, so that strangers cannot use up the codes that the user needs.
"""

from __future__ import annotations

from typing import Literal

from sso.platform.security.rate_limits import DAY, HOUR, Counts, Rule, TooManyFailures, key_of, network_of, of_source

CodePurpose = Literal["sign_up", "sign_in", "recover", "contact"]
STRANGERS_OF_TEN = 8
"""How many tenths of the daily SMS can go to users who have not authenticated."""


class MessageLimits:
    """Limits on one-time codes by e-mail and SMS.

    Args:
        per_hour: codes for one contact and purpose that one network requests within an hour.
        per_day: codes that one contact receives for one purpose within a day.
        per_address: codes that one IP address requests within an hour.
        sms_per_day: SMS with codes within a day in total.
        counts: the storage of the counters.
    """

    def __init__(self, per_hour: int, per_day: int, per_address: int, sms_per_day: int, counts: Counts) -> None:
        self._counts = counts
        self.limit(per_hour, per_day, per_address, sms_per_day)

    def limit(self, per_hour: int, per_day: int, per_address: int, sms_per_day: int) -> None:
        """Set the limits from now on."""
        self._per_hour, self._per_day = per_hour, max(per_hour, per_day)
        self._per_address, self._sms_per_day = per_address, sms_per_day

    async def allow(
        self, purpose: CodePurpose, asked: str, contact: str, kind: str, address: str, own: str = ""
    ) -> bool:
        """Count one code. Call this outside any transaction.

        Args:
            purpose: the purpose of the code.
            asked: the typed text, or the account of an authenticated user: the response may depend on nothing else.
            contact: the receiver of the code; empty if no code is sent.
            kind: email or phone.
            address: the IP address of the sender of the request.
            own: a known browser of the user, or the account that is signed in.

        Returns:
            Whether a code may be sent. Otherwise the page claims that a code was sent, and none is sent.

        Raises:
            TooManyFailures: when the visible limit is exceeded.
        """
        source = own or network_of(address)
        visible = [Rule(key_of("codes", purpose, asked, source), self._per_hour, HOUR)]
        if not own:
            visible += of_source("codes-from", address, self._per_address, HOUR)
        await self._counts.take(visible)
        if not contact:
            return False
        hidden = [Rule(key_of("codes-to", purpose, contact, own), self._per_day, DAY)]
        if kind == "phone":
            hidden.append(Rule(key_of("sms"), self._sms_per_day, DAY))
            if not own:
                maximum = max(1, self._sms_per_day * STRANGERS_OF_TEN // 10)
                hidden.append(Rule(key_of("sms-strangers"), maximum, DAY))
        try:
            await self._counts.take(hidden)
        except TooManyFailures:
            return False
        return True
