"""The client of the tests: it sends and reads what httpx2's does through its ``ASGITransport``, with less around it.

Redirects that nobody follows, bodies in parts, a log of requests, and cookies that have not changed took longer than
many requests.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import lru_cache
from http.cookiejar import Cookie
from typing import Any

import httpx2 as httpx
from httpx2._client import USE_CLIENT_DEFAULT, ClientState
from httpx2._content import ByteStream

WITHOUT_STEPS = (httpx.Auth, httpx.BasicAuth)
_encodings: dict[object, str | None] = {}


class KeptCookies(httpx.Cookies):
    """Cookies. Which of them belong to a request is found out again when they, or the origin, are others."""

    _of: tuple[object, ...] = ()
    _header: str | None = None

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Add the cookies that belong to a request."""
        cookies = list(self.jar)
        if "Cookie" in request.headers or not all(map(_lasts_everywhere, cookies)):
            super().set_cookie_header(request)
            return
        mine = (cookies, request.url.scheme, request.url.netloc)  # a cookie that changes is another object
        if mine != self._of:
            super().set_cookie_header(request)
            self._of, self._header = mine, request.headers.get("Cookie")
        elif self._header is not None:
            request.headers["Cookie"] = self._header


def _lasts_everywhere(cookie: Cookie) -> bool:
    return cookie.path == "/" and (cookie.expires is None or cookie.expires > time.time() + 1)


@lru_cache(maxsize=1000)
def _merged(base: str, path: str) -> httpx.URL:
    url = httpx.URL(base)
    return url.copy_with(raw_path=url.raw_path + httpx.URL(path).raw_path.lstrip(b"/"))


class DirectClient(httpx.AsyncClient):
    """A client of one application.

    Args:
        transport: calls the application.
        options: more for the client of httpx2.
    """

    def __init__(self, transport: httpx.ASGITransport, **options: Any) -> None:
        super().__init__(transport=transport, **options)
        self._cookies = KeptCookies(self._cookies)

    def _merge_url(self, url: httpx.URL | str) -> httpx.URL:
        if isinstance(url, str) and url.startswith("/") and not url.startswith("//"):
            return _merged(str(self._base_url), url)
        return super()._merge_url(url)

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = USE_CLIENT_DEFAULT,
        follow_redirects: Any = USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """Send a request. What needs several, or takes its time, httpx2 does."""
        mine = self._build_request_auth(request, auth)
        follows = self.follow_redirects if follow_redirects is USE_CLIENT_DEFAULT else follow_redirects
        if stream or follows or type(mine) not in WITHOUT_STEPS or not isinstance(request.stream, ByteStream):
            return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        if self._state is ClientState.CLOSED:
            raise RuntimeError("the client has been closed")
        self._state = ClientState.OPENED
        request = next(mine.sync_auth_flow(request))
        for hook in self._event_hooks["request"]:
            await hook(request)
        answer = await self._answer(request)
        for hook in self._event_hooks["response"]:
            await hook(answer)
        return answer

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        started = time.perf_counter()
        answer = await self._transport.handle_async_request(request)
        answer.request, answer.default_encoding = request, self._default_encoding
        self._cookies.extract_cookies(answer)
        if "content-encoding" in answer.headers:
            await answer.aread()
        else:
            answer._content = b"".join(answer.stream._body)  # type: ignore[union-attr]
            answer._num_bytes_downloaded = len(answer._content)
            answer.is_closed = answer.is_stream_consumed = True
        answer.elapsed = timedelta(seconds=time.perf_counter() - started)
        kind = (answer.headers.get("content-type"), self._default_encoding)
        if kind not in _encodings:
            _encodings[kind] = answer.encoding
        answer._encoding = _encodings[kind]
        return answer
