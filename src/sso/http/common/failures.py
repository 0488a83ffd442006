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
_TELL = N_("This is a mistake in the application, not yours. Please tell the people who run the application.")

FAILURES = {
    "no_client": Failure(N_("The application did not say who it is"), _TELL),
    "unknown_client": Failure(N_("We do not know this application"), _TELL),
    "disabled_client": Failure(
        N_("This application is switched off for now"),
        N_("The city has suspended this application. Please try again later, or ask for help."),
    ),
    "repeated": Failure(N_("The application asked in a wrong way"), _TELL),
    "no_redirect_uri": Failure(N_("The application did not say where to return to"), _TELL),
    "unregistered_redirect_uri": Failure(
        N_("The application asks us to send you to an address that we do not know"),
        N_("To protect you, we do not go there. Please tell the people who run the application."),
    ),
    "bad_request_object": Failure(N_("The application asked in a wrong way"), _TELL),
    "bad_logout_hint": Failure(
        N_("The application asked for signing out in a wrong way"),
        N_("You are still signed in. You can sign out on our start page."),
    ),
    "unregistered_logout_uri": Failure(
        N_("The application asks us to send you to an address that we do not know"),
        N_("You are still signed in. You can sign out on our start page."),
    ),
    "expired_interaction": Failure(N_("This page is no longer valid"), _RESTART),
    "no_cookies": Failure(
        N_("Your browser does not keep our cookies"),
        N_("Allow cookies for this address, then go back to the application and sign in again."),
    ),
    "stale_form": Failure(N_("This page was open for too long"), N_("Go back, reload the page and try again.")),
    "more_than_yours": Failure(
        N_("You do not have all permissions of this application"),
        N_(
            "The application has administration permissions or restricted data. Only somebody who has all of these "
            "permissions can change the application, its secrets or its team. Ask a full administrator."
        ),
    ),
    "no_permission": Failure(
        N_("This is not for you to see"),
        N_("Your account has no permission for it. If you need it, ask an administrator."),
        "access_denied",
    ),
    "check_only": Failure(
        N_("This address plays a dishonest provider"),
        N_("Only the relying-party check comes here. To sign in with it, the application must use the real issuer."),
    ),
    "not_found": Failure(N_("There is nothing at this address"), N_("Check the address, or begin on our start page.")),
    "wrong_method": Failure(N_("This address cannot be used like this"), N_("Begin on our start page.")),
    "too_large": Failure(N_("What was sent is too large"), N_("Go back and send less.")),
    "too_slow": Failure(
        N_("What you sent took too long to arrive"), N_("Check your connection, then go back and try again.")
    ),
    "unreadable": Failure(N_("What was sent cannot be read"), _RESTART),
    "too_many": Failure(
        N_("Too many requests"),
        N_("Please try again in %(minutes)d minutes. If you cannot wait, contact the helpdesk."),
        "temporarily_unavailable",
    ),
    "bad_text": Failure(
        N_("Your request contains characters that this service does not accept"),
        N_(
            "Go back and type the text again instead of pasting it: the text has control characters or invisible "
            "characters."
        ),
    ),
    "unavailable": Failure(
        N_("We cannot help you just now"),
        N_("Something that we depend on is away. Nothing is lost: please try again in a moment."),
        "temporarily_unavailable",
        5,
    ),
    "broken": Failure(
        N_("Something went wrong on our side"),
        N_("Please try again. If it happens again, tell us the reference below."),
        "server_error",
    ),
}


OF_AN_APPLICATION = ("expired_interaction", "no_cookies", "stale_form", "too_many", "unavailable", "broken")
"""The failures of pages that may have been of an application, which is named then."""
