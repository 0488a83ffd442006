"""Why a request to an address that others chose got no answer.

Apart from ``outbound_http``, so that what only handles these does not import an HTTP client.
"""

from __future__ import annotations

import logging

log = logging.getLogger("sso.outbound")


class OutboundRefused(Exception):
    """The request was not sent, because its address is not one that we send to."""


class OutboundFailed(Exception):
    """No usable answer came: no connection, another status than 200, too large, too slow. The message says which."""


class AnsweredOtherwise(OutboundFailed):
    """The application answered, but not with what is wanted. The message tells nothing of our network."""


UNREACHABLE = "it cannot be reached: the address must be public, and answer with https and a valid certificate"
"""What developers are told of every request that got no answer. Whether the name is unknown, leads to an address
inside, the port is closed, or the certificate is wrong is for the log and for administrators: together these would draw
a map of our network."""


def public_reason(url: str, error: Exception) -> str:
    """Return what developers are told of a request that failed, and write the details into the log.

    Args:
        url: the address, which whoever is told has registered.
        error: what was raised: by :class:`~sso.platform.security.outbound_http.Outbound`, or by httpx.
    """
    log.warning("%s: %s: %s", url, type(error).__name__, error)
    return str(error) if isinstance(error, AnsweredOtherwise) else UNREACHABLE
