"""How often what happens, by the hour, and the last mistakes of each application.

Counted in the memory of each process and written every few seconds, so that no flow has a statement more for it. What
a process had not written when it was killed is lost: these are figures to look at, not the audit log.
"""

from sso.platform.metrics.counters import Usage

__all__ = ["Usage"]
