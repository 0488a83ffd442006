"""Codes that stand in profiles and in NIKs: languages, countries, time zones and places of registration.

The tables are data with a date: the IANA Language Subtag Registry and the codes of the Ministry of Home Affairs in
``users/data`` (``scripts/codes.py`` makes them anew), the Unicode CLDR in Babel, and the time zone database of the
system. A table may be older than the value that somebody has, so a value that is in no table is kept and only
warned of; a value that has the wrong form is refused.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel import Locale
from babel.core import get_global

DATA = Path(__file__).parent / "data"
_LANGUAGE, _EXTLANG, _SCRIPT = re.compile("[a-z]{2,8}"), re.compile("[a-z]{3}"), re.compile("[a-z]{4}")
_REGION, _VARIANT = re.compile("[a-z]{2}|[0-9]{3}"), re.compile("[a-z0-9]{5,8}|[0-9][a-z0-9]{3}")
_SINGLETON, _SUBTAG = re.compile("[0-9a-wy-z]"), re.compile("[a-z0-9]{1,8}")
_EXTENSION_SUBTAG = re.compile("[a-z0-9]{2,8}")
_POSIX = re.compile(r"([a-z]{2,3}[_-][a-z]{2})(?:\.[a-z0-9-]+)?(?:@[a-z0-9]+)?", re.IGNORECASE)
_NOT_COUNTRIES = {"aa", "eu", "ez", "un", "ac", "cp", "cq", "dg", "ea", "ic", "ta", "zz", "xk"}
"""Region subtags of two letters that ISO 3166-1 does not assign to a country: reserved codes and groups."""
_INDONESIAN_ZONES = {"wib": "Asia/Jakarta", "wita": "Asia/Makassar", "wit": "Asia/Jayapura"}
MAX_TAG_CHARS = 35


@dataclass(frozen=True, slots=True)
class Code:
    """A code in its canonical form. ``warning`` says what no table knows; empty where everything is known."""

    value: str
    warning: str = ""


@dataclass(frozen=True, slots=True)
class _Subtags:
    dated: str
    known: dict[str, frozenset[str]]
    preferred: dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class _Places:
    dated: str
    districts: dict[str, frozenset[str]]


def language_tag(text: str) -> Code:
    """Return a language tag in its canonical form (RFC 5646 section 4.5): ``ID-id`` becomes ``id-ID``, ``in`` ``id``,
    ``iw`` ``he``. The forms of POSIX and Java (``id_ID.UTF-8``) are read too.

    Raises:
        ValueError: when it has not the form of a language tag.
    """
    tag = text.strip()
    posix = _POSIX.fullmatch(tag)
    tag = (posix[1] if posix else tag).replace("_", "-").lower()
    table = _subtags()
    for kind in ("grandfathered", "redundant"):
        tag = table.preferred.get((kind, tag), tag).lower()
    parsed = _parts(tag) if len(tag) <= MAX_TAG_CHARS else None
    if parsed is None:
        raise ValueError("is not a language tag: write it as in id, id-ID or zh-Hant-TW (BCP 47)")
    language = parsed.language if parsed.language in table.known["language"] else _short_language(parsed.language)
    language = table.preferred.get(("language", language), language).lower()
    language, _, of_language = language.partition("-")
    script = parsed.script or of_language
    region = table.preferred.get(("region", parsed.region), parsed.region).lower()
    variants = [table.preferred.get(("variant", subtag), subtag).lower() for subtag in parsed.variants]
    subtags = [("language", language), ("script", script), ("region", region)]
    subtags += [("variant", variant) for variant in variants]
    unknown = [subtag for kind, subtag in subtags if subtag and subtag not in table.known[kind]]
    parts = [language, *([script.title()] if script else []), *([region.upper()] if region else []), *variants]
    warning = f"{unknown[0]!r} is not in the IANA language subtag registry of {table.dated}" if unknown else ""
    return Code("-".join([*parts, *parsed.rest]), warning)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a language tag (RFC 5646 section 2.1), in small letters; extensions in their order."""

    language: str
    script: str
    region: str
    variants: list[str]
    rest: list[str]


def _parts(tag: str) -> _Parts | None:
    """Return the parts of a language tag; None where it has not the form of one."""
    left = tag.split("-")

    def take(pattern: re.Pattern[str], maximum: int = 1) -> list[str]:
        taken: list[str] = []
        while left and len(taken) < maximum and pattern.fullmatch(left[0]):
            taken.append(left.pop(0))
        return taken

    language = take(_LANGUAGE)
    if not language:
        return None
    extlang = take(_EXTLANG, 3) if len(language[0]) < 4 else []
    script, region, variants = take(_SCRIPT), take(_REGION), take(_VARIANT, len(left))
    extensions = []
    while left and (singleton := take(_SINGLETON)):
        parts = take(_EXTENSION_SUBTAG, len(left))
        extensions.append([*singleton, *parts])
    private = left if left[:1] == ["x"] and len(left) > 1 and all(map(_SUBTAG.fullmatch, left[1:])) else []
    if left != private or any(len(extension) < 2 for extension in extensions):
        return None
    rest = [part for extension in sorted(extensions) for part in extension]
    of = (extlang[0] if extlang else language[0], "".join(script), "".join(region))  # section 4.5, step 4
    return _Parts(*of, variants, [*rest, *private])


def country(text: str) -> Code:
    """Return a country: a code of ISO 3166-1 in capitals (``id`` becomes ``ID``, ``idn`` ``IDN``), a name as it is
    (OpenID Connect Core section 5.1.1 says ``Country name``)."""
    value = " ".join(text.split())
    if len(value) in (2, 3) and value.isascii() and value.isalpha():
        known = value.lower() in _countries() or value.upper() in _alpha3()
        return Code(value.upper(), "" if known else f"{value.upper()} is not a country code of ISO 3166-1")
    known = value.casefold() in _country_names()
    return Code(value, "" if known else f"{value} is not the name of a country in Indonesian or English")


def country_code(text: str) -> str:
    """Return the code of a country that was written by its name in Indonesian or English; any other text as it is."""
    return _country_names().get(text.casefold(), text)


def time_zone(text: str) -> Code:
    """Return a time zone in the spelling of the time zone database: ``asia/jakarta`` becomes ``Asia/Jakarta``, and
    ``WIB``, ``WITA`` and ``WIT`` the zone that is meant."""
    value = text.strip()
    canonical = _INDONESIAN_ZONES.get(value.casefold()) or _zones().get(value.replace(" ", "_").casefold())
    return Code(canonical) if canonical else Code(value, f"{value} is not in the time zone database")


def place_warning(digits: str) -> str:
    """Return what is unknown of the first six digits of a NIK, the place where it was issued; nothing where the place
    is known. Districts are divided often, and the first NIKs hold codes that no list has: unknown is not wrong."""
    table = _places()
    regency, district = digits[:4], digits[4:6]
    if regency not in table.districts:
        if not any(code.startswith(digits[:2]) for code in table.districts):
            return f"province {digits[:2]} is not in the codes of {table.dated}"
        return f"regency {regency} is not in the codes of {table.dated}"
    if district not in table.districts[regency]:
        return f"district {digits[:6]} is not in the codes of {table.dated}"
    return ""


def _short_language(language: str) -> str:
    """Return the two letters of a language that was given by three (``ind``: ISO 639-2), as BCP 47 wants it."""
    short = str(get_global("language_aliases").get(language, ""))
    return short if len(short) == 2 else language


@cache
def _subtags() -> _Subtags:
    head, *lines = (DATA / "languages.txt").read_text("utf-8").splitlines()
    rows = dict(line.split(": ", 1) for line in lines)
    triples = (pair.split("=") for pair in rows.pop("preferred").split())
    dated = re.search(r"File-Date: ([0-9-]+)", head)
    assert dated is not None
    known = {kind: frozenset(value.split()) for kind, value in rows.items()}
    return _Subtags(dated[1], known, {(kind, tag): value for kind, tag, value in triples})


@cache
def _places() -> _Places:
    lines = (DATA / "places.txt").read_text("utf-8").splitlines()
    dated = re.search(r"districts, (.+?), and", lines[0])
    assert dated is not None
    rows = (line.partition(" ")[::2] for line in lines if not line.startswith("#"))
    table = {regency: frozenset(codes[at : at + 2] for at in range(0, len(codes), 2)) for regency, codes in rows}
    return _Places(dated[1], table)


@cache
def _countries() -> frozenset[str]:
    return frozenset(region for region in _subtags().known["region"] if len(region) == 2) - _NOT_COUNTRIES


@cache
def _alpha3() -> frozenset[str]:
    aliases = get_global("territory_aliases").items()
    alpha3 = ((alias, {code.lower() for code in codes}) for alias, codes in aliases if len(alias) == 3)
    return frozenset(alias for alias, codes in alpha3 if codes <= _countries())


@cache
def _country_names() -> dict[str, str]:
    """Return the codes of countries by their names, in small letters."""
    codes = [code.upper() for code in _countries()]
    named = {
        str(Locale(language).territories[code]).casefold(): code
        for language in ("id", "en")
        for code in codes
        if code in Locale(language).territories
    }
    return named | dict.fromkeys(("republik indonesia", "republic of indonesia"), "ID")


@cache
def _zones() -> dict[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones()}
