"""What pages call deliveries: their kinds, states, channels, and why one failed."""

from __future__ import annotations

import re
from collections.abc import Callable

from sso.http.common.i18n import N_
from sso.platform.outbox.models import MAIL, SMS

STATUS = {
    "pending": N_("waiting"),
    "done": N_("delivered"),
    "given_up": N_("failed"),
    "held": N_("kept until the receiver fetches it"),
    "skipped": N_("not sent"),
}
KINDS = {
    "backchannel_logout": N_("Back-channel logout"),
    "ssf_push": N_("Security event (push)"),
    "ssf_poll": N_("Security event (poll)"),
    "webhook": N_("Webhook"),
    "application_webhook": N_("Webhook of an application"),
    "notice": N_("Notice to a user"),
    "message": N_("Code or message to a contact"),
}
CHANNELS = {MAIL: N_("E-mail"), SMS: N_("SMS"), "whatsapp": N_("WhatsApp")}
RECEIPTS = {
    "accepted": N_("accepted, no receipt yet"),
    "sent": N_("sent, not delivered yet"),
    "failed": N_("not delivered"),
    "delivered": N_("delivered"),
    "read": N_("read"),
}
"""What WhatsApp says about a message."""
_REASONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"there is no SMS gateway.*", re.S), N_("No SMS gateway is set up.")),
    (re.compile(r"the SMS gateway refuses: (?P<code>.*)", re.S), N_("The SMS gateway refused the message (%(code)s).")),
    (re.compile(r"there is no mail server.*", re.S), N_("No mail server is set up.")),
    (
        re.compile(r"the mail server refuses the address: (?P<code>.*)", re.S),
        N_("The mail server refused the address (%(code)s)."),
    ),
    (re.compile(r"the mail server refuses: (?P<code>.*)", re.S), N_("The mail server refused the e-mail: %(code)s")),
    (re.compile(r"the (mail|message) cannot be written: .*", re.S), N_("The message could not be written.")),
    (
        re.compile(r"this release does not know the notice .*", re.S),
        N_("This version of the service does not know the message."),
    ),
    (
        re.compile(r"the person has no address that was verified", re.S),
        N_("The user has no verified e-mail address or phone number."),
    ),
    (re.compile(r"the person does not want to be told", re.S), N_("The user disabled this notice.")),
    (re.compile(r"it is of no use any more", re.S), N_("The code expired before the message could be sent.")),
    (re.compile(r"it was never fetched", re.S), N_("The receiver never fetched the event.")),
    (
        re.compile(r"the webhook was removed or disabled", re.S),
        N_("The webhook was removed or disabled."),
    ),
    (re.compile(r"it answered 410: .*", re.S), N_("The receiver answered 410. The webhook was disabled.")),
    (
        re.compile(r"the application is gone, or no longer asks to be told", re.S),
        N_("The application no longer accepts notices."),
    ),
    (re.compile(r"the stream is gone, or disabled", re.S), N_("The event stream was removed or disabled.")),
    (re.compile(r"the application refused it: (?P<code>.*)", re.S), N_("The application refused the event: %(code)s")),
    (
        re.compile(r"(\w+: )?(the application |it )?answered (?P<status>\d+)", re.S),
        N_("The receiver answered with the status %(status)s."),
    ),
    (re.compile(r"(?P<host>\S+) is at what is not a public address", re.S), N_("%(host)s is not at a public address.")),
    (re.compile(r"(?P<host>\S+) (is not known|has no address)", re.S), N_("The address %(host)s is not known.")),
    (re.compile(r".*([Tt]ime(d )?out|timeout|Timeout).*", re.S), N_("The receiver did not answer in time.")),
    (re.compile(r".*(refused|Connect|connect).*", re.S), N_("The receiver could not be reached.")),
)


def reason_text(error: str | None, words: Callable[[str], str]) -> str:
    """Return why a delivery failed, in the language of the page; what no pattern recognises as it is stored."""
    if not error:
        return ""
    for pattern, text in _REASONS:
        match = pattern.fullmatch(error)
        if match is not None:
            return words(text) % {name: value or "" for name, value in match.groupdict().items()}
    return error


def retries(status: str, kind: str, attempts: int) -> bool:
    """Tell whether administrators can send a delivery again."""
    return status in ("given_up", "pending") and bool(attempts) and kind != "ssf_poll"
