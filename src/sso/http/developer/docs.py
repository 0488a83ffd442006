"""The developer manual within the portal: docs/how-to/developers.md, one page for each section, with search."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.console.access import DEVELOPER, Here, Needs, developer_page

router = new_router()

SignedIn = Annotated[Here, Depends(Needs(None))]
DOCS = DEVELOPER + "/docs"
MAX_QUERY_CHARS = 100
_FILES = {"en": "how-to/developers.md", "id": "id/how-to/developers.md"}
_AROUND = 80


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the manual.

    Args:
        slug: its name in the address.
        title: its heading.
        html: what it says, as HTML.
        text: the same as plain text, for the search.
    """

    slug: str
    title: str
    html: Markup
    text: str


def _folder() -> Path:
    """Return the folder of the manual: within the installed package, or in the repository."""
    package = Path(__file__).parents[2]
    installed = package / "_manual"
    return installed if installed.is_dir() else package.parents[1] / "docs"


@cache
def manual(locale: str) -> tuple[Section, ...]:
    """Return the sections of the manual in a language. The file is ours; HTML in it would be shown as text."""
    from markdown_it import MarkdownIt  # few processes show the manual, and each of them once

    text = (_folder() / _FILES.get(locale, _FILES["en"])).read_text(encoding="utf-8")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    sections = []
    for part in re.split(r"(?m)^## ", text)[1:]:
        title, _, body = part.partition("\n")
        html = markdown.render(re.sub(r"\]\(([\w./-]*\.md)?(#[\w-]+)?\)", _link, body))
        html = html.replace("<h3>", "<h2>").replace("</h3>", "</h2>")
        html = html.replace("<table>", '<div class="scrolled" tabindex="0" role="region"><table>')
        html = html.replace("</table>", "</table></div>").replace("<th>", '<th scope="col">')
        html = html.replace("<pre>", '<pre class="code" tabindex="0">').replace("<td></td>", "<td>–</td>")
        region = f'role="region" aria-label="{escape(title)}"'
        plain = re.sub(r"\s+", " ", re.sub(r"[`*|]|\]\([^)]*\)|\[", "", body))
        sections.append(Section(slug_of(title), title, Markup(html.replace('role="region"', region)), plain))  # noqa: S704
    return tuple(sections)


def slug_of(title: str) -> str:
    """Return the name of a section in the address."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _link(match: re.Match[str]) -> str:
    """Return where a link of the manual leads within the portal: to a section, or to the API's pages."""
    file, anchor = match[1], match[2]
    if not file and anchor:
        return f"]({DOCS}/{anchor[1:]})"
    return "](/api/docs)" if file and file.endswith("/api.md") else f"]({DOCS})"


def search(locale: str, query: str) -> list[tuple[Section, str]]:
    """Return the sections that hold every word of a query, each with the text around the first."""
    words = query.lower().split()
    sections = []
    for section in manual(locale):
        whole = f"{section.title} {section.text}".lower()
        if words and all(word in whole for word in words):
            at = max(section.text.lower().find(words[0]) - _AROUND, 0)
            sections.append((section, section.text[at : at + 3 * _AROUND].strip()))
    return sections


@router.get(DOCS)
async def contents(request: Request, here: SignedIn) -> Response:
    """The first section of the manual, or what a search finds."""
    query = request.query_params.get("q", "")[:MAX_QUERY_CHARS].strip()
    locale = locale_of(request)
    sections = search(locale, query) if query else []
    return await _page(request, here, None if query else manual(locale)[0], query=query, results=sections)


@router.get(DOCS + "/{slug}")
async def section(request: Request, slug: str, here: SignedIn) -> Response:
    """One section of the manual. A section of the other language leads to the contents."""
    sections = {known.slug: known for known in manual(locale_of(request))}
    if slug not in sections:
        elsewhere = any(slug == known.slug for locale in _FILES for known in manual(locale))
        return await _page(request, here, None) if elsewhere else failure(request, "not_found", 404)
    return await _page(request, here, sections[slug])


async def _page(
    request: Request,
    here: Here,
    current_section: Section | None,
    *,
    query: str = "",
    results: list[tuple[Section, str]] | None = None,
) -> Response:
    return await developer_page(
        request,
        here,
        "docs",
        "developer_docs.html",
        sections=manual(locale_of(request)),
        shown=current_section,
        query=query,
        found=results or [],
    )
