"""The endpoints of the CAS protocol for programs: they validate tickets (CAS Protocol 3.0 sections 2.4 to 2.8)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sso.gate.cas.answers import Validated, as_json, as_text, as_xml, proxy_refusal
from sso.gate.cas.parameters import NO_PROXIES, CasRefused, Code, read_validation
from sso.gate.cas.validation import validate
from sso.http.common.forms import query_pairs
from sso.http.common.late_routes import new_router
from sso.http.common.state import site_of
from sso.logs import note

router = new_router()

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_XML = "application/xml; charset=utf-8"


@router.get("/cas/serviceValidate")
@router.get("/cas/p3/serviceValidate")
@router.get("/cas/proxyValidate")
@router.get("/cas/p3/proxyValidate")
async def service_validate(request: Request) -> Response:
    """Validate a ticket. The paths for proxies answer the same: there are no proxy tickets."""
    result = await _result(request)
    if request.query_params.get("format", "").upper() == "JSON":
        return Response(as_json(result), headers=_NO_STORE, media_type="application/json")
    return Response(as_xml(result), headers=_NO_STORE, media_type=_XML)


@router.get("/cas/validate")
async def validate_1(request: Request) -> Response:
    """Validate a ticket as CAS 1.0 does."""
    return Response(as_text(await _result(request)), headers=_NO_STORE, media_type="text/plain; charset=utf-8")


@router.get("/cas/proxy")
async def proxy() -> Response:
    """Refuse to make a proxy ticket."""
    refused = CasRefused(Code.UNAUTHORIZED_SERVICE_PROXY, NO_PROXIES)
    return Response(proxy_refusal(refused), headers=_NO_STORE, media_type=_XML)


async def _result(request: Request) -> Validated | CasRefused:
    try:
        presented = read_validation(query_pairs(request))
    except CasRefused as refused:
        return refused
    client, result = await validate(site_of(request).server, presented)
    if client is not None:
        note("client_id", client.client_id)
        note("endpoint", request.url.path)
        if isinstance(result, CasRefused):
            note("outcome", result.code.lower())
    return result
