"""The words of docs/reference/glossary.md: none that it bans stands in a message, a template, a command, a document, a
text of the code, the description of the API or the changelog; and no text of a page is left without its translation."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from scripts.messages import found_messages
from tests.sources import nodes_of

from sso.http.admin.setting_texts import INDONESIAN
from sso.http.common.i18n import translations
from sso.http.common.manual import front_matter
from sso.settings import Settings

pytestmark = pytest.mark.group("messages")  # one worker reads the messages once for all
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/sso"
HTTP = SOURCE / "http"
LEFT: frozenset[str] = frozenset()
SAME_IN_BOTH = re.compile(
    r"^[\W\d]*$|^(%\(\w+\)s[ :–·-]*)+|^(SMS|NIK|WhatsApp|Webhook|Issuer|[A-Z]{2,5}|[a-z]+_[a-z_]+)$"
)


class Banned(NamedTuple):
    """A word that the glossary bans."""

    word: str
    instead: str
    pattern: re.Pattern[str]
    allowed: tuple[str, ...]

    def stands_in(self, text: str) -> bool:
        """Tell whether the word stands in a text, but for the phrases in which it is allowed."""
        for phrase in self.allowed:
            text = re.sub(re.escape(phrase), "", text, flags=re.IGNORECASE)
        return self.pattern.search(text) is not None


@cache
def banned(language: str) -> tuple[Banned, ...]:
    """Return what the glossary bans in a language."""
    text = (ROOT / "docs/reference/glossary.md").read_text()
    part = text.partition(f"### Banned in {language}\n")[2].partition("\n#")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    words = [(word.strip(), row) for row in rows[2:] for word in row[0].split(", ")]
    banned_words = []
    for word, row in words:
        pattern = re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+")
        allowed = tuple(phrase for phrase in row[2].split(", ") if phrase)
        banned_words.append(Banned(word, row[1], re.compile(rf"(?<!\w){pattern}(?!\w)", re.IGNORECASE), allowed))
    return tuple(banned_words)


@cache
def any_banned(language: str) -> re.Pattern[str]:
    """Return a pattern of all words that the glossary bans in a language: looking for them at once takes a tenth."""
    return re.compile("|".join(entry.pattern.pattern for entry in banned(language)), re.IGNORECASE)


def faults_in(text: str, language: str) -> list[str]:
    """Return each banned word of a text, with what to write instead."""
    if not any_banned(language).search(text):
        return []
    return [f"{entry.word!r}: write {entry.instead}" for entry in banned(language) if entry.stands_in(text)]


@cache
def messages() -> tuple[tuple[str, str], ...]:
    """Return every message of the pages with the file in which it stands."""
    of_pages = [
        (where.removeprefix("http/"), message) for where, message in found_messages() if where.startswith("http/")
    ]
    return tuple(sorted((where, text) for where, message in of_pages for text in _texts(message)))


def _texts(message: str | tuple[str, ...]) -> tuple[str, ...]:
    return (message,) if isinstance(message, str) else message


def is_left(where: str) -> bool:
    return any(where == area or where.startswith(f"{area}/") for area in LEFT)


def report(faults: Iterator[str] | list[str]) -> None:
    lines = sorted(set(faults))
    assert not lines, f"{len(lines)} texts to change (docs/reference/glossary.md):\n" + "\n".join(lines[:60])


def test_the_glossary_bans_words_of_both_languages() -> None:
    assert faults_in("Buka peramban Anda", "Indonesian") == ["'peramban': write browser"]
    assert faults_in("Bukan untuk orang lain", "Indonesian") == []
    assert faults_in("Ini untuk orang", "Indonesian")
    assert faults_in("She looks\n after it", "English") == ["'look* after': write manage"]
    assert faults_in("The overlook afternoon", "English") == []
    assert len(banned("Indonesian")) > 25
    assert len(banned("English")) > 25


@pytest.mark.parametrize("language", ["Indonesian", "English"])
def test_no_message_has_a_banned_word(language: str) -> None:
    translated = translations("id").gettext
    report(
        f"{where}: {displayed!r}: {'; '.join(faults)}"
        for where, text in messages()
        if not is_left(where)
        for displayed in [text if language == "English" else translated(text)]
        if (faults := faults_in(displayed, language))
    )


def test_no_description_of_a_setting_has_a_banned_word() -> None:
    lines = [
        f"{name}: {faults}"
        for name, field in Settings.model_fields.items()
        if "settings" not in LEFT
        if (faults := faults_in(field.description or "", "English") + faults_in(INDONESIAN[name], "Indonesian"))
    ]
    report(lines)


LINK_ADDRESS = re.compile(r"\]\([^)]*\)")
CODE_SPAN = re.compile(r"```.*?```|``[^`\n]*``|`[^`\n]*`", re.DOTALL)
"""Code in a document: names of the protocol, of files and of tests."""


def documents() -> list[Path]:
    """Return the documents in plain words: all but the decisions, which tell history, and the glossary."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in files if path.name != "glossary.md" and "decisions" not in path.parts)


def prose_of(markdown: str) -> str:
    """Return a document without its code and the addresses of its links."""
    return LINK_ADDRESS.sub("]", CODE_SPAN.sub("`", markdown))


def paragraphs_of(text: str) -> list[str]:
    """Return the paragraphs, list items and rows of a document: a banned phrase may stand on two lines."""
    return re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.) ?)", text)


def test_code_in_documents_is_no_prose() -> None:
    assert (
        prose_of("See [why](0036-proven.md), `proven`, and\n```\nwhoever\n```\nthe end.")
        == "See [why], `, and\n`\nthe end."
    )
    assert paragraphs_of("One\ntwo.\n\n- Three\n| four |") == ["One\ntwo.", "- Three", "| four |"]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_document_has_a_banned_word(path: Path) -> None:
    language = "Indonesian" if path.is_relative_to(ROOT / "docs/id") else "English"
    report(
        f"{path.name}: {paragraph!r}: {faults}"
        for paragraph in paragraphs_of(prose_of(front_matter(path.read_text())[1]))
        if (faults := faults_in(paragraph, language))
    )


def test_no_new_line_of_the_changelog_has_a_banned_word() -> None:
    newest = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1]
    report(
        f"{paragraph!r}: {faults}"
        for paragraph in paragraphs_of(LINK_ADDRESS.sub("]", newest))
        if (faults := faults_in(paragraph, "English"))
    )


def texts_of_code(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield each string of a module that may be shown, and its line: strings with a space that are no docstring."""
    skipped = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    skipped |= {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) in skipped:
            continue
        text = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        if " " in text:
            yield node.lineno, text


def test_texts_of_code_are_found() -> None:
    code = 'def f(x):\n    """Seal anew."""\n    raise E("a user name") if x == "proven" else E(f"{x} anew")\n'
    assert list(texts_of_code(list(ast.walk(ast.parse(code))))) == [(3, "a user name"), (3, "… anew")]


def test_no_text_of_the_code_has_a_banned_word() -> None:
    """Refusals, error descriptions, descriptions of the API and what commands print."""
    report(
        f"{path.relative_to(SOURCE)}:{line}: {text!r}: {faults}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != HTTP / "admin/setting_texts.py"  # Indonesian, read above
        for line, text in texts_of_code(nodes_of(path))
        if (faults := faults_in(text, "English"))
    )


def _strings(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, below in value.items():
            if name != "title":  # made of the name of a member
                yield from _strings(below, f"{where}/{name}")
    elif isinstance(value, list):
        for below in value:
            yield from _strings(below, where)
    elif isinstance(value, str) and " " in value:
        yield where, value


def test_no_description_of_the_api_has_a_banned_word() -> None:
    descriptions = _strings(json.loads((ROOT / "docs/reference/openapi.json").read_text()), "")
    report(
        f"{where}: {text!r}: {faults}"
        for where, text in descriptions
        if (faults := faults_in(prose_of(text), "English"))
    )


def test_no_message_is_its_own_translation() -> None:
    """A message without its twin, or with the English text as its twin, is shown in English on Indonesian pages."""
    translated = translations("id").gettext
    known = {line.strip() for line in (Path(__file__).parent / "same_in_both.txt").read_text().splitlines()}
    report(
        f"{where}: {text!r}"
        for where, text in messages()
        if not is_left(where) and translated(text) == text and text not in known and not SAME_IN_BOTH.match(text)
    )


TRANS = re.compile(r"{%-? *trans\b.*?{%-? *endtrans *-?%}", re.DOTALL)
JINJA = re.compile(r"{#.*?#}|{%.*?%}|{{.*?}}", re.DOTALL)
CODE = re.compile(r"<(code|pre|style|script)\b.*?</\1>", re.DOTALL)
TAG = re.compile(r"<[^>]*>", re.DOTALL)
ATTRIBUTE = re.compile(r'\s(?:alt|title|placeholder|aria-label|data-busy)="([^"{]*[A-Za-z]{2}[^"{]*)"')
ENTITY = re.compile(r"&\w+;|[a-z-]+=\"[^\"]*\"|\bautofocus\b")
"""What is no text: characters by name, and attributes that a macro adds to an element."""


def bare_texts(template: str) -> list[str]:
    """Return the texts of a template that are in no message."""
    without = JINJA.sub(" ", TRANS.sub(" ", template))
    attributes = ATTRIBUTE.findall(without)
    words = ENTITY.sub(" ", TAG.sub("\n", CODE.sub(" ", without)))
    return [line.strip() for line in [*attributes, *words.splitlines()] if re.search(r"[A-Za-z]{2}", line)]


def test_texts_outside_of_messages_are_found() -> None:
    assert bare_texts('<p title="Nama">{% trans %}Name{% endtrans %} <b>Bare</b> {{ name }}</p>') == ["Nama", "Bare"]
    assert bare_texts('<a href="/login" class="plain">{{ _("Sign in") }}</a><code>SELECT</code>') == []


def test_no_template_has_a_text_that_is_not_translated() -> None:
    known = {line.strip() for line in (Path(__file__).parent / "same_in_both.txt").read_text().splitlines()}
    report(
        f"{path.relative_to(HTTP)}: {text!r}"
        for path in sorted(HTTP.glob("**/templates/*.html"))
        if not is_left(f"{path.relative_to(HTTP).parts[0]}") and not is_left(str(path.relative_to(HTTP)))
        for text in bare_texts(path.read_text())
        if text not in known
    )


if __name__ == "__main__":  # every text to change, of the areas that are named
    LEFT = frozenset()  # type: ignore[misc]
    for area, text in messages():
        if not sys.argv[1:] or area.startswith(tuple(sys.argv[1:])):
            indonesian = translations("id").gettext(text)
            for fault in faults_in(text, "English") + faults_in(indonesian, "Indonesian"):
                print(f"{area}: {fault}\n    {text}\n    {indonesian}")
