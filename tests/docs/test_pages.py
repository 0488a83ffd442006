"""What each page says of itself, the contents, and the labels that pages of tasks name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from tests.docs.scripts import ROOT, script

from sso.http.common import manual
from sso.http.common.i18n import LOCALES
from sso.http.common.manual import AUDIENCES, Page

DOCS = ROOT / "docs"
KINDS = {"tutorial", "how-to", "reference", "explanation", "overview"}
READERS = {"citizen", "helpdesk", "developer", "administrator", "operator", "contributor"}
FOLDERS = {name: name for name in ("tutorial", "how-to", "reference", "explanation")} | {"help": "how-to"}
"""The kind of the pages of a folder. Pages about security and for contributors are of every kind."""
LABELLED = [
    *sorted(DOCS.glob("help/*.md")),
    *sorted(DOCS.glob("id/help/*.md")),
    DOCS / "how-to/helpdesk.md",
    *(DOCS / f"id/how-to/{name}.md" for name in ("administrators", "developers", "helpdesk")),
]
CATALOGUE = ROOT / "src/sso/http/common/locale/id/LC_MESSAGES/sso.po"


def sources() -> list[Path]:
    """Return every page but the decisions, which are all alike, and the heads of generated pages."""
    return sorted(
        path for path in DOCS.rglob("*.md") if not path.name.endswith(".head.md") and not re.match(r"\d{4}-", path.name)
    )


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_a_page_names_its_kind_and_its_readers_and_stands_in_the_folder_of_its_kind(path: Path) -> None:
    hint = f"begin {path.name} with the lines ---, kind: …, audience: …, --- (docs/contributing/contributing.md)"
    facts, text = manual.front_matter(path.read_text())
    assert set(facts) >= {"kind", "audience"}, hint
    assert facts["kind"] in KINDS, hint
    assert set(facts["audience"].split(", ")) <= READERS, hint
    assert re.match(r"# \S", text), "the heading follows the front matter"
    folder = path.relative_to(DOCS).as_posix().removeprefix("id/").split("/")[0]
    if path.name == "index.md":
        assert facts["kind"] == "overview"
    elif folder in FOLDERS:
        assert facts["kind"] == FOLDERS[folder]
    elif folder == "contributing":
        assert facts["audience"] == "contributor"
    if folder == "help":
        assert path.name == "index.md" or facts["audience"] == "citizen"


@pytest.mark.parametrize("language", ["", "id/"], ids=["english", "indonesian"])
def test_every_page_is_in_the_contents_once(language: str) -> None:
    contents = script("docs_site_pages").contents((DOCS / language / "index.md").read_text())
    listed = [page for _, pages in contents for page in pages]
    below = {
        path.relative_to(DOCS / language).with_suffix("").as_posix()
        for path in sources()
        if language or path.relative_to(DOCS).parts[0] != "id"
        if path.is_relative_to(DOCS / language)
    }
    assert sorted(listed) == sorted(below - {"index"}), f"docs/{language}index.md lists each page once"


def test_the_help_for_citizens_has_the_same_pages_and_parts_in_both_languages() -> None:
    for english in manual.pages("citizen", "en"):
        indonesian = manual.page_named("citizen", "id", english.name)
        assert indonesian, english.name
        assert (english.locale, indonesian.locale) == ("en", "id"), english.name
        assert len(english.sections) == len(indonesian.sections), english.name


@pytest.mark.parametrize("name", ["how-to/developers", "how-to/administrators", "how-to/helpdesk"])
def test_a_guide_has_the_same_parts_in_both_languages(name: str) -> None:
    def levels(path: Path) -> list[str]:
        return re.findall(r"(?m)^(#+) ", re.sub(r"(?ms)^ *```.*?^ *```", "", path.read_text()))

    assert levels(DOCS / f"{name}.md") == levels(DOCS / f"id/{name}.md")


@cache
def labels(language: str) -> frozenset[str]:
    """Return every message of the catalogue as it is shown in a language."""
    with CATALOGUE.open("rb") as file:
        messages = [message for message in read_po(file) if message.id]
    texts = (message.id if language == "en" else message.string for message in messages)
    return frozenset(part for text in texts for part in ([text] if isinstance(text, str) else text))


@pytest.mark.parametrize("path", LABELLED, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_labels_in_bold_are_labels_of_the_pages(path: Path) -> None:
    language = "id" if path.relative_to(DOCS).parts[0] == "id" else "en"
    text = manual.front_matter(path.read_text())[1]
    bold = [" ".join(phrase.split()) for phrase in re.findall(r"\*\*(.+?)\*\*", text, re.DOTALL)]
    unknown = sorted({label for label in bold if not label.endswith(":") and label not in labels(language)})
    assert unknown == [], "no such label: bold is for labels of pages and for words that end with a colon"


def shown_pages() -> list[tuple[Page, str]]:
    return [(page, locale) for locale in LOCALES for audience in AUDIENCES for page in manual.pages(audience, locale)]


def test_names_of_pages_within_the_provider_are_unique() -> None:
    for locale in LOCALES:
        for audience in AUDIENCES:
            names = [page.name for page in manual.pages(audience, locale)]
            assert len(names) == len(set(names))
            assert not {"developers", "pictures"} & set(names) or audience == "developer"
        assert set(manual.FIRST["citizen"]) == {page.name for page in manual.pages("citizen", locale)}


def test_a_page_within_the_provider_has_only_links_that_lead_somewhere() -> None:
    """Addresses are those of pages that are shown; what is not shown is plain text, and Markdown is not left over."""
    known = {f"/{page.audience}/{page.name}" for page, _ in shown_pages()}
    for page, locale in shown_pages():
        html = manual.html_of(page, locale, lambda audience, name: f"/{audience}/{name}", "/pictures/")
        for address in re.findall(r'href="([^"]+)"', html):
            assert address.startswith(("https://", "http://", "mailto:", "#")) or address.partition("#")[0] in known, (
                address
            )
        assert "](" not in re.sub(r"(?s)<(code|pre).*?</\1>", "", html), page.path


def test_a_link_to_a_page_that_is_not_served_is_plain_text() -> None:
    page = manual.page_named("developer", "en", "developers")
    assert page
    html = manual.html_of(page, "en", lambda audience, name: "", "/pictures/")
    assert set(re.findall(r'href="([^"]+)"', html)) == {"#security-check", "https://www.standardwebhooks.com"}


def test_headings_have_the_anchors_of_repository_hosts() -> None:
    assert manual.slug_of("Client secrets and keys") == "client-secrets-and-keys"
    assert manual.slug_of("What `acr` says, and why") == "what-acr-says-and-why"


def test_front_matter_is_read_and_taken_away() -> None:
    assert manual.front_matter("---\nkind: how-to\naudience: citizen\n---\n# T\n") == (
        {"kind": "how-to", "audience": "citizen"}, "# T\n",
    )  # fmt: skip
    assert manual.front_matter("# T\n\n---\n") == ({}, "# T\n\n---\n")
