"""Traces: sent over OTLP to a collector; the trace of the caller is continued and passed on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.conftest import settings_for
from tests.starts import Start
from tests.support import City

from sso.app import create_app
from sso.platform.actor import Actor
from sso.platform.outbox.webhooks import add_webhook, say

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Collector(ThreadingHTTPServer):
    """Keeps what is sent to it: spans at /v1/traces, the headers of other requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []
        self.parents: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.server.spans.extend(scope.spans)
        else:
            self.server.parents.append(self.headers.get("traceparent"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_requests_transactions_and_deliveries_are_spans_of_one_trace(
    city: City, tmp_path: Path, collector: Collector
) -> None:
    origin = f"http://127.0.0.1:{collector.server_port}"
    (tmp_path / "traced").mkdir()
    settings = settings_for(
        city.settings.database_url, tmp_path / "traced", issuer="http://localhost:8000", trace_sample_ratio=1.0,
        otlp_endpoint=f"{origin}/v1/traces", trusted_proxies=["203.0.113.0/24"],
    )  # fmt: skip
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        traced = City(app, settings, city.secrets, city.users)
        async with traced.client("203.0.113.7") as proxied, traced.client("198.51.100.1") as direct:
            await proxied.get("/readyz", headers={"traceparent": PARENT, "X-Request-ID": "reference-of-the-proxy"})
            await direct.get("/healthz", headers={"traceparent": PARENT})
        provider = traced.provider

        async with provider.db.write() as session:
            webhook, _ = await add_webhook(
                session, provider.box, url=f"{origin}/told", events=["*"], description="", actor=Actor("test")
            )
            say(session, webhook, "session.ended", {}, "2026-01-01T00:00:00Z")
        await traced.site.worker.drain()
    by_name = {span.name: span for span in collector.spans}
    ready = by_name["GET /readyz"]
    assert ready.trace_id.hex() == TRACE
    assert by_name["GET /healthz"].trace_id.hex() != TRACE, "only a trusted proxy names the trace"
    attributes = {item.key: item.value for item in ready.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["sso.request_id"].string_value == "reference-of-the-proxy"
    inside = {span.name for span in collector.spans if span.trace_id == ready.trace_id}
    assert "database write" in inside
    delivery = by_name["deliver webhook"]
    (parent,) = collector.parents
    assert parent is not None
    assert parent.split("-")[1] == delivery.trace_id.hex()


def test_nothing_is_imported_while_metrics_and_traces_are_off(server_start: Start) -> None:
    unused = ("opentelemetry.sdk", "opentelemetry.exporter", "sso.platform.traces")
    modules = server_start.prepared
    assert [name for name in modules if name.split(".")[0] == "prometheus_client" or name.startswith(unused)] == []
