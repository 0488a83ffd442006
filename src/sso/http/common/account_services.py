"""The services of this process that use cases about accounts need."""

from __future__ import annotations

from starlette.requests import Request

from sso.accounts.services import AccountServices
from sso.http.common.state import site_of


def account_services(request: Request) -> AccountServices:
    """Return the services that use cases about accounts need."""
    return site_of(request).accounts
