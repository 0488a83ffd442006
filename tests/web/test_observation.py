"""What an operator sees of a request: metrics, log lines, and the reference of the proxy."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx2 as httpx
import orjson
import pytest
from authlib.oauth2.rfc6749 import OAuth2Error
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select
from tests.docs.scripts import ROOT
from tests.routes import ROUTERS
from tests.support import City

from sso import logs
from sso.observability import KNOWN, Observer
from sso.platform.audit import record
from sso.platform.audit.models import AuditEvent
from sso.platform.metrics import labels
from sso.platform.metrics.counters import BOUNDS, Usage
from sso.platform.metrics.labels import FLOWS, flow_of, outcome_of
from sso.platform.outbox import enqueue

TOKEN = "a token of the monitoring with 32 characters"
ON = pytest.mark.parametrize("overrides", [{"metrics_token": TOKEN}])


async def read(city: City, http: httpx.AsyncClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of /metrics."""
    observer = city.site.observer
    assert isinstance(observer, Observer)
    observer.show_own(0.0)
    await observer.gather()
    answer = await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_without_a_port_or_token_nothing_is_kept(city: City, http: httpx.AsyncClient) -> None:
    assert (await http.get("/metrics")).status_code == 404
    assert city.provider.usage.tallies is None


@ON
async def test_metrics_go_on_after_an_error(
    city: City, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    observer = city.site.observer
    assert isinstance(observer, Observer)
    stop, calls = asyncio.Event(), 0

    def fail(_: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            stop.set()  # one more time at the end
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(observer, "show_own", fail)
    monkeypatch.setattr("sso.observability.OWN_SECONDS", 0.0)
    await observer.keep(stop)
    assert calls == caplog.text.count("cannot keep the metrics") >= 3


@ON
async def test_metrics_are_for_who_knows_the_token(city: City, http: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}):
        answer = await http.get("/metrics", headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@ON
async def test_flows_are_counted_by_outcome_and_no_label_is_made_up(city: City, http: httpx.AsyncClient) -> None:
    before = await read(city, http)
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    async with city.browser() as other:
        await other.submit(await other.open("/login"), username="siti", password="wrong")
    assert (await party.userinfo(tokens["access_token"])).status_code == 200
    form = {"grant_type": "made-up-" + "x" * 50, "client_id": "made-up-client"}
    assert (await http.post("/token", data=form)).status_code in (400, 401)
    assert (await http.get("/made/up/path")).status_code == 404
    async with city.provider.db.write() as session:
        enqueue(session, "message", {}, receiver="mail")
    after = await read(city, http)

    def more(name: str, **label_values: str) -> float:
        key = (name, tuple(sorted(label_values.items())))
        return after.get(key, 0) - before.get(key, 0)

    assert more("sso_request_duration_seconds_count", flow="token", outcome="ok") == 1
    assert more("sso_request_duration_seconds_count", flow="token", outcome="refused") == 1
    assert more("sso_request_duration_seconds_bucket", flow="userinfo", outcome="ok", le="+Inf") == 1
    assert more("sso_request_duration_seconds_sum", flow="userinfo", outcome="ok") > 0
    assert more("sso_tokens_issued_total", grant_type="authorization_code") == 1
    assert more("sso_sign_ins_total", outcome="ok") == 1
    assert more("sso_sign_ins_total", outcome="password") == 1
    assert after["sso_outbox_pending", (("kind", "message"),)] == 1
    assert after["sso_database_up", ()] == 1
    assert after["sso_signing_key_age_seconds", (("alg", "ES256"),)] >= 0
    known = FLOWS | KNOWN.kinds | KNOWN.grant_types | labels.ERRORS | labels.SIGN_IN_FAILURES
    known |= {*labels.OUTCOMES, *labels.MESSAGE_OUTCOMES, "done", "retried", "given_up", "skipped", "rate_limits"}
    for name, pairs in after:
        for label, value in pairs:
            assert "made" not in value, name
            if label in ("flow", "outcome", "kind", "grant_type", "error"):
                assert value in known, (name, label, value)


def test_the_errors_in_labels_are_those_that_can_be_answered() -> None:
    def kinds_of(error: type[OAuth2Error]) -> set[type[OAuth2Error]]:
        return {error}.union(*(kinds_of(kind) for kind in error.__subclasses__()))

    kinds = kinds_of(OAuth2Error)
    ours = {str(kind.error) for kind in kinds if kind.__module__.startswith("sso.") and kind.error}
    assert ours - {"invalid_client_metadata", "invalid_redirect_uri"} <= labels.ERRORS
    source = " ".join(path.read_text() for path in (ROOT / "src/sso").rglob("*.py") if path.name != "labels.py")
    assert {name for name in labels.ERRORS if f'"{name}"' not in source} <= {str(kind.error) for kind in kinds}


def test_every_route_belongs_to_a_flow_and_a_histogram_has_the_parts_of_its_bounds() -> None:
    paths = {route.path for router in ROUTERS for route in router.routes if hasattr(route, "path")}
    others = {path for path in paths if flow_of(path) == labels.OTHER}
    ours = {
        "/", "/check_session", "/logo/{client_id}", "/static/{name}", "/open/{client_id}", "/picture/{name}",
        "/password-strength", "/outbox", "/terms", "/privacy", "/accessibility", "/robots.txt",
        "/help", "/help/{name}", "/help/developers", "/help/developers/{name}", "/help/pictures/{name}",
    }  # fmt: skip
    assert {path.split("{")[0] for path in others} <= {path.split("{")[0] for path in ours}
    assert [outcome_of(status) for status in (200, 303, 400, 429, 500, 503, 0)] == [
        "ok", "ok", "refused", "limited", "failed", "unavailable", "refused",
    ]  # fmt: skip


def test_counting_a_request_keeps_its_three_counts_and_its_duration() -> None:
    usage = Usage()
    usage.count_request("/token", 503, 0.03)
    assert usage.tallies is None
    tallies = usage.take_tallies()
    usage.count_request("/token", 503, 0.03)
    usage.count_request("/token", 503, 100.0)
    counts = {(name, label): count for (_, name, _, label), count in usage.take().counts.items()}
    assert counts == {
        ("requests", "/token"): 3, ("milliseconds", "/token"): 100_060, ("requests_failed", "/token"): 3,
    }  # fmt: skip
    tallies = usage.take_tallies()
    durations = tallies.requests["/token", 503]
    assert (sum(durations.parts), durations.parts[-1], len(durations.parts)) == (2, 1, len(BOUNDS) + 1)
    assert usage.take_tallies().requests == {}


@pytest.mark.parametrize("overrides", [{"trusted_proxies": ["203.0.113.0/24"]}])
async def test_the_reference_of_a_trusted_proxy_is_kept(city: City) -> None:
    given = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    async with city.client("203.0.113.7") as proxied, city.client("198.51.100.1") as direct:
        assert (await proxied.get("/healthz", headers={"X-Request-ID": given})).headers["X-Request-ID"] == given
        for bad in ("short", "x" * 65, "a b c d e f g h", "<script>alert(1)", "x" * 8 + "\t"):
            answer = await proxied.get("/healthz", headers={"X-Request-ID": bad})
            assert answer.headers["X-Request-ID"] not in (bad, bad.strip())
        twice = [("X-Request-ID", given), ("X-Request-ID", "another-one")]
        assert (await proxied.get("/healthz", headers=twice)).headers["X-Request-ID"] != given
        assert (await direct.get("/healthz", headers={"X-Request-ID": given})).headers["X-Request-ID"] != given
    async with city.provider.db.write() as session:
        record(session, "session.ended", actor="system", request_id=given)
    async with city.provider.db.read() as session:
        stored = (await session.execute(select(AuditEvent.request_id))).scalars().all()
    assert given[:32] in stored, "the audit log keeps as much as its column holds"


async def test_json_lines_have_fields_and_no_secrets(
    city: City, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(orjson.loads(logs._Json().format(record)))

    handler, access = Keep(), logging.getLogger("sso.access")
    access.addHandler(handler)
    caplog.set_level(logging.INFO, "sso.access")
    party = city.relying_party("warga")
    try:
        async with city.browser() as browser:
            tokens = await browser.tokens(party, scope="openid offline_access")
            await party.refresh(tokens["refresh_token"])
    finally:
        access.removeHandler(handler)
    token_line = next(line for line in lines if line["flow"] == "token")
    assert {"time", "level", "logger", "message", "request_id", "method", "path", "status", "duration"} <= set(
        token_line
    )
    assert (token_line["client_id"], token_line["status"], token_line["path"]) == ("warga", 200, "/token")
    text = repr(lines)
    for secret in (tokens["refresh_token"], tokens["access_token"], "kuda-laut-terbang-91", city.secrets["warga"]):
        assert secret not in text
