"""Tests give a slow machine time: nothing that a test waits for has a limit below 30 seconds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LEFT_OUT = {Path(__file__), TESTS / "databases.py"}
"""``databases.py`` drops a database that it cannot set back in time: no test fails."""
LEAST_SECONDS = 30
REQUESTS = {f"httpx.{name}" for name in ("get", "post", "put", "delete", "request", "stream", "Client", "AsyncClient")}
LIMITS = {
    "asyncio.timeout": 0, "asyncio.wait_for": 1, "until": 1, "wait_until": 1, "process.wait": 0, "wait": 0, "result": 0,
    "thread.join": 0, "callback": 1, "asyncio.to_thread": 1, "socket.create_connection": 1,
}  # fmt: skip
"""Calls whose argument at a place is a limit in seconds."""
LAST_WORDS = {name.rpartition(".")[2] for name in (*LIMITS, *REQUESTS)}


def too_short(source: str) -> Iterator[str]:
    """Yield what has a limit that is too short, or the short one of a library."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        last_word = getattr(call.func, "attr", "") or getattr(call.func, "id", "")
        if last_word not in LAST_WORDS and "timeout" not in named:
            continue
        name = ast.unparse(call.func)
        short = name if name in LIMITS else name.rpartition(".")[2]
        given = list(call.args[LIMITS[short] :][:1]) if short in LIMITS else []
        if name == "asyncio.wait" and "timeout" in named:
            yield f"{ast.unparse(call)[:90]}: wait for a sign that it waits, not for a time"
            continue
        if "timeout" in named:
            given = [named["timeout"]]
        elif name in REQUESTS and "transport" not in named and None not in named:
            yield f"{ast.unparse(call)[:90]}: name a timeout"
        for value in given:
            if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value < LEAST_SECONDS:
                yield f"{ast.unparse(call)[:90]}: {value.value} seconds"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("process.wait(20)", 1),
        ("self.process.wait(60)", 0),
        ("self.process.wait()", 0),
        ("httpx.get(address)", 1),
        ("httpx.get(address, timeout=60)", 0),
        ("httpx.AsyncClient(transport=transport)", 0),
        ("await until(is_done, 5)", 1),
        ("await until(is_done)", 0),
        ("asyncio.timeout(10)", 1),
        ("await asyncio.wait([task], timeout=0.1)", 1),
        ("await asyncio.wait([task])", 0),
        ("closing.callback(process.wait, 20)", 1),
        ("socket.create_connection(address, 20)", 1),
    ],
)
def test_a_limit_that_is_too_short_is_found(source: str, count: int) -> None:
    assert len(list(too_short(f"async def f():\n    {source}"))) == count


def test_no_test_gives_a_process_or_a_request_less_than_thirty_seconds() -> None:
    problems = [
        f"{path.relative_to(TESTS)}: {problem}"
        for path in sorted(TESTS.rglob("*.py"))
        if path not in LEFT_OUT
        for problem in too_short(path.read_text())
    ]
    assert not problems, "\n".join(problems)
