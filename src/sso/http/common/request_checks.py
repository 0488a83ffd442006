"""The gate for what comes in: every path, query, header, form and JSON body is checked here, before any route.

The shell calls it for each request, so that a new route cannot forget it. What comes later need not know which
characters a database does not store, or which encoding a reader would guess. A multipart form has one reader,
:func:`sso.http.common.forms.upload`, which asks the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from operator import itemgetter
from urllib.parse import parse_qsl, unquote, unquote_to_bytes

from starlette.types import Scope

from sso.http.common.received import Received, RequestRefused
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.platform.security.text import TextRefused, check_line, check_lines, check_secret

FORM = "application/x-www-form-urlencoded"
MAX_PATH_BYTES = 2048
MAX_QUERY_BYTES = 60 * 1024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024
MAX_FIELDS = 200
MAX_NAME_CHARS = 200

SECRETS = frozenset({"password", "new_password"})
"""Fields in which people type passwords: every character that can be typed is allowed there."""
SEVERAL_LINES = frozenset(
    {"text", "claims", "contacts", "redirect_uris", "post_logout_redirect_uris", "sandbox.redirect_uris"}
    | {"sandbox.post_logout_redirect_uris", "jwks", "allowed_networks", "allowed_hours", "allowed_groups"}
    | {"gate.hosts", "gate.public_paths", "gate.role_paths"}
    | {"groups_of_interest"}
)
"""Fields with a ``textarea``, and ``claims``, which is JSON."""
JSON_SEVERAL_LINES = frozenset({"text", "formatted", "street_address"})
"""The same for members of JSON."""

_NAME, _VALUE = itemgetter(0), itemgetter(1)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.#\-]{1,60}")


class Refused(RequestRefused):
    """A request that the checks here refuse.

    Args:
        status: the HTTP status.
        code: one of the failures of ``http/common/pages.py``.
        text: the reason, for the developer; it repeats nothing that was sent.
        headers: of the answer.
    """

    def __init__(self, status: int, code: str, text: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.code = status, code
        self._headers = headers or {}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer that belong to this refusal."""
        return self._headers


def check_head(scope: Scope, *, known_path: bool = False) -> list[tuple[str, str]]:
    """Check the address and the headers of a request; return the parameters of the query.

    Args:
        scope: of the request.
        known_path: whether the path is one of ours, so that nothing in it can be wrong.

    Raises:
        Refused: when something in them is not accepted.
    """
    path = b"" if known_path else scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    query = scope["query_string"]
    if len(path) > MAX_PATH_BYTES or len(query) > MAX_QUERY_BYTES:
        raise Refused(414, "too_large")
    if path:
        _check_path(path)
    pairs = read_pairs(query) if query else []
    _check_headers(scope)
    return pairs


def _check_path(path: bytes) -> None:
    try:
        check_line(unquote_to_bytes(path).decode("utf-8"))
    except UnicodeDecodeError:
        raise _bad("The path must be UTF-8 in percent-encoding.") from None
    except TextRefused as error:
        raise _bad(f"The path {error}.") from None


def _check_headers(scope: Scope) -> None:
    headers = scope["headers"]
    values = b"".join(map(_VALUE, headers))
    if len(headers) > MAX_HEADERS or len(values) + len(b"".join(map(_NAME, headers))) > MAX_HEADER_BYTES:
        raise Refused(431, "too_large")
    if _CONTROL.search(values):
        raise _bad("A header must not have control characters.")
    for name, value in headers:
        encoded = name == b"content-encoding" and value.strip().lower() not in (b"", b"identity")
        if encoded and not _body_is_ignored(scope) and not scope["path"].startswith(GATE_CHECKS):
            text = "Send the body as it is, without Content-Encoding."
            raise Refused(415, "unreadable", text, {"Accept-Encoding": "identity"})


GATE_CHECKS = "/gate/check/"
"""Where proxies ask about requests: they send the headers of these requests, without their bodies."""
SIGNED_BODIES = frozenset({"/receipts/whatsapp"})
"""Routes that verify the signature of a body before they read it, and read it with the same rules."""


async def check_body(scope: Scope, received: Received) -> None:
    """Check the body of a request, where it is a form or JSON.

    Raises:
        Refused: when something in it is not accepted.
    """
    if scope["method"] == "GET" or scope["path"] in SIGNED_BODIES or _body_is_ignored(scope):
        return
    kind = _content_type(scope)
    is_json = kind == "application/json" or kind.endswith("+json")
    if kind != FORM and not is_json:
        return
    body = await received.body()
    if body is None:
        return
    if is_json:
        check_json(body)
    else:
        received.form = read_pairs(body)


def _body_is_ignored(scope: Scope) -> bool:
    """Tell whether the route takes nothing from the body: userinfo, where the access token is in the header."""
    return scope["path"] == "/userinfo" and has_bearer(header_of(scope, b"authorization"))


def has_bearer(authorization: str) -> bool:
    """Tell whether an Authorization header holds a bearer token (RFC 6750 section 2.1)."""
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


def read_pairs(data: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a query or a form, in order, with repetitions.

    Raises:
        Refused: when they cannot be read, or have characters that are not accepted.
    """
    if not data:
        return []
    plain = _plain_pairs(data)
    if plain is not None:
        return plain
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except (UnicodeDecodeError, ValueError):
        text = f"The parameters cannot be read: they must be UTF-8 in percent-encoding, and at most {MAX_FIELDS}."
        raise _bad(text) from None
    check_fields(pairs)
    return pairs


def _plain_pairs(data: bytes) -> list[tuple[str, str]] | None:
    """Return the parameters where they are few, their names are short, and every character is printable ASCII, which
    every rule accepts. None: they must be read and checked one by one."""
    if not data.isascii():
        return None
    parts = data.decode("ascii").replace("+", " ").split("&")
    if len(parts) > MAX_FIELDS:
        return None
    pairs, seen = [], ""
    for part in parts:
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in part:
            name, value = unquote(name), unquote(value)
        if len(name) > MAX_NAME_CHARS:
            return None
        pairs.append((name, value))
        seen += name + value
    return pairs if seen.isascii() and seen.isprintable() else None


def check_fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Check the names and values of a form.

    Raises:
        Refused: when one has characters that are not accepted.
    """
    for name, value in pairs:
        if len(name) > MAX_NAME_CHARS:
            raise _bad(f"The name of a parameter must have at most {MAX_NAME_CHARS} characters.")
        try:
            check_line(name)
        except TextRefused as error:
            raise _bad(f"The name of a parameter {error}.") from None
        try:
            rule = check_secret if name in SECRETS else check_lines if name in SEVERAL_LINES else check_line
            rule(value)
        except TextRefused as error:
            raise _bad(f"{name if _PLAIN_NAME.fullmatch(name) else 'A parameter'} {error}.") from None


def check_json(body: bytes) -> None:
    """Check a body of JSON. What is no JSON at all is left to the route, which says so in its own words.

    Raises:
        Refused: when it has something that is not accepted.
    """
    try:
        read_json(body, JSON_SEVERAL_LINES)
    except NotJson:
        return
    except DocumentRefused as error:
        raise _bad(f"The JSON {error}.") from None


def _content_type(scope: Scope) -> str:
    return header_of(scope, b"content-type").split(";", 1)[0].strip().lower()


def header_of(scope: Scope, header: bytes) -> str:
    """Return the value of a header, of several of that name the first; nothing where there is none."""
    for name, value in scope["headers"]:
        if name == header:
            text: str = value.decode("latin-1")
            return text
    return ""


def _bad(text: str) -> Refused:
    return Refused(400, "bad_text", text)
