"""How many codes are sent, to whom, and because of whom.

There are two kinds of limits. What the page says depends only on what was typed and on the network, so that it tells
nobody who has an account. What one contact receives in a day is limited besides; past that nothing is sent, and the
page says the same as before. Each purpose has counters of its own, and so has a browser that the person has used
before, or somebody who is signed in: strangers cannot use up the codes that somebody needs to sign in or to recover.
"""

from __future__ import annotations

from typing import Literal

from sso.platform.security.rate_limits import DAY, HOUR, Counts, Rule, TooManyFailures, key_of, network_of, of_source

CodePurpose = Literal["sign_up", "sign_in", "recover", "contact"]
STRANGERS_OF_TEN = 8
"""How many tenths of a day's SMS are for people who have proven nothing yet."""


class MessageLimits:
    """Limits of codes by mail and SMS.

    Args:
        per_hour: codes for one contact and purpose, asked for from one network, within an hour.
        per_day: codes that one contact receives for one purpose within a day.
        per_address: codes asked for from one address within an hour.
        sms_per_day: SMS with codes to everybody together within a day.
        counts: where they are counted.
    """

    def __init__(self, per_hour: int, per_day: int, per_address: int, sms_per_day: int, counts: Counts) -> None:
        self._per_hour, self._per_day = per_hour, max(per_hour, per_day)
        self._per_address, self._sms_per_day = per_address, sms_per_day
        self._counts = counts

    async def allow(
        self, purpose: CodePurpose, asked: str, contact: str, kind: str, address: str, own: str = ""
    ) -> bool:
        """Count one code. Do it outside any transaction.

        Args:
            purpose: what the code is for.
            asked: what the person typed, or their account where they have proven it: all that the answer may depend on.
            contact: where the code goes; nothing: nowhere.
            kind: email or phone.
            address: the network address of who asks.
            own: a browser that the person has used before, or the account that is signed in.

        Returns:
            Whether a code may be sent. Otherwise say that one was, and send none.

        Raises:
            TooManyFailures: when who asks has asked too often.
        """
        who = own or network_of(address)
        shown = [Rule(key_of("codes", purpose, asked, who), self._per_hour, HOUR)]
        if not own:
            shown += of_source("codes-from", address, self._per_address, HOUR)
        await self._counts.take(shown)
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
