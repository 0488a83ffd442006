"""The services of this process that use cases about accounts need."""

from __future__ import annotations

from starlette.requests import Request

from sso.accounts.services import AccountServices
from sso.http.common.state import site_of


def account_services(request: Request) -> AccountServices:
    """Return the services that use cases about accounts need."""
    site = site_of(request)
    return AccountServices(
        provider=site.provider,
        passwords=site.passwords,
        attempts=site.limits.attempts,
        messages=site.limits.messages,
        new_flows=site.limits.sign_ups,
        contact_codes=site.limits.contact_codes,
    )
