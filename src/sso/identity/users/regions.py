"""Names of the regions of Indonesia: provinces, regencies and cities, districts, and villages.

The forms of an address offer these names. Other names are accepted too: regions are divided and renamed, and addresses
abroad have none of them. The data is in ``users/data/regions`` (``scripts/codes.py`` makes it anew): one file for each
province, read when somebody chooses that province.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

REGIONS = Path(__file__).parent / "data" / "regions"
PROVINCES_IN_MEMORY = 4
"""How many provinces a process keeps: a large one has 9,000 villages."""
_SHORT = {
    "dki jakarta": "daerah khusus ibukota jakarta",
    "dk jakarta": "daerah khusus ibukota jakarta",
    "jakarta": "daerah khusus ibukota jakarta",
    "di yogyakarta": "daerah istimewa yogyakarta",
    "diy": "daerah istimewa yogyakarta",
    "yogyakarta": "daerah istimewa yogyakarta",
    "ntb": "nusa tenggara barat",
    "ntt": "nusa tenggara timur",
}
"""How people write provinces."""
_REGENCY, _CITY = re.compile(r"kab\b\.?\s*"), re.compile(r"kodya\b\.?\s*")
Districts = Mapping[str, Sequence[str]]
"""The villages of each district."""


def provinces() -> list[str]:
    """Return the names of all provinces, in the order of their codes."""
    return list(_codes())


def regencies(province: str) -> list[str]:
    """Return the regencies and cities of a province; none where the province is unknown."""
    return list(_regencies(province))


def districts(province: str, regency: str) -> list[str]:
    """Return the districts of a regency or city; none where it is unknown."""
    return list(_regencies(province).get(known_name(_regencies(province), regency), {}))


def villages(province: str, regency: str, district: str) -> list[str]:
    """Return the villages of a district; none where the district is unknown."""
    of_regency = _regencies(province).get(known_name(_regencies(province), regency), {})
    return list(of_regency.get(known_name(of_regency, district), ()))


def canonical(province: str, regency: str, district: str, village: str) -> tuple[str, str, str, str]:
    """Return the four names of an address in the spelling of the data, as far as they are known; other names as they
    are."""
    province = known_name(_codes(), province) or province
    regency = known_name(regencies(province), regency) or regency
    district = known_name(districts(province, regency), district) or district
    return province, regency, district, known_name(villages(province, regency, district), village) or village


def known_name(names: Iterable[str], typed: str) -> str:
    """Return the one of ``names`` that was typed, whatever its capital letters and abbreviations; empty: none is."""
    form = _form(typed)
    return next((name for name in names if _form(name) == form), "") if form else ""


def _form(name: str) -> str:
    plain = " ".join(name.replace("\u2019", "'").casefold().split())
    plain = _CITY.sub("kota ", _REGENCY.sub("kabupaten ", plain, 1), 1) if plain.startswith(("kab", "kod")) else plain
    return _SHORT.get(plain, plain.replace(" administrasi ", " "))


@cache
def _codes() -> dict[str, str]:
    lines = (REGIONS / "provinces.txt").read_text("utf-8").splitlines()
    return {name: code for code, _, name in (line.partition(" ") for line in lines if not line.startswith("#"))}


def _regencies(province: str) -> Mapping[str, Districts]:
    name = known_name(_codes(), province)
    return _province(_codes()[name]) if name else {}


@lru_cache(maxsize=PROVINCES_IN_MEMORY)
def _province(code: str) -> Mapping[str, Districts]:
    regions: dict[str, dict[str, Sequence[str]]] = {}
    of_regency: dict[str, Sequence[str]] = {}
    for line in (REGIONS / f"{code}.txt").read_text("utf-8").splitlines():
        if line.startswith("\t"):
            _, district, *of_district = line.split("\t")
            of_regency[district] = of_district
        else:
            of_regency = regions[line] = {}
    return regions
