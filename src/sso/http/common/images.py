"""Logos of applications: fetched from their ``logo_uri``, made small and anew, and kept in memory.

So no page loads anything from elsewhere, no picture of somebody else's reaches a browser as it came, and the first
page stays small.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sso import clock
from sso.clients.registry import Client
from sso.platform.security.outbound_errors import OutboundFailed, OutboundRefused

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound

log = logging.getLogger(__name__)

MAX_FETCHED_BYTES = 1024 * 1024
MAX_PIXELS = 4096 * 4096
SIDE_PIXELS = 128
KEEP_SECONDS = 86400
RETRY_SECONDS = 300
MAX_KEPT = 500
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture as it is sent; no bytes: it cannot be had."""

    png: bytes
    etag: str
    until: int


class Logos:
    """The logos of one process.

    Args:
        outbound: returns what fetches them.
    """

    def __init__(self, outbound: Callable[[], Outbound]) -> None:
        self._outbound = outbound
        self._kept: OrderedDict[str, Logo] = OrderedDict()
        self._fetching = asyncio.Semaphore(4)

    async def get(self, client: Client) -> Logo | None:
        """Return the logo of an application, or None where it has none that can be shown."""
        uri = client.meta.logo_uri
        if uri is None:
            return None
        logo = self._kept.get(uri)
        if logo is None or logo.until <= clock.timestamp():
            async with self._fetching:
                logo = await self._fetch(uri)
            self._kept[uri] = logo
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return logo if logo.png else None

    async def _fetch(self, uri: str) -> Logo:
        try:
            body = await self._outbound().get(uri, accept="image/*", limit=MAX_FETCHED_BYTES)
            png = await asyncio.to_thread(reduced_png, body)
        except (OutboundRefused, OutboundFailed, ValueError) as error:
            log.warning("the logo at %s cannot be shown: %s", uri, error)
            return Logo(b"", "", clock.timestamp() + RETRY_SECONDS)
        return Logo(png, f'"{hashlib.sha256(png).hexdigest()[:24]}"', clock.timestamp() + KEEP_SECONDS)


def reduced_png(body: bytes, side: int = SIDE_PIXELS) -> bytes:
    """Return a picture as a small PNG, made anew from its pixels: nothing else of the file is left.

    Args:
        body: the file.
        side: the longest side, in pixels.

    Raises:
        ValueError: when it is not a picture of a kind that we read, or too large.
    """
    from PIL import Image, ImageOps  # here, because an installation without logos need not keep it in memory

    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(body), formats=_FORMATS) as picture:
            warnings.simplefilter("error")
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError("it has too many pixels")
            ImageOps.exif_transpose(picture, in_place=True)
            picture.thumbnail((side, side))
            small = picture.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE)
        small.info.clear()  # colour profile, comments
        buffer = io.BytesIO()
        small.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()
    except ValueError:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ValueError(f"it is not a picture that we can read ({type(error).__name__})") from None
