"""What developers are told of a request of ours that failed says nothing of our network.

Every place that fetches an address that somebody registered is asked with addresses inside, with names that nobody
knows and with ports that nobody listens at: the words are the same for all of them.
"""

from __future__ import annotations

import ast
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import program
from tests.conformance.parties import KeyPair, authorize, post_registration, registered, request_object
from tests.sources import nodes_of
from tests.support import City

import sso
from sso.platform.security import outbound_http
from sso.platform.security.outbound_errors import UNREACHABLE
from sso.portal.published_keys import fetch_published_keys

PLACES = {
    "private": "10.20.30.40",
    "loopback": "127.0.0.1",
    "metadata": "169.254.169.254",
    "unknown": "",
}
"""Where the names of the test lead."""


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"client_registration": "open", "client_registration_profile": "certification", "outbound_timeout": "300ms"}


@pytest.fixture
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    real = outbound_http.resolve

    async def resolve(host: str, port: int) -> list[str]:
        place = host.partition(".")[0]
        if place == "unknown":
            raise socket.gaierror(-2, "Name or service not known")
        return [PLACES[place]] if place in PLACES else await real(host, port)

    monkeypatch.setattr(outbound_http, "resolve", resolve)


def neutral(text: str, host: str) -> str:
    """Return what was said, without the name that the developer typed themselves."""
    return text.replace(host, "HOST")


@pytest.mark.usefixtures("_names")
async def test_every_place_says_the_same_of_every_address_that_does_not_answer(city: City) -> None:
    messages: dict[str, set[str]] = {}
    api = await program(city)
    for place in PLACES:
        host = f"{place}.dalam.example"
        uri = f"https://{host}/x"
        document = {"redirect_uris": ["https://rp.example/cb"], "subject_type": "pairwise"}
        answer = await post_registration(city, {**document, "sector_identifier_uri": uri})
        assert answer.status_code == 400
        messages.setdefault("registration", set()).add(neutral(answer.json()["error_description"], host))

        metadata = {
            "type": "web", "client_name": "Baru", "redirect_uris": ["https://rp.example/cb"],
            "subject_type": "pairwise", "sector_identifier_uri": uri,
        }  # fmt: skip
        refused = await api("POST", "/clients", json={"client_id": f"baru-{place}", "metadata": metadata})
        assert refused.status_code == 422
        messages.setdefault("api", set()).add(neutral(refused.json()["detail"], host))

        party = await registered(city, jwks_uri=uri, request_uris=[uri], request_object_signing_alg="ES256")
        async with city.browser() as browser:
            by_reference = await authorize(browser, party, request_uri=uri)
            by_value = await authorize(browser, party, request=request_object(party, KeyPair("ES256")))
        messages.setdefault("request_uri", set()).add(neutral(by_reference["error_description"], host))
        messages.setdefault("jwks_uri", set()).add(neutral(by_value["error_description"], host))

        provider = city.provider
        keys = await fetch_published_keys(provider.registry, provider.outbound, party.client_id)
        messages.setdefault("look", set()).add(keys.problem)
    for where, texts in messages.items():
        assert len(texts) == 1, f"{where}: {texts}"
        text = next(iter(texts))
        assert UNREACHABLE in text, f"{where}: {text}"
        for detail in (*filter(None, PLACES.values()), "Error", "certificate verify", "not known"):
            assert detail not in text, f"{where}: {text}"


def test_whoever_catches_a_failed_request_writes_it_into_the_log_or_hides_it() -> None:
    """Each handler of the two exceptions either asks ``public_reason`` for its words, gives up a delivery (whose
    details are for administrators), or writes into the log alone."""
    handlers = 0
    for path in Path(sso.__file__).parent.rglob("*.py"):
        if path.name == "outbound.py":
            continue
        text = path.read_text()
        for node in nodes_of(path) if re.search(r"Outbound(Refused|Failed)", text) else ():
            if not isinstance(node, ast.ExceptHandler) or node.type is None:
                continue
            if not re.search(r"Outbound(Refused|Failed)", ast.unparse(node.type)):
                continue
            body = "\n".join(ast.unparse(statement) for statement in node.body)
            handlers += 1
            hides = "public_reason(" in body
            for_administrators = body == "raise Abandon(str(error)) from None"
            logged = "log.warning(" in body and body.count("error") == 1
            assert hides or for_administrators or logged, f"{path.name}: {body}"
    assert handlers >= 9
