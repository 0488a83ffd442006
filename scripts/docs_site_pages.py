"""The extension of Sphinx for the site of the documents: navigation, links between languages, facts about a page.

``docs/index.md`` and ``docs/id/index.md`` are the contents: each section becomes a part of the sidebar.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from posixpath import normpath, relpath
from typing import TYPE_CHECKING, Any

from sso.http.common.manual import front_matter

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
KINDS = {
    "en": {
        "tutorial": "Tutorial",
        "how-to": "How-to guide",
        "reference": "Reference",
        "explanation": "Explanation",
        "overview": "Contents",
    },
    "id": {
        "tutorial": "Tutorial",
        "how-to": "Panduan",
        "reference": "Referensi",
        "explanation": "Penjelasan",
        "overview": "Daftar isi",
    },
}
AUDIENCES = {
    "en": {
        "citizen": "citizens",
        "helpdesk": "the helpdesk",
        "developer": "developers",
        "administrator": "administrators",
        "operator": "operators",
        "contributor": "contributors",
    },
    "id": {
        "citizen": "warga",
        "helpdesk": "layanan bantuan",
        "developer": "pengembang",
        "administrator": "administrator",
        "operator": "operator",
        "contributor": "kontributor",
    },
}
WORDS = {
    "en": {"for": "For {}", "twin": "Bahasa Indonesia"},
    "id": {"for": "Untuk {}", "twin": "English"},
}
INDONESIAN = {
    "Skip to content": "Langsung ke isi",
    "Back to top": "Kembali ke atas",
    "On this page": "Di halaman ini",
    "Contents": "Daftar isi",
    "Search": "Cari",
    "Home": "Beranda",
    "Next": "Berikutnya",
    "Previous": "Sebelumnya",
    "Edit this page": "Ubah halaman ini",
}
"""What the theme says and no catalogue of Sphinx translates."""
LOCAL = "local"
"""The scheme of links to the other language, which are complete when Sphinx reads them."""
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def facts_of(path: str) -> dict[str, str]:
    """Return the front matter of a page below docs/. A decision has none: all are explanations for contributors."""
    if path.removeprefix("id/").startswith("decisions/") and not path.endswith("index.md"):
        return {"kind": "explanation", "audience": "contributor"}
    return front_matter((DOCS / path).read_text(encoding="utf-8"))[0]


def twin_of(path: str) -> str:
    """Return the same page in the other language, or the contents of that language where there is no such page."""
    if path.startswith("id/"):
        twin = path.removeprefix("id/")
        return twin if (DOCS / twin).is_file() else "index.md"
    twin = f"id/{path}"
    return twin if (DOCS / twin).is_file() else "id/index.md"


def contents(text: str) -> list[tuple[str, list[str]]]:
    """Return the sections of a page of contents, each with the pages that its list names, in order."""
    sections = []
    for part in re.split(r"(?m)^## ", text)[1:]:
        title, _, body = part.partition("\n")
        sections.append((title.strip(), re.findall(r"(?m)^- \[[^\]]+\]\(([^)\s]+)\.md\)", body)))
    return sections


def trees(text: str) -> str:
    """Return the sidebar as Sphinx reads it, made of a page of contents."""
    parts = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```"])
        for title, pages in contents(text)
    ]
    return "\n\n".join(["", *parts, ""])


def linked(text: str, path: str, repository: str) -> str:
    """Return a page whose links to the other language and to files outside of docs/ are complete.

    Args:
        text: the page.
        path: where it is below docs/.
        repository: the address of the repository; empty: a link to a file outside of docs/ becomes plain text.
    """
    blocks = re.split(r"(?ms)(^ *```.*?^ *```)", text)
    return "".join(
        block if place % 2 else _LINK.sub(lambda match: _changed_link(match, path, repository), block)
        for place, block in enumerate(blocks)
    )


def _changed_link(match: re.Match[str], path: str, repository: str) -> str:
    label, target = match[1], match[2]
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    file, _, anchor = target.partition("#")
    linked_path = normpath(f"{path.rpartition('/')[0]}/{file}" if "/" in path else file)
    if linked_path.startswith("../") or not (DOCS / linked_path).exists():
        inside = normpath(f"docs/{linked_path}")
        if not (ROOT / inside).exists():
            raise ValueError(f"docs/{path}: no such file: {target}")
        return f"[{label}]({repository}/blob/main/{inside})" if repository else label
    if (DOCS / linked_path).is_dir():
        linked_path = f"{linked_path}/index.md"
    if not linked_path.endswith(".md"):
        return match[0]
    ours, theirs = path.startswith("id/"), linked_path.startswith("id/")
    if ours == theirs:
        relative = relpath(linked_path, path.rpartition("/")[0] or ".")
        return f"[{label}]({relative}{f'#{anchor}' if anchor else ''})"
    page = relpath(linked_path.removesuffix(".md") + ".html", path.rpartition("/")[0] or ".")
    return f"[{label}]({LOCAL}:{page}{f'#{anchor}' if anchor else ''})"


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Prepare a page before Sphinx reads it."""
    path = f"{app.config.site_prefix}{name}.md"
    text = linked(source[0], path, app.config.site_repository)
    if name == "index":
        text += trees(source[0])
    if name == "decisions/index":
        text += decisions()
    elif name.startswith("decisions/"):  # in the list of decisions and not in the sidebar, which stands on every page
        facts, text = front_matter(text)
        text = "\n".join(["---", "orphan: true", *(f"{key}: {value}" for key, value in facts.items()), "---", text])
    source[0] = text


def decisions() -> str:
    """Return the list of decisions, made of their headings."""
    lines = []
    for file in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        title = front_matter(file.read_text(encoding="utf-8"))[1].lstrip().partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{file.name[:4]}: {title}]({file.name})")
    return "\n" + "\n".join(lines) + "\n"


def resolved(_app: Sphinx, doctree: nodes.document, _name: str) -> None:
    """Make addresses of what is complete already."""
    from docutils import nodes

    for node in doctree.findall(nodes.reference):
        address = node.get("refuri", "")
        if address.startswith(f"{LOCAL}:"):
            node["refuri"] = address.removeprefix(f"{LOCAL}:")
            node["classes"] = [value for value in node["classes"] if value != "external"]
            node["internal"] = True


def described(app: Sphinx, name: str, _template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Put kind, audience and the way to the other language above a page."""
    path = f"{app.config.site_prefix}{name}.md"
    if doctree is None or not (DOCS / path).is_file():
        return
    language = "id" if path.startswith("id/") else "en"
    facts, words = facts_of(path), WORDS[language]
    readers = [AUDIENCES[language][reader] for reader in facts["audience"].split(", ")]
    twin = relpath(twin_of(path).removesuffix(".md") + ".html", path.rpartition("/")[0] or ".")
    other = "en" if language == "id" else "id"
    context["body"] = (
        f'<div class="page-facts"><span>{KINDS[language][facts["kind"]]}</span>'
        f"<span>{words['for'].format(', '.join(readers))}</span>"
        f'<a href="{twin}" lang="{other}" hreflang="{other}">{words["twin"]}</a></div>{context["body"]}'
    )


@cache
def titles_of(environment: BuildEnvironment) -> dict[str, nodes.bullet_list]:
    """Return the contents of each page without its sections, which the sidebar does not show."""
    from sphinx import addnodes

    titles = {}
    for name, sections in environment.tocs.items():
        titles[name] = sections.deepcopy()
        for item in titles[name]:
            if len(item) > 1:  # a title, and what is below it
                item[1][:] = list(item.findall(addnodes.toctree))
                if not item[1].children:
                    item.pop(1)
    return titles


def light_sidebar(
    app: Sphinx, _name: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """Make the sidebar of titles alone: Sphinx copies the sections of all pages for each page and then leaves them out,
    which was a third of the work."""
    make = context["toctree"]

    def toctree(**options: Any) -> str:
        complete = app.env.tocs
        if options.get("titles_only"):
            app.env.tocs = titles_of(app.env)
        try:
            return str(make(**options))
        finally:
            app.env.tocs = complete

    context["toctree"] = toctree


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the parts to Sphinx."""
    app.add_config_value("site_prefix", "", "env")
    app.add_config_value("site_repository", "", "env")
    app.connect("source-read", read)
    app.connect("doctree-resolved", resolved)
    app.connect("html-page-context", described)
    app.connect("html-page-context", light_sidebar, priority=400)  # before the theme
    app.add_css_file("docs_site.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
