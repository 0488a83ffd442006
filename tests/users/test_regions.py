"""Names of Indonesian regions, and the address claim: pure functions."""

from __future__ import annotations

import pytest

from sso.identity.users.addresses import address_claim
from sso.identity.users.regions import REGIONS, canonical, districts, provinces, regencies, villages

pytestmark = pytest.mark.unit


def test_every_province_has_regencies_districts_and_villages() -> None:
    assert len(provinces()) == 38
    assert len(list(REGIONS.glob("*.txt"))) == 39
    for province in provinces():
        for regency in regencies(province):
            assert regency.startswith(("Kabupaten ", "Kota ")), regency
            within = districts(province, regency)
            assert within, regency
            assert villages(province, regency, within[0]), within[0]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("banten", "KOTA TANGERANG", "karang tengah", "x"), ("Banten", "Kota Tangerang", "Karang Tengah", "x")),
        (("Banten", "kab. tangerang", "", ""), ("Banten", "Kabupaten Tangerang", "", "")),
        (("Banten", "Tangerang", "", ""), ("Banten", "Tangerang", "", "")),  # the city or the regency: not decided here
        (
            ("DKI Jakarta", "kota jakarta pusat", "menteng", ""),
            ("Daerah Khusus Ibukota Jakarta", "Kota Administrasi Jakarta Pusat", "Menteng", ""),
        ),
        (("Selangor", "Petaling", "", ""), ("Selangor", "Petaling", "", "")),
        (("../../etc", "x", "x", "x"), ("../../etc", "x", "x", "x")),
    ],
)
def test_names_are_found_however_they_are_written(
    typed: tuple[str, str, str, str], expected: tuple[str, str, str, str]
) -> None:
    assert canonical(*typed) == expected


@pytest.mark.parametrize(
    ("stored", "claim"),
    [
        ({"formatted": "Jalan A\nTangerang"}, {"formatted": "Jalan A\nTangerang"}),
        ({"street_address": "Jalan A", "country": "ID"}, {"street_address": "Jalan A", "country": "ID"}),
        (
            {"rt": "003", "district": "Tangerang", "locality": "Kota Tangerang"},
            {
                "street_address": "RT 003\nKec. Tangerang",
                "locality": "Kota Tangerang",
                "formatted": "RT 003\nKec. Tangerang\nKota Tangerang",
            },
        ),
    ],
)
def test_the_claim_has_the_members_of_the_specification_alone(stored: dict[str, str], claim: dict[str, str]) -> None:
    assert address_claim(stored) == claim
