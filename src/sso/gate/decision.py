"""What is decided about a request at the gate, without I/O: paths, kinds of requests, the way back after a sign-in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from sso.clients.metadata.gate import START_PATH, GateSettings

MAX_WAY_BACK_CHARS = 1000
OWN_PATHS = "/.sso/"
"""What belongs to the gate on the host of an application."""
SIGN_OUT_PATH = "/.sso/sign-out"
_TRICK = re.compile(r"%(?:2[ef5]|5c|0|1|7f)|%(?![0-9a-f]{2})", re.IGNORECASE)
"""Encodings that a proxy and an application may read differently: dots, slashes, backslashes, percent signs (double
encoding), control characters; and what is no encoding at all."""
_SCRIPT = re.compile(r"\.(?:php[0-9]?|phtml|cgi|pl|py|jsp|aspx?|ashx)/", re.IGNORECASE)
_WAY_BACK = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class Kind(Enum):
    """What a path needs."""

    PUBLIC = auto()
    SIGNED_IN = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class PathRule:
    """What a path needs. ``roles``: for each rule that matches, what the user needs one of."""

    kind: Kind
    roles: tuple[tuple[str, ...], ...] = ()


_SIGNED_IN, _PUBLIC, _REFUSED = PathRule(Kind.SIGNED_IN), PathRule(Kind.PUBLIC), PathRule(Kind.REFUSED)


def path_rule(gate: GateSettings, uri: str) -> PathRule:
    """Return what a request needs.

    A path that needs a role is matched broadly: in any case, without path parameters, with merged slashes, and also
    behind a script, as ``/index.php/admin``. A public path is matched as it is written. Where there are rules, what a
    proxy and an application may read differently is refused: the segments ``.`` and ``..``, also with parameters
    (``..;``), ``#``, and encodings of such characters.

    Args:
        gate: the settings of the application.
        uri: path and query as the client sent them.
    """
    if not gate.public_paths and not gate.role_paths:
        return _SIGNED_IN
    raw = path_of(uri)
    path = normal_path(raw)
    if path is None or "#" in uri or _has_dots(raw):
        return _REFUSED
    places = [place.casefold() for place in (path, *_behind_scripts(path))]
    needed = tuple(
        tuple(roles)
        for prefix, roles in gate.role_paths.items()
        if any(is_below(place, prefix.casefold()) for place in places)
    )
    if needed:
        return PathRule(Kind.SIGNED_IN, needed)
    is_plain = raw == path and len(places) == 1
    if is_plain and any(is_below(path, prefix) for prefix in gate.public_paths):
        return _PUBLIC
    return _SIGNED_IN


def _has_dots(raw: str) -> bool:
    """Tell whether a segment is ``.`` or ``..``, encoded or not, with path parameters or without."""
    return any(segment.partition(";")[0] in (".", "..") for segment in unquote(raw).split("/"))


def _behind_scripts(path: str) -> list[str]:
    """Return what stands behind each script in a path, which the script may read as a path of its own: ``/admin`` of
    ``/index.php/admin``."""
    return [path[match.end() - 1 :] for match in _SCRIPT.finditer(path)]


def is_own_path(uri: str) -> bool:
    """Tell whether a path belongs to the gate, in any spelling. Proxies pass these paths to the provider and ask about
    none of them; a request that claims so comes another way, such as ``/.sso/../gate/check/redirect``."""
    path = path_of(uri)
    return OWN_PATHS in (unquote(path) if "%" in path else path)


def path_of(uri: str) -> str:
    """Return the path of a request target, as it was sent."""
    return re.split(r"[?#]", uri, maxsplit=1)[0]


def normal_path(raw: str) -> str | None:
    """Return a path as proxies and applications understand it: decoded, with ``.`` and ``..`` resolved, without path
    parameters and empty segments. None: it is no path, or can be understood in different ways."""
    if not raw.startswith("/") or "\\" in raw or _TRICK.search(raw):
        return None
    try:
        decoded = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not decoded.isprintable() or "\\" in decoded:
        return None
    segments: list[str] = []
    parts = [part.partition(";")[0] for part in decoded.split("/")]
    for part in parts:
        if part == "..":
            if not segments:
                return None
            segments.pop()
        elif part not in ("", "."):
            segments.append(part)
    ends_in_slash = bool(segments) and parts[-1] in ("", ".", "..")
    return "/" + "/".join(segments) + ("/" if ends_in_slash else "")


def is_below(path: str, prefix: str) -> bool:
    """Tell whether ``path`` is ``prefix``, or below it: ``/admin`` has ``/admin/users``, not ``/administration``."""
    bare = prefix.rstrip("/")
    return path == bare or path.startswith(bare + "/")


def is_navigation(headers: Mapping[str, str]) -> bool:
    """Tell whether a person looks at the answer, so that a redirect or a page helps. Scripts, pictures and web sockets
    get a status instead (Fetch Metadata; or ``Accept`` where a browser does not send that).

    Args:
        headers: of the request, with names in small letters.
    """
    mode = headers.get("sec-fetch-mode")
    if mode:
        return mode == "navigate"
    if headers.get("upgrade") or headers.get("x-requested-with"):
        return False
    return "text/html" in headers.get("accept", "").lower()


def is_asked_here(headers: Mapping[str, str]) -> bool:
    """Tell whether a person opened an address from a page of the same host, or typed it (Fetch Metadata). Pictures and
    scripts of a page, and browsers that do not say where a request comes from, do not count.

    Args:
        headers: of the request, with names in small letters.
    """
    site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
    return site in ("same-origin", "none") and mode == "navigate" and headers.get("sec-fetch-dest") == "document"


def is_sign_out(gate: GateSettings, uri: str) -> bool:
    """Tell whether a request is the application's own link to sign out."""
    return gate.sign_out_path is not None and normal_path(path_of(uri)) == gate.sign_out_path


def way_back(uri: str) -> str:
    """Return where to go after a sign-in: path and query on the same host, or ``/`` where ``uri`` is none of those."""
    usable = len(uri) <= MAX_WAY_BACK_CHARS and _WAY_BACK.fullmatch(uri) is not None
    return uri if usable and not uri.startswith(OWN_PATHS) else "/"


def page_of_form(host: str, referer: str, uri: str) -> str:
    """Return the page from which a form was sent, or else the path that it was sent to.

    Args:
        host: the host of the application.
        referer: the header of the request.
        uri: path and query of the request.
    """
    try:
        parts = urlsplit(referer)
    except ValueError:
        return way_back(uri)
    if parts.scheme != "https" or parts.netloc != host:
        return way_back(uri)
    return way_back((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


@dataclass(frozen=True, slots=True)
class ProxiedRequest:
    """A request that a proxy asks about.

    Args:
        host: the host that the client asked for.
        uri: path and query as the client sent them.
        method: the HTTP method.
        address: the network address of the client.
        token: the cookie of the gate; empty: there is none.
        headers: the headers that the decision reads, with names in small letters.
    """

    host: str
    uri: str
    method: str
    address: str
    token: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that leads a browser somewhere else on the same host."""

    status: int
    path: str
    parameters: tuple[tuple[str, str], ...] = ()


def without_session(gate: GateSettings, proxied: ProxiedRequest) -> Redirect | None:
    """Return where a browser without a session goes, or None: it gets the status 401."""
    if not is_navigation(proxied.headers):
        return None
    if is_sign_out(gate, proxied.uri):
        return Redirect(303, SIGN_OUT_PATH)
    if proxied.method in ("GET", "HEAD"):
        return Redirect(302, START_PATH, (("to", way_back(proxied.uri)),))
    page = page_of_form(proxied.host, proxied.headers.get("referer", ""), proxied.uri)
    return Redirect(303, START_PATH, (("to", page), ("sent", "1")))
