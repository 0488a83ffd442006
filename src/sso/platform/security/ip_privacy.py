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


def network_wanted(typed: str, privacy: AddressPrivacy) -> str:
    """Return how sessions from an address or a network are found among the addresses that are kept.

    Args:
        typed: an address, or a network of whole parts: 203.0.113.0/24, 10.20.0.0/16.
        privacy: in which form addresses are kept.

    Returns:
        The kept form; of a network the beginning of its addresses, which ends with a dot or a colon.

    Raises:
        ValueError: when it is neither, or addresses are not kept.
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
        text = [one.lstrip("0") or "0" for one in network.network_address.exploded.split(":")]
    if not network.prefixlen or network.prefixlen % part or network.prefixlen == network.max_prefixlen:
        raise ValueError("only whole parts of an address can be searched for")
    sign = "." if network.version == 4 else ":"
    return sign.join(text[: network.prefixlen // part]) + sign
