"""The SBOM is valid CycloneDX and names every locked package; it is the same each time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.docs.scripts import ROOT, script

from sso import __version__

pytestmark = pytest.mark.group("sbom")  # one worker makes the SBOM once for all


@pytest.fixture(scope="module")
def bom() -> Any:
    return script("sbom").sbom()


def test_the_sbom_is_valid(bom: Any) -> None:
    assert bom["specVersion"] == "1.6"
    assert script("sbom").mistakes(bom) == ""


def test_the_sbom_is_not_valid_with_an_address_that_is_none(bom: Any) -> None:
    first, *others = bom["components"]
    for address in ("https://a b", "https://pypi.org/<x>", "https://pypi.org/%zz"):
        wrong = {**first, "externalReferences": [{"type": "website", "url": address}]}
        assert script("sbom").mistakes({**bom, "components": [wrong, *others[:2]]}), address


def test_the_sbom_names_every_locked_package_with_its_hashes(bom: Any) -> None:
    locked = script("sbom").locked()
    lines = re.findall(r"^\S+==", (ROOT / "requirements/run.txt").read_text(), re.M)
    assert len(locked) == len(lines) > 50
    assert {component["name"]: component["version"] for component in bom["components"]} == locked
    for component in bom["components"]:
        assert any(place.get("hashes") for place in component["externalReferences"]), component["name"]
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"


def test_the_sbom_describes_this_version_and_what_it_needs(bom: Any) -> None:
    project = bom["metadata"]["component"]
    assert (project["name"], project["version"]) == ("sso", __version__)
    needs = {entry["ref"]: entry["dependsOn"] for entry in bom["dependencies"]}
    assert any(ref.startswith("pkg:pypi/fastapi@") for ref in needs[project["bom-ref"]])
    known = {component["bom-ref"] for component in bom["components"]}
    assert {ref for refs in needs.values() for ref in refs} <= known
    assert set(needs) == known | {project["bom-ref"]}


def test_most_packages_state_their_licence(bom: Any) -> None:
    stated = [component for component in bom["components"] if "licenses" in component]
    assert len(stated) > 0.8 * len(bom["components"])


def test_the_sbom_is_the_same_each_time(bom: Any) -> None:
    assert script("sbom").sbom() == bom
    assert "timestamp" not in bom["metadata"]
    assert "serialNumber" not in bom
