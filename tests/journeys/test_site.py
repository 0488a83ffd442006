"""The site of the documents: whole as a folder, strict about links, and shown and searched by a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from tests.docs.scripts import ROOT
from tests.journeys.displays import check_fits

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="session"), pytest.mark.group("site")]

REPOSITORY = "https://git.kota.example/sso"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once in a process of its own: Sphinx changes the registries of docutils."""
    target = tmp_path_factory.mktemp("documents") / "site"
    environment = {**os.environ, "REPOSITORY": REPOSITORY, "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, "scripts/docs_site.py", str(target)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return target


async def test_the_site_is_built_without_a_warning_and_without_a_dead_link(site: Path) -> None:
    pages = {page.relative_to(site).as_posix(): page.read_text() for page in site.rglob("*.html")}
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    expected = {path.with_suffix(".html").as_posix() for path in sources if not path.name.endswith(".head.md")}
    assert set(pages) == expected | {"search.html", "id/search.html"}
    for language in (site, site / "id"):
        assert "Search.setIndex" in (language / "searchindex.js").read_text()
        assert not (language / "_sources").exists()
        assert "new Function" not in (language / "_static/doctools.js").read_text(), "the policy refuses it"
    for name, html in pages.items():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"', html)
        foreign = [address for pair in loaded for address in pair if re.match(r"(https?:)?//", address)]
        assert not foreign, name
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
        assert policy, name
        assert "unsafe" not in policy[1], name
        assert "default-src 'none'" in policy[1], name
        assert not re.search(r'<[a-z][^>]*\s(style|on[a-z]+)="', html), f"{name}: the policy refuses it"
    english, indonesian = pages["help/sign-in.html"], pages["id/help/sign-in.html"]
    assert "<span>How-to guide</span><span>For citizens</span>" in english
    assert '<a href="../id/help/sign-in.html" lang="id" hreflang="id">Bahasa Indonesia</a>' in english
    assert "<span>Panduan</span><span>Untuk warga</span>" in indonesian
    assert '<a href="../../help/sign-in.html" lang="en" hreflang="en">English</a>' in indonesian
    assert f"{REPOSITORY}/edit/main/docs/id/help/sign-in.md" in indonesian
    assert f"{REPOSITORY}/edit/main/docs/help/sign-in.md" in english
    assert f'href="{REPOSITORY}/blob/main/tests/' in pages["reference/conformance.html"]
    assert 'href="../../reference/api.html"' in pages["id/how-to/developers.html"]
    assert 'href="0001-' in pages["decisions/index.html"]


@pytest.mark.parametrize(
    ("locale", "folder", "query", "title"),
    [("en-GB", "", "passkey", "Use a passkey"), ("id-ID", "id/", "kunci sandi", "Memakai kunci sandi")],
)
async def test_a_browser_shows_and_searches_the_folder(
    site: Path, chromium: Browser, locale: str, folder: str, query: str, title: str
) -> None:
    """Without a server; the policy of a page stops nothing that the page needs."""
    messages: list[str] = []
    context = await chromium.new_context(viewport={"width": 360, "height": 740}, locale=locale)
    page = await context.new_page()
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    for path in ("index.html", "help/sign-in.html", "how-to/developers.html"):
        await page.goto(f"{site.as_uri()}/{folder}{path}")
        await check_fits(page)
    await page.goto(f"{site.as_uri()}/{folder}search.html?q={query}")
    await page.locator("#search-results a", has_text=title).first.click()
    await expect(page.locator("h1")).to_contain_text(title)
    assert messages == []
    await context.close()
