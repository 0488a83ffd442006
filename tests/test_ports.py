"""How tests get ports: see :mod:`tests.ports`."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests import ports
from tests.ports import free_ports

ROOT = Path(__file__).parents[1]


def test_a_port_is_given_once_also_to_other_processes() -> None:
    first = free_ports(2)
    assert not {free_ports(1) for _ in range(3)} & {first, first + 1}
    program = f"from tests import ports; print(*(ports._reserve([port]) for port in ({first}, {first + 1})))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_port_that_somebody_uses_is_not_given() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        assert not ports._reserve([used.getsockname()[1]])
