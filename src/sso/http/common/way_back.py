"""The way back to the application: where a page may lead somebody who cannot go on here.

Only to what the application has registered, and only while it is enabled. Which application a page that is stale was of
is read from the end of its token (``oidc/authorize/stored.py``), so that a bookmark or a browser without cookies has it
too; or from what it says of where somebody wants to go (``destination.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request

from sso.accounts.sign_in.destination import named_application
from sso.clients.metadata import ClientMetadata
from sso.clients.registry import Client
from sso.http.common.destination import read_destination
from sso.http.common.state import site_of
from sso.oidc.authorize.stored import client_of_token

TOKENS = ("i", "c")
"""The fields of addresses and forms that hold the token of a waiting request or of a pending flow."""


def application_of_page(request: Request, fields: Mapping[str, str]) -> Client | None:
    """Return the application whose page was asked for or sent; None where that cannot be known.

    Args:
        request: the request.
        fields: of the form that was sent.
    """
    provider = site_of(request).provider
    for name in TOKENS:
        for token in (request.query_params.get(name, ""), fields.get(name, "")):
            client = client_of_token(provider.box, provider.registry, token)
            if client is not None:
                return client
    for sent in (request.query_params, fields):
        client = named_application(provider.registry, read_destination(sent))
        if client is not None:
            return client
    return None


def way_back(client: Client | None, *, signing_in: bool) -> str:
    """Return where an application is opened; nothing where it is disabled, or has registered no address to open.
    Nothing for a sandbox: nobody has approved its name and addresses, and our pages lead nobody there.

    Args:
        client: the application.
        signing_in: somebody wants to sign in: where the application begins a sign-in comes first. Otherwise they have
            signed out, and its home page comes first.
    """
    if client is None or not client.enabled or client.sandbox:
        return ""
    meta = client.meta
    begins = f"/open/{client.client_id}" if meta.initiate_login_uri else ""
    after = meta.post_logout_redirect_uris[0] if meta.post_logout_redirect_uris else ""
    site = _site(meta)
    ways = (begins, meta.client_uri, site) if signing_in else (meta.client_uri, after, site, begins)
    return next((address for address in ways if address), "")


def _site(meta: ClientMetadata) -> str:
    """Return the root of the site of an application's redirect URIs; nothing for those of an installed program, which
    listens on the person's own machine only while it waits for an answer (RFC 8252 section 7.3)."""
    schemes = ("https",) if meta.application_type == "native" else ("https", "http")
    for uri in meta.redirect_uris:
        parts = urlsplit(uri)
        if parts.scheme in schemes:
            return f"{parts.scheme}://{parts.netloc}/"
    return ""
