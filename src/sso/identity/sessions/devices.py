"""What a device is, in words that a person recognises, from what its browser says of itself (ua-parser)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_USER_AGENT_CHARS = 400
"""How much of what a browser says of itself is kept and read."""
_PLAIN = re.compile(r"(?!.*\.[A-Za-z]{2})[A-Za-z0-9 ._+(),-]{1,40}")
"""What is shown of it. The text is whoever's who sends the request, and it stands in mails: no links."""


@dataclass(frozen=True, slots=True)
class Device:
    """A browser and what it runs on; empty where it does not say."""

    browser: str
    system: str
    model: str

    @property
    def text(self) -> str:
        """The device in a few words: ``Chrome 131, Android 14, Samsung SM-A057F``."""
        return ", ".join(part for part in (self.browser, self.system, self.model) if part)


@lru_cache(1000)
def device_of(user_agent: str) -> Device:
    """Return the device that sent a User-Agent header. Looked up when it is shown, not when somebody signs in."""
    from ua_parser import parse  # its patterns are read only where a device is shown

    found = parse(user_agent[:MAX_USER_AGENT_CHARS]) if user_agent else None
    if found is None:
        return Device("", "", "")
    browser, system, device = found.user_agent, found.os, found.device
    return Device(
        _named(browser.family, browser.major) if browser else "",
        _named(system.family, system.major) if system else "",
        _model(device.brand, device.model) if device else "",
    )


def _named(family: str, major: str | None) -> str:
    return _plain(f"{family} {major}" if major else family)


def _model(brand: str | None, model: str | None) -> str:
    if not model or model in ("K", "Smartphone", "Desktop"):  # what browsers say so as to say nothing
        return ""
    known = brand is not None and brand.lower() not in model.lower() and not brand.startswith("Generic")
    return _plain(f"{brand} {model}" if known else model)


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else ""
