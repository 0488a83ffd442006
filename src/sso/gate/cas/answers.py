"""The answers to a request to validate a ticket: XML, JSON and the text of CAS 1.0 (CAS Protocol 3.0 appendix A)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import orjson

from sso.gate.cas.parameters import CasRefused

NAMESPACE = "http://www.yale.edu/tp/cas"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_OF_NAMES = re.compile("[^A-Za-z0-9_.-]")
_NOT_OF_LINES = {"Cc", "Cs", "Zl", "Zp"}
"""Categories of characters that a line of text cannot hold: control characters, separators of lines, and halves."""


@dataclass(frozen=True, slots=True)
class Validated:
    """A ticket that was validated: the user, and what the application learns of them, each with its values."""

    user: str
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def attributes_of(claims: Mapping[str, object]) -> dict[str, list[str]]:
    """Return claims as attributes, whose values are texts. A claim with several values has each; of a claim with
    members, such as ``address``, each member is an attribute of its own, such as ``address_locality``."""
    attributes: dict[str, list[str]] = {}
    for name, value in claims.items():
        if isinstance(value, Mapping):
            for member, its in value.items():
                attributes.setdefault(_element(f"{name}_{member}"), list(_texts(its)))
        else:
            attributes.setdefault(_element(name), list(_texts(value)))
    return attributes


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, (list, tuple)):
        return [text for element in value for text in _texts(element)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [value if isinstance(value, str) else orjson.dumps(value).decode()]


def _element(name: str) -> str:
    """Return a name that an element may have: of the name of a claim with other characters these are replaced."""
    written = _NOT_OF_NAMES.sub("_", name)
    return written if written[:1].isalpha() or written.startswith("_") else f"_{written}"


def _text(value: str) -> str:
    """Return a value as text of an element, without the characters that XML 1.0 cannot hold."""
    return escape(_NOT_XML.sub("", value))


def as_xml(result: Validated | CasRefused) -> str:
    """Return the answer of ``/serviceValidate`` (sections 2.5.2, 2.5.3; appendix A)."""
    if isinstance(result, CasRefused):
        inner = f'<cas:authenticationFailure code="{result.code}">{_text(result.text)}</cas:authenticationFailure>'
    else:
        attributes = "".join(
            f"<cas:{name}>{_text(value)}</cas:{name}>" for name, values in result.attributes.items() for value in values
        )
        inner = (
            f"<cas:authenticationSuccess><cas:user>{_text(result.user)}</cas:user>"
            f"<cas:attributes>{attributes}</cas:attributes></cas:authenticationSuccess>"
        )
    return f'<cas:serviceResponse xmlns:cas="{NAMESPACE}">{inner}</cas:serviceResponse>'


def as_json(result: Validated | CasRefused) -> bytes:
    """Return the same as JSON. An attribute is a list of its values."""
    if isinstance(result, CasRefused):
        inner: dict[str, object] = {"authenticationFailure": {"code": result.code, "description": result.text}}
    else:
        inner = {"authenticationSuccess": {"user": result.user, "attributes": dict(result.attributes)}}
    return orjson.dumps({"serviceResponse": inner})


def as_text(result: Validated | CasRefused) -> str:
    """Return the answer of ``/validate`` (section 2.4.2): lines of plain text, in which nothing is escaped. A username
    that is no line of its own is refused."""
    if isinstance(result, CasRefused) or any(unicodedata.category(char) in _NOT_OF_LINES for char in result.user):
        return "no\n\n"
    return f"yes\n{result.user}\n"


def proxy_refusal(refused: CasRefused) -> str:
    """Return the answer of ``/proxy`` (section 2.7.3)."""
    failure = f'<cas:proxyFailure code="{refused.code}">{_text(refused.text)}</cas:proxyFailure>'
    return f'<cas:serviceResponse xmlns:cas="{NAMESPACE}">{failure}</cas:serviceResponse>'
