"""Reading parameters and form fields."""

from __future__ import annotations

import contextlib
import uuid
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from sso.http.common.received import Received, RequestRefused
from sso.http.common.request_checks import FORM, MAX_FIELDS, check_fields, has_bearer, header_of, read_pairs
from sso.http.common.state import Site
from sso.oidc.requests import ProtocolRequest
from sso.platform.security.ip_privacy import kept_address
from sso.platform.security.numbers import read_int_or_none, read_uuid

Pairs = list[tuple[str, str]]


class BadRequest(RequestRefused):
    """A request that cannot be read. The message says why."""


def query_pairs(request: Request) -> Pairs:
    """Return the parameters of the address, in order, with repetitions.

    Raises:
        Refused: when they cannot be read.
    """
    read = query_by_gate(request)
    return read if read is not None else read_pairs(request.scope["query_string"])


def query_by_gate(request: Request) -> Pairs | None:
    """Return the parameters of the query as the gate for requests has read and checked them; None: it has not."""
    received = request.receive
    return received.query if isinstance(received, Received) else None


async def form_pairs(request: Request) -> Pairs:
    """Return the parameters of a form in the body, in order, with repetitions.

    Raises:
        BadRequest: for another content type, or when they cannot be read.
    """
    read = read_by_gate(request)
    if read is not None:
        return read
    body = await request.body()
    content_type = _content_type(request)
    if content_type != FORM and (body or content_type):
        raise BadRequest(f"Content-Type must be {FORM}.")
    return read_pairs(body)


def read_by_gate(request: Request) -> Pairs | None:
    """Return the parameters of the form in the body as the gate for requests has read and checked them; None: it has
    read none."""
    received = request.receive
    return received.form if isinstance(received, Received) else None


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()


async def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of one of our own forms; of a field that is repeated, the last."""
    return dict(await form_pairs(request))


async def sent_fields(request: Request) -> dict[str, str]:
    """Return the fields of the form that was sent, whatever became of it: a page that says what went wrong finds the
    application in them. Empty where no form was sent, or it cannot be read."""
    if request.method != "POST" or _content_type(request) != FORM:
        return {}
    read = read_by_gate(request)
    if read is not None:
        return dict(read)
    try:
        return dict(read_pairs(await request.body()))
    except (RequestRefused, ClientDisconnect):
        return {}


async def upload(request: Request, name: str) -> tuple[dict[str, str], bytes]:
    """Return the fields of a form with a file, and the file.

    Raises:
        BadRequest: when they cannot be read.
    """
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException

    try:
        form = await request.form(max_files=1, max_fields=20, max_part_size=65536)
    except (HTTPException, MultiPartException, ValueError):  # ValueError: its text is not in the charset that it names
        raise BadRequest("The form cannot be read: it must be multipart/form-data with one file.") from None
    file, fields = form.get(name), {key: value for key, value in form.items() if isinstance(value, str)}
    body = await file.read() if isinstance(file, UploadFile) else b""
    names = [(key, value if isinstance(value, str) else value.filename or "") for key, value in form.multi_items()]
    await form.close()
    check_fields(names)
    return fields, body


async def protocol_request(request: Request) -> ProtocolRequest:
    """Return ``request`` as the protocol sees it.

    Raises:
        BadRequest: when its parameters cannot be read.
    """
    query = query_pairs(request)
    if request.scope["method"] != "POST":
        return _as_protocol(request, query, query)
    read = read_by_gate(request)
    parameters = await form_pairs(request) if read is None else read
    return _as_protocol(request, query, parameters)


async def userinfo_request(request: Request) -> ProtocolRequest:
    """Return a userinfo request as the protocol sees it. Where the Authorization header holds the access token, nothing
    in the body counts, whatever its type, but for a second access token in a form (RFC 6750 sections 2.2 and 3.1).

    Raises:
        BadRequest: when the access token must be in the body, and that cannot be read.
    """
    if not has_bearer(header_of(request.scope, b"authorization")):
        return await protocol_request(request)
    parameters: Pairs = []
    if request.scope["method"] == "POST" and _content_type(request) == FORM:
        with contextlib.suppress(UnicodeDecodeError, ValueError):
            parameters = parse_qsl((await request.body()).decode("ascii"), max_num_fields=MAX_FIELDS)
    if parameters:
        parameters = [pair for pair in parameters if pair[0] == "access_token"]
    return _as_protocol(request, [], parameters)


def _as_protocol(request: Request, query: Pairs, parameters: Pairs) -> ProtocolRequest:
    scope = request.scope
    site: Site = scope["app"].site
    # The protocol reads this header alone, several times.
    headers = {"authorization": header_of(scope, b"authorization")}
    protocol = ProtocolRequest(site.provider, scope["method"], scope["path"], parameters, headers, query)
    protocol.caller = str(scope["client_address"])
    protocol.address = kept_address(protocol.caller, site.settings.ip_address_privacy)
    protocol.request_id = scope["request_id"]
    return protocol


def read_revision(text: str) -> int:
    """Return the revision that a form was made of; one that nothing has where it names none: whoever decides has looked
    at something."""
    revision = read_int_or_none(text)
    return -1 if revision is None else revision


def read_id(text: str) -> uuid.UUID | None:
    """Return the id that an address or a form names; None: it is none."""
    try:
        return read_uuid(text)
    except ValueError:
        return None
