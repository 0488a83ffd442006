"""Names for what SQLAlchemy's types say of statements: their columns have types that only each statement knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

ResultRow = Sequence[Any]
"""A row of a result."""
SqlColumn = ColumnElement[Any]
"""A column, or an expression that stands for one."""
SqlValue = BindParameter[Any] | ColumnElement[Any] | InstrumentedAttribute[Any]
"""A parameter, or the column of a table or model."""
SelectStatement = Select[*tuple[Any, ...]]
"""A SELECT."""
InsertReturning = ReturningInsert[*tuple[Any, ...]]
"""An INSERT that returns something."""
UpdateReturning = ReturningUpdate[*tuple[Any, ...]]
"""An UPDATE that returns something."""
Columns = ReadOnlyColumnCollection[str, Any]
"""The columns of a table."""
