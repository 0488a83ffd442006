"""Looking at the keys that an application publishes at its ``jwks_uri``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sso.clients.metadata import checked_keys
from sso.clients.registry import Registry
from sso.platform.security.json_documents import read_json
from sso.platform.security.outbound_errors import OutboundFailed, OutboundRefused, public_reason

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound

SHOWN_FIELDS = ("kid", "kty", "alg", "use")


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """The keys of an application.

    Args:
        client_id: the client.
        uri: where its keys are; empty: nowhere.
        keys: the fields of each key that are shown.
        problem: why there are none.
    """

    client_id: str
    uri: str = ""
    keys: tuple[dict[str, str], ...] = ()
    problem: str = ""


async def fetch_published_keys(registry: Registry, outbound: Outbound, client_id: str) -> PublishedKeys:
    """Fetch the keys that an application publishes, now, without a cache."""
    client = registry.get(client_id)
    uri = client.meta.jwks_uri if client is not None else None
    if uri is None:
        return PublishedKeys(client_id, problem="no jwks_uri is registered")
    try:
        document = read_json(await outbound.get(uri))
        published = document if isinstance(document, dict) else {}
        checked_keys(published)
    except (OutboundRefused, OutboundFailed) as error:
        return PublishedKeys(client_id, uri, problem=public_reason(uri, error))
    except ValueError as error:
        return PublishedKeys(client_id, uri, problem=f"it {error}")
    keys = tuple({name: str(key.get(name, "")) for name in SHOWN_FIELDS} for key in published["keys"])
    return PublishedKeys(client_id, uri, keys)
