"""The answer of the authorization endpoint: parameters, and the way in which the browser carries them.

OAuth 2.0 Multiple Response Type Encoding Practices section 2.1, OAuth 2.0 Form Post Response Mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from sso.oidc.requests import with_parameters

ResponseMode = Literal["query", "fragment", "form_post"]
RESPONSE_MODES: tuple[ResponseMode, ...] = ("query", "fragment", "form_post")


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """An answer to an application: success or error.

    ``refusal``: why the person is not sent back, where the protocol of the application knows no errors; nothing is sent
    to the application.
    """

    redirect_uri: str
    mode: ResponseMode
    parameters: list[tuple[str, str]]
    refusal: str = ""

    @property
    def location(self) -> str:
        """The address that carries the answer, for the modes query and fragment."""
        if self.mode == "fragment":
            return f"{self.redirect_uri}#{urlencode(self.parameters)}"
        return with_parameters(self.redirect_uri, self.parameters)


def words_of(response_type: str | None) -> frozenset[str]:
    """Return what a response type asks for: ``code``, ``id_token``, ``token``."""
    return frozenset((response_type or "").split())


def carries_tokens(data: Mapping[str, str]) -> bool:
    """Tell whether the answer to a request holds tokens, which must never be in a query."""
    return bool(words_of(data.get("response_type")) & {"id_token", "token"})


def response_mode(data: Mapping[str, str]) -> ResponseMode:
    """Return how a request is answered: as it asks, where that is allowed; by the default of its response type
    otherwise, which is also the way of the error that says so."""
    tokens = carries_tokens(data)
    for mode in RESPONSE_MODES:
        if data.get("response_mode") == mode and not (tokens and mode == "query"):
            return mode
    return "fragment" if tokens else "query"
