"""What a page shows on which an authenticator app is set up."""

from __future__ import annotations

from sso.http.common import qr
from sso.http.sign_in.page_request import PageRequest
from sso.identity.authn import factors


def app_enrolment(page: PageRequest, seed: str, name: str) -> dict[str, str]:
    """Return the key of the app in groups of four, its link, and the QR code.

    Args:
        page: the request.
        seed: the seed of the app; empty: it is used up.
        name: what the app calls the account.
    """
    uri = factors.totp_uri(page.services.settings, seed, name) if seed else ""
    return {"seed": " ".join(seed[at : at + 4] for at in range(0, len(seed), 4)), "qr": qr.as_image(uri), "uri": uri}
