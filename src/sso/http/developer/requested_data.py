"""The data about users that an application requests: the part of its settings form with claims and reasons.

A scope is requested as a whole, with one reason (``scope_reasons``), or claim by claim (``claim_reasons``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from sso.clients.attributes import CityAttributes
from sso.clients.claims import SCOPE_OF
from sso.http.developer.form_texts import DATA, OFFERED
from sso.platform.permissions import SPECIFIC_PREFIX
from sso.portal.applications import named_texts_in

Reasons = dict[str, str]
Offered = Mapping[str, tuple[str, ...]]
"""The scopes that a form offers, and what of each can be requested by itself."""
NEW_APPLICATION = {"scope": "openid profile", "claim_reasons": {"name": ""}}
"""What a new application requests until its team changes it."""


class DataRequest(TypedDict):
    """The scopes of metadata, and why each scope or claim is requested."""

    scope: str
    scope_reasons: Reasons
    claim_reasons: Reasons


@dataclass(frozen=True, slots=True)
class RegisteredData:
    """What is requested until now.

    Args:
        scopes: every scope, in the order in which they are registered.
        scope_reasons: the reason of each scope.
        claim_reasons: the reason of each claim.
    """

    scopes: list[str]
    scope_reasons: Reasons
    claim_reasons: Reasons

    @classmethod
    def of(cls, document: Mapping[str, object]) -> RegisteredData:
        """Read it from metadata."""
        return cls(
            str(document.get("scope") or "openid").split(),
            named_texts_in(document.get("scope_reasons")),
            named_texts_in(document.get("claim_reasons")),
        )

    def not_in(self, offered: Offered) -> list[str]:
        """Return the scopes that the form does not offer, such as those of other servers: they stay."""
        return [scope for scope in self.scopes if scope != "openid" and scope not in offered]


def offered_by(city: CityAttributes) -> Offered:
    """Return what the form offers: also the scopes of attributes that need no grant."""
    scopes = (name for name in city.declaration.scopes if not name.startswith(SPECIFIC_PREFIX) and name not in DATA)
    return {**OFFERED, **{scope: (scope,) for scope in scopes}}


def requested_data_fields(document: Mapping[str, object], offered: Offered) -> dict[str, str]:
    """Return the fields of the form: for each claim whether it is requested (``ask``), and why (``reason``)."""
    registered = RegisteredData.of(document if document.get("scope") else NEW_APPLICATION)
    fields = {}
    for scope, claims in offered.items():
        by_claim = any(claim in registered.claim_reasons for claim in claims)
        for claim in claims:
            chosen = scope in registered.scopes and (not by_claim or claim in registered.claim_reasons)
            reason = registered.claim_reasons.get(claim) if by_claim else registered.scope_reasons.get(scope)
            fields[f"ask {claim}"] = "1" if chosen else ""
            fields[f"reason {claim}"] = str(reason or "")
    return fields


def kept_data(document: Mapping[str, object], offered: Offered) -> DataRequest:
    """Return what stays of metadata, whatever the form requests: the scopes that it does not offer."""
    registered = RegisteredData.of(document)
    scopes = registered.not_in(offered)
    return {
        "scope": " ".join(scopes),
        "scope_reasons": {
            scope: registered.scope_reasons[scope] for scope in scopes if scope in registered.scope_reasons
        },
        "claim_reasons": {
            claim: reason for claim, reason in registered.claim_reasons.items() if SCOPE_OF.get(claim) in scopes
        },
    }


def requested_data(fields: Mapping[str, str], document: Mapping[str, object], offered: Offered) -> DataRequest:
    """Return the scopes and reasons that the form requests, and those of ``document`` that it does not offer.

    Args:
        fields: of the form.
        document: the metadata until now.
        offered: what the form offers.
    """
    registered, unchanged = RegisteredData.of(document), kept_data(document, offered)
    scope_reasons, claim_reasons = unchanged["scope_reasons"], unchanged["claim_reasons"]
    requested: list[str] = []
    for scope, claims in offered.items():
        reasons = {claim: fields[f"reason {claim}"].strip() for claim in claims if fields[f"ask {claim}"] == "1"}
        if not reasons:
            continue
        requested.append(scope)
        if _is_by_claim(claims, reasons, registered.claim_reasons):
            claim_reasons |= reasons
        elif reason := next(iter(reasons.values())):
            scope_reasons[scope] = reason
    openid = ["openid"] if "openid" in registered.scopes else []
    scopes = [*openid, *requested, *registered.not_in(offered)]
    same = set(scopes) == set(registered.scopes)
    return {
        "scope": " ".join(registered.scopes if same else scopes),
        "scope_reasons": scope_reasons,
        "claim_reasons": claim_reasons,
    }


def _is_by_claim(claims: tuple[str, ...], reasons: Reasons, registered: Reasons) -> bool:
    """Tell whether the claims of a scope are requested one by one: not all of them, for different reasons, or as they
    are registered."""
    as_registered = {claim: registered[claim] for claim in claims if claim in registered}
    return len(reasons) < len(claims) or len(set(reasons.values())) > 1 or reasons == as_registered
