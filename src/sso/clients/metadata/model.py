"""The metadata of one client: fields that were checked, and that do not contradict each other.

Strict by default. What relaxes a rule is a field of its own, named for what it relaxes, so that it is seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

from pydantic import ConfigDict, ValidationError, ValidationInfo, model_validator

from sso.clients.metadata.fields import MetadataFields
from sso.clients.metadata.rules import contradictions, without_unreadable
from sso.clients.metadata.types import Problem, Problems

_FOLLOWS = {
    "type": (
        "grant_types",
        "response_types",
        "token_endpoint_auth_method",
        "subject_type",
        "require_pkce",
        "scope",
        "gate",
    ),
    "gate": ("redirect_uris", "initiate_login_uri", "scope"),
    "first_party": ("subject_type",),
    "response_types": ("grant_types",),
    "profile": ("require_pkce",),
    "token_endpoint_auth_method": ("require_pkce",),
}
"""Which fields follow from another one where they are not written."""
_PLACEHOLDERS = {"type": "web", "client_name": "x"}


class ClientMetadata(MetadataFields):
    """The configuration of one application.

    Validate with ``context={"allow_http_loopback": True}`` where loopback addresses over http are allowed, and with
    ``{"own_secret": True}`` where an installed application registers itself, or did, and may authenticate.
    """

    model_config = ConfigDict(defer_build=False)

    @model_validator(mode="after")
    def _whole(self, info: ValidationInfo) -> Self:
        problems = [
            Problem(contradiction) for contradiction in contradictions(self, _may_have_own_secret(info.context))
        ]
        if problems:
            raise Problems(problems)
        return self


def contradictions_in(document: Mapping[str, object], wrong: Collection[str], context: dict[str, object]) -> list[str]:
    """Return the contradictions in metadata of which some fields cannot be read, as ``field: text``.

    Args:
        document: what was written.
        wrong: the names of the fields that cannot be read.
        context: with what it is checked.
    """
    names = {field.alias or name for name, field in ClientMetadata.model_fields.items()}
    readable = {name: value for name, value in document.items() if name in names and name not in wrong}
    unknown = {name for name in wrong if name in names}
    for name in wrong:
        follow = _FOLLOWS.get(name, ())
        unknown |= {field for field in follow if name == "gate" or readable.get(field) is None}  # it overrides them
    try:
        fields = MetadataFields.model_validate({**_PLACEHOLDERS, **readable}, context=context)
    except ValidationError:
        return []
    return contradictions(without_unreadable(fields, unknown), _may_have_own_secret(context))


def _may_have_own_secret(context: Mapping[str, object] | None) -> bool:
    """Tell whether the metadata are of an instance that registered itself, or were stored before."""
    return bool(context and (context.get("stored") or context.get("own_secret")))
