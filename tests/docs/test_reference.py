"""The generated pages are current, and what documents name exists."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from tests.demands import SPECIFICATIONS, all_demands, specification_of, table
from tests.docs.scripts import script

from sso.cli import COMMANDS, GROUPS
from sso.cli.reference import reference as commands
from sso.clients.docs_page import reference as fields
from sso.http.api.openapi import description
from sso.oidc.demands import reference as demands

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_generated_pages_are_current() -> None:
    assert (ROOT / "docs/reference/commands.md").read_text() == commands(), "run: make docs"
    assert (ROOT / "docs/reference/clients.md").read_text() == fields(), "run: make docs"
    assert (ROOT / "docs/security/demands.md").read_text() == demands(), "run: make docs"
    described = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    assert described == description("https://masuk.kota.example"), "run: make docs"
    head = (ROOT / "docs/reference/conformance.head.md").read_text()
    assert (ROOT / "docs/reference/conformance.md").read_text() == head + table(), "run: make docs"


def test_the_page_of_errors_is_current_and_names_every_code() -> None:
    page = script("errors_page")
    assert page.oauth_codes() <= set(page.OF_OAUTH), "say what to do in docs/reference/errors.yaml"
    assert page.api_codes() <= set(page.OF_API), "say what to do in docs/reference/errors.yaml"
    assert set(page.FAILURES) == set(page.OF_PAGES), "say what to do in docs/reference/errors.yaml"
    assert (ROOT / "docs/reference/errors.md").read_text() == page.page(), "run: make docs"


def test_every_specification_of_the_table_has_tests() -> None:
    proven = {specification_of(row.section) for row in all_demands()}
    assert proven == set(SPECIFICATIONS)
    assert len(all_demands()) > 200


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """Return the anchors that a repository host gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower() for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_commands_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http", "mailto:")):
            assert (page.parent / target).exists(), target
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        other = page.parent / target if target else page
        if not target.startswith("http") and other.suffix == ".md":
            assert anchor in anchors_of(other), f"{target}#{anchor}"
    known = {*COMMANDS, *GROUPS}
    for command in re.findall(r"\bsso ([a-z]+)(?= |`)", text):
        if re.search(rf"`sso {command}\b|^\s+(?:\$ )?sso {command}\b", text, re.M):
            assert command in known, command


def test_every_make_target_that_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z]+)`", page.read_text()):
            assert target in targets, f"{page.name}: make {target}"


def test_locks_hold_versions_and_hashes_only() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"https?://|--index|--find-links|@ file", lock.read_text()), lock.name
        pinned = [line for line in lock.read_text().splitlines() if re.match(r"^[a-z]", line)]
        assert all("==" in line for line in pinned)
    packages = (ROOT / "tests/interop/openid_client/package-lock.json").read_text()
    assert '"resolved"' not in packages
