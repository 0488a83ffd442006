"""Write the SBOM of a release, ``dist/sso-VERSION.cdx.json`` (CycloneDX 1.6, JSON).

``cyclonedx-py`` reads the names, versions and hashes from ``requirements/run.txt``. This script adds what the tool does
not read: the version of the project, the licences of the installed packages, and which package needs which. The output
depends on these files and packages alone, so that the same release gives the same file.

    python scripts/sbom.py [FILE]
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sso import __version__

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements/run.txt"
PROJECT = f"pkg:pypi/sso@{__version__}"
_PLAIN_ADDRESS = re.compile(r"https://[a-z0-9.-]+(?:/[A-Za-z0-9._~-]*)*(?:#[A-Za-z0-9._~-]*)?")
"""Addresses that are valid without more: the parser of the validator takes 20 ms for each."""
_LOCKED = re.compile(r"^([a-zA-Z0-9._-]+)==([^ ;\\]+)", re.M)


_FORMATS = Draft7Validator.FORMAT_CHECKER
_parse_address, _raised = _FORMATS.checkers["iri-reference"]


@_FORMATS.checks("iri-reference", _raised)
def is_address(text: object) -> bool:
    """Tell whether a text is an address, as the validator asks: only one that is not plain is parsed."""
    return bool(isinstance(text, str) and _PLAIN_ADDRESS.fullmatch(text)) or bool(_parse_address(text))


def locked(lock: Path = LOCK) -> dict[str, str]:
    """Return the version of each package in a lock file, by the canonical name of the package."""
    return {canonicalize_name(name): version for name, version in _LOCKED.findall(lock.read_text())}


def sbom(lock: Path = LOCK) -> dict[str, Any]:
    """Return the SBOM of the packages in ``lock`` as a JSON object.

    Raises:
        subprocess.CalledProcessError: when cyclonedx-py cannot read the lock file.
    """
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "cyclonedx_py",
        "requirements",
        "--output-reproducible",
        "--sv",
        "1.6",
    ]
    done = subprocess.run(  # noqa: S603 - the arguments are written here
        [*command, "--pyproject", str(ROOT / "pyproject.toml"), "--no-validate", str(lock)],
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    bom: dict[str, Any] = orjson.loads(done.stdout)
    bom["metadata"]["component"] |= {"bom-ref": PROJECT, "purl": PROJECT, "version": __version__}
    references = {}
    for component in bom["components"]:
        references[canonicalize_name(component["name"])] = component["bom-ref"] = component["purl"]
        component.pop("description", None)  # the text of the line in the lock file
        component.update(_licences(component["name"], component["version"]))
    bom["components"].sort(key=lambda component: component["bom-ref"])
    needs = {PROJECT: sorted(references[name] for name in _needs("sso") & references.keys())}
    for name, reference in references.items():
        needs[reference] = sorted(references[other] for other in _needs(name) & references.keys())
    bom["dependencies"] = [{"ref": ref, "dependsOn": others} for ref, others in sorted(needs.items())]
    return bom


def mistakes(bom: dict[str, Any]) -> str:
    """Return what the CycloneDX schema does not allow in ``bom``; an empty text where it is valid."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(orjson.dumps(bom).decode())
    return str(error) if error else ""


def _licences(name: str, version: str) -> dict[str, Any]:
    """Return the member ``licenses`` of a package that is installed in this version and states a licence."""
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return {}  # a package of another operating system or Python
    if package.version != version:
        return {}
    expression = package.metadata.get("License-Expression")
    if expression:
        return {"licenses": [{"expression": expression, "acknowledgement": "declared"}]}
    classifiers = package.metadata.get_all("Classifier") or []
    names = sorted(line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: "))
    text = package.metadata.get("License", "")
    if not names and text and "\n" not in text:  # some packages put the whole text of the licence there
        names = [text]
    return {"licenses": [{"license": {"name": name, "acknowledgement": "declared"}} for name in names]} if names else {}


def _needs(name: str) -> set[str]:
    """Return the packages that an installed package requires, those of its extras too."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return set()
    return {canonicalize_name(Requirement(line).name) for line in lines}


def main() -> None:
    """Write the SBOM to the file that the first argument names, or into ``dist/``."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / f"sso-{__version__}.cdx.json"
    bom = sbom()
    problem = mistakes(bom)
    if problem:
        sys.exit(f"The SBOM is not valid CycloneDX: {problem}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(orjson.dumps(bom, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
    print(f"{target}: {len(bom['components'])} packages")


if __name__ == "__main__":
    main()
