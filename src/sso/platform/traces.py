"""Traces (OpenTelemetry), sent over OTLP. Imported only where ``SSO_OTLP_ENDPOINT`` is set: nothing else names this
module, so that a provider without traces pays nothing for them.

There is a span for each request, each transaction of the database, each delivery, and each request to an application.
``traceparent`` (W3C Trace Context) of a trusted proxy is continued, and is sent with requests to applications. Spans
hold no address of a person, no query, no body and no header.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

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
from sso.platform.db.prepared import Work
from sso.settings import Settings

_Answer = TypeVar("_Answer")
_Handler = Callable[[Mapping[str, Any]], Awaitable[None]]
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
        read, write, run_read, run_write, run_apart = db.read, db.write, db.run_read, db.run_write, db.run_apart
        tracer, attributes = self.tracer, {"db.system.name": "sqlite" if db.is_sqlite else "postgresql"}

        @asynccontextmanager
        async def traced_read() -> AsyncIterator[AsyncSession]:
            with tracer.start_as_current_span("database read", kind=SpanKind.CLIENT, attributes=attributes):
                async with read() as session:
                    yield session

        @asynccontextmanager
        async def traced_write() -> AsyncIterator[AsyncSession]:
            with tracer.start_as_current_span("database write", kind=SpanKind.CLIENT, attributes=attributes):
                async with write() as session:
                    yield session

        async def traced_run_read(function: Callable[[Work], _Answer]) -> _Answer:
            with tracer.start_as_current_span("database read", kind=SpanKind.CLIENT, attributes=attributes):
                return await run_read(function)

        async def traced_run_write(function: Callable[[Work], _Answer], *, single: bool = False) -> _Answer:
            with tracer.start_as_current_span("database write", kind=SpanKind.CLIENT, attributes=attributes):
                return await run_write(function, single=single)

        async def traced_run_apart(function: Callable[[Work], _Answer]) -> _Answer:
            with tracer.start_as_current_span("database write", kind=SpanKind.CLIENT, attributes=attributes):
                return await run_apart(function)

        for name, method in (
            ("read", traced_read),
            ("write", traced_write),
            ("run_read", traced_run_read),
            ("run_write", traced_run_write),
            ("run_apart", traced_run_apart),
        ):
            setattr(db, name, method)

    def watch_handlers(self, handlers: Mapping[str, _Handler]) -> dict[str, _Handler]:
        """Return handlers of deliveries that trace each attempt."""
        return {kind: self._traced(kind, handler) for kind, handler in handlers.items()}

    def _traced(self, kind: str, handler: _Handler) -> _Handler:
        async def send(payload: Mapping[str, Any]) -> None:
            with self.tracer.start_as_current_span(f"deliver {kind}", kind=SpanKind.PRODUCER):
                await handler(payload)

        return send


def add_parent(headers: MutableMapping[str, str]) -> None:
    """Add ``traceparent`` of the present span to the headers of a request."""
    _PROPAGATOR.inject(headers)
