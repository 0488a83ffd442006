"""The stored form of IP addresses (``SSO_IP_ADDRESS_PRIVACY``)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Literal

AddressPrivacy = Literal["full", "network", "none"]
IPV4_BITS, IPV6_BITS = 24, 48
MAX_CHARS = 45
"""The length of the longest IP address."""


def kept_address(address: str, privacy: AddressPrivacy) -> str | None:
    """Return the stored form of an IP address.

    Args:
        address: an IP address; another text is stored with ``full`` only.
        privacy: ``full``; ``network``, such as 203.0.113.0/24; or ``none``.
    """
    if privacy == "none" or not address:
        return None
    if privacy == "full":
        return address[:MAX_CHARS]
    return _network(address.split("%", 1)[0])


def network_of(address: str) -> str | None:
    """Return the network of an IP address, whatever ``SSO_IP_ADDRESS_PRIVACY`` says; None: it is none."""
    return _network(address.split("%", 1)[0]) if address else None


@lru_cache(maxsize=1024)
def _network(address: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(ipaddress.ip_network((parsed, IPV4_BITS if parsed.version == 4 else IPV6_BITS), strict=False))


def network_filter(typed: str, privacy: AddressPrivacy) -> str:
    """Return the text by which sessions from an IP address or network are found among the stored addresses.

    Args:
        typed: an IP address, or a network of whole parts: 203.0.113.0/24, 10.20.0.0/16.
        privacy: the stored form.

    Returns:
        The stored form; for a network the common beginning of its addresses, which ends with a dot or a colon.

    Raises:
        ValueError: when ``typed`` is neither, or addresses are not stored.
    """
    if privacy == "none":
        raise ValueError("addresses are not kept")
    try:
        address = ipaddress.ip_address(typed)
    except ValueError:
        network = ipaddress.ip_network(typed, strict=False)
    else:
        return kept_address(str(address), privacy) or ""
    if privacy == "network" and network.prefixlen in (IPV4_BITS, IPV6_BITS):
        return str(network)
    part, text = (8, str(network.network_address).split(".")) if network.version == 4 else (16, [])
    if network.version == 6:
        text = [group.lstrip("0") or "0" for group in network.network_address.exploded.split(":")]
    if not network.prefixlen or network.prefixlen % part or network.prefixlen == network.max_prefixlen:
        raise ValueError("only whole parts of an address can be searched for")
    sign = "." if network.version == 4 else ":"
    return sign.join(text[: network.prefixlen // part]) + sign
