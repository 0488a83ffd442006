"""The last sign-in check of an application, as administrators see it before they decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sso.clients.models import Application, RelyingPartyCheck
from sso.http.common.i18n import N_
from sso.portal.approval import CHECKED_KINDS
from sso.portal.rp_check.results import findings_of, passed, passes_now
from sso.settings import Settings


@dataclass(frozen=True, slots=True)
class CheckView:
    """The last sign-in check as the page shows it.

    Args:
        state: ``none``, ``running``, ``passed``, ``failed`` or ``outdated``: passed, but for another revision.
        at: when it finished.
        revision: the revision that was checked.
        present: the present revision.
        failed: the cases that failed, with their outcomes.
        required: whether an approval needs the check.
    """

    state: str
    at: datetime | None
    revision: int
    present: int
    failed: tuple[tuple[str, str], ...]
    required: bool


def check_view(
    application: Application | None, check: RelyingPartyCheck | None, settings: Settings
) -> CheckView | None:
    """Return the last sign-in check; None: the application has no team, or is of a kind that is not checked."""
    if application is None or application.kind not in CHECKED_KINDS:
        return None
    required = settings.relying_party_check == "required"
    if check is None:
        return CheckView("none", None, 0, application.revision, (), required)
    state = "running" if check.status == "running" else "failed"
    if passed(check):
        state = "passed" if passes_now(check, application) else "outdated"
    right = {"passed", "refused", "not_applicable"}
    failed = tuple(
        (finding["case"], finding["outcome"]) for finding in findings_of(check) if finding["outcome"] not in right
    )
    return CheckView(state, check.finished_at, check.revision, application.revision, failed, required)


CHECK_STATES = {
    "none": N_("The application has not been checked."),
    "running": N_("The check is running."),
    "passed": N_("The application passed the check, and nothing that was checked has changed since."),
    "failed": N_("The application did not pass the check."),
    "outdated": N_("The application passed the check, but its settings have changed since."),
}
"""What the page says of the last sign-in check."""
