"""Build the site of the documents: site/ in English, site/id/ in Indonesian. ``make site`` calls it.

It reads docs/ and nothing from a network, and what it writes works as a folder (``file://``), search included. A
warning of the generator, a dead link and a dead anchor are errors.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "src")]

from docs_site_pages import INDONESIAN, LOCAL  # noqa: E402

from sso import __version__  # noqa: E402

_ATTRIBUTES = {'style="opacity: 50%"': 'opacity="0.5"', 'style="display: none;"': 'class="icon-shapes"'}
"""The styles in attributes of the theme, which no hash permits, and what says the same."""
_INLINE = re.compile(r"<(script|style)(?![^>]*\bsrc=)[^>]*>(.*?)</\1>", re.DOTALL)


def repository() -> str:
    """Return the address of the repository, for links to files and "Edit this page"; empty: there is none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    address: str = os.environ.get("REPOSITORY", "") or project["tool"]["sso"]["site"]["repository"]
    return address.rstrip("/")


def settings(language: str, catalogues: Path) -> dict[str, object]:
    """Return the settings of Sphinx for a language."""
    prefix = "id/" if language == "id" else ""
    address = repository()
    options: dict[str, object] = {"sidebar_hide_name": False, "top_of_page_buttons": ["edit"] if address else []}
    if address:
        options["source_edit_link"] = f"{address}/edit/main/docs/{prefix}{{filename}}"
    return {
        "extensions": ["myst_parser", "docs_site_pages"],
        "project": "sso",
        "release": __version__,
        "language": language,
        "locale_dirs": [str(catalogues)],
        "html_title": f"sso {__version__}",
        "html_theme": "furo",
        "html_theme_options": options,
        "html_static_path": [str(ROOT / "scripts" / "docs_site.css")],
        "html_copy_source": False,
        "html_show_search_summary": False,  # a page cannot fetch another one from a folder
        "html_show_sphinx": False,
        "html_show_copyright": False,
        "html_use_index": False,
        "html_permalinks_icon": "#",
        "exclude_patterns": ["**.head.md", *([] if prefix else ["id"])],
        "root_doc": "index",
        "source_suffix": {".md": "markdown"},
        "myst_heading_anchors": 4,
        "myst_url_schemes": {"http": None, "https": None, "mailto": None, LOCAL: None},
        "suppress_warnings": ["misc.highlighting_failure"],
        "site_prefix": prefix,
        "site_repository": address,
    }


def build(target: Path) -> None:
    """Write the site.

    Args:
        target: the folder, which is written anew.

    Raises:
        SystemExit: when the generator warns, or a link leads nowhere.
    """
    from sphinx.search.en import SearchEnglish

    SearchEnglish.stem = cache(SearchEnglish.stem)  # type: ignore[method-assign]  # once for each word, not for each page
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        catalogues = Path(work) / "locale"
        _write_catalogue(catalogues / "id/LC_MESSAGES/sphinx.mo")
        for language, folder in (("en", target), ("id", target / "id")):
            _build_language(language, folder, Path(work), catalogues)
    for script in target.rglob("doctools.js"):
        script.write_text(_without_evaluation(script.read_text(encoding="utf-8")), encoding="utf-8")
    for page in target.rglob("*.html"):
        page.write_text(with_policy(page.read_text(encoding="utf-8")), encoding="utf-8")
    if faults := list(dead_links(target)):
        raise SystemExit("\n".join(faults))


def _build_language(language: str, folder: Path, work: Path, catalogues: Path) -> None:
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    source = ROOT / "docs" / ("id" if language == "id" else "")
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source,
            None,
            folder,
            work / f"doctrees-{language}",
            "html",
            confoverrides=settings(language, catalogues),
            status=None,
            freshenv=True,
            warningiserror=True,
        )
        app.build()
    if app.statuscode:
        raise SystemExit(f"docs/{'id/' if language == 'id' else ''}: the warnings above are errors")
    for name in (".buildinfo", "objects.inv"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "_sources", ignore_errors=True)


def _write_catalogue(path: Path) -> None:
    catalogue = Catalog(locale="id")
    for text, translated in INDONESIAN.items():
        catalogue.add(text, translated)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalogue)


def _without_evaluation(script: str) -> str:
    """Return Sphinx's script with a rule for plurals that is no text to evaluate: the policy refuses that."""
    changed = re.sub(r"new Function\(\s*\"n\",\s*`return \(\$\{catalog\.plural_expr\}\)`,?\s*\)", "(n) => 0", script)
    if "new Function" in changed:
        raise SystemExit("doctools.js evaluates a text in another way than before: change _without_evaluation")
    return changed


def with_policy(html: str) -> str:
    """Return a page with a policy: only scripts and styles of the site run in it, and its own by their hash."""
    for attribute, instead in _ATTRIBUTES.items():
        html = html.replace(attribute, instead)
    hashes: dict[str, set[str]] = {"script": set(), "style": set()}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].add(f"'sha256-{digest}'")
    scripts, styles = (" ".join(["'self'", *sorted(hashes[kind])]) for kind in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'"
    )
    return html.replace("<head>", f'<head>\n    <meta http-equiv="Content-Security-Policy" content="{policy}">', 1)


class _Addresses(HTMLParser):
    """Collects what a page links to and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {"", "top"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(unescape(value))
            if name in ("id", "name") and value:
                self.anchors.add(value)


def dead_links(site: Path) -> Iterator[str]:
    """Yield each link of the pages of a folder that leads to no file of it, or to no anchor of a page."""
    pages: dict[Path, _Addresses] = {}
    for page in sorted(site.rglob("*.html")):
        pages[page.resolve()] = parser = _Addresses()
        parser.feed(page.read_text(encoding="utf-8"))
    resolved = cache(lambda folder, path: Path(os.path.normpath(folder / path)))
    is_file = cache(Path.is_file)
    for page, parser in pages.items():
        for link in sorted(parser.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = resolved(page.parent, unquote(parts.path)) if parts.path else page
            if not is_file(target):
                yield f"{page.relative_to(site.resolve())}: no file: {link}"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{page.relative_to(site.resolve())}: no anchor: {link}"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "site"
    build(folder)
    print(f"{folder}/index.html")
