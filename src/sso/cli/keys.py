"""``sso keys``: signing keys."""

from __future__ import annotations

from typing import Annotated

import typer

from sso.cli.common import Json, group, print_json, print_table, run
from sso.clients.secrets import reencrypt_secrets
from sso.identity.authn.factors import reencrypt_seeds
from sso.identity.users.merge_proposals import reencrypt_users
from sso.oidc.provider import Provider
from sso.platform.audit import record
from sso.platform.db import bump_version
from sso.platform.keys import list_keys, read_alg, reencrypt, rotate, withdraw
from sso.platform.keys.models import SigningKey
from sso.platform.outbox.webhooks import reencrypt_webhooks
from sso.platform.security.instance_secrets import reencrypt_instance_secrets
from sso.ssf.streams import reencrypt_streams

app = group()


@app.command("list")
def list_command(json: Json = False) -> None:
    """List every key. Private keys are never shown."""

    async def work(provider: Provider) -> list[SigningKey]:
        async with provider.db.read() as session:
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
        bool, typer.Option("--force", help="Even if the next keys are very new: a key has leaked.")
    ] = False,
    alg: Annotated[
        list[str] | None,
        typer.Option("--alg", help="Only keys of this algorithm, such as RS256 or Ed25519; can be repeated."),
    ] = None,
) -> None:
    """Sign with the next keys from now on. The old ones stay published while anything they signed can be valid."""

    async def work(provider: Provider) -> None:
        async with provider.db.write() as session:
            await rotate(session, provider.box, algs=algs, force=force)

    algs = [read_alg(name) for name in alg] if alg else None
    run(work, load=True)
    print(f"rotated{': ' + ', '.join(algs) if algs else ''}; every process follows within two seconds")


@app.command("withdraw")
def withdraw_command(kid: Annotated[str, typer.Argument(metavar="KID", help="See: sso keys list")]) -> None:
    """Delete a key that has leaked. Nothing that it signed is accepted any more, and another key takes its place."""

    async def work(provider: Provider) -> str:
        async with provider.db.write() as session:
            return await withdraw(session, provider.box, kid)

    print(f"withdrawn (it was {run(work, load=True)}); every process follows within two seconds")


@app.command("reencrypt")
def reencrypt_command() -> None:
    """Encrypt stored secrets with the first secret of SSO_SECRET_KEY, so that you can remove the older ones."""

    async def work(provider: Provider) -> int:
        async with provider.db.write() as session:
            await bump_version(session, "keys")  # a process that does not know the secret says that it is not ready
            record(session, "keys.resealed", actor="cli")
            return (
                await reencrypt_secrets(session, provider.box)
                + await reencrypt_users(session, provider.box)
                + await reencrypt_seeds(session, provider.box)
                + await reencrypt_streams(session, provider.box)
                + await reencrypt_webhooks(session, provider.box)
                + await reencrypt(session, provider.box)
                + await reencrypt_instance_secrets(session, provider.box)
            )

    print(f"{run(work, load=True)} secrets were encrypted again")
