"""What one worker computes once for the applications of all of its tests.

Each test has an application of its own, so that nothing that a test does reaches another. What follows from the files
of the program alone is the same in all of them, and computing it again took a quarter of the work of a short test:
the static files without their comments, the routes that are looked up, and the metadata of applications. So is what an
application reads at its start, because each test begins with the same rows: :func:`load_what_is_known`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cache, partial
from typing import Any, ClassVar

import httpcore2 as httpcore
import orjson
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import FastAPI
from starlette.routing import BaseRoute

import sso.app
from sso import clock
from sso.clients import registry
from sso.clients.metadata import ClientMetadata
from sso.clients.registry import stored_metadata
from sso.http.common import assets
from sso.http.common.direct import DirectRoutes, ErrorHandlers
from sso.http.common.i18n import LOCALES
from sso.http.common.late_areas import LateArea, complete
from sso.http.common.late_routes import LateRoute
from sso.http.common.pages import environment
from sso.oidc.provider import Provider
from sso.platform.db import Database, migrate, read_versions
from sso.settings import Settings


class KnownRoutes(DirectRoutes):
    """The look-up of routes, filled once for the same routes; each application has its own handlers of errors.

    Each application has areas of its own, which are imported at their first request. Those that stand for the same
    paths are the same here: the look-up holds routes, never an area.
    """

    known: ClassVar[dict[tuple[object, ...], tuple[Sequence[BaseRoute], dict[Any, Any]]]] = {}

    def __init__(self, routes: Sequence[BaseRoute], handlers: ErrorHandlers) -> None:
        key = tuple([route.beginnings if isinstance(route, LateArea) else id(route) for route in routes])
        if key in self.known:
            self._handlers, self._routes = handlers, self.known[key][1]
            return
        super().__init__(routes, handlers)
        self.known[key] = (list(routes), self._routes)  # with the routes: their ids are not used again


def share_what_never_changes() -> None:
    """Let every application of this process use what the first one computed. So do clients: reading the certificates
    of the public authorities takes 25 ms."""
    assets._read = cache(assets._read)  # type: ignore[assignment]
    httpcore.default_ssl_context = cache(httpcore.default_ssl_context)
    _share_migrations()
    migrate.head_revision = cache(migrate.head_revision)
    sso.app.DirectRoutes = KnownRoutes  # type: ignore[misc]
    registry.stored_metadata = _stored_metadata


_metadata: dict[bytes, ClientMetadata] = {}
MAX_METADATA = 1000


def _stored_metadata(data: dict[str, object]) -> ClientMetadata:
    """Return the metadata of an application, which nobody can change: what was read before is not checked again."""
    key = orjson.dumps(data)
    if key not in _metadata:
        if len(_metadata) >= MAX_METADATA:
            _metadata.clear()
        _metadata[key] = stored_metadata(data)
    return _metadata[key]


def create_app_with(made_by: Callable[[Settings], Database], settings: Settings) -> FastAPI:
    """Return an application whose database is made by ``made_by``: engines that are replaced at once were a twentieth
    of an empty test."""
    usual = sso.app.Database
    sso.app.Database = made_by  # type: ignore[misc, assignment]
    try:
        return sso.app.create_app(settings)
    finally:
        sso.app.Database = usual  # type: ignore[misc]


def load_what_workers_need(settings: Settings) -> None:
    """Load once what each worker would load by itself: all areas, their routes, and the templates.

    Args:
        settings: of an application that is not started.
    """
    for route in complete(list(sso.app.create_app(settings).router.routes)):
        if isinstance(route, LateRoute):
            route.complete()
    for locale in LOCALES:
        for name in environment(locale).list_templates():
            environment(locale).get_template(name)


def _share_migrations() -> None:
    """Read the files of the migrations once: Alembic reads all of them before each migration."""
    read, known = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def scripts(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    ScriptDirectory.from_config = scripts  # type: ignore[method-assign, assignment]


_loaded: dict[tuple[object, ...], tuple[object, list[dict[str, Any]]]] = {}
OF_ITS_OWN = frozenset({"started_at", "process_id"})
"""What each provider has for itself."""


def load_what_is_known(provider: Provider, rows: object) -> None:
    """Let a provider take over at its start what the first one read from the same rows, if no counter of changes
    differs. The clock of the database is compared, and whatever it does later it does itself.

    Args:
        provider: a provider that has not started.
        rows: identifies the rows that its database holds.
    """
    provider.load = partial(_load, provider, rows)  # type: ignore[method-assign]


async def _load(provider: Provider, rows: object) -> None:
    del provider.load  # type: ignore[attr-defined]  # only the first time
    key = (id(rows), *provider.settings.secrets(create=False))
    known = _loaded.get(key)
    if known is None:
        before = [_values_of(part) for part in parts_of(provider)]
        await provider.load()
        changed = [
            {name: value for name, value in _values_of(part).items() if name not in earlier or value != earlier[name]}
            for part, earlier in zip(parts_of(provider), before, strict=True)
        ]
        _loaded[key] = (rows, changed)  # with the rows: their id is not used again
        return
    states = known[1]
    async with provider.db.read() as session:
        versions = await read_versions(session)
    if versions != states[0]["_versions"]:
        await provider.load()
        return
    await provider.clock.compare()
    provider.started_at = clock.now()
    for part, state in zip(parts_of(provider), states, strict=True):
        vars(part).update({name: _copied(value) for name, value in state.items()})
    provider.health.refreshed_at = clock.steady()
    provider.health.loaded = True


def parts_of(provider: Provider) -> Iterator[object]:
    """Yield what a provider fills at its start."""
    yield from (provider, provider.keys, provider.registry)


def _values_of(part: object) -> dict[str, Any]:
    return {name: _copied(value) for name, value in vars(part).items() if name not in OF_ITS_OWN}


def _copied(value: Any) -> Any:
    return copy(value) if isinstance(value, dict | list | set) else value
