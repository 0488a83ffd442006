"""Links and the policy of the site of the documents. The site itself: tests/journeys/test_site.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.scripts import script


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
