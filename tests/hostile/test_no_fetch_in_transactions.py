"""Nothing is fetched over the network inside a transaction: one slow receiver would hold locks, and on SQLite every
writer of the city, until the request times out.

The rule is checked on the source, so that a new route cannot forget it: whoever takes a database session runs inside
somebody's transaction, and whatever stands in a block of ``db.write()`` or ``db.read()`` holds a connection.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from tests.api.conftest import program
from tests.sources import nodes_of
from tests.support import City

import sso
from sso.clients import store

SOURCE = Path(sso.__file__).parent
SENDERS = ("get", "post", "post_form", "visit", "ready")
"""The methods that send a request: of ``Outbound``, and ``ClientKeys.ready``."""


def functions() -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        for node in nodes_of(path) if "async def" in text else ():
            if isinstance(node, ast.AsyncFunctionDef):
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def own_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Return what stands in a body, without the functions that are only defined in it."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, (ast.AsyncFunctionDef, ast.FunctionDef, ast.Lambda))
        ]


def fetches(node: ast.AST, known: set[str]) -> bool:
    if not isinstance(node, ast.Await) or not isinstance(node.value, ast.Call):
        return False
    called = node.value.func
    if isinstance(called, ast.Attribute):
        return called.attr in known or (called.attr in SENDERS and is_sender(called.value))
    if isinstance(called, ast.Name) and called.id in known:
        return True
    return any(is_passed_on(argument, known) for argument in node.value.args)


def is_sender(owner: ast.expr) -> bool:
    return ast.unparse(owner).removesuffix("()").endswith(("outbound", "client_keys"))


def is_passed_on(argument: ast.expr, known: set[str]) -> bool:
    """Tell whether a function that fetches is given to another one, which awaits it."""
    if isinstance(argument, ast.Lambda) and isinstance(argument.body, ast.Call):
        argument = argument.body.func
    return isinstance(argument, ast.Name) and argument.id in known


def fetching_names(definitions: list[tuple[str, ast.AsyncFunctionDef]]) -> set[str]:
    """Return the names of functions that fetch, directly or through others. A name that several functions have tells
    nothing about which one is called."""
    counts = Counter(function.name for _, function in definitions)
    awaits = {
        function.name: [node for node in own_nodes(function.body) if isinstance(node, ast.Await)]
        for _, function in definitions
        if counts[function.name] == 1
    }
    known: set[str] = set()
    while True:
        more = {name for name, nodes in awaits.items() if any(fetches(node, known) for node in nodes)}
        if more == known:
            return known
        known = more


def holds_connection(node: ast.AST) -> TypeGuard[ast.AsyncWith]:
    return isinstance(node, ast.AsyncWith) and any(
        ast.unparse(item.context_expr).endswith(("db.write()", "db.read()")) for item in node.items
    )


def test_no_code_fetches_inside_a_transaction() -> None:
    definitions = list(functions())
    known = fetching_names(definitions)
    assert {"check_sector", "check_sector_of", "read_request"} <= known, "the test finds what fetches"
    wrong = []
    for place, function in definitions:
        takes_session = any(arg.arg == "session" for arg in (*function.args.args, *function.args.kwonlyargs))
        blocks = [function.body] if takes_session else []
        blocks += [node.body for node in own_nodes(function.body) if holds_connection(node)]
        wrong += [
            f"{place}: {ast.unparse(node)[:80]}" for body in blocks for node in own_nodes(body) if fetches(node, known)
        ]
    assert not wrong, "\n".join(wrong)


async def test_changing_a_client_waits_for_its_sector_outside_the_transaction(city: City) -> None:
    """Another writer is served while the document at sector_identifier_uri takes its time."""
    uri, served = "https://sektor.example/uris.json", []

    async def get(address: str, *_: Any, **__: Any) -> bytes:
        async with asyncio.timeout(60):
            async with city.provider.db.write() as session:
                assert await store.lock_client(session, "apl") is not None or not served
        served.append(address)
        return json.dumps(["https://apl.example/cb"]).encode()

    city.provider.outbound.get = get  # type: ignore[method-assign, assignment]
    api = await program(city)
    metadata = {
        "type": "web", "client_name": "Apl", "redirect_uris": ["https://apl.example/cb"], "sector_identifier_uri": uri,
    }  # fmt: skip
    created = await api("POST", "/clients", json={"client_id": "apl", "metadata": metadata})
    assert created.status_code == 201, created.text
    tag = await api.etag("/clients/apl")
    changed = {"metadata": {**metadata, "client_name": "Apl Dua"}}
    answer = await api("PUT", "/clients/apl", json=changed, headers={"If-Match": tag})
    assert answer.status_code == 200, answer.text
    assert served == [uri, uri]
    # What does not exist, or was changed, is refused before anything is fetched.
    assert (await api("PUT", "/clients/apl", json=changed, headers={"If-Match": tag})).status_code == 412
    assert (await api("PUT", "/clients/tidak-ada", json=changed, headers={"If-Match": tag})).status_code == 404
    assert len(served) == 2
