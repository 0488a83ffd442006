"""Where the portal tries the sandboxes of applications."""

from __future__ import annotations

from sso.settings import Settings

TRY_PATH = "/developer/try"


def own_redirect_uri(settings: Settings) -> str:
    """Return our own redirect URI of every sandbox: where the portal tries an application."""
    return settings.issuer + TRY_PATH
