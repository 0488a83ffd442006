"""The checklist: what is ready and what is not, for the dashboard and the setup page (``readiness.html``)."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from sso.http.common.i18n import translations
from sso.http.common.pages import locale_of
from sso.http.common.state import site_of
from sso.http.console.access import Here
from sso.setup.examination import readiness
from sso.setup.findings import STATES, State


@dataclass(frozen=True, slots=True)
class CheckView:
    """A check on a page, in the language of the page.

    Args:
        about: the name of the check.
        title: what is checked.
        text: what was found.
        state: ``good``, ``warning`` or ``bad``.
        state_text: the state in words.
        page: the page that mends it; empty: there is none, or the user may not open it.
        command: the command that mends it; empty: there is none.
        setting: the line for the environment that mends it; empty: there is none.
    """

    about: str
    title: str
    text: str
    state: State
    state_text: str
    page: str
    command: str
    setting: str


def _sentence(text: str) -> str:
    """Return a text with a capital letter, where it does not begin with a name of a command or an address."""
    return text if text.startswith(("http", "sso ")) else text[:1].upper() + text[1:]


async def checklist(request: Request, here: Here) -> list[CheckView]:
    """Return every check, the most urgent first. It asks the database some short questions; it is for pages that
    administrators open now and then."""
    translate = translations(locale_of(request)).gettext
    return [
        CheckView(
            about=finding.about,
            title=finding.title(translate),
            text=_sentence(finding.translated(translate)),
            state=finding.state,
            state_text=translate(STATES[finding.state]),
            page=here.opens(finding.page) if finding.page else "",
            command=finding.command,
            setting=finding.setting,
        )
        for finding in await readiness(site_of(request).provider)
    ]
