"""The manual of developers within the portal: the pages of docs/ for developers, with search."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.account.help_pages import PICTURES
from sso.http.common import manual
from sso.http.common.late_routes import new_router
from sso.http.common.manual import Audience
from sso.http.common.pages import failure, locale_of
from sso.http.console.access import DEVELOPER, Here, Needs, developer_page

router = new_router()

SignedIn = Annotated[Here, Depends(Needs(None))]
DOCS = DEVELOPER + "/docs"


@router.get(DOCS)
async def contents(request: Request, here: SignedIn) -> Response:
    """The contents of the manual, or what a search finds."""
    query = request.query_params.get("q", "")[: manual.MAX_QUERY_CHARS].strip()
    return await _page(request, here, None, query)


@router.get(DOCS + "/{slug}")
async def document(request: Request, slug: str, here: SignedIn) -> Response:
    """One page of the manual. The name of a section leads to this section, in the language of the reader."""
    locale = locale_of(request)
    current = manual.page_named("developer", locale, slug)
    if current is not None:
        return await _page(request, here, current)
    known = manual.page_with_section("developer", locale, slug)
    if known is None:
        return failure(request, "not_found", 404)
    current, anchor = known
    return RedirectResponse(f"{DOCS}/{current.name}#{anchor}", 303)


async def _page(request: Request, here: Here, current: manual.Page | None, query: str = "") -> Response:
    locale = locale_of(request)
    return await developer_page(
        request,
        here,
        "docs",
        "developer_docs.html",
        start=DOCS,
        contents=manual.pages("developer", locale),
        document=current,
        text=Markup(manual.html_of(current, locale, _address, PICTURES)) if current else "",  # noqa: S704
        query=query,
        findings=manual.search("developer", locale, query) if query else [],
    )


def _address(audience: Audience, name: str) -> str:
    return f"{DOCS}/{name}" if audience == "developer" else f"/help/{name}"
