"""Pages of lists, and the cursors that lead to the next."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query

from sso.http.api.problems import Problem, ProblemError
from sso.http.api.schemas.base import ResponseModel
from sso.platform.security.numbers import read_uuid
from sso.platform.security.text import check_line
from sso.platform.security.tokens import base64url, from_base64url

MAX_PAGE = 200
Item = TypeVar("Item")
T = TypeVar("T")


class Page(ResponseModel, Generic[Item]):
    """A page of a list. ``next_cursor`` leads to the next page; null: this is the last."""

    items: list[Item]
    next_cursor: str | None = None


Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The maximum number of items.")]
CursorText = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the previous page.")]


def read_cursor(text: str | None) -> str | None:
    """Return the key that a cursor holds.

    Raises:
        Problem: when it is none of ours.
    """
    if text is None:
        return None
    try:
        return check_line(from_base64url(text).decode())
    except ValueError:
        raise _bad_cursor() from None


def read_id_cursor(text: str | None) -> uuid.UUID | None:
    """Return the id that a cursor holds.

    Raises:
        Problem: when it is none of ours.
    """
    key = read_cursor(text)
    try:
        return read_uuid(key) if key is not None else None
    except ValueError:
        raise _bad_cursor() from None


def cut(rows: Sequence[T], limit: int, key: Callable[[T], object]) -> tuple[list[T], str | None]:
    """Return at most ``limit`` of rows, of which one more was read, and the cursor of the rest."""
    page_rows = list(rows[:limit])
    if len(rows) <= limit:
        return page_rows, None
    return page_rows, base64url(str(key(page_rows[-1])).encode())


def _bad_cursor() -> Problem:
    mistake = ProblemError(pointer="cursor", detail="Use next_cursor of the page before, as it is.")
    return Problem(422, "invalid_request", mistake.detail, [mistake])
