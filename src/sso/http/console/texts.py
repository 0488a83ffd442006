"""Texts that several pages of administrators and teams show."""

from __future__ import annotations

from sso.http.common.i18n import N_

NOTE_MISSING = N_("Write the reason. It is recorded in the audit log.")
CANNOT = N_("The action was not carried out. %(detail)s")
NOBODY = N_("No account has this verified identifier.")
