"""Problems of the API (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from sso.errors import Refusal
from sso.http.api.schemas.base import ResponseModel
from sso.http.common.responses import PROBLEM_TYPE, problem_title


class ProblemError(ResponseModel):
    """A mistake in a request."""

    pointer: str = Field(description="A JSON pointer into the body, or the name of a parameter.")
    detail: str = Field(description="The mistake, and what to do.")


class ProblemDocument(ResponseModel):
    """A problem (RFC 9457)."""

    type: str = Field(description="The kind of problem. It does not change between releases.")
    title: str
    status: int
    detail: str = Field(description="What happened here, and what to do.")
    instance: str = Field(description="The reference of this request in the log. Name it when you ask for help.")
    errors: list[ProblemError] | None = None


class Problem(Refusal):
    """A request to the API that is refused.

    Args:
        status: the HTTP status.
        code: the last part of the problem type.
        detail: what happened, and what to do.
        errors: each mistake, where there are several or they have a place.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[ProblemError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code = status, code
        self._errors, self._headers = errors, headers or {}

    @property
    def located_mistakes(self) -> list[tuple[str, str]]:
        """(JSON pointer or name of a parameter, text) of each mistake."""
        return [(mistake.pointer, mistake.detail) for mistake in self._errors]

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer that belong to this problem."""
        return self._headers


def not_found(what: str) -> Problem:
    """Return the problem that there is no such thing."""
    return Problem(404, "not_found", f"There is no {what} of this id.")


def problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return what the documentation says of the problems of a route."""
    chosen = {400, 401, 403, 422, 503, *statuses}
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {status: {"description": problem_title(status), "content": content} for status in sorted(chosen)}
