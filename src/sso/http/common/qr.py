"""QR codes, as pictures within a page."""

from __future__ import annotations


def as_image(text: str) -> str:
    """Return a data URI with the QR code of ``text`` (ISO/IEC 18004), black on white so that every camera reads it."""
    import segno  # read only where one is shown

    if not text:
        return ""
    uri: str = segno.make(text, error="m", micro=False).svg_data_uri(scale=4, border=3, dark="#000", light="#fff")
    return uri
