"""Conditions on rows that have a time: ``valid_from`` and ``valid_until``, each of which may be empty."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from sso.platform.db.sql_types import SqlValue


def valid_at(columns: Any, now: SqlValue | datetime) -> ColumnElement[bool]:
    """Return the condition that a moment is within the time of a row; an end that is not set never comes.

    Args:
        columns: a model, or the columns of a table.
        now: a moment, or a parameter.
    """
    return and_(or_(columns.valid_from.is_(None), columns.valid_from <= now), not_ended(columns, now))


def not_ended(columns: Any, now: SqlValue | datetime) -> ColumnElement[bool]:
    """Return the condition that the time of a row is not over at a moment; it may begin later."""
    condition: ColumnElement[bool] = or_(columns.valid_until.is_(None), columns.valid_until > now)
    return condition
