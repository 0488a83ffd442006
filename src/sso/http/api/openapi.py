"""The description of the API (OpenAPI 3.1)."""

from __future__ import annotations

from functools import cache
from typing import TypedDict, cast

import orjson
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.responses import Response

from sso import __version__
from sso.http.api.access import PREFIX
from sso.http.api.problems import ProblemDocument
from sso.http.api.resources import RESOURCES
from sso.http.common.late_routes import new_router
from sso.http.common.services import CurrentSettings
from sso.platform.permissions import PERMISSIONS

router = new_router(prefix=PREFIX)

_ABOUT = """Sessions, users, clients, applications, grants, deliveries, webhooks and audit log of the city's sign-on.

Get an access token from this server, for a client of the city (`first_party: true`) that registered the scopes and was
granted them. Programs use `client_credentials`. Where a user signs in, both the scopes and the roles of the user must
allow the request. Dangerous operations need a user who signed in within ten minutes (RFC 9470).

Lists have pages: pass `next_cursor` as `cursor`. Errors are problems (RFC 9457). Send changes with `If-Match` and the
ETag of what you read; send creations that you may repeat with an `Idempotency-Key`."""


@router.get("/openapi.json", include_in_schema=False)
async def openapi(settings: CurrentSettings) -> Response:
    """The description of the API (OpenAPI 3.1)."""
    return Response(_document(settings.issuer), media_type="application/json")


@cache
def _document(issuer: str) -> bytes:
    return orjson.dumps(description(issuer))


def description(issuer: str) -> dict[str, object]:
    """Return the description of the API.

    Args:
        issuer: the provider's address.
    """
    document: dict[str, object] = orjson.loads(_without_issuer())
    document["servers"] = [{"url": issuer}]
    cast(dict[str, object], document["components"])["securitySchemes"] = {"sso": _security(issuer)}
    return document


@cache
def _without_issuer() -> bytes:
    """Return what does not depend on the issuer, as JSON: whoever reads it has a description of their own."""
    routes = [route for resource in RESOURCES for route in resource.routes]
    document = get_openapi(title="Sign-on administration", version=__version__, description=_ABOUT, routes=routes)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= _schemas_of(ProblemDocument)
    for methods in document["paths"].values():
        for operation in methods.values():
            _say_what_is_needed(operation)
            for parameter in operation.get("parameters", []):
                _leave_out_null(parameter)
    return orjson.dumps(document)


def _schemas_of(model: type[BaseModel]) -> dict[str, object]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _security(issuer: str) -> dict[str, object]:
    scopes = {permission.scope: permission.meaning for permission in PERMISSIONS.values()}
    return {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {"tokenUrl": f"{issuer}/token", "scopes": scopes},
            "authorizationCode": {
                "authorizationUrl": f"{issuer}/authorize",
                "tokenUrl": f"{issuer}/token",
                "scopes": scopes,
            },
        },
    }


class ParameterObject(TypedDict):
    """A parameter of an operation (OpenAPI 3.1 section 4.8.12), as far as it is changed here. Its name is of the
    field in the specification."""

    schema: dict[str, list[dict[str, object]]]


def _leave_out_null(parameter: ParameterObject) -> None:
    """A parameter that may be left out is never null: in an address or a header that would be a word."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        schema.update(cast(dict[str, list[dict[str, object]]], kinds[0]))


def _say_what_is_needed(operation: dict[str, str]) -> None:
    permission = PERMISSIONS.get(operation.pop("x-permission", ""))
    if permission is None:
        return
    requirement = f"Needs `{permission.scope}`" + (
        ", and a sign-in within ten minutes." if permission.dangerous else "."
    )
    operation["description"] = "\n\n".join(part for part in (operation.get("description", ""), requirement) if part)
