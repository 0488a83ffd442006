"""The cost of verifying a stored password hash: one table of bounds for every scheme.

A stored hash names its own cost. Without bounds one imported row could occupy every hashing thread, or the memory of
the process, each time somebody types a password for it. A hash above a bound is refused when it is imported, and
fails at sign-in without being computed.

The bounds allow about two seconds of one core, and 128 MiB of memory, for one verification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MEMORY_KIB = 128 * 1024
BOUNDS: Mapping[str, Mapping[str, int]] = {
    "argon2": {"memory_kib": MEMORY_KIB, "passes": 64, "lanes": 16, "work_kib": 8 * MEMORY_KIB},
    "bcrypt": {"log_rounds": 14},
    "bcrypt_sha256": {"log_rounds": 14},
    "bcrypt_sha256_passlib": {"log_rounds": 14},
    "phpass": {"log_rounds": 20},
    "drupal": {"log_rounds": 20},
    "md5_crypt": {},
    "sha256_crypt": {"rounds": 1_000_000},
    "sha512_crypt": {"rounds": 1_000_000},
    "sha1_crypt": {"rounds": 1_000_000},
    "des_crypt": {},
    "bsdi_crypt": {"rounds": 40_000},
    "pbkdf2": {"work": 6_000_000},
    "scram": {"work": 6_000_000},
    "scrypt": {"memory_kib": MEMORY_KIB + 1024, "work_kib": 4 * MEMORY_KIB},
    "firebase_scrypt": {"memory_kib": MEMORY_KIB + 1024, "work_kib": 4 * MEMORY_KIB},
    "yescrypt": {"memory_kib": MEMORY_KIB},
    "symfony": {"rounds": 1_000_000},
    "digest": {},
    "ldap_digest": {},
    "framework_digest": {},
    "ion_auth": {},
    "mysql": {},
    "mysql323": {},
    "formula": {"calls": 10},
}
"""The greatest value of each cost, by scheme. An empty row: the cost is the same for every hash.

``memory_kib``: KiB. ``work_kib``: memory times passes, KiB. ``log_rounds``: the logarithm (base 2) of the rounds.
``work``: PBKDF2 rounds times the blocks of the derived key; rounds of SHA-384 and SHA-512 count twice.
"""
_ARGON2 = re.compile(r"\$argon2(?:id|i|d)(?:\$v=[0-9]{1,3})?\$m=([0-9]{1,10}),t=([0-9]{1,10}),p=([0-9]{1,8})\$.*", re.S)


class TooCostly(ValueError):
    """A hash is above a bound."""


def check_costs(scheme: str, costs: Mapping[str, int]) -> None:
    """Check the costs of one hash.

    Raises:
        TooCostly: when one is above its bound, or has no bound.
    """
    bounds = BOUNDS.get(scheme)
    for name, value in costs.items():
        maximum = None if bounds is None else bounds.get(name)
        if maximum is None or value > maximum:
            raise TooCostly(f"costs too much to verify: {scheme} with {name} {value}, at most {maximum or 0}")


def argon2_costs(text: str) -> dict[str, int]:
    """Return the costs that an argon2 hash in PHC form names.

    Raises:
        ValueError: when it is not such a hash.
    """
    found = _ARGON2.fullmatch(text)
    if found is None:
        raise ValueError("is not an argon2 hash in PHC form")
    memory, passes, lanes = (int(one) for one in found.groups())
    return {"memory_kib": memory, "passes": passes, "lanes": lanes, "work_kib": memory * passes}
