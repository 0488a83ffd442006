"""``sso users``: people."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError

from sso import clock
from sso.authn.passwords import Passwords, WeakPassword, check_strength
from sso.cli.common import Json, group, print_json, print_table, read_password, refuse, run
from sso.oidc.people import change_password, delete_user, disable_user, enable_user
from sso.oidc.provider import Provider
from sso.users import store
from sso.users.schemas import NewUser
from sso.users.service import UserError, create_users, describe, find, read_people, set_roles

app = group("People.")

Who = Annotated[str, typer.Argument(metavar="USER", help="User name, e-mail, telephone number or user id.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command("create")
def create(
    username: Annotated[str, typer.Argument(help="Name to sign in with.")],
    name: Annotated[str, typer.Option(help="Full name; the user name where none is given.")] = "",
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    phone: Annotated[str | None, typer.Option(help="Telephone number.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="citizen, developer, helpdesk, auditor or admin; may be given again.")
    ] = None,
    locale: Annotated[str | None, typer.Option(help="id or en.")] = None,
    verified: Annotated[bool, typer.Option(help="E-mail and telephone number were checked.")] = False,
    profile: Annotated[
        str, typer.Option(help="""Standard claims as JSON: '{"given_name": "Siti", "birthdate": "1990-04-21"}'.""")
    ] = "{}",
    password_stdin: FromStdin = False,
    json: Json = False,
) -> None:
    """Make a person. The password is asked for, or read from standard input."""
    try:
        person = NewUser.model_validate(
            {
                "username": username,
                "name": name or username,
                "email": email,
                "email_verified": verified and email is not None,
                "phone_number": phone,
                "phone_number_verified": verified and phone is not None,
                "locale": locale,
                "roles": role or ["citizen"],
                "profile": orjson.loads(profile),
            }
        )
    except orjson.JSONDecodeError as error:
        raise UserError(f"--profile is not JSON: {error}") from None
    except ValidationError as error:
        raise UserError(*[_mistake(problem) for problem in error.errors()]) from None
    password = read_password(password_stdin)
    _check(password, [username, name, email or "", phone or ""])

    async def work(provider: Provider) -> dict[str, Any]:
        hashed = await Passwords(provider.settings).hash(password)
        async with provider.db.write() as session:
            user = (await create_users(session, [person]))[0]
            await store.set_password_hash(session, user.id, hashed, clock.now())
            await session.flush()
            return await describe(session, user)

    made = run(work)
    if json:
        print_json(made)
    else:
        print(f"made {username} ({made['id']})")


@app.command("import")
def import_people(
    file: Annotated[Path, typer.Argument(help="JSON lines, one person each; see docs/operations.md.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file, and change nothing.")] = False,
) -> None:
    """Make everybody in FILE, or nobody: every mistake is named with its line."""
    people = read_people(file.read_bytes().splitlines())

    async def work(provider: Provider) -> int:
        async with provider.db.write() as session:
            made = await create_users(session, people)
            if dry_run:
                await session.rollback()
            return len(made)

    count = run(work)
    print(f"{count} people {'would be' if dry_run else 'were'} made")


@app.command("list")
def list_people(
    after: Annotated[str | None, typer.Option(help="Begin after this user id.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List people, in the order in which they came."""

    async def work(provider: Provider) -> list[dict[str, Any]]:
        async with provider.db.read() as session:
            users = await store.page_of_users(session, uuid.UUID(after) if after else None, limit)
            return [await describe(session, user) for user in users]

    found = run(work)
    if json:
        print_json(found)
        return
    rows = [
        (one["id"], one["name"], ", ".join(one["roles"]), "disabled" if one["disabled_at"] else "active")
        for one in found
    ]
    print_table(("id", "name", "roles", "status"), rows)


@app.command("show")
def show(user: Who) -> None:
    """Show a person, as JSON."""

    async def work(provider: Provider) -> dict[str, Any]:
        async with provider.db.read() as session:
            return await describe(session, await find(session, user))

    print_json(run(work))


@app.command("password")
def password(user: Who, password_stdin: FromStdin = False) -> None:
    """Give a person another password, and end whatever the old one opened."""
    chosen = read_password(password_stdin)

    async def work(provider: Provider) -> int:
        async with provider.db.read() as session:
            about = await describe(session, await find(session, user))
        _check(chosen, [about["name"], *[one["value"] for one in about["identifiers"]]])
        hashed = await Passwords(provider.settings).hash(chosen)
        async with provider.db.write() as session:
            return await change_password(session, provider, await find(session, user), hashed, actor="cli")

    print(f"the password was changed; {run(work, load=True)} sessions were ended")


@app.command("disable")
def disable(user: Who) -> None:
    """Disable a person: sign-in is refused, every session and everything granted ends, applications are told."""

    async def work(provider: Provider) -> int:
        async with provider.db.write() as session:
            return await disable_user(session, provider, await find(session, user), actor="cli")

    print(f"disabled; {run(work, load=True)} sessions were ended")


@app.command("roles")
def roles_command(
    user: Who,
    role: Annotated[
        list[str] | None, typer.Option(help="citizen, developer, helpdesk, auditor or admin; may be given again.")
    ] = None,
) -> None:
    """Give a person these roles, in place of any others. The last administrator stays one."""

    async def work(provider: Provider) -> list[str]:
        async with provider.db.write() as session:
            found = await find(session, user)
            await set_roles(session, found, role or [], actor="cli")
            return await store.roles_of(session, found.id)

    print(f"roles: {', '.join(run(work)) or 'none'}")


@app.command("delete")
def delete_command(
    user: Who, sure: Annotated[bool, typer.Option("--yes", help="Do not ask: there is no way back.")] = False
) -> None:
    """Delete a person: everything ends as when disabled, and all that is known of them but the id is erased."""
    if not sure:
        typer.confirm(f"Delete {user}? There is no way back.", abort=True)

    async def work(provider: Provider) -> int:
        async with provider.db.write() as session:
            return await delete_user(session, provider, await find(session, user), actor="cli")

    print(f"deleted; {run(work, load=True)} sessions were ended")


@app.command("enable")
def enable(user: Who) -> None:
    """Let a disabled person sign in again."""

    async def work(provider: Provider) -> None:
        async with provider.db.write() as session:
            found = await find(session, user)
            await enable_user(session, provider, found, actor="cli")

    run(work, load=True)
    print("enabled")


def _check(password: str, about: list[str]) -> None:
    try:
        check_strength(password, [word for word in about if word])
    except WeakPassword as error:
        refuse(str(error))


def _mistake(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    return f"{field}: {str(problem['msg']).removeprefix('Value error, ')}"
