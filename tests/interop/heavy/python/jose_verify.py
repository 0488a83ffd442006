"""python-jose verifies tokens with the key set of the provider, as its documentation shows.

Standard input: JSON with ``issuer`` and ``tokens``: a list of objects with ``token``, ``audience``, ``algorithm``, for
ID tokens ``access_token`` (python-jose checks ``at_hash``), and ``select``: "kid" passes the key of the token's ``kid``
instead of the whole key set. Standard output: the ``sub`` of each token, or the error.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

from jose import JOSEError, jwt


def fetched(url: str) -> Any:
    """Return the JSON at ``url``."""
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def verify(document: dict[str, Any], keys: dict[str, Any], given: dict[str, str]) -> str:
    """Return the ``sub`` of a token, or the error."""
    key: Any = keys
    if given.get("select") == "kid":
        kid = jwt.get_unverified_header(given["token"])["kid"]
        key = next(candidate for candidate in keys["keys"] if candidate["kid"] == kid)
    try:
        claims = jwt.decode(
            given["token"],
            key,
            algorithms=[given["algorithm"]],
            audience=given["audience"],
            issuer=document["issuer"],
            access_token=given.get("access_token"),
        )
    except JOSEError as error:
        return f"{type(error).__name__}: {error}"
    return str(claims["sub"])


request = json.load(sys.stdin)
discovered = fetched(f"{request['issuer']}/.well-known/openid-configuration")
key_set = fetched(discovered["jwks_uri"])
json.dump([verify(discovered, key_set, given) for given in request["tokens"]], sys.stdout)
