"""Entity tags (RFC 9110 sections 8.8.3 and 13.1.1): nobody overwrites the change of somebody else."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel
from starlette.responses import Response

from sso.http.api.problems import Problem

IfMatch = Annotated[
    str | None, Header(description="The ETag that you read, so that no other change is lost.", max_length=200)
]


def etag_of(representation: BaseModel) -> str:
    """Return the tag of what is shown."""
    return f'"{hashlib.sha256(representation.model_dump_json().encode()).hexdigest()[:24]}"'


def check_etag(if_match: str | None, representation: BaseModel, *, required: bool = True) -> None:
    """Check that what is changed is what the caller saw.

    Raises:
        Problem: when it is not, or the caller does not say what they saw.
    """
    if if_match is None:
        if required:
            text = "Send If-Match with the ETag of what you saw."
            raise Problem(428, "precondition_required", text)
        return
    if not names_any_version(if_match) and etag_of(representation) not in _tags(if_match):
        raise changed_meanwhile()


def names_any_version(if_match: str | None) -> bool:
    """Tell whether a caller changes what there is, whatever it is: ``If-Match: *``."""
    return if_match is not None and "*" in _tags(if_match)


def changed_meanwhile() -> Problem:
    """Return the refusal of a change by somebody who saw an earlier version."""
    return Problem(412, "precondition_failed", "The resource changed after you read it: read it again, then decide.")


def _tags(if_match: str) -> list[str]:
    return [tag.strip() for tag in if_match.split(",")]


def representation_response(
    representation: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return something with its tag."""
    response_headers = {"ETag": etag_of(representation), "Cache-Control": "no-store", **(headers or {})}
    return Response(representation.model_dump_json(by_alias=True), status, response_headers, "application/json")
