"""Traces (OpenTelemetry), sent over OTLP. Imported only where ``SSO_OTLP_ENDPOINT`` is set: nothing else names this
module, so that a provider without traces pays nothing for them.

There is a span for each request, each transaction of the database, each delivery, and each request to an application.
``traceparent`` (W3C Trace Context) of a trusted proxy is continued, and is sent with requests to applications. Spans
hold no address of a person, no query, no body and no header.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy.ext.asyncio import AsyncSession

from sso import __version__
from sso.platform.db import Database
from sso.settings import Settings

_Answer = TypeVar("_Answer")
_Parameters = ParamSpec("_Parameters")
_Handler = Callable[[Mapping[str, object]], Awaitable[None]]
_PROPAGATOR = TraceContextTextMapPropagator()
EXPORT_SECONDS = 5


class Traces:
    """The traces of one process.

    Args:
        settings: the endpoint and the share of requests that are traced.
        processor: receives the spans; by default they are sent to the endpoint, in a thread.
    """

    def __init__(self, settings: Settings, processor: SpanProcessor | None = None) -> None:
        resource = Resource.create({"service.name": "sso", "service.version": __version__})
        sampler = ParentBased(TraceIdRatioBased(settings.trace_sample_ratio))
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=EXPORT_SECONDS) if not processor else None
        self._provider.add_span_processor(processor or BatchSpanProcessor(exporter))  # type: ignore[arg-type]
        self.tracer: Tracer = self._provider.get_tracer("sso", __version__)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    @contextmanager
    def request(self, method: str, parent: str | None) -> Iterator[trace.Span]:
        """Trace a request.

        Args:
            method: the HTTP method.
            parent: ``traceparent`` of a trusted proxy.
        """
        context = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
        with self.tracer.start_as_current_span(method, context=context, kind=SpanKind.SERVER) as span:
            yield span

    def end_request(self, span: trace.Span, method: str, route: str, status: int, request_id: str) -> None:
        """Add to the span of a request what is known at its end.

        Args:
            span: the span.
            method: the HTTP method.
            route: the path of the route; empty: no route fits.
            status: the status of the answer.
            request_id: the reference in the log.
        """
        span.update_name(f"{method} {route}".strip())
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "sso.request_id": request_id,
            }
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def watch_database(self, db: Database) -> None:
        """Trace the transactions of a database: its methods are replaced, so that one without traces is unchanged."""
        system = {"db.system.name": "sqlite" if db.is_sqlite else "postgresql"}
        span = partial(self.tracer.start_as_current_span, kind=SpanKind.CLIENT, attributes=system)
        reading, writing = partial(span, "database read"), partial(span, "database write")
        changes = {
            "read": _traced_block(db.read, reading),
            "write": _traced_block(db.write, writing),
            "run_read": _traced_call(db.run_read, reading),
            "run_write": _traced_call(db.run_write, writing),
            "run_apart": _traced_call(db.run_apart, writing),
        }
        for name, method in changes.items():
            setattr(db, name, method)

    def watch_handlers(self, handlers: Mapping[str, _Handler]) -> dict[str, _Handler]:
        """Return handlers of deliveries that trace each attempt."""
        return {kind: self._traced(kind, handler) for kind, handler in handlers.items()}

    def _traced(self, kind: str, handler: _Handler) -> _Handler:
        async def send(payload: Mapping[str, object]) -> None:
            with self.tracer.start_as_current_span(f"deliver {kind}", kind=SpanKind.PRODUCER):
                await handler(payload)

        return send


_Span = Callable[[], AbstractContextManager[trace.Span]]


def _traced_block(
    method: Callable[[], AbstractAsyncContextManager[AsyncSession]], span: _Span
) -> Callable[[], AbstractAsyncContextManager[AsyncSession]]:
    """Return a method that opens a session within a span."""

    @asynccontextmanager
    async def traced() -> AsyncIterator[AsyncSession]:
        with span():
            async with method() as session:
                yield session

    return traced


def _traced_call(
    method: Callable[_Parameters, Awaitable[_Answer]], span: _Span
) -> Callable[_Parameters, Coroutine[object, None, _Answer]]:
    """Return a method that runs within a span."""

    async def traced(*args: _Parameters.args, **options: _Parameters.kwargs) -> _Answer:
        with span():
            return await method(*args, **options)

    return traced


def add_parent(headers: MutableMapping[str, str]) -> None:
    """Add ``traceparent`` of the present span to the headers of a request."""
    _PROPAGATOR.inject(headers)
