"""What the flows of several pages have in common: why a step is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from sso.platform.security.message_limits import NoMessagesLeft, TooManyNumbers
from sso.platform.security.rate_limits import TooManyFailures


class Problem(StrEnum):
    """Why a step of a flow is refused: the page is shown again and says so."""

    NOT_A_CONTACT = "not_a_contact"
    NO_SMS = "no_sms"
    PREFIX_NOT_SERVED = "prefix_not_served"
    WRONG_CODE = "wrong_code"
    WRONG_FACTOR = "wrong_factor"
    WRONG_PASSWORD = "wrong_password"
    TOO_MANY_CODES = "too_many_codes"
    TOO_MANY_TRIES = "too_many_tries"
    NOT_SENT = "not_sent"
    NO_MESSAGES = "no_messages"
    TOO_MANY_NUMBERS = "too_many_numbers"
    TAKEN = "taken"
    PASSKEY_FAILED = "passkey_failed"
    NO_CREDENTIAL = "no_credential"
    TOO_MANY_CONTACTS = "too_many_contacts"
    INVALID_USERNAME = "invalid_username"
    INVALID_NIK = "invalid_nik"
    NIK_CHECKED = "nik_checked"
    LAST_CONTACT = "last_contact"
    LAST_CREDENTIAL = "last_credential"
    NEEDS_LONGER_PASSWORD = "needs_longer_password"


class FlowRefused(Exception):
    """A step is refused, and may be tried again.

    Args:
        problem: why.
        retry_after: after how many seconds; 0: at once.
        minutes: the same in minutes, where the page says so.
    """

    def __init__(self, problem: Problem, retry_after: int = 0, minutes: int = 0) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.retry_after = retry_after
        self.minutes = minutes


@contextmanager
def sending_refused() -> Iterator[None]:
    """Turn the limits of messages into what the page says.

    Raises:
        FlowRefused: when no message may be sent now.
    """
    try:
        yield
    except TooManyFailures as error:
        raise FlowRefused(Problem.NOT_SENT, error.retry_after) from None
    except NoMessagesLeft:
        raise FlowRefused(Problem.NO_MESSAGES) from None
    except TooManyNumbers:
        raise FlowRefused(Problem.TOO_MANY_NUMBERS) from None


class FlowEnded(Exception):
    """The pending flow has ended, or is another browser's."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a user wants to go who signs up or recovers an account.

    Args:
        stored: what the pending flow keeps of it.
        token_end: the end of the token of the flow, by which a page that is over names the application.
        sign_in_at: the address of the sign-in page, for a message to a contact that has an account.
    """

    stored: Mapping[str, str]
    token_end: str = ""
    sign_in_at: str = "/login"
