"""The chart, the manifests, the Compose file and the units of systemd: valid, confined, and true to the program.

Helm renders in `make charts`; here the committed rendering is looked at. Kubernetes, Docker and systemd do not run
in tests.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.scripts import ROOT, script

from sso.cli import COMMANDS, GROUPS
from sso.cli.serve import GRACE_SECONDS
from sso.settings import Settings, variable

DEPLOY = ROOT / "deploy"
CHARTS = script("charts")
SCHEMA = json.loads((ROOT / "tests/deploy/kubernetes.json").read_text())
FILES = sorted(CHARTS.FILES)
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KNOWN = {variable(name) for name in Settings.model_fields}
SECRET = {variable(n) for n, f in Settings.model_fields.items() if "Secret" in str(f.annotation)} | {"SSO_DATABASE_URL"}
RESERVE_SECONDS = 10


@cache
def resources(name: str = "") -> list[dict[str, Any]]:
    """The resources of one file of deploy/kubernetes, or of all."""
    return [
        document
        for file in FILES
        if name in ("", file)
        for document in CHARTS.documents((DEPLOY / "kubernetes" / file).read_text())
    ]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [resource for resource in resources() if resource["kind"] == kind]


def pods() -> list[tuple[str, dict[str, Any]]]:
    """The name and the template of every pod."""
    return [
        (resource["metadata"]["name"], resource["spec"]["template"])
        for resource in resources()
        if "template" in resource.get("spec", {})
    ]


def only_container(template: dict[str, Any]) -> dict[str, Any]:
    (container,) = template["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("name", FILES)
def test_the_manifests_were_rendered_from_the_chart_as_it_is(name: str) -> None:
    text = (DEPLOY / "kubernetes" / name).read_text()
    assert f"# chart: {CHARTS.digest()}\n" in text, "run: make charts ARGS=--write (needs helm)"


@pytest.mark.parametrize("name", FILES)
def test_kubernetes_accepts_the_manifests(name: str) -> None:
    assert CHARTS.mistakes(resources(name), SCHEMA) == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    wrong = deepcopy(resources("sso.yaml"))
    deployment = next(resource for resource in wrong if resource["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    deployment["spec"]["replicas"] = "two"
    wrong.append({"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"name": "old"}})
    lines = CHARTS.mistakes(wrong, SCHEMA)
    assert len(lines) == 3, lines
    assert "'readOnly' was unexpected" in " ".join(lines)


def test_everything_that_an_operator_expects_is_there() -> None:
    kinds = {(resource["kind"], resource["metadata"]["name"]) for resource in resources()}
    assert kinds == {
        ("Deployment", "sso-serve"), ("Deployment", "sso-worker"), ("Job", "sso-migrate-0-2-0"), ("Service", "sso"),
        ("HorizontalPodAutoscaler", "sso-serve"), ("PodDisruptionBudget", "sso-serve"), ("Ingress", "sso"),
        ("PodDisruptionBudget", "sso-worker"), ("NetworkPolicy", "sso"), ("NetworkPolicy", "sso-serve"),
        ("ServiceAccount", "sso"),
    }  # fmt: skip
    kustomization = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == FILES


@pytest.mark.parametrize(("name", "template"), pods(), ids=[name for name, _ in pods()])
def test_every_pod_is_confined(name: str, template: dict[str, Any]) -> None:
    pod, container = template["spec"], only_container(template)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert f"--uid {pod['securityContext']['runAsUser']}" in (ROOT / "Dockerfile").read_text()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}


@pytest.mark.parametrize(("name", "template"), pods(), ids=[name for name, _ in pods()])
def test_every_pod_runs_a_command_with_settings_that_exist(name: str, template: dict[str, Any]) -> None:
    container = only_container(template)
    assert container["args"][0] in {*COMMANDS, *GROUPS}
    names = {entry["name"] for entry in container["env"]}
    assert names <= KNOWN
    assert not names & SECRET, "secret settings come from the Secret"
    assert container["envFrom"] == [{"secretRef": {"name": "sso"}}]


def test_servers_are_probed_and_end_in_time() -> None:
    template = dict(pods())["sso-serve"]
    container = only_container(template)
    assert container["args"][container["args"].index("--port") + 1] == str(container["ports"][0]["containerPort"])
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    health = (ROOT / "src/sso/http/protocol/health.py").read_text()
    for kind, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        assert probes[kind]["httpGet"] == {"path": path, "port": container["ports"][0]["name"]}
        assert f'"{path}"' in health
    delay = int(next(entry["value"] for entry in container["env"] if entry["name"] == "SSO_SHUTDOWN_DELAY")[:-1])
    assert template["spec"]["terminationGracePeriodSeconds"] == delay + GRACE_SECONDS + RESERVE_SECONDS
    unready = probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"]
    assert delay >= unready, "the listener closes after the probe has failed"


def test_selectors_choose_the_pods_that_they_mean() -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods()}

    def chosen(selector: dict[str, str]) -> set[str]:
        return {name for name, mine in labels.items() if selector.items() <= mine.items()}

    for name in ("sso-serve", "sso-worker"):
        deployment = next(resource for resource in of_kind("Deployment") if resource["metadata"]["name"] == name)
        budget = next(resource for resource in of_kind("PodDisruptionBudget") if resource["metadata"]["name"] == name)
        for resource in (deployment, budget):
            assert chosen(resource["spec"]["selector"]["matchLabels"]) == {name}
    assert chosen(of_kind("Service")[0]["spec"]["selector"]) == {"sso-serve"}
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of_kind("NetworkPolicy")}
    assert chosen(policies["sso"]["podSelector"]["matchLabels"]) == set(labels), "nothing reaches a pod unless allowed"
    assert policies["sso"]["ingress"] == []
    assert chosen(policies["sso-serve"]["podSelector"]["matchLabels"]) == {"sso-serve"}
    (autoscaler,) = of_kind("HorizontalPodAutoscaler")
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == "sso-serve"
    serve = next(resource for resource in of_kind("Deployment") if resource["metadata"]["name"] == "sso-serve")
    assert "replicas" not in serve["spec"]


def test_the_chart_keeps_secret_settings_out_of_its_values() -> None:
    values = json.loads((DEPLOY / "helm/sso/values.schema.json").read_text())
    refused = set(values["properties"]["settings"]["propertyNames"]["not"]["enum"])
    assert refused >= SECRET
    secret = yaml.safe_load((DEPLOY / "kubernetes/secret.example.yaml").read_text())
    assert set(secret["stringData"]) <= SECRET
    assert set(yaml.safe_load((DEPLOY / "helm/sso/values.yaml").read_text())["settings"]) <= KNOWN - SECRET


COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def env_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_compose_runs_commands_that_exist_and_confines_them() -> None:
    assert set(OURS) == {"migrate", "serve", "worker"}
    for name, service in OURS.items():
        assert service["command"][0] in {*COMMANDS, *GROUPS}, name
        assert set(service["environment"]) <= KNOWN
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "10001:10001"
    assert int(OURS["serve"]["stop_grace_period"][:-1]) >= GRACE_SECONDS + RESERVE_SECONDS
    subnet = COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert OURS["serve"]["environment"]["SSO_TRUSTED_PROXIES"] == subnet, "the proxy is in this network"
    published = [name for name, service in COMPOSE["services"].items() if "ports" in service]
    assert published == ["proxy"]
    assert "reverse_proxy serve:8000" in (DEPLOY / "Caddyfile").read_text()


def test_docker_compose_accepts_the_file() -> None:
    """``compose.json`` is the schema of github.com/compose-spec/compose-spec (Apache-2.0), June 2026, without texts."""
    import jsonschema  # it compiles a grammar of IRIs: two seconds, which collecting the tests would take too

    validator = jsonschema.Draft7Validator(json.loads((ROOT / "tests/deploy/compose.json").read_text()))
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(COMPOSE)] == []
    wrong = deepcopy(COMPOSE)
    wrong["services"]["serve"]["readonly"] = True
    assert len(list(validator.iter_errors(wrong))) == 1, "a field that Compose does not know is found"


def test_the_example_of_compose_sets_what_the_file_needs() -> None:
    given = env_file(DEPLOY / "compose.env.example")
    needed = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert needed <= set(given)
    assert {name for name in given if name.startswith("SSO_")} <= KNOWN, (
        "the provider refuses settings it does not know"
    )


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a unit, with every value that each was given."""
    settings: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_run_commands_that_exist_as_a_user_without_rights(path: Path) -> None:
    settings = unit(path)
    program, command, *_ = shlex.split(settings["ExecStart"][0])
    assert program == "/opt/sso/bin/sso"
    assert command in COMMANDS
    assert settings["User"] == ["sso"]
    assert settings["CapabilityBoundingSet"] == [""]
    for name, value in (("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("MemoryDenyWriteExecute", "yes")):
        assert settings[name] == [value]
    assert {line.partition("=")[0] for line in settings.get("Environment", [])} <= KNOWN
    if command == "serve":
        assert int(settings["TimeoutStopSec"][0]) >= GRACE_SECONDS + RESERVE_SECONDS


def test_systemd_accepts_the_units_and_finds_them_confined(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("no systemd-analyze on this machine: run `make test`, which installs it")
    copies = []
    for path in sorted((DEPLOY / "systemd").glob("*.[st]*")):
        if path.suffix in (".service", ".timer"):
            copies.append(tmp_path / path.name)  # verify wants programs that exist
            copies[-1].write_text(path.read_text().replace("/opt/sso/bin/sso", "/bin/true"))
    verified = subprocess.run([program, "verify", "--man=no", *copies], capture_output=True, text=True)
    mine = [line for line in verified.stderr.splitlines() if "sso" in line]
    assert (verified.returncode, mine) == (0, [])
    services = [path for path in copies if path.suffix == ".service"]
    command = [program, "security", "--offline=true", "--threshold=20", "--no-pager", *services]
    looked = subprocess.run(command, capture_output=True, text=True)
    assert looked.returncode == 0, looked.stdout[-2000:]
    levels = re.findall(r"exposure level for sso\S*: ([\d.]+)", looked.stdout)
    assert len(levels) == len(services)
    assert max(map(float, levels)) <= 2.0


@pytest.fixture(scope="module")
def replay() -> Any:
    return script("image")


def test_the_replay_of_the_image_reads_every_instruction(replay: Any) -> None:
    instructions = replay.instructions((ROOT / "Dockerfile").read_text())
    assert [word for word, _ in instructions].count("FROM") == 4
    assert all(word == "FROM" or hasattr(replay.Replay, f"do_{word.lower()}") for word, _ in instructions)
    assert replay.wanted_stages(instructions) == {"build", "run", "3"}, "the stage with pg_dump is not in the last one"
    assert not any(rest.endswith("\\") for _, rest in instructions)
    health = next(rest for word, rest in instructions if word == "HEALTHCHECK")
    assert "/readyz" in json.loads(health.partition(" CMD ")[2])[2]


def test_the_replay_joins_lines_and_leaves_comments_out(replay: Any) -> None:
    text = "# a comment\nFROM one AS a\nRUN x \\\n    && y\n\nFROM two AS b\nFROM three\nCOPY --from=a /x /y\n"
    instructions = replay.instructions(text)
    assert instructions[1] == ("RUN", "x && y")
    assert replay.wanted_stages(instructions) == {"a", "2"}


def names_in_documents() -> Iterator[str]:
    for page in ("install.md", "compose.md", "kubernetes.md", "operations.md", "monitoring.md"):
        yield from re.findall(r"deploy/[\w./-]+", (ROOT / "docs" / "how-to" / page).read_text())


def test_files_that_the_documents_name_exist() -> None:
    names = {name.rstrip(".") for name in names_in_documents()}
    assert {"deploy/compose.yaml", "deploy/helm/sso", "deploy/kubernetes/sso.yaml"} <= names
    for name in names - {"deploy/compose.env", "deploy/sso-serve"}:  # made by the reader; a name in the cluster
        assert (ROOT / name).exists(), name
