"""What commands say about a backup."""

from __future__ import annotations

from sso.errors import Refusal
from sso.platform.backup.manifest import Manifest
from sso.platform.backup.service import Restored


def described(manifest: Manifest) -> str:
    """Return when and of what a backup was made, in one line."""
    contents = manifest.contents
    return (
        f"made at {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC by release {manifest.release} of {manifest.issuer}; "
        f"schema {contents.revision}, {len(contents.rows)} tables, {sum(contents.rows.values())} rows, audit log to "
        f"entry {contents.chain_seq}"
    )


def problems(restored: Restored) -> None:
    """Say what keeps a server from using a restored database.

    Raises:
        Refusal: with one line for each problem.
    """
    if restored.locked:
        raise Refusal(
            f"SSO_SECRET_KEY cannot decrypt the keys of this backup ({len(restored.locked)} values, such as "
            f"{restored.locked[0]}): no server starts on it. Set the SSO_SECRET_KEY of "
            f"{restored.manifest.created_at:%Y-%m-%d %H:%M} UTC, and look again with: sso doctor"
        )
    if restored.chain:
        raise Refusal(f"the audit log of this backup is not whole: {restored.chain}")
