"""Static files: read once, compressed once, named by their content so that browsers keep them for good."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

STATIC_DIR = Path(__file__).parent / "static"
_SOURCES = {
    "style.css": ("vendor/pico.classless.min.css", "city.css"),
    "enhance.js": ("enhance.js",),
    "onward.js": ("onward.js",),
    "passkeys.js": ("vendor/simplewebauthn.umd.min.js", "passkeys.js"),
    "check_session.js": ("vendor/sha256.min.js", "check_session.js"),
    "icon.svg": ("icon.svg",),
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, as it is sent."""

    path: str
    media_type: str
    plain: bytes
    compressed: bytes


def _read(name: str, sources: tuple[str, ...]) -> Asset:
    plain = b"\n".join((STATIC_DIR / source).read_bytes() for source in sources)
    stem, _, extension = name.rpartition(".")
    digest = hashlib.sha256(plain).hexdigest()[:12]
    return Asset(f"/static/{stem}.{digest}.{extension}", _TYPES[extension], plain, gzip.compress(plain, 9, mtime=0))


ASSETS = {name: _read(name, sources) for name, sources in _SOURCES.items()}
_BY_PATH = {asset.path: asset for asset in ASSETS.values()}


async def static(request: Request) -> Response:
    """Answer with a static file."""
    asset = _BY_PATH.get(request.url.path)
    if asset is None:
        return Response(status_code=404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, 200, {**headers, "Content-Encoding": "gzip"}, asset.media_type)
    return Response(asset.plain, 200, headers, asset.media_type)
