"""The browser, system and device model that a User-Agent header names (ua-parser)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_USER_AGENT_CHARS = 400
"""How much of a User-Agent header is stored and parsed."""
_PLAIN = re.compile(r"(?!.*\.[A-Za-z]{2})[A-Za-z0-9 ._+(),-]{1,40}")
"""Names that are shown. The sender of the request chooses the text, and mails show it: links are not allowed."""


@dataclass(frozen=True, slots=True)
class Device:
    """A browser and the device that it runs on; unknown parts are empty."""

    browser: str
    system: str
    model: str

    @property
    def text(self) -> str:
        """The device in a few words: ``Chrome 131, Android 14, Samsung SM-A057F``."""
        return ", ".join(part for part in (self.browser, self.system, self.model) if part)


@lru_cache(1000)
def device_of(user_agent: str) -> Device:
    """Return the device that a User-Agent header names. Pages call this; a sign-in stores the header as it is."""
    from ua_parser import parse  # loading its patterns is slow

    parsed = parse(user_agent[:MAX_USER_AGENT_CHARS]) if user_agent else None
    if parsed is None:
        return Device("", "", "")
    browser, system, device = parsed.user_agent, parsed.os, parsed.device
    return Device(
        _named(browser.family, browser.major) if browser else "",
        _named(system.family, system.major) if system else "",
        _model(device.brand, device.model) if device else "",
    )


def _named(family: str, major: str | None) -> str:
    return _plain(f"{family} {major}" if major else family)


def _model(brand: str | None, model: str | None) -> str:
    if not model or model in ("K", "Smartphone", "Desktop"):  # placeholders that browsers send instead of the model
        return ""
    known = brand is not None and brand.lower() not in model.lower() and not brand.startswith("Generic")
    return _plain(f"{brand} {model}" if known else model)


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else ""
