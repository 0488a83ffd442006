"""Render, lint and validate the Helm chart, and compare deploy/kubernetes with its rendering.

    python scripts/charts.py             make charts: compare (needs helm, or HELM=/path/to/helm)
    python scripts/charts.py --write     replace the files of deploy/kubernetes
    python scripts/charts.py --schema DIRECTORY    renew tests/deploy/kubernetes.json from the PyPI package
                                                   kubernetes-validate, unpacked in DIRECTORY

Helm is one program: go install helm.sh/helm/v3/cmd/helm@v3.16.4. `make test` needs no Helm: each file of
deploy/kubernetes names the hash of the chart that it was rendered from, and tests/deploy compares it with the chart.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/sso"
MANIFESTS = ROOT / "deploy/kubernetes"
SCHEMA = ROOT / "tests/deploy/kubernetes.json"
OLDEST = "1.30.0"
"""The oldest Kubernetes that the chart is for: its schema is the one that manifests must follow."""
KINDS = (
    "apps.v1.Deployment", "autoscaling.v2.HorizontalPodAutoscaler", "batch.v1.CronJob", "batch.v1.Job",
    "core.v1.Service", "core.v1.ServiceAccount", "networking.v1.Ingress",
    "networking.v1.NetworkPolicy", "policy.v1.PodDisruptionBudget",
)  # fmt: skip
FILES = {"migrate.yaml": ["--set", "migrate.hook=false", "--show-only", "templates/migrate.yaml"], "sso.yaml": []}
VARIANTS = (
    ["--set", "backup.enabled=true", "--set", "metrics.enabled=true", "--set", "serve.autoscaling.enabled=false"],
    ["--set", "ingress.enabled=false", "--set", "networkPolicy.enabled=false", "--set", "metrics.enabled=true"],
    ["--set-json", 'nodeSelector={"a.example/sso":"yes"}',
     "--set-json", 'tolerations=[{"key":"sso","operator":"Exists"}]',
     "--set-json", 'imagePullSecrets=[{"name":"registry"}]', "--set-json", 'ingress.annotations={"a.example/b":"c"}',
     "--set-json", 'serve.podAnnotations={"a.example/b":"c"}', "--set", "backup.enabled=true"],
)  # fmt: skip
REFUSED = (
    ["--set", "settings.SSO_SECRET_KEY=x"],
    ["--set", "settings.LOG_LEVEL=INFO"],
    ["--set", "serve.replica=3"],
    ["--set", "image.tag="],
)
"""Values that the schema of the chart must refuse."""


def digest() -> str:
    """Return the hash of every file of the chart."""
    total = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(CHART)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield the resources in a file of YAML."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    yield from (document for document in yaml.load_all(text, Loader=loader) if document)


def mistakes(resources: Iterable[dict[str, Any]], schema: dict[str, Any]) -> list[str]:
    """Return what Kubernetes would refuse in ``resources``, one line each."""
    import jsonschema  # it compiles a grammar of IRIs: two seconds, which collecting the tests would take too

    known = {
        (definition["properties"]["apiVersion"]["enum"][0], definition["properties"]["kind"]["enum"][0]): name
        for name, definition in schema["$defs"].items()
        if "enum" in definition.get("properties", {}).get("kind", {})
    }
    lines = []
    for resource in resources:
        label = f"{resource['kind']} {resource['metadata']['name']}"
        name = known.get((resource["apiVersion"], resource["kind"]))
        if name is None:
            lines.append(f"{label}: {resource['apiVersion']} is not in the schema")
            continue
        validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
        lines += [f"{label}: {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(resource)]
    return lines


def trimmed(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the definitions that :data:`KINDS` need, without their texts and without the status that servers write."""
    definitions_used: dict[str, Any] = {}
    names_left = [f"io.k8s.api.{kind}" for kind in KINDS]
    while names_left:
        name = names_left.pop()
        if name not in definitions_used:
            definitions_used[name] = (
                {} if name.endswith(("Status", "ManagedFieldsEntry")) else _without_texts(definitions[name])
            )
            names_left += re.findall(r'#/\$defs/([\w.\-]+)"', json.dumps(definitions_used[name]))
    return dict(sorted(definitions_used.items()))


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        texts = {name for name, part in value.items() if name == "description" and isinstance(part, str)}
        return {
            name: _without_texts(part)
            for name, part in value.items()
            if name not in texts and not name.startswith("x-kubernetes")
        }
    return [_without_texts(part) for part in value] if isinstance(value, list) else value


class Helm:
    """The program."""

    def __init__(self) -> None:
        program = os.environ.get("HELM") or shutil.which("helm")
        if program is None:
            sys.exit("helm is not installed: go install helm.sh/helm/v3/cmd/helm@v3.16.4, or HELM=/path/to/helm")
        self.program = program

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        return subprocess.run([self.program, *words], capture_output=True, text=True, check=False)  # noqa: S603

    def render(self, values: list[str]) -> subprocess.CompletedProcess[str]:
        """Render the chart."""
        return self.run("template", "sso", str(CHART), "--kube-version", OLDEST, *values)


def rendered(helm: Helm, name: str) -> str:
    """Return what a file of deploy/kubernetes must hold."""
    done = helm.render(FILES[name])
    if done.returncode:
        sys.exit(done.stderr)
    parts = done.stdout.split("---\n")
    if not FILES[name]:  # the Job has a file of its own
        parts = [part for part in parts if "kind: Job\n" not in part]
    text = "---\n".join(parts).replace("managed-by: Helm", "managed-by: kubectl")
    return f"# Rendered from deploy/helm/sso by: make charts ARGS=--write\n# chart: {digest()}\n{text}"


def look(helm: Helm) -> list[str]:
    """Return everything that is wrong with the chart."""
    schema, lines = json.loads(SCHEMA.read_text()), []
    lint = helm.run("lint", "--strict", str(CHART))
    lines += [lint.stdout + lint.stderr] if lint.returncode else []
    for values in ([], *VARIANTS):
        done = helm.render(values)
        lines += [done.stderr] if done.returncode else mistakes(documents(done.stdout), schema)
    lines += [f"values must be refused: {' '.join(v)}" for v in REFUSED if not helm.render(v).returncode]
    for name in FILES:
        path = MANIFESTS / name
        if not path.exists() or path.read_text() != rendered(helm, name):
            lines.append(f"deploy/kubernetes/{name} is not what the chart renders: make charts ARGS=--write")
    return lines


def main(words: list[str]) -> None:
    """Do what the arguments say."""
    if words[:1] == ["--schema"]:
        (place,) = Path(words[1]).rglob(f"v{OLDEST}-local-strict/_definitions.json")
        definitions = json.loads(place.read_text())["$defs"]
        SCHEMA.write_text(json.dumps({"$defs": trimmed(definitions)}, separators=(",", ":")) + "\n")
        return
    helm = Helm()
    if words == ["--write"]:
        for name in FILES:
            (MANIFESTS / name).write_text(rendered(helm, name))
    lines = look(helm)
    print("\n".join(lines) or f"{len(VARIANTS) + 1} renderings are valid, deploy/kubernetes is current")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
