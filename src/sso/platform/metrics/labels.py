"""The values that the labels of the metrics can have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

OTHER = "other"
_FLOWS = {
    "token": "token",
    "userinfo": "userinfo",
    "introspect": "introspection",
    "revoke": "revocation",
    "par": "pushed_request",
    "device_authorization": "device",
    "device": "device",
    ".well-known": "discovery",
    "jwks": "jwks",
    "register": "client_registration",
    "ssf": "security_events",
    "authorize": "authorize",
    "cas": "cas",
    "login": "sign_in",
    "select": "sign_in",
    "accounts": "sign_in",
    "consent": "consent",
    "identity": "sign_in",
    "more-data": "sign_in",
    "signup": "sign_up",
    "welcome": "sign_up",
    "invitation": "sign_up",
    "recover": "recovery",
    "recovery-codes": "recovery",
    "setup": "admin",
    "not-me": "recovery",
    "logout": "logout",
    "account": "account",
    "apps": "account",
    "developer": "developer",
    "check": "developer",
    "admin": "admin",
    "api": "api",
    "healthz": "health",
    "readyz": "health",
    "metrics": "health",
    "receipts": "receipts",
    "gate": "gate",
    ".sso": "gate",
}
FLOWS = frozenset({*_FLOWS.values(), OTHER})
OUTCOMES = ("ok", "refused", "limited", "unavailable", "failed")
CHANNELS = ("sms", "whatsapp")
MESSAGE_OUTCOMES = (
    "accepted", "sent", "delivered", "read", "failed", "refused", "budget", "prefix", "alarm", "forged",
)  # fmt: skip
"""What happens to a message to a telephone number: taken by the provider, confirmed by it, or not sent."""
MESSAGES = frozenset(f"{channel}:{outcome}" for channel in CHANNELS for outcome in MESSAGE_OUTCOMES)
SIGN_IN_FAILURES = frozenset({"password", "too_many", "totp", "passkey", "recovery_code", "email", "phone", OTHER})
ERRORS = frozenset(
    {
        "access_denied",
        "account_selection_required",
        "consent_required",
        "expired_token",
        "interaction_required",
        "invalid_authorization_details",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_request_object",
        "invalid_request_uri",
        "invalid_scope",
        "invalid_target",
        "login_required",
        "redirect_uri",
        "registration_not_supported",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unmet_authentication_requirements",
        "unsupported_grant_type",
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, slots=True)
class Known:
    """Values of labels that other packages define.

    Args:
        kinds: the kinds of deliveries.
        grant_types: the grant types.
    """

    kinds: frozenset[str]
    grant_types: frozenset[str]


@cache
def flow_of(path: str) -> str:
    """Return the flow that a route belongs to. ``path`` is the path of a route, of which there are few."""
    return _FLOWS.get(path.split("/")[1] if path.startswith("/") else "", OTHER)


def outcome_of(status: int) -> str:
    """Return the outcome that an HTTP status stands for. No answer, because the client went away, is ``refused``."""
    if status == 429:
        return "limited"
    if status == 503:
        return "unavailable"
    if status >= 500:
        return "failed"
    return "refused" if status >= 400 or status == 0 else "ok"
