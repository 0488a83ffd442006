"""The site of the documents: built once without a network, whole as a folder, and strict about links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.scripts import ROOT, script

REPOSITORY = "https://git.kota.example/sso"


def built(target: Path) -> None:
    """Build the site in a process of its own: Sphinx changes the registries of docutils."""
    environment = {**os.environ, "REPOSITORY": REPOSITORY, "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, "scripts/docs_site.py", str(target)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_site_is_built_without_a_warning_and_without_a_dead_link(tmp_path: Path) -> None:
    site = tmp_path / "site"
    built(site)
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


def test_dead_links_and_anchors_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#one">1</a> <a href="b.html#two">2</a> <a href="c.html">3</a>')
    (tmp_path / "b.html").write_text('<h1 id="one"></h1><a href="#one"></a><a href="https://x.example/y"></a>')
    assert list(script("docs_site").dead_links(tmp_path)) == [
        "a.html: no anchor: b.html#two",
        "a.html: no file: c.html",
    ]


def test_a_page_names_its_own_scripts_and_styles_by_their_hash() -> None:
    html = "<html><head></head><script>a()</script><script src='x.js'></script><style>b{}</style></html>"
    policy = script("docs_site").with_policy(html)
    assert policy.count("sha256-") == 2
    assert "script-src 'self' 'sha256-" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("how-to/a.md", "[x](roles.md#y)", "[x](roles.md#y)"),
        ("how-to/a.md", "[x](../id/how-to/php.md#y)", "[x](local:../id/how-to/php.html#y)"),
        ("id/how-to/a.md", "[x](../../reference/api.md#y)", "[x](local:../../reference/api.html#y)"),
        ("id/how-to/a.md", "[x](php.md)", "[x](php.md)"),
        ("how-to/a.md", "[`x`](../../Makefile)", "[`x`](https://r.example/blob/main/Makefile)"),
        ("how-to/a.md", "[x](../decisions)", "[x](../decisions/index.md)"),
        ("how-to/a.md", "[x](https://x.example) [y](#z)", "[x](https://x.example) [y](#z)"),
        ("how-to/a.md", "```\n[x](none.md)\n```", "```\n[x](none.md)\n```"),
    ],
)
def test_links_out_of_a_language_and_of_the_folder_are_completed(path: str, text: str, expected: str) -> None:
    assert script("docs_site_pages").linked(text, path, "https://r.example") == expected


def test_a_link_to_a_file_of_the_repository_is_plain_text_where_there_is_no_address() -> None:
    pages = script("docs_site_pages")
    assert pages.linked("[x](../../Makefile)", "how-to/a.md", "") == "x"
    with pytest.raises(ValueError, match="no such file"):
        pages.linked("[x](../none.md)", "how-to/a.md", "")
