"""What one worker computes once for the applications of all of its tests.

Each test has an application of its own, so that nothing that a test does reaches another. What follows from the files
of the program alone is the same in all of them, and computing it again took a quarter of the work of a short test:
the static files without their comments, and the routes that are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from starlette.routing import BaseRoute

import sso.app
from sso.http.common import assets
from sso.http.common.direct import DirectRoutes, ErrorHandlers


class KnownRoutes(DirectRoutes):
    """The look-up of routes, filled once for the same routes; each application has its own handlers of errors."""

    _known: list[tuple[Sequence[BaseRoute], dict[Any, Any]]] = []

    def __init__(self, routes: Sequence[BaseRoute], handlers: ErrorHandlers) -> None:
        same = next((filled for known, filled in self._known if _are_the_same(known, routes)), None)
        if same is not None:
            self._handlers, self._routes = handlers, same
            return
        super().__init__(routes, handlers)
        self._known.append((list(routes), self._routes))


def _are_the_same(known: Sequence[BaseRoute], routes: Sequence[BaseRoute]) -> bool:
    return len(known) == len(routes) and all(one is other for one, other in zip(known, routes, strict=True))


def share_what_never_changes() -> None:
    """Let every application of this process use what the first one computed."""
    assets._read = cache(assets._read)  # type: ignore[assignment]
    sso.app.DirectRoutes = KnownRoutes  # type: ignore[misc]
