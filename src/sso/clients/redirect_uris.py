"""Which addresses an application may register, and whether one that came is a registered one."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

MAX_URI_CHARS = 2000
_ALLOWED = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()+,;=%]+")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+\-]*(\.[a-z0-9+\-]+)+")
_DANGEROUS = ("javascript", "data", "vbscript", "file", "blob", "about")

ApplicationType = Literal["web", "native"]


def check_redirect_uri(uri: str, application_type: ApplicationType, allow_http_loopback: bool) -> None:
    """Check an address to which answers may be sent (RFC 9700 section 2.1, RFC 8252 section 7).

    Args:
        uri: the address.
        application_type: ``native`` may also use private-use schemes and loopback addresses.
        allow_http_loopback: whether ``http://localhost`` is allowed for web applications: in the demo only.

    Raises:
        ValueError: saying what is wrong and what is allowed.
    """
    _check_characters(uri)
    parts = urlsplit(uri)
    scheme, host = parts.scheme, parts.hostname or ""
    if "#" in uri:
        raise ValueError("must not have a fragment (#...)")
    if scheme in _DANGEROUS:
        raise ValueError(f"must not use the scheme {scheme}:")
    if scheme == "https":
        _check_host(parts.netloc, host)
        return
    if scheme == "http":
        _check_host(parts.netloc, host)
        if application_type == "native" and is_loopback_literal(host):
            return
        if allow_http_loopback and (is_loopback_literal(host) or host == "localhost"):
            return
        raise ValueError("must use https")
    if application_type != "native":
        raise ValueError("must use https; private-use schemes are for native applications")
    if not _PRIVATE_SCHEME.fullmatch(scheme):
        raise ValueError(f"the scheme {scheme!r} must be your domain turned round, such as id.go.kota.aplikasi:/masuk")
    if uri[len(scheme) + 1 :].startswith("//"):
        raise ValueError(
            f"has two slashes after {scheme}:, so that what follows them is a host, and a private-use scheme has none "
            f"(RFC 8252 section 7.1): register {with_one_slash(uri)}, with one slash, and let the application use "
            "exactly that"
        )


def with_one_slash(uri: str) -> str:
    """Return a private-use address as it should be written: with one slash after its scheme."""
    scheme, _, rest = uri.partition(":")
    return f"{scheme}:/{rest.lstrip('/')}"


def check_https_uri(uri: str, allow_http_loopback: bool, *, fragment: bool = False) -> None:
    """Check an address that we call or show. ``fragment``: it may have one.

    Raises:
        ValueError: saying what is wrong.
    """
    _check_characters(uri)
    parts = urlsplit(uri)
    _check_host(parts.netloc, parts.hostname or "")
    if "#" in uri and not fragment:
        raise ValueError("must not have a fragment (#...)")
    host = parts.hostname or ""
    loopback = allow_http_loopback and (is_loopback_literal(host) or host == "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ValueError("must use https")


def is_registered(uri: str, registered: list[str], application_type: ApplicationType) -> bool:
    """Tell whether ``uri`` is one of ``registered``: exactly, but for the port of a native application's
    loopback address (RFC 8252 section 7.3)."""
    if uri in registered:
        return True
    # Reading an address drops line breaks and blanks: one that has them was not registered.
    if application_type != "native" or not _ALLOWED.fullmatch(uri):
        return False
    portless = _without_loopback_port(uri)
    return portless is not None and any(portless == _without_loopback_port(known) for known in registered)


def is_loopback_literal(host: str) -> bool:
    """Tell whether ``host`` is a literal loopback address (RFC 8252 section 7.3), not a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_loopback_port(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme != "http" or not is_loopback_literal(host) or "@" in parts.netloc or "#" in uri:
        return None
    bare = f"[{host}]" if ":" in host else host
    expected = bare if port is None else f"{bare}:{port}"
    return urlunsplit(parts._replace(netloc=bare)) if parts.netloc == expected else None


def _check_characters(uri: str) -> None:
    if not uri or len(uri) > MAX_URI_CHARS:
        raise ValueError(f"must have 1 to {MAX_URI_CHARS} characters")
    if "*" in uri:
        raise ValueError("must not have a wildcard (*): list every address")
    if not _ALLOWED.fullmatch(uri):
        raise ValueError("must have only the characters of an address (RFC 3986): no spaces, no letters beyond ASCII")
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"is not an address: {error}") from None
    if not parts.scheme:
        raise ValueError("must be a whole address, such as https://aplikasi.kota.example/callback")
    segments = parts.path.lower().replace("%2e", ".").split("/")
    if ".." in segments or "." in segments:
        raise ValueError("must not have . or .. in its path")


def _check_host(netloc: str, host: str) -> None:
    if "@" in netloc:
        raise ValueError("must not have a username before the host (@)")
    if not host or host.endswith(".") or host != host.lower() or netloc != netloc.lower():
        raise ValueError("must have a host in lower case, without a final dot")
