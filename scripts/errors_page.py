"""docs/reference/errors.md: every error that the provider shows or sends, and what to do. Written by `make docs`.

Titles and texts are those of the code. What to do stands in docs/reference/errors.yaml; a code without it fails.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

import sso
from sso.errors import Refusal
from sso.http.common.failures import FAILURES
from sso.http.common.i18n import translations
from sso.http.developer.diagnosis import WORDS
from sso.platform.metrics.labels import ERRORS

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs/reference"
REMEDIES = yaml.safe_load((REFERENCE / "errors.yaml").read_text())
OF_PAGES, OF_OAUTH, OF_API = REMEDIES["pages"], REMEDIES["protocol"], REMEDIES["api"]
SHAPE = (
    r'"((?:invalid|unsupported|unmet|unauthorized|slow|insufficient|consent|login|access|expired|interaction)_[a-z_]+)"'
)
NOT_ERRORS = {"access_token", "access_tokens", "access_token_seconds", "access_token_format", "login_hint"}


def oauth_codes() -> set[str]:
    """Return the OAuth error codes that the source names, and those of the metrics."""
    folders = ("oidc", "http/protocol", "ssf", "clients", "gate", "http/api")
    sources = [path for folder in folders for path in (ROOT / "src/sso" / folder).rglob("*.py")]
    literal = {code for path in sources for code in re.findall(SHAPE, path.read_text())} - NOT_ERRORS
    pages = {failure.error for failure in FAILURES.values()}
    return {code for code in literal | pages | set(ERRORS) if not code.endswith("_supported") or "not_" in code}


def api_codes() -> set[str]:
    """Return the last part of every problem type that a refusal has, wherever it is defined."""
    for module in pkgutil.walk_packages(sso.__path__, "sso."):
        importlib.import_module(module.name)
    return {kind.code for kind in _below(Refusal)} | {"not_found"}


def _below(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for sub in kind.__subclasses__():
        if sub.__module__.startswith("sso."):
            yield sub
            yield from _below(sub)


def page() -> str:
    """Return the page."""
    head = (REFERENCE / "errors.head.md").read_text()
    return "".join((head, *_error_pages(), *_oauth(), *_api(), *_diagnosis()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("%(minutes)d", "N")


def _error_pages() -> Iterator[str]:
    indonesian = translations("id").gettext
    yield "\n## Error pages\n\nThe code is in the log (`page CODE`) and in the answer to a program.\n\n"
    yield "| code | title | in Indonesian | what the page says | what to do |\n| --- | --- | --- | --- | --- |\n"
    for code, failure in FAILURES.items():
        cells = (f"`{code}`", failure.title, indonesian(failure.title), failure.text, OF_PAGES[code])
        yield "| " + " | ".join(map(_cell, cells)) + " |\n"


def _oauth() -> Iterator[str]:
    yield "\n## Error codes of the protocol\n\n"
    yield "The parameter or member `error` of OAuth 2.0, OpenID Connect and their extensions. "
    yield "`error_description` says more.\n\n| `error` | cause, and what to do |\n| --- | --- |\n"
    for code in sorted(oauth_codes() | set(OF_OAUTH)):
        yield f"| `{code}` | {_cell(OF_OAUTH[code])} |\n"


def _api() -> Iterator[str]:
    yield "\n## Problem types of the API\n\nThe member `type` is `urn:sso:problem:` and the code (RFC 9457). "
    yield "The codes of error pages can be one too.\n\n"
    yield "| code | cause, and what to do |\n| --- | --- |\n"
    for code in sorted(api_codes()):
        yield f"| `{code}` | {_cell(OF_API[code])} |\n"


def _diagnosis() -> Iterator[str]:
    yield "\n## What the diagnosis in the portal says\n\n| code | text | what the team does |\n| --- | --- | --- |\n"
    for code, (text, advice) in WORDS.items():
        yield f"| `{code}` | {_cell(text)} | {_cell(advice)} |\n"
