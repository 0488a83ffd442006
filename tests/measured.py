"""Whether tests of faults use the limits that operators have, and what they tell `python -m bench.faults`."""

from __future__ import annotations

import os
from collections.abc import Callable

DEFAULT_LIMITS = bool(os.environ.get("DEFAULT_LIMITS"))
"""The time limits are those of the settings, and not tenths of a second: the times that tests record are then true."""
Record = Callable[[str, object], None]
"""The fixture ``record_property``."""
