"""Hourly counts of events, and the latest mistakes of each application.

Each process counts in memory and writes every few seconds, so that requests need no additional statement. Counts that a
process has not written when it is killed are lost: the figures are for operation, and are not an audit log.
"""

from sso.platform.metrics.counters import Usage

__all__ = ["Usage"]
