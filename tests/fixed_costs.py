"""What the tools cost each test before it does anything, left out: a tenth of an empty test with a provider."""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

from _pytest.capture import FDCapture

_snap = FDCapture.snap


def leave_out_fixed_costs() -> None:
    """Let the tools do less for each test of this process."""
    FDCapture.snap = _text_captured  # type: ignore[method-assign]
    # asyncio puts its own handler in the place of Python's for each fixture and test, and looks both up in an
    # enumeration, whose error describes the task.
    signal.signal(signal.SIGINT, _interrupt)
    if find_spec("sniffio") is None:  # the client looks for it at each request, in every directory
        sys.modules["sniffio"] = None  # type: ignore[assignment]


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _text_captured(capture: FDCapture) -> str:
    """Return what was written since the last time. Nothing, mostly: then the file is neither read nor truncated."""
    capture._assert_state("snap", ("started", "suspended"))
    return _snap(capture) if os.fstat(capture.tmpfile.fileno()).st_size else ""
