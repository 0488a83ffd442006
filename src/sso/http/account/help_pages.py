"""Help for citizens and the manual of developers at ``/help``, for everybody, as far as the city wishes."""

from __future__ import annotations

import hashlib

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common import manual
from sso.http.common.late_routes import new_router
from sso.http.common.manual import AUDIENCES, Audience
from sso.http.common.pages import chosen_language, failure, locale_of, page
from sso.http.common.services import CurrentSettings
from sso.settings import Settings

router = new_router()

HELP = "/help"
PICTURES = HELP + "/pictures/"
_STARTS: dict[Audience, str] = {"citizen": HELP, "developer": HELP + "/developers"}


@router.get(HELP)
async def citizens_contents(request: Request, settings: CurrentSettings) -> Response:
    """The contents of the help for citizens, or what a search finds in it."""
    return _contents(request, settings, "citizen")


@router.get(HELP + "/developers")
async def developers_contents(request: Request, settings: CurrentSettings) -> Response:
    """The contents of the manual of developers, or what a search finds in it."""
    return _contents(request, settings, "developer")


@router.get(HELP + "/developers/{name}")
async def developers_page(request: Request, name: str, settings: CurrentSettings) -> Response:
    return _page(request, settings, "developer", name)


@router.get(PICTURES + "{name}")
async def picture(request: Request, name: str, settings: CurrentSettings) -> Response:
    known = {file.name: file for file in (manual.folder() / "help" / "pictures").glob("*.png")}
    file = known.get(name)
    if settings.help_pages == "none" or file is None:
        return failure(request, "not_found", 404)
    response = Response(file.read_bytes(), media_type="image/png")
    return _cached(request, response, "public, max-age=3600")


@router.get(HELP + "/{name}")
async def citizens_page(request: Request, name: str, settings: CurrentSettings) -> Response:
    return _page(request, settings, "citizen", name)


def _served(settings: Settings) -> tuple[Audience, ...]:
    return tuple(audience for audience in AUDIENCES if settings.help_pages in ("all", audience))


def _contents(request: Request, settings: Settings, audience: Audience) -> Response:
    if audience not in _served(settings):
        return failure(request, "not_found", 404)
    query = request.query_params.get("q", "")[: manual.MAX_QUERY_CHARS].strip()
    return _manual_page(request, settings, audience, None, query)


def _page(request: Request, settings: Settings, audience: Audience, name: str) -> Response:
    current = manual.page_named(audience, locale_of(request), name) if audience in _served(settings) else None
    if current is None:
        return failure(request, "not_found", 404)
    return _manual_page(request, settings, audience, current, "")


def _manual_page(
    request: Request, settings: Settings, audience: Audience, current: manual.Page | None, query: str
) -> Response:
    locale, served = locale_of(request), _served(settings)

    def address(of: Audience, name: str) -> str:
        return f"{_STARTS[of]}/{name}" if of in served else ""

    start = _STARTS[audience]
    response = page(
        request,
        "help_pages.html",
        display="broad",
        here=f"{start}/{current.name}" if current else start,
        start=start,
        other=next((_STARTS[other] for other in served if other != audience), ""),
        audience=audience,
        contents=manual.pages(audience, locale),
        current=current,
        text=Markup(manual.html_of(current, locale, address, PICTURES)) if current else "",  # noqa: S704
        query=query,
        findings=manual.search(audience, locale, query) if query else [],
    )
    return response if chosen_language(request) else _cached(request, response, "private, no-cache")


def _cached(request: Request, response: Response, how_long: str) -> Response:
    """Return the response with a name of its content; without the content where the browser has the same."""
    etag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:24]}"'
    response.headers["Cache-Control"] = how_long
    response.headers["ETag"] = etag
    if etag not in request.headers.get("if-none-match", ""):
        return response
    headers = {name: value for name, value in response.headers.items() if not name.startswith("content-l")}
    return Response(status_code=304, headers=headers)
