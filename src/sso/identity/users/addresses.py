"""The address of a user: what is stored, and the ``address`` claim that is made from it (OpenID Connect Core section
5.1.1)."""

from __future__ import annotations

from collections.abc import Mapping

CLAIM_MEMBERS = ("formatted", "street_address", "locality", "region", "postal_code", "country")
"""The members of the claim, in the order of the specification."""
DETAILS = ("rt", "rw", "village", "district")
"""What is stored beside the members of the claim. The claim has no members for them: ``street_address`` contains
them."""


def address_claim(stored: Mapping[str, str]) -> dict[str, str]:
    """Return the claim for a stored address.

    RT, RW, village and district are lines of ``street_address``, whose lines the specification leaves to the country.
    An address without them is returned as it is stored. ``formatted`` is made where it was not stored.
    """
    claim = {name: stored[name] for name in CLAIM_MEMBERS if stored.get(name)}
    if any(stored.get(name) for name in DETAILS):
        claim["street_address"] = "\n".join(_street_lines(stored))
        claim.setdefault("formatted", formatted_address(stored))
    return claim


def formatted_address(stored: Mapping[str, str | None]) -> str:
    """Return a stored address as it is written on a letter, on several lines."""
    town = " ".join(filter(None, (stored.get("locality"), stored.get("postal_code"))))
    lines = (*_street_lines(stored), town, stored.get("region"), stored.get("country"))
    return "\n".join(line for line in lines if line)


def _street_lines(stored: Mapping[str, str | None]) -> list[str]:
    """Return the lines above the town: street, ``RT 003/RW 005``, ``Kel./Desa Sukasari, Kec. Tangerang``."""
    numbers = "/".join(f"{name.upper()} {stored[name]}" for name in ("rt", "rw") if stored.get(name))
    named = (("Kel./Desa", stored.get("village")), ("Kec.", stored.get("district")))
    region = ", ".join(f"{kind} {name}" for kind, name in named if name)
    return [line for line in (stored.get("street_address"), numbers, region) if line]
