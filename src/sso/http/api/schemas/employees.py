"""Schemas of the API: the import of employees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from sso.accounts.employee_import import MAX_ENDED_PERCENT
from sso.http.api.schemas.base import ResponseModel
from sso.http.api.schemas.role_assignments import Reason

MAX_EMPLOYEES = 500
Cell = Annotated[str, Field(max_length=254)]


class ImportedEmployee(BaseModel):
    """An employee of the personnel system. The values are those of the columns of a file."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, populate_by_name=True)

    nip: Cell | None = Field(None, description="18 digits. Contract workers may have none, if they have a `nik`.")
    old_nip: Cell | None = Field(None, description="9 digits.")
    name: Cell
    nik: Cell | None = Field(None, description="Links the employee to the account whose NIK is verified.")
    email: Cell | None = None
    phone: Cell | None = None
    employment_status: Cell = Field(description="`pns`, `cpns`, `pppk`, `honorer` or `other`.")
    unit_code: Cell | None = Field(None, description="The code of the main unit, which is there already.")
    position: Cell | None = None
    grade: Cell | None = None
    first_day: Cell | None = Field(None, alias="from", description="The first day, such as 2026-01-01.")
    last_day: Cell | None = Field(None, alias="until", description="The last day.")


class EmployeeImport(BaseModel):
    """A list of employees, and how it is imported."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "reason": "SIMPEG November 2026",
                    "dry_run": True,
                    "verified": ["nik"],
                    "employees": [
                        {
                            "nip": "198703122011011004",
                            "name": "Bima Saputra",
                            "employment_status": "pns",
                            "unit_code": "PKM-CPD",
                            "position": "Perawat",
                            "from": "2011-01-01",
                        }
                    ],
                }
            ]
        },
    )

    employees: Annotated[list[ImportedEmployee], Field(min_length=1, max_length=MAX_EMPLOYEES)]
    reason: Reason
    verified: list[Literal["nik", "email", "phone"]] = Field(
        default_factory=list, max_length=3, description="What the personnel office verified besides the NIP."
    )
    complete: StrictBool = Field(
        False, description="The list names every employee: the employments of others that came from an import end."
    )
    max_ended_percent: StrictInt = Field(
        MAX_ENDED_PERCENT,
        ge=0,
        le=100,
        description="With `complete`: the largest percentage of employments that may end.",
    )
    dry_run: StrictBool = Field(False, description="Answer what the import would do, and change nothing.")


Result = Literal["created", "linked", "proposed", "changed", "unchanged", "rejected"]


class ImportedLine(ResponseModel):
    """What became of an employee."""

    number: int = Field(description="The place in the list, from 1.")
    nip: str | None = Field(description="The NIP; `null`: there is none, or it cannot be read.")
    result: Result
    text: str | None = Field(description="Why it was rejected or waits for a decision, or what was left out.")


class EmployeeImportResult(ResponseModel):
    """What an import did, or would do."""

    dry_run: bool
    rows: int
    counts: dict[Result, int]
    ended: int = Field(description="With `complete`: the employments that ended because they are not in the list.")
    not_ended: int = Field(description="Those that could not be ended. The log of the server says why.")
    lines: list[ImportedLine]
