"""Static files: read once, compressed once, named by their content so that browsers keep them for good. The city's logo
and colours are part of them."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sso.errors import Refusal
from sso.settings import Settings, logo_type, read_logo_data

STATIC_DIR = Path(__file__).parent / "static"
_SOURCES = {
    "style.css": ("vendor/pico.classless.min.css", "city.css"),
    "console.css": ("console.css",),
    "enhance.js": ("enhance.js",),
    "otp.js": ("otp.js",),
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
    """The static files of one process. They are made anew when the logo or the colours change; the files of before
    stay, because pages in browsers still name them.

    Args:
        settings: the city's logo and colours.

    Raises:
        Refusal: when the logo cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._brand: tuple[object, ...] = ()
        self.by_path: dict[str, Asset] = {}
        self._present: tuple[Asset, ...] = ()
        self.paths: dict[str, str] = {}
        self.icon_type = ""
        self.follow()

    def follow(self) -> None:
        """Make the files anew where the logo or the colours have changed."""
        settings = self._settings
        brand = (settings.brand_logo, settings.brand_logo_data, settings.brand_colour, settings.brand_colour_dark)
        if brand != self._brand:
            self._brand = brand
            self._make(settings)

    def _make(self, settings: Settings) -> None:
        files = {name: _read(sources) for name, sources in _SOURCES.items()}
        files["style.css"] += _colours(settings)
        logo = "icon.svg"
        if (branded := _logo(settings)) is not None:
            logo, body = branded
            files.pop("icon.svg")
            files[logo] = body
        assets = {name: _asset(name, plain) for name, plain in files.items()}
        by_path = {asset.path: asset for asset in assets.values()}
        # Pages that are open still ask for the files before: those of one change are kept, not of all for good.
        self.by_path = {**{asset.path: asset for asset in self._present}, **by_path}
        self._present = tuple(assets.values())
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


@lru_cache(maxsize=64)
def _asset(name: str, plain: bytes) -> Asset:
    stem, _, extension = name.rpartition(".")
    digest = hashlib.sha256(plain).hexdigest()[:12]
    return Asset(f"/static/{stem}.{digest}.{extension}", _TYPES[extension], plain, gzip.compress(plain, 9, mtime=0))


def _logo(settings: Settings) -> tuple[str, bytes] | None:
    """Return the name and the content of the city's logo; None: the built-in logo."""
    if settings.brand_logo is None:
        kind, body = read_logo_data(settings.brand_logo_data) if settings.brand_logo_data else ("", b"")
        return (f"logo.{kind}", body) if body else None
    body = settings.brand_logo.read_bytes()
    try:
        return f"logo.{logo_type(body)}", body
    except ValueError as error:
        raise Refusal(f"SSO_BRAND_LOGO: {settings.brand_logo}: {error}") from None


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
