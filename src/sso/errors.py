"""The base of every failure whose message is for the person who asked."""

from __future__ import annotations


class Refusal(Exception):
    """What was asked for cannot be done. The message says why, in one line; ``mistakes`` where there are several."""

    @property
    def mistakes(self) -> list[str]:
        """One line for each reason."""
        return [str(self)]


class NoPassword(ValueError):
    """The password field of an imported account holds a mark that says: no password opens this account.

    The account is taken over without a password. The message says what the mark was.
    """
