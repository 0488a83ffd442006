"""Static files: read once, compressed once, named by their content so that browsers keep them for good. The city's logo
and colours are part of them."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sso.errors import Refusal
from sso.settings import Settings

STATIC_DIR = Path(__file__).parent / "static"
MAX_LOGO_BYTES = 32 * 1024
_SOURCES = {
    "style.css": ("vendor/pico.classless.min.css", "city.css"),
    "console.css": ("console.css",),
    "enhance.js": ("enhance.js",),
    "account.js": ("enhance.js", "account.js"),
    "onward.js": ("onward.js",),
    "developer.js": ("developer.js",),
    "passkeys.js": ("enhance.js", "vendor/simplewebauthn.umd.min.js", "passkeys.js"),
    "check_session.js": ("vendor/sha256.min.js", "check_session.js"),
    "icon.svg": ("icon.svg",),
}
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
_LIGHT, _DARK = ":root:not([data-theme=dark])", ":root:not([data-theme])"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, as it is sent."""

    path: str
    media_type: str
    plain: bytes
    compressed: bytes


class Assets:
    """The static files of one process.

    Args:
        settings: the city's logo and colours.

    Raises:
        Refusal: when the logo cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        files = {name: _read(sources) for name, sources in _SOURCES.items()}
        files["style.css"] += _colours(settings)
        logo = "icon.svg"
        if settings.brand_logo is not None:
            logo, body = _logo(settings.brand_logo)
            files.pop("icon.svg")
            files[logo] = body
        assets = {name: _asset(name, plain) for name, plain in files.items()}
        self.by_path = {asset.path: asset for asset in assets.values()}
        self.paths = {name.replace(".", "_"): asset.path for name, asset in assets.items()}
        self.paths["icon_svg"] = assets[logo].path
        self.icon_type = assets[logo].media_type


def _read(sources: tuple[str, ...]) -> bytes:
    return b"\n".join(_shortened(STATIC_DIR / source) for source in sources)


def _shortened(path: Path) -> bytes:
    """Return a file; a style sheet of ours without comments and indentation."""
    text = path.read_bytes()
    if path.suffix != ".css" or path.parent != STATIC_DIR:
        return text
    text = re.sub(rb"/\*.*?\*/", b"", text, flags=re.DOTALL)
    return re.sub(rb"\s*([{};,])\s*|(?<=:) ", rb"\1", re.sub(rb"\s+", b" ", text)).replace(b";}", b"}")


@cache
def _asset(name: str, plain: bytes) -> Asset:
    stem, _, extension = name.rpartition(".")
    digest = hashlib.sha256(plain).hexdigest()[:12]
    return Asset(f"/static/{stem}.{digest}.{extension}", _TYPES[extension], plain, gzip.compress(plain, 9, mtime=0))


def _logo(path: Path) -> tuple[str, bytes]:
    body = path.read_bytes()
    if len(body) > MAX_LOGO_BYTES:
        raise Refusal(f"SSO_BRAND_LOGO: {path} has more than {MAX_LOGO_BYTES} bytes")
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "logo.png", body
    if b"<svg" in body[:1000]:
        return "logo.svg", body
    raise Refusal(f"SSO_BRAND_LOGO: {path} is neither SVG nor PNG")


def _colours(settings: Settings) -> bytes:
    """Return what makes the pages the city's colours. Buttons keep the light ground's colour on dark ground too: their
    text is white."""
    if not settings.brand_colour:
        return b""
    light, dark = settings.brand_colour, settings.brand_colour_dark
    names = ("primary", "primary-hover", "primary-underline", "primary-hover-underline")
    filled = ("primary-background", "primary-border", "primary-hover-background", "primary-hover-border")
    fields = ("form-element-active-border-color", "form-element-focus-color")

    def block(ink: str) -> str:
        variables = {f"--pico-{name}": ink for name in (*names, *fields)} | {f"--pico-{name}": light for name in filled}
        return "".join(f"{name}:{value};" for name, value in {"--city-ink": ink, **variables}.items())

    css = f"\n{_LIGHT}{{{block(light)}}}@media(prefers-color-scheme:dark){{{_DARK}{{{block(dark)}}}}}"
    return css.encode()
