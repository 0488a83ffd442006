"""Which demand of which specification a test proves: docs/reference/conformance.md is made from this."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

TESTS = Path(__file__).parent
T = TypeVar("T", bound=Callable[..., Any])

SPECIFICATIONS = {
    "Core": "OpenID Connect Core 1.0",
    "Discovery": "OpenID Connect Discovery 1.0",
    "Prompt Create": "Initiating User Registration via OpenID Connect 1.0",
    "Registration": "OpenID Connect Dynamic Client Registration 1.0",
    "RP-Initiated Logout": "OpenID Connect RP-Initiated Logout 1.0",
    "Session Management": "OpenID Connect Session Management 1.0",
    "Front-Channel Logout": "OpenID Connect Front-Channel Logout 1.0",
    "Back-Channel Logout": "OpenID Connect Back-Channel Logout 1.0",
    "Shared Signals": "OpenID Shared Signals Framework 1.0",
    "CAEP": "OpenID Continuous Access Evaluation Profile 1.0",
    "RISC": "OpenID RISC Profile 1.0",
    "Standard Webhooks": "Standard Webhooks 1.0",
    "Multiple Response Types": "OAuth 2.0 Multiple Response Type Encoding Practices",
    "Form Post": "OAuth 2.0 Form Post Response Mode",
    "WebAuthn": "Web Authentication: An API for accessing Public Key Credentials Level 3",
    "SP 800-63B": "NIST SP 800-63B-4 Digital Identity Guidelines: Authentication",
    "RFC 6238": "TOTP: Time-Based One-Time Password Algorithm",
    "RFC 6749": "The OAuth 2.0 Authorization Framework",
    "RFC 6750": "Bearer Token Usage",
    "RFC 7009": "Token Revocation",
    "RFC 7515": "JSON Web Signature",
    "RFC 7517": "JSON Web Key",
    "RFC 7521": "Assertion Framework",
    "RFC 7523": "JWT Profile for Client Authentication and Authorization Grants",
    "RFC 7591": "Dynamic Client Registration",
    "RFC 7592": "Dynamic Client Registration Management",
    "RFC 7636": "Proof Key for Code Exchange",
    "RFC 7662": "Token Introspection",
    "RFC 8252": "OAuth 2.0 for Native Apps",
    "RFC 8414": "Authorization Server Metadata",
    "RFC 8417": "Security Event Token",
    "RFC 8628": "Device Authorization Grant",
    "RFC 8707": "Resource Indicators",
    "RFC 8725": "JSON Web Token Best Current Practices",
    "RFC 8935": "Push-Based Delivery of Security Event Tokens",
    "RFC 8936": "Poll-Based Delivery of Security Event Tokens",
    "RFC 9068": "JWT Profile for Access Tokens",
    "RFC 9101": "JWT-Secured Authorization Request",
    "RFC 9126": "Pushed Authorization Requests",
    "RFC 9207": "Authorization Server Issuer Identification",
    "RFC 9396": "Rich Authorization Requests",
    "RFC 9457": "Problem Details for HTTP APIs",
    "RFC 9470": "Step Up Authentication Challenge",
    "RFC 9493": "Subject Identifiers for Security Event Tokens",
    "RFC 9700": "Best Current Practice for OAuth 2.0 Security",
}


def demand(section: str, text: str) -> Callable[[T], T]:
    """Mark a test as the proof of a demand.

    Args:
        section: specification and section, such as ``Core 3.1.2.1``.
        text: the demand in few words.
    """
    assert specification_of(section) in SPECIFICATIONS, section
    assert text, section
    return lambda test: test


def specification_of(section: str) -> str:
    """Return the short name of the specification of a section."""
    return max((name for name in SPECIFICATIONS if section.startswith(name + " ")), key=len, default="")


@dataclass(frozen=True, slots=True)
class Demand:
    """A demand and the test that proves it."""

    section: str
    text: str
    test: str

    @property
    def place(self) -> tuple[Any, ...]:
        """Where it stands in the table."""
        specification = specification_of(self.section)
        number = self.section.removeprefix(specification + " ")
        parts = [part.zfill(4) for part in re.split(r"[.\s]+", number)]
        return list(SPECIFICATIONS).index(specification), parts, self.text, self.test


@cache
def all_demands() -> list[Demand]:
    """Return every demand that a test is marked with, read from the source: nothing is imported or run for it."""
    rows = []
    for path in TESTS.rglob("test_*.py"):
        if "node_modules" in path.parts:
            continue
        text = path.read_text()
        for node in ast.parse(text if "@demand(" in text else "").body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                rows += [
                    Demand(*map(ast.literal_eval, call.args), f"{path.relative_to(TESTS.parent)}::{node.name}")  # type: ignore[arg-type]
                    for call in node.decorator_list
                    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "demand"
                ]
    return sorted(rows, key=lambda row: row.place)


def table() -> str:
    """Return the tables of docs/reference/conformance.md."""
    lines: list[str] = []
    every_demand = all_demands()
    for name, title in SPECIFICATIONS.items():
        mine = [row for row in every_demand if specification_of(row.section) == name]
        if not mine:
            continue
        heading = title if not name.startswith("RFC") else f"{name}: {title}"
        lines += ["", f"## {heading}", "", "| section | demand | test |", "| --- | --- | --- |"]
        for row in mine:
            path, _, test = row.test.partition("::")
            short = path.removeprefix("tests/").removesuffix(".py")
            number = row.section.removeprefix(name + " ")
            lines.append(f"| {number} | {row.text} | [{short}](../../{path}) `{test}` |")
    return "\n".join(lines) + "\n"
