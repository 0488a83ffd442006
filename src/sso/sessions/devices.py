"""What a device is, in words that a person recognises, from what its browser says of itself (ua-parser)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


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

    found = parse(user_agent) if user_agent else None
    if found is None:
        return Device("", "", "")
    browser, system, device = found.user_agent, found.os, found.device
    return Device(
        _named(browser.family, browser.major) if browser else "",
        _named(system.family, system.major) if system else "",
        _model(device.brand, device.model) if device else "",
    )


def _named(family: str, major: str | None) -> str:
    return f"{family} {major}" if major else family


def _model(brand: str | None, model: str | None) -> str:
    if not model or model in ("K", "Smartphone", "Desktop"):  # what browsers say so as to say nothing
        return ""
    return model if not brand or brand.lower() in model.lower() or brand == "Generic" else f"{brand} {model}"
