"""The result of a relying-party check: what became of each case, and whether the application passed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict, cast

from sso.clients.models import Application, RelyingPartyCheck
from sso.portal.applications import checked_digest
from sso.portal.rp_check.fake_provider import WRONG, Case

Outcome = Literal["refused", "accepted", "passed", "failed", "not_applicable", "unclear"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one case. ``refused`` is right for every case except ``honest``, for which ``passed`` is.

    ``detail`` says more: a name of one of the texts of the page, or what failed.
    """

    case: Case
    outcome: Outcome
    detail: str = ""


class StoredFinding(TypedDict):
    case: str
    outcome: str
    detail: str


def findings_of(check: RelyingPartyCheck | None) -> list[StoredFinding]:
    """Return the findings of a check, as far as it is; none where there is no check."""
    return cast(list[StoredFinding], check.results.get("findings", [])) if check is not None else []


def passed(check: RelyingPartyCheck | None) -> bool:
    """Tell whether an application passed: every correct sign-in succeeded, and every wrong one was refused."""
    if check is None or check.status != "done":
        return False
    outcomes = {finding["case"]: finding["outcome"] for finding in findings_of(check)}
    honest = (outcomes.pop("honest", ""), outcomes.pop("honest_again", ""))
    wrong = set(outcomes) == set(WRONG) and set(outcomes.values()) <= {"refused", "not_applicable"}
    return honest == ("passed", "passed") and wrong


def passes_now(check: RelyingPartyCheck | None, application: Application) -> bool:
    """Tell whether an application passed, and nothing that was checked has changed since."""
    return passed(check) and check is not None and check.digest == checked_digest(application)
