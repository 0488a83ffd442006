"""SMS and WhatsApp on the pages on which a code is typed."""

from __future__ import annotations

from sso.platform.outbox import PHONE_CHANNELS
from sso.settings import Settings


def channel_texts(settings: Settings, kind: str, chosen: str | None) -> dict[str, str]:
    """Return what ``channels.html`` shows: the channel over which a code goes, and the other one.

    Args:
        settings: the channels that are set up.
        kind: the kind of the contact, ``email`` or ``phone``.
        chosen: the channel that the user has chosen; None or empty: none.
    """
    able = settings.phone_channels if kind == "phone" else []
    channel = chosen if chosen in able else able[0] if able else ""
    return {"channel": channel, "other_channel": next((name for name in able if name != channel), "")}


def chosen_channel(choice: str) -> str:
    """Return the channel that the button ``resend sms`` or ``resend whatsapp`` names; empty: none."""
    act, _, channel = choice.partition(" ")
    return channel if act == "resend" and channel in PHONE_CHANNELS else ""


def is_resend(choice: str) -> bool:
    """Tell whether a button asks for another code."""
    return choice.partition(" ")[0] == "resend"
