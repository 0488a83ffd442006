"""What a person chose on the sign-in page."""

from __future__ import annotations

from dataclasses import dataclass

from sso.accounts.sign_in.destination import Destination


@dataclass(frozen=True, slots=True)
class SignInOptions:
    """What was chosen on the sign-in page, and where it leads. A pending flow stores it.

    Args:
        i: the token of the authorization request; empty: there is none.
        remember: the person asks that this device be remembered.
        add: the account is added to those of this browser.
        then: a page of ours.
        user_code: the code of a device (RFC 8628).
        is_new: this browser is new to the person, and the person has signed in elsewhere before.
    """

    i: str = ""
    remember: bool = False
    add: bool = False
    then: str = ""
    user_code: str = ""
    is_new: bool = False

    @property
    def destination(self) -> Destination:
        """Where the sign-in leads when no application asked for it."""
        return Destination(i=self.i, then=self.then, user_code=self.user_code)
