"""``sso doctor``: what is ready in this installation, what is not, and what to do about it."""

from __future__ import annotations

import asyncio

from sso.cli.common import Json, print_json
from sso.messages import N_, _

SIGNS = {"good": N_("ok"), "warning": N_("warning"), "bad": N_("BAD")}


def doctor(json: Json = False) -> None:
    """Check the installation and say what needs attention.

    Looks at settings, database, keys, applications, administrators, deliveries, backups and audit log, and changes
    nothing. Run it after a set-up, after an upgrade, or on a restored backup. Exit code 1: something is bad.
    """
    from sso.settings import load_settings
    from sso.setup.examination import examine
    from sso.setup.findings import shown

    findings = asyncio.run(examine(load_settings()))
    if json:
        print_json([shown(finding) for finding in findings])
    else:
        for finding in findings:
            command = f" [{finding.command}]" if finding.state != "good" and finding.command else ""
            print(f"{_(SIGNS[finding.state]):<10} {finding.title(_)}: {finding.translated(_)}{command}")
    if any(finding.state == "bad" for finding in findings):
        raise SystemExit(1)
