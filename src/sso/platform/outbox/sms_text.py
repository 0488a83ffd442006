"""The alphabet and the length of SMS (3GPP TS 23.038 section 6.2.1): a text in the GSM-7 alphabet has 160 characters in
one segment; one other character makes it 70. Providers charge for each segment."""

from __future__ import annotations

import unicodedata

SEGMENT = 160
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("^{}\\[~]|€")
"""Characters that take the place of two."""
_REPLACED = str.maketrans({"–": "-", "—": "-", "…": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*", "`": "'"})


def to_gsm7(text: str) -> str:
    """Return a text with every character that GSM-7 does not have replaced: accents are removed, the rest becomes
    ``?``."""
    if all(char in BASIC or char in EXTENSION for char in text):
        return text
    return "".join(_replaced(char) for char in text.translate(_REPLACED))


def fits_one_segment(text: str) -> bool:
    """Tell whether a text in GSM-7 fits into one segment."""
    return sum(2 if char in EXTENSION else 1 for char in text) <= SEGMENT


def _replaced(char: str) -> str:
    if char in BASIC or char in EXTENSION:
        return char
    if char.isspace():
        return " "
    plain = unicodedata.normalize("NFKD", char)[:1]
    return plain if plain in BASIC else "?"
