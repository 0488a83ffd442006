"""``sso doctor``: what is ready in this installation, what is not, and what to do about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sso.cli.common import Json, print_json
from sso.platform.messages import N_, _

if TYPE_CHECKING:
    from sso.setup.findings import Finding

SIGNS = {"good": N_("ok"), "warning": N_("warning"), "bad": N_("BAD")}


def doctor(json: Json = False) -> None:
    """Check the installation and say what needs attention.

    Looks at settings, database, keys, applications, administrators, deliveries, backups and audit log, and changes
    nothing. Run it after a set-up, after an upgrade, or on a restored backup. Exit code 1: something is bad.
    """
    from sso.settings import load_settings
    from sso.setup.examination import examine
    from sso.setup.findings import finding_view

    settings = load_settings()
    findings = asyncio.run(examine(settings))
    if json:
        print_json([finding_view(finding) for finding in findings])
    else:
        for finding in findings:
            remedy = f" [{remedy_of(finding, settings.issuer)}]" if finding.state != "good" else ""
            print(f"{_(SIGNS[finding.state]):<10} {finding.title(_)}: {finding.translated(_)}{remedy}")
    if any(finding.state == "bad" for finding in findings):
        raise SystemExit(1)


def remedy_of(finding: Finding, issuer: str) -> str:
    """Return what mends a finding: the command, else the line for the environment, else the page of the console."""
    return finding.command or finding.setting or f"{issuer}{finding.page}"
