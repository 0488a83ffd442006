"""What the tools do less, they still do: see :mod:`tests.fixed_costs`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest
from _pytest.capture import FDCapture

USED: set[Path] = set()


def test_what_is_written_is_captured_however_it_is_written() -> None:
    capture = FDCapture(1)
    capture.start()
    try:
        assert capture.snap() == ""
        os.write(1, b"one ")
        subprocess.run(["echo", "two"], check=True)
        assert capture.snap() == "one two\n"
        assert capture.snap() == ""
        os.write(1, b"three")
        assert capture.snap() == "three"
    finally:
        capture.done()


def test_an_interruption_ends_what_runs() -> None:
    async def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted())


async def test_asyncio_leaves_the_handler_of_interruptions_alone() -> None:
    """Putting its own there, and looking that up, was 3 % of an empty test."""
    handler = signal.getsignal(signal.SIGINT)
    assert getattr(handler, "__module__", "") == "tests.fixed_costs"


@pytest.mark.parametrize("number", range(2))
def test_each_test_has_an_empty_directory_of_its_own(tmp_path: Path, number: int) -> None:
    assert not list(tmp_path.iterdir())
    assert tmp_path not in USED, number
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    USED.add(tmp_path)
