"""The pages of docs/ that the provider shows itself: help for citizens and the manual of developers.

Each page begins with its kind and its audience (front matter). The site of the documents (``make site``) and the wheel
are made from the same lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape, unescape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from markdown_it.token import Token

Audience = Literal["citizen", "developer"]
AUDIENCES: Final[tuple[Audience, ...]] = ("citizen", "developer")
"""Who reads pages within the provider. All other pages are on the site only."""
FIRST: Final[Mapping[Audience, tuple[str, ...]]] = MappingProxyType(
    {
        "citizen": (
            "register", "sign-in", "code", "passkey", "second-factor", "recovery", "devices", "profile", "deletion",
            "privacy",
        ),
        "developer": ("developers",),
    }
)  # fmt: skip
"""The pages of each audience that come first, in this order; the others follow by their title."""
MAX_QUERY_CHARS = 100
_AROUND = 80
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_MARKS = re.compile(r"^ *(?:- |\d+\. |\|[ |:-]+$)|<[^>]+>|[`*|]|!\[[^\]]*\]\([^)]*\)|\]\([^)]*\)|\[", re.MULTILINE)
"""What is no text: marks of lists, tables and emphasis, tags, pictures, and the addresses of links."""
Address = Callable[[Audience, str], str]
"""Returns the address of a page of an audience, by its name."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading of the second level.

    Args:
        slug: its anchor, as repository hosts make it from the heading.
        title: its heading.
        text: what it says, as plain text for the search.
    """

    slug: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Args:
        audience: whose page it is.
        name: its name in the address: that of its file.
        path: its file below docs/, without the folder of the language.
        title: its heading.
        locale: the language in which it is written: English where it has no Indonesian twin.
        body: its text below the heading, as Markdown.
        sections: its parts; the first, without a title, is the text before the first heading.
    """

    audience: Audience
    name: str
    path: str
    title: str
    locale: str
    body: str
    sections: tuple[Section, ...]

    @property
    def summary(self) -> str:
        """The first sentence of the page."""
        return re.split(r"(?<=[.?!])\s", self.sections[0].text, maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a search finds: a section of a page, and the text around the first word."""

    page: Page
    section: Section
    text: str


def front_matter(text: str) -> tuple[dict[str, str], str]:
    """Return the lines ``name: value`` before a page, and the page without them. A page may have none."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, text
    pairs = (line.partition(":") for line in match[1].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}, text[match.end() :]


def folder() -> Path:
    """Return the folder of the documents: within the installed package, or in the repository."""
    package = Path(__file__).parents[2]
    installed = package / "_manual"
    return installed if installed.is_dir() else package.parents[1] / "docs"


@cache
def pages(audience: Audience, locale: str) -> tuple[Page, ...]:
    """Return the pages of an audience in a language, in the order of the contents.

    A page that is written in one language only is there for readers of the other one too: ``Page.locale`` says so.
    """
    known = {page.path: page for page in _all_pages("en") if page.audience == audience}
    own = {page.path: page for page in _all_pages(locale) if page.audience == audience} if locale != "en" else known
    if locale == "en":
        known = {page.path: page for page in _all_pages("id") if page.audience == audience} | known
    first = {name: place for place, name in enumerate(FIRST[audience])}
    merged = (known | own).values()
    return tuple(sorted(merged, key=lambda page: (first.get(page.name, len(first)), page.title.lower())))


def page_named(audience: Audience, locale: str, name: str) -> Page | None:
    """Return the page with a name, or None."""
    return next((page for page in pages(audience, locale) if page.name == name), None)


def page_with_section(audience: Audience, locale: str, slug: str) -> tuple[Page, str] | None:
    """Return the page with a section, and the anchor of this section in ``locale``; None where no page has it.

    The name of a section may be that of the other language: the sections of twins stand in the same order.
    """
    for other in (locale, *(code for code in ("en", "id") if code != locale)):
        for page in pages(audience, other):
            slugs = [section.slug for section in page.sections]
            if slug in slugs:
                twin = page_named(audience, locale, page.name) or page
                place = slugs.index(slug)
                return twin, twin.sections[place].slug if len(twin.sections) == len(slugs) else ""
    return None


def search(audience: Audience, locale: str, query: str) -> list[Finding]:
    """Return the sections that hold every word of a query (at most ``MAX_QUERY_CHARS`` characters of it)."""
    words = query[:MAX_QUERY_CHARS].lower().split()
    findings = []
    for page in pages(audience, locale):
        for section in page.sections:
            whole = f"{page.title if not section.title else section.title} {section.text}".lower()
            if words and all(word in whole for word in words):
                findings.append(Finding(page, section, _excerpt(section.text, words[0])))
    return sorted(findings, key=lambda finding: not _is_about(finding, words))


def _is_about(finding: Finding, words: Sequence[str]) -> bool:
    """Tell whether the headings of what was found hold every word."""
    headings = f"{finding.page.title} {finding.section.title}".lower()
    return all(word in headings for word in words)


def _excerpt(text: str, word: str) -> str:
    """Return the whole words of a text around the first place of a word."""
    start = max(text.lower().find(word) - _AROUND, 0)
    if start:
        start = text.find(" ", start) + 1
    end = text.rfind(" ", start, start + 3 * _AROUND) if len(text) > start + 3 * _AROUND else len(text)
    return f"{'… ' if start else ''}{text[start:end]}{' …' if end < len(text) else ''}"


def html_of(page: Page, locale: str, address: Address, pictures: str) -> str:
    """Return the text of a page as HTML. The files are ours; HTML in them is shown as text.

    Args:
        page: what is shown.
        locale: the language of the reader.
        address: where pages are; empty: a page is not shown here, and a link to it becomes plain text.
        pictures: the address of the folder of pictures, with a slash at its end.
    """
    from markdown_it import MarkdownIt  # few processes show the manual, and each of them a few pages

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(page.body)
    for token in tokens:
        if token.children:
            token.children = _linked(token.children, page, locale, address, pictures)
    html = markdown.renderer.render(tokens, markdown.options, {})
    html = re.sub(
        r"<h([23])>(.*?)</h\1>",
        lambda match: f'<h{match[1]} id="{slug_of(_plain(match[2]))}">{match[2]}</h{match[1]}>',
        html,
    )
    html = _with_named_tables(html, page.title)
    html = html.replace("</table>", "</table></div>").replace("<th>", '<th scope="col">')
    return html.replace("<pre>", '<pre class="code" tabindex="0">').replace("<td></td>", "<td>–</td>")


def _with_named_tables(html: str, title: str) -> str:
    """Return a text whose wide tables can be scrolled, each a region with a name of its own: that of its heading."""
    heading, names, parts = title, Counter[str](), []
    for part in re.split(r"(<h[23] .*?</h[23]>|<table>)", html):
        if part == "<table>":
            names[heading] += 1
            name = heading if names[heading] == 1 else f"{heading} ({names[heading]})"
            parts.append(f'<div class="scrolled" tabindex="0" role="region" aria-label="{escape(name)}"><table>')
            continue
        if part.startswith("<h"):
            heading = unescape(_plain(part))
        parts.append(part)
    return "".join(parts)


def slug_of(title: str) -> str:
    """Return the anchor of a heading, as repository hosts and the site make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def _all_pages(locale: str) -> tuple[Page, ...]:
    """Return every page of the two audiences that is written in a language."""
    root = folder() if locale == "en" else folder() / locale
    collected = []
    for file in sorted(root.rglob("*.md")):
        path = file.relative_to(root)
        if path.parts[0] == "id" or path.name.endswith(".head.md") or path.stem == "index":
            continue
        meta, text = front_matter(file.read_text(encoding="utf-8"))
        audiences = meta.get("audience", "").split(", ")
        audience = next((known for known in AUDIENCES if known in audiences), None)
        if audience:
            collected.append(_page(audience, path, locale, text))
    return tuple(collected)


def _page(audience: Audience, path: Path, locale: str, text: str) -> Page:
    heading, _, body = text.lstrip().partition("\n")
    parts = re.split(r"(?m)^## ", _without_code_headings(body))
    titles = ["", *(part.partition("\n")[0].strip() for part in parts[1:])]
    texts = [parts[0], *(part.partition("\n")[2] for part in parts[1:])]
    sections = tuple(Section(slug_of(title), title, _plain(text)) for title, text in zip(titles, texts, strict=True))
    return Page(audience, path.stem, path.as_posix(), heading.removeprefix("# ").strip(), locale, body, sections)


def _without_code_headings(body: str) -> str:
    """Return a text whose code has no line that looks like a heading: comments of shells begin with ``#``."""
    return re.sub(r"(?ms)^```.*?^```", lambda match: re.sub(r"(?m)^##", " ##", match[0]), body)


def _plain(text: str) -> str:
    """Return Markdown or HTML of one line or more as plain text."""
    without = _MARKS.sub("", text)
    return re.sub(r"\s+", " ", without).strip()


def _linked(tokens: Sequence[Token], page: Page, locale: str, address: Address, pictures: str) -> list[Token]:
    """Return the parts of a paragraph with links and pictures as they are within the provider."""
    parts, ends = [], []
    for token in tokens:
        if token.type == "image":
            token.attrSet("src", f"{pictures}{Path(str(token.attrGet('src'))).name}")
        elif token.type == "link_open":
            where = _address_of(str(token.attrGet("href")), page, locale, address)
            token.attrSet("href", where)
            ends.append(bool(where))
        if token.type == "link_open" and not ends[-1]:
            continue
        if token.type == "link_close" and not ends.pop():
            continue
        parts.append(token)
    return parts


def _address_of(target: str, page: Page, locale: str, address: Address) -> str:
    """Return where a link of a page leads within the provider; empty: nowhere."""
    file, _, anchor = target.partition("#")
    if not file or re.match(r"https?://|mailto:", target):
        return target
    linked = _target(page, file)
    for audience in AUDIENCES:
        known = next((other for other in pages(audience, locale) if other.path == linked), None)
        if known and (where := address(audience, known.name)):
            return f"{where}#{anchor}" if anchor else where
    return ""


def _target(page: Page, file: str) -> str:
    """Return the path below docs/, without the folder of the language, to which a link of a page leads."""
    parts = [] if page.locale == "en" else [page.locale]
    parts += page.path.split("/")[:-1]
    for part in file.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts[1:] if parts[:1] == ["id"] else parts)
