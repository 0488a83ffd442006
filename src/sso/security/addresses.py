"""Network addresses as they are kept: no more of them than the city needs."""

from __future__ import annotations

import ipaddress
from typing import Literal

AddressPrivacy = Literal["full", "network", "none"]
IPV4_BITS, IPV6_BITS = 24, 48


def kept_address(address: str, privacy: AddressPrivacy) -> str | None:
    """Return a network address in the form in which it is kept.

    Args:
        address: an address; what is none is kept as nothing but in full.
        privacy: ``full``; ``network``: the network it is in, such as 203.0.113.0/24; or ``none``.
    """
    if privacy == "none" or not address:
        return None
    if privacy == "full":
        return address[:45]
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return None
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(ipaddress.ip_network((parsed, IPV4_BITS if parsed.version == 4 else IPV6_BITS), strict=False))
