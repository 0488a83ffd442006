"""The routes of static files and of the logos of applications."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.late_routes import new_router
from sso.http.common.services import Clients, LogoService
from sso.http.common.state import site_of

router = new_router()
_BRANDED = re.compile(r"/static/(style|logo|icon)\.[0-9a-f]{12}\.(css|svg|png)")
_SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""An SVG that somebody opens by itself runs nothing."""


@router.get("/logo/{client_id}")
async def logo(request: Request, client_id: str, known: Clients, logos: LogoService) -> Response:
    """The logo of an application."""
    client = await known.client(client_id)
    picture = await logos.get(client) if client is not None and client.enabled else None
    if picture is None:
        return Response(status_code=404, headers={"Cache-Control": "public, max-age=300"})
    headers = {"Cache-Control": "public, max-age=86400", "ETag": picture.etag}
    if picture.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.png, headers=headers, media_type="image/png")


async def static(request: Request) -> Response:
    """Answer with a static file. A page of another process may name a file of a brand that this process learns of
    within a second."""
    site = site_of(request)
    asset = site.assets.by_path.get(request.url.path)
    if asset is None and _BRANDED.fullmatch(request.url.path):
        await site.provider.look()
        asset = site.assets.by_path.get(request.url.path)
    if asset is None:
        return Response(status_code=404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if asset.media_type == "image/svg+xml":
        headers["Content-Security-Policy"] = _SANDBOX
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, 200, {**headers, "Content-Encoding": "gzip"}, asset.media_type)
    return Response(asset.plain, 200, headers, asset.media_type)


router.add_route("/static/{name}", static, methods=["GET"])
