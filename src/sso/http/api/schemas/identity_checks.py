"""Schemas of the API: identity checks."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel
from sso.identity.users.merge_proposals import ProposalState

Document = Literal["ktp", "passport", "kk", "other"]


class IdentityCheckCreate(BaseModel):
    """The document that an officer saw. The last digits of its number are stored; the number of a KTP becomes the NIK
    of the user."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "examples": [{"document": "ktp", "document_number": "3671014104900001", "place": "MPP Kota Tangerang"}]
        },
    )

    document: Document
    document_number: Annotated[str, Field(min_length=4, max_length=40)]
    place: Annotated[str, Field(min_length=1, max_length=200)]


class IdentityCheck(ResponseModel):
    """A check of the document of a user by an officer."""

    id: uuid.UUID
    document: Document
    document_end: str
    place: str
    officer: str
    checked_at: datetime
    revoked_at: datetime | None


class IdentityCheckWithWarnings(IdentityCheck):
    """An identity check that was recorded."""

    warnings: list[str] = Field(description="Unusual values of the NIK, such as a place that no table has.")


class RecoveryCode(ResponseModel):
    """A recovery code. It is shown once."""

    code: str
    expires_in: int = Field(description="How long the code is valid, in seconds.")


class MergeProposalIdentifier(ResponseModel):
    """An identifier, masked."""

    kind: str
    value: str
    verified: bool = Field(description="Whether the import states it as verified. Only verified identifiers match.")


class MergeProposal(ResponseModel):
    """An imported user who probably has an account already."""

    id: uuid.UUID
    user_id: uuid.UUID
    client_id: str | None
    local_user_id: str | None
    reasons: list[str] = Field(description="The kinds of identifier that are equal and verified on both sides.")
    status: ProposalState
    name: str
    identifiers: list[MergeProposalIdentifier]
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None


class UnmergedIdentifier(ResponseModel):
    """An identifier of the row that was not added: another user has it, or the user has one already. The value is
    masked."""

    kind: str
    value: str


class MergeProposalResult(MergeProposal):
    """A decided proposal and the result of the decision."""

    username: str | None = Field(description="The username that applications receive, if there is one.")
    other_usernames: list[str] = Field(description="Other usernames with which the user can sign in.")
    left_out: list[UnmergedIdentifier]
    local_user_ids: list[str] = Field(description="The local user ids that the application receives, the oldest first.")


class MergeDecision(BaseModel):
    """``merged``: one account. ``separate``: two accounts. ``dropped``: ignore the row."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"decision": "merged"}]})

    decision: Literal["merged", "separate", "dropped"]


class UserMergeRequest(BaseModel):
    """The account to merge into this one."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"other_id": "01a212d5-bf21-73d5-9346-8f736cc3568b"}]}
    )

    other_id: uuid.UUID


class MergeProposalPage(Page[MergeProposal]):
    """A page of merge proposals."""
