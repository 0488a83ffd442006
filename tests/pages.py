"""What must hold for every page that a test opens: see :func:`check_page`, which each connection of a test calls."""

from __future__ import annotations

import re
from collections import Counter

import httpx2 as httpx

_IDS = re.compile(r' id="([^"]+)"')
_FIELDS = re.compile(r"<(?:input|select|textarea)\b[^>]*>")
_IN_LABELS = re.compile(r"<label\b.*?</label>", re.S)
_FOR = re.compile(r'<label\b[^>]*?\sfor="([^"]+)"')
_REFERS = re.compile(r' aria-(?:describedby|labelledby|controls)="([^"]*)"')
_FOCUSED = re.compile(r"<[a-z][^>]*\sautofocus[\s>=]")
_LINKS = re.compile(r'<a\b[^>]*?\shref="#([^"]+)"')
_NAMED = re.compile(r'\sid="([^"]+)"')


def mistakes_of(page: str) -> list[str]:
    """Return what is wrong with the markup of a page: more than one field with the focus, an id that stands twice, a
    field without a label, a reference to an id that is not there."""
    page = page.replace("\n", " ")  # what begins with a certain character is found sooner than with any space
    ids = Counter(_IDS.findall(page))
    mistakes = [f"id {name} stands {count} times" for name, count in ids.items() if count > 1]
    if page.count("autofocus") > 1 and (focused := len(_FOCUSED.findall(page))) > 1:
        mistakes.append(f"{focused} fields have autofocus")
    named = set(_FOR.findall(page))
    for field in _FIELDS.findall(_IN_LABELS.sub("", page)):
        if 'type="hidden"' in field or "aria-label" in field:
            continue
        name = _NAMED.search(field)
        if name is None or name[1] not in named:
            mistakes.append(f"no label: {field[:200]}")
    referred = (
        {element_id for text in _REFERS.findall(page) for element_id in text.split()}
        | set(_LINKS.findall(page))
        | named
    )
    mistakes += [f"nothing has the id {element_id}" for element_id in sorted(referred - set(ids))]
    return mistakes


async def check_page(answer: httpx.Response) -> None:
    """Check a page of ours; whatever else is answered is left alone."""
    if answer.headers.get("content-type", "").startswith("text/html"):
        await answer.aread()
        mistakes = mistakes_of(answer.text)
        assert not mistakes, f"{answer.request.method} {answer.request.url.path}: {'; '.join(mistakes)}"
