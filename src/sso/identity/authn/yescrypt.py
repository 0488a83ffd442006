"""yescrypt (``$y$``), the hash of Debian, Ubuntu and Fedora, through the host's libxcrypt.

No maintained Python library computes yescrypt. libxcrypt is the C library that made the hash, and is part of every
current Linux distribution and of the container image. Where it is missing, such hashes are refused at the import,
with the reason.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hmac
from functools import cache

from passlib.utils.binary import h64

DATA_BYTES = 32768
"""The size of ``struct crypt_data`` in libxcrypt."""
_SETTING = "$y$j75$abcdefghijklmnop"


def memory_kib(cost: str, block: str) -> int:
    """Return the memory that a hash needs, in KiB. ``cost``, ``block``: the two characters after the flavour."""
    log_n, r = h64.decode_int6(cost.encode()) + 1, h64.decode_int6(block.encode()) + 1
    return int((128 * r << log_n) // 1024)


@cache
def available() -> bool:
    """Tell whether the host's library computes yescrypt."""
    return _compute(b"test", _SETTING).startswith(_SETTING)


def matches(secret: bytes, stored: str) -> bool:
    """Tell whether a password is the one of a hash."""
    return available() and hmac.compare_digest(_compute(secret, stored).encode(), stored.encode())


@cache
def _library() -> ctypes.CDLL | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt")):
        try:
            library = ctypes.CDLL(name) if name else None
            if library is not None:
                library.crypt_rn.restype = ctypes.c_char_p
                library.crypt_rn.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
                return library
        except (OSError, AttributeError):
            continue
    return None


def _compute(secret: bytes, setting: str) -> str:
    library = _library()
    if library is None or b"\0" in secret:
        return ""
    data = ctypes.create_string_buffer(DATA_BYTES)
    computed = library.crypt_rn(secret, setting.encode("ascii"), data, DATA_BYTES)
    return computed.decode("ascii", "replace") if computed else ""
