"""A real Prometheus scrapes a real server with two processes; the rules, the dashboard and the runbook fit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import run_apart, settings_for
from tests.databases import run_statement
from tests.interop.conftest import SSO
from tests.ports import free_ports
from tests.support import environment_of
from tests.waiting import wait_for, wait_until

from sso.platform.db import Database
from sso.platform.db.migrate import upgrade
from sso.setup.findings import TITLES

pytestmark = pytest.mark.group("prometheus")  # one server and one Prometheus for all of them
ROOT = Path(__file__).parents[2]
ALERTS, DASHBOARD = ROOT / "deploy/alerts.yaml", ROOT / "deploy/grafana.json"
RULES_DIR = Path(__file__).parent / "rules"
RULES = sorted(RULES_DIR.glob("*.yaml"))
LARGE_HEAP = {"GOGC": "1000"}
"""The environment of programs in Go that run for seconds: little garbage collection."""
LOOK_SECONDS = 0.2
"""The time between two looks at what the server or Prometheus has to work out."""
POOL_SIZE = 3
"""The largest number of connections of each process."""
NAME = re.compile(r"\bsso_[a-z_]+\b")


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"no {name} on this machine: run `make deps`, which installs it")
    return path


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def expressions() -> dict[str, str]:
    """Return every expression of the alerts and of the dashboard, by a name."""
    expression_by_name = {alert["alert"]: alert["expr"] for alert in alerts()}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            expression_by_name[f"{panel['title']} {target['refId']}"] = target["expr"]
    return expression_by_name


def test_the_rules_are_valid_and_each_fires_when_it_should(tmp_path: Path) -> None:
    """The cases of a rule evaluate this rule alone: promtool evaluates whole files, and every rule is in one file."""
    subprocess.run([program("promtool"), "check", "rules", ALERTS], check=True, capture_output=True)
    assert [file.stem for file in RULES] == sorted(alert["alert"] for alert in alerts())
    for alert in alerts():
        name = alert["alert"]
        cases = yaml.safe_load((RULES_DIR / f"{name}.yaml").read_text())
        assert [(RULES_DIR / file).resolve() for file in cases["rule_files"]] == [ALERTS]
        assert {test["alertname"] for case in cases["tests"] for test in case["alert_rule_test"]} == {name}
        (tmp_path / f"{name}.rule").write_text(json.dumps({"groups": [{"name": name, "rules": [alert]}]}))
        (tmp_path / f"{name}.json").write_text(json.dumps({**cases, "rule_files": [f"{name}.rule"]}))
    command = [program("promtool"), "test", "rules", *sorted(tmp_path.glob("*.json"))]
    answer = subprocess.run(command, env={**os.environ, **LARGE_HEAP}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("SUCCESS") == len(RULES)


def test_each_alert_has_an_entry_in_the_runbook() -> None:
    entries = re.findall(r"^## (\w+)$", (ROOT / "docs/how-to/runbook.md").read_text(), re.M)
    assert entries == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/how-to/runbook.md#{alert['alert'].lower()}"


async def migrated(url: str, directory: Path) -> None:
    """Make the schema of a database."""
    db = Database(settings_for(url, directory))
    try:
        await upgrade(db)
    finally:
        await db.close()


class Server:
    """`sso serve` with two processes, and its metrics."""

    def __init__(self, url: str, directory: Path) -> None:
        self.port = free_ports(2)
        self.metrics_port = self.port + 1
        self.log = directory / "serve.log"
        self.environment = environment_of(
            directory,
            SSO_DATABASE_URL=url,
            SSO_SIGNING_ALG="ES256",
            SSO_ARGON2_MEMORY="8MiB",
            SSO_DATABASE_POOL_SIZE=str(POOL_SIZE),
            SSO_METRICS_PORT=str(self.metrics_port),
            TMPDIR=str(directory),
        )
        run_apart(migrated(url, directory))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [SSO, "serve", "--port", str(self.port), "--workers", "2"],
                env=self.environment, cwd=directory, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(self.port, self.process, self.log)

    def get(self, path: str, headers: dict[str, str] | None = None) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def metrics(self) -> dict[str, float]:
        """Return the samples, each under its name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return {
            f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def requests(self, flow: str, outcome: str) -> float:
        labels = json.dumps({"flow": flow, "outcome": outcome})
        return self.metrics().get(f"sso_request_duration_seconds_count{labels}", 0)


@pytest.fixture(scope="module")
def server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    name = f"observed_{os.getpid()}"
    run_apart(run_statement(postgres, f"CREATE DATABASE {name}"))
    running_server = Server(postgres.replace("DATABASE", name), directory)
    yield running_server
    running_server.process.terminate()
    running_server.process.wait(60)


@pytest.fixture
def prometheus(server: Server, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes the server, with our alerts."""
    directory, port = tmp_path, free_ports(1)
    target = f"127.0.0.1:{server.metrics_port}"
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "sso", "static_configs": [{"targets": [target]}]}],
    }
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    log = directory / "prometheus.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            env={**os.environ, **LARGE_HEAP}, stdout=output, stderr=output,
        )  # fmt: skip
    wait_for(port, process, log)
    address = f"http://127.0.0.1:{port}"
    wait_until(lambda: is_ready(address))
    yield address
    process.kill()
    process.wait(60)


def is_ready(prometheus: str) -> bool:
    """Tell whether Prometheus answers queries: it listens before it has opened its storage."""
    try:
        with urllib.request.urlopen(f"{prometheus}/-/ready", timeout=60) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def ask(prometheus: str, path: str, **parameters: str) -> Any:
    with urllib.request.urlopen(
        f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=60
    ) as answer:
        body = json.loads(answer.read())
    assert body["status"] == "success", body
    return body["data"]


def test_every_metric_exists_and_every_expression_can_be_evaluated(server: Server, prometheus: str) -> None:
    for path in ("/jwks", "/login", "/readyz", "/userinfo"):
        server.get(path)
    series = {name for expression in expressions().values() for name in NAME.findall(expression)}

    def known() -> set[str]:
        return set(ask(prometheus, "label/__name__/values"))

    wait_until(lambda: series <= known(), 60, LOOK_SECONDS)
    for name, expression in expressions().items():
        assert ask(prometheus, "query", query=expression)["resultType"] == "vector", name
    rules = ask(prometheus, "rules")["groups"][0]["rules"]

    def evaluated() -> bool:
        return all(rule["health"] != "unknown" for rule in ask(prometheus, "rules")["groups"][0]["rules"])

    wait_until(evaluated, look_seconds=LOOK_SECONDS)
    assert [rule["name"] for rule in rules] == [alert["alert"] for alert in alerts()]
    states = {rule["name"]: (rule["health"], rule["state"]) for rule in ask(prometheus, "rules")["groups"][0]["rules"]}
    assert {health for health, _ in states.values()} == {"ok"}
    assert {state for _, state in states.values()} <= {"inactive", "pending"}


def test_the_checklist_is_a_metric_with_a_closed_label_set(server: Server) -> None:
    def states() -> dict[str, float]:
        named = {name: value for name, value in server.metrics().items() if name.startswith("sso_checklist_state")}
        return {json.loads(name.removeprefix("sso_checklist_state"))["check"]: value for name, value in named.items()}

    wait_until(lambda: bool(states()), 60, LOOK_SECONDS)
    state_by_check = states()
    assert set(state_by_check) <= set(TITLES)
    assert (state_by_check["keys"], state_by_check["people"]) == (0, 1), "there is no administrator yet"
    assert set(state_by_check.values()) <= {0, 1, 2}


def test_both_processes_are_counted_together_and_a_dead_one_leaves_no_gauges(server: Server) -> None:
    before = server.requests("discovery", "ok")
    for _ in range(40):  # a connection each, so that both processes answer some
        assert server.get("/.well-known/openid-configuration") == 200
    wait_until(lambda: server.requests("discovery", "ok") == before + 40, look_seconds=LOOK_SECONDS)
    assert server.get("/metrics") == 404, "without a token there is no such page"
    maximum, both = 'sso_database_connections{"state": "max"}', 2 * POOL_SIZE
    wait_until(lambda: server.metrics().get(maximum) == both, look_seconds=LOOK_SECONDS)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(server.process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    workers = [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: server.metrics().get(maximum, 0) in (POOL_SIZE, both), 60, LOOK_SECONDS)
    wait_until(lambda: server.metrics().get(maximum) == both, 60, LOOK_SECONDS)
    assert server.requests("discovery", "ok") >= before + 40, "what it counted stays"
