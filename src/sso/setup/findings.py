"""What a check of the installation says: in both languages, with the page, the command or the setting that mends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from sso.platform.messages import N_

State = Literal["good", "warning", "bad"]
STATES: dict[State, str] = {"good": N_("ready"), "warning": N_("check"), "bad": N_("not ready")}
"""What each state is called."""
ORDER: tuple[State, ...] = ("bad", "warning", "good")
Translate = Callable[[str], str]

TITLES: dict[str, str] = {
    "settings": N_("Address and proxies"),
    "stored settings": N_("Settings in the database"),
    "secret key": N_("Secret key"),
    "disk": N_("Disk space"),
    "countries": N_("Countries of IP addresses"),
    "database": N_("Database"),
    "clock": N_("Clock"),
    "standby": N_("Standby databases"),
    "schema": N_("Database schema"),
    "keys": N_("Signing keys"),
    "applications": N_("Applications"),
    "logout": N_("Logout of applications"),
    "privileges": N_("Permissions of applications"),
    "subjects": N_("User identifiers of applications"),
    "unit codes": N_("Codes of units that applications name"),
    "people": N_("Administrators"),
    "deliveries": N_("Deliveries"),
    "receivers": N_("Receivers that fail"),
    "mail": N_("E-mail"),
    "messages": N_("SMS and WhatsApp"),
    "limits": N_("Rate limits"),
    "webhooks": N_("Webhooks"),
    "jobs": N_("Background jobs"),
    "backups": N_("Backups"),
    "audit": N_("Audit log"),
}
"""The title of each check, by its name."""


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence with values. The text is a message of the catalogue; a value can be a sentence, or a list of them."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)

    def translated(self, translate: Translate) -> str:
        """Return the sentence in a language."""
        values = {name: _in_language(value, translate) for name, value in self.values.items()}
        return translate(self.text) % values if values else translate(self.text)


def _in_language(value: object, translate: Translate) -> object:
    match value:
        case Words():
            return value.translated(translate)
        case list():
            return "; ".join(str(_in_language(part, translate)) for part in value)
        case _:
            return value


def says(text: str, **values: object) -> Words:
    """Return a sentence. ``text`` is collected for the message catalogues."""
    return Words(text, values)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Args:
        about: the name of the check.
        state: whether it is ready.
        words: what was found, one sentence or more.
        page: the page of the console that mends it; empty: none.
        command: the command that mends it, or that shows what is wrong; empty: none.
        setting: the line for the environment that mends it, ``SSO_NAME=value``; empty: none.

    Whatever is not ready names at least one of the three.
    """

    about: str
    state: State
    words: tuple[Words, ...]
    page: str = ""
    command: str = ""
    setting: str = ""

    @property
    def text(self) -> str:
        """What was found, in English."""
        return self.translated(str)

    def translated(self, translate: Translate) -> str:
        """Return what was found, in a language."""
        return "; ".join(words.translated(translate) for words in self.words)

    def title(self, translate: Translate) -> str:
        """Return the title of the check, in a language."""
        return translate(TITLES[self.about])


class FindingView(TypedDict):
    """A finding as JSON."""

    about: str
    state: State
    text: str
    page: str
    command: str
    setting: str


def finding_view(finding: Finding, translate: Translate = str) -> FindingView:
    """Return a finding as JSON shows it."""
    return {
        "about": finding.about,
        "state": finding.state,
        "text": finding.translated(translate),
        "page": finding.page,
        "command": finding.command,
        "setting": finding.setting,
    }


def good(about: str, *words: Words, page: str = "", command: str = "", setting: str = "") -> Finding:
    """Return a finding that needs nothing."""
    return Finding(about, "good", words, page, command, setting)


def warning(about: str, *words: Words, page: str = "", command: str = "", setting: str = "") -> Finding:
    """Return a finding that somebody should look at."""
    return Finding(about, "warning", words, page, command, setting)


def bad(about: str, *words: Words, page: str = "", command: str = "", setting: str = "") -> Finding:
    """Return a finding that must be mended."""
    return Finding(about, "bad", words, page, command, setting)


def either(about: str, is_good: bool, *words: Words, page: str = "", command: str = "", setting: str = "") -> Finding:
    """Return a finding that is good, or else a warning."""
    return Finding(about, "good" if is_good else "warning", words, page, command, setting)


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Return findings with the most urgent first."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.state))
