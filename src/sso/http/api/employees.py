"""The import of employees from a personnel system."""

from __future__ import annotations

import orjson

from sso.accounts.employee_import import EmployeeBytes, LineResult, TooManyEnd, import_bytes
from sso.errors import Refusal
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.problems import Problem, problems
from sso.http.api.schemas import employees as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Outbox

router = new_router(prefix=PREFIX, tags=["users"])
ALSO_NEEDED = ("groups:write", "users:check_identity")


@router.post(
    "/employees/import",
    summary="Import employees",
    responses=problems(409, 413),
    **needs("users:write"),
)
async def import_employees(
    body: schemas.EmployeeImport, access: Access, accounts: AccountActor, outbox: Outbox
) -> schemas.EmployeeImportResult:
    """The caller needs `sso:groups:write` and `sso:users:check_identity` too. Send larger lists in parts, or use `sso
    employees import`; a list that is `complete` must be one request. Each employee is a transaction of its own: the
    same list sent again does the rest, and changes nothing of what was done. Nobody imports their own employment."""
    for permission in ALSO_NEEDED:
        access.require(permission)
    entries = [entry.model_dump(by_alias=True) for entry in body.employees]
    given = EmployeeBytes(b"\n".join(map(orjson.dumps, entries)), "jsonl", frozenset(body.verified))
    try:
        outcome, lines = await import_bytes(
            accounts,
            given,
            reason=body.reason,
            actor=access.actor_with_address,
            complete=body.complete,
            max_ended_percent=body.max_ended_percent,
            dry_run=body.dry_run,
        )
    except TooManyEnd as error:
        raise Problem(409, "needs_confirmation", f"{error.ended}: raise max_ended_percent if they left.") from None
    except Refusal as error:
        if error.status != Refusal.status:
            raise
        raise Problem(422, "invalid_request", str(error)) from None
    outbox.nudge()
    return schemas.EmployeeImportResult(
        dry_run=body.dry_run,
        rows=outcome.rows,
        counts=outcome.counts,
        ended=outcome.ended,
        not_ended=outcome.not_ended,
        lines=[_representation(line) for line in lines],
    )


def _representation(line: LineResult) -> schemas.ImportedLine:
    nip = None if not line.key or line.key.startswith("nik ") else line.key
    return schemas.ImportedLine(number=line.line, nip=nip, result=line.result, text=line.text or None)
