"""What can go wrong, in words: what happened, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from sso.http.common.i18n import N_


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure in words: what happened, and what to do."""

    title: str
    text: str
    error: str = "invalid_request"
    retry_after: int = 0


_RESTART = N_("Go back to the application and sign in again from there.")
_TELL = N_("The application has an error; you did nothing wrong. Please report it to the operator of the application.")

FAILURES = {
    "no_client": Failure(N_("The request does not name an application"), _TELL),
    "unknown_client": Failure(N_("This application is not registered"), _TELL),
    "disabled_client": Failure(
        N_("This application is disabled"),
        N_("The city has disabled this application for now. Try again later, or contact the helpdesk."),
    ),
    "repeated": Failure(N_("The request of the application is not valid"), _TELL),
    "no_redirect_uri": Failure(N_("The request does not name a redirect URI"), _TELL),
    "unregistered_redirect_uri": Failure(
        N_("The redirect URI of this application is not registered"),
        N_(
            "For your security, we do not send you to that address. Please report the error to the operator of the "
            "application."
        ),
    ),
    "unregistered_service": Failure(
        N_("The service URL of this application is not registered"),
        N_(
            "For your security, we do not send you to that address. Open the application from its start page. If the "
            "error occurs again, please report it to the operator of the application."
        ),
    ),
    "ambiguous_service": Failure(N_("Several applications have registered this service URL"), _TELL),
    "bad_service_request": Failure(N_("The request of the application is not valid"), _TELL),
    "other_protocol": Failure(N_("This application signs users in with another protocol"), _TELL),
    "not_let_in": Failure(
        N_("You are not signed in to the application"),
        N_("Nothing was sent to the application. To try again, go back to the application."),
        "access_denied",
    ),
    "bad_request_object": Failure(N_("The request of the application is not valid"), _TELL),
    "bad_logout_hint": Failure(
        N_("The sign-out request of the application is not valid"),
        N_("You are still signed in. You can sign out on the start page."),
    ),
    "unregistered_logout_uri": Failure(
        N_("The redirect URI of this application is not registered"),
        N_("You are still signed in. You can sign out on the start page."),
    ),
    "expired_interaction": Failure(N_("This page has expired"), _RESTART),
    "no_cookies": Failure(
        N_("Your browser blocks cookies"),
        N_("Allow cookies for this address, then go back to the application and sign in again."),
    ),
    "stale_form": Failure(N_("This page has expired"), N_("Go back, reload the page and try again.")),
    "more_than_yours": Failure(
        N_("You do not have all permissions of this application"),
        N_(
            "The application has administration permissions or restricted data. To change the application, its secrets "
            "or its team, you need all of these permissions. Ask a full administrator."
        ),
    ),
    "no_permission": Failure(
        N_("You do not have access to this page"),
        N_("Your account lacks the required permission. If you need access, ask an administrator."),
        "access_denied",
    ),
    "check_only": Failure(
        N_("This address simulates an attack for the relying-party check"),
        N_("Only the relying-party check uses this address. For a real sign-in, configure the real issuer."),
    ),
    "not_found": Failure(N_("Page not found"), N_("Check the address, or go to the start page.")),
    "wrong_method": Failure(N_("This address does not support this method"), N_("Go to the start page.")),
    "too_large": Failure(N_("Request too large"), N_("Go back and send less text or a smaller file.")),
    "too_slow": Failure(N_("Connection too slow"), N_("Check your connection, then go back and try again.")),
    "unreadable": Failure(N_("The request cannot be read"), _RESTART),
    "too_many": Failure(
        N_("Too many requests"),
        N_("Please try again in %(minutes)d minutes. If you cannot wait, contact the helpdesk."),
        "temporarily_unavailable",
    ),
    "bad_text": Failure(
        N_("The text contains characters that are not allowed"),
        N_("Go back and type the text instead of pasting it. Control characters and invisible characters are refused."),
    ),
    "unavailable": Failure(
        N_("The service is temporarily unavailable"),
        N_("A service we depend on is unavailable. No data was lost. Please try again in a moment."),
        "temporarily_unavailable",
        5,
    ),
    "broken": Failure(
        N_("An error occurred on our side"),
        N_("Please try again. If the error occurs again, contact the helpdesk and name the reference below."),
        "server_error",
    ),
}


OF_AN_APPLICATION = (
    "not_let_in",
    "expired_interaction",
    "no_cookies",
    "stale_form",
    "too_many",
    "unavailable",
    "broken",
)
"""The failures of pages that may have been of an application, which is named then."""
