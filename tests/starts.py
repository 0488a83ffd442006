"""What a start of the server imports: looked at once, in a process of its own, for all tests that ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LOOK = """
import gc, json, sys
from sso.cli.serve import application
from sso.identity.users.identifiers import meanings
application()
meanings("siti.rahayu")
collecting, started = gc.isenabled(), sorted(sys.modules)
from sso.app import every_router
from sso.http.common import pages
from sso.schema import metadata
pages.prepare()
prepared, tables = sorted(sys.modules), set(metadata.tables)
every_router()
late_tables = sorted(set(metadata.tables) - tables)
print(json.dumps({"collecting": collecting, "started": started, "prepared": prepared, "late_tables": late_tables}))
"""


@dataclass(frozen=True)
class Start:
    """A start of the server with the settings that are not chosen.

    ``collecting`` tells whether garbage was collected before the start was over, ``started`` names the modules that
    were imported when the application was made, ``prepared`` those when its pages were ready too, and ``late_tables``
    the tables that only a late area declares.
    """

    collecting: bool
    started: list[str]
    prepared: list[str]
    late_tables: list[str]


def look_at_start(directory: Path) -> Start:
    """Make the application in a new process.

    Args:
        directory: where the process runs and keeps its data.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSO_")} | {
        "SSO_ISSUER": "http://localhost:8000", "SSO_DATA_DIR": str(directory),
    }  # fmt: skip
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=directory)
    return Start(**json.loads(done.stdout.splitlines()[-1]))
