"""``sso keys``: signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import Json, group, print_json, print_table, run, run_loaded
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.platform.keys.models import SigningKey
    from sso.platform.services import Storage

app = group()


@app.command("list")
def list_command(json: Json = False) -> None:
    """List the keys of the provider. Private keys are never shown."""
    from sso.platform.keys import list_keys

    async def work(storage: Storage) -> list[SigningKey]:
        async with storage.db.read() as session:
            return await list_keys(session)

    keys = run(work)
    if json:
        names = ("kid", "alg", "status", "created_at", "activated_at", "retired_at")
        print_json([{name: getattr(key, name) for name in names} for key in keys])
        return
    rows = [(key.kid, key.alg, key.status, key.created_at.isoformat(timespec="seconds")) for key in keys]
    print_table(("kid", "alg", "status", "created"), rows)


@app.command("rotate")
def rotate_command(
    force: Annotated[
        bool, typer.Option("--force", help="Rotate even if the next keys are very new, because a key has leaked.")
    ] = False,
    alg: Annotated[
        list[str] | None,
        typer.Option("--alg", help="Only keys of this algorithm, such as RS256 or Ed25519; can be repeated."),
    ] = None,
) -> None:
    """Rotate the signing keys. The old keys stay published while a token that they signed can be valid."""
    from sso.platform.keys import read_alg, rotate

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            await rotate(session, storage.box, algs=algs, force=force)

    algs = [read_alg(name) for name in alg] if alg else None
    run_loaded(work)
    text = _("rotated: %(keys)s; every process follows within two seconds")
    print(text % {"keys": ", ".join(algs or []) or _("all keys")})


@app.command("withdraw")
def withdraw_command(kid: Annotated[str, typer.Argument(metavar="KID", help="See: sso keys list")]) -> None:
    """Delete a key that has leaked. Everything that it signed becomes invalid, and another key takes its place."""
    from sso.platform.keys import withdraw

    async def work(storage: Storage) -> str:
        async with storage.db.write() as session:
            return await withdraw(session, storage.box, kid)

    print(
        _("withdrawn (the key was %(status)s); every process follows within two seconds") % {"status": run_loaded(work)}
    )


@app.command("reencrypt")
def reencrypt_command() -> None:
    """Encrypt stored secrets with the first secret of SSO_SECRET_KEY, so that you can remove the older ones."""
    print(_("%(count)s secrets were encrypted again") % {"count": run_loaded(reencrypt_all)})


async def reencrypt_all(storage: Storage) -> int:
    """Encrypt every stored secret with the first secret; return how many were encrypted with an older one."""
    from sso.accounts.attributes import reencrypt_attributes
    from sso.clients.secrets import reencrypt_secrets
    from sso.identity.authn.factors import reencrypt_seeds
    from sso.identity.users.merge_proposals import reencrypt_users
    from sso.platform.audit import record
    from sso.platform.db import bump_version
    from sso.platform.keys import reencrypt
    from sso.platform.outbox.webhooks import reencrypt_webhooks
    from sso.platform.security.instance_secrets import reencrypt_instance_secrets
    from sso.portal.webhooks.service import reencrypt_application_webhooks
    from sso.ssf.streams import reencrypt_streams

    async with storage.db.write() as session:
        await bump_version(session, "keys")  # a process that does not know the secret says that it is not ready
        record(session, "keys.resealed", actor="cli")
        return (
            await reencrypt_secrets(session, storage.box)
            + await reencrypt_users(session, storage.box)
            + await reencrypt_attributes(session, storage.box)
            + await reencrypt_seeds(session, storage.box)
            + await reencrypt_streams(session, storage.box)
            + await reencrypt_webhooks(session, storage.box)
            + await reencrypt_application_webhooks(session, storage.box)
            + await reencrypt(session, storage.box)
            + await reencrypt_instance_secrets(session, storage.box)
        )
