"""``sso users``: people."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import orjson
import typer

from sso import clock
from sso.cli.common import (
    Json,
    an_id,
    check_choice,
    complain,
    first_of,
    group,
    print_json,
    print_table,
    progress_bar,
    read_password,
    refuse,
    run,
    run_loaded,
)
from sso.errors import validation_line
from sso.identity.users.choices import DOCUMENTS, PROPOSAL_STATES
from sso.identity.users.readers import FORMATS
from sso.platform.messages import N_, _
from sso.platform.permissions import RoleName
from sso.platform.security.numbers import read_uuid

if TYPE_CHECKING:
    from sso.accounts.services import AccountActions
    from sso.identity.users import merge_proposals as merging
    from sso.identity.users.importing import Checked, Progress
    from sso.identity.users.rows import Options, TakeHash
    from sso.identity.users.schemas import NewUser
    from sso.identity.users.service import DescribedUser
    from sso.platform.services import Storage
    from sso.settings import Settings

app = group()

NAMES_OF_ROLES = ", ".join(get_args(RoleName))
MORE_AFTER = N_("For more, use --after with the last ID, or a higher --limit.")
DECIDED = {"merged": N_("merged"), "separate": N_("separate"), "dropped": N_("dropped")}

Who = Annotated[str, typer.Argument(metavar="USER", help="Username, verified e-mail or phone number, or user ID.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command("create")
def create(
    username: Annotated[str, typer.Argument(help="Name to sign in with.")],
    name: Annotated[str, typer.Option(help="Full name. Default: the username.")] = "",
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    phone: Annotated[str | None, typer.Option(help="Phone number.")] = None,
    role: Annotated[list[str] | None, typer.Option(help=f"{NAMES_OF_ROLES}; may be given again.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language: id, en, or another tag such as id-ID.")] = None,
    verified: Annotated[bool, typer.Option(help="E-mail, phone number and NIK were checked.")] = False,
    nik: Annotated[str | None, typer.Option(help="The NIK: 16 digits.")] = None,
    profile: Annotated[
        str, typer.Option(help="""Standard claims as JSON: '{"given_name": "Siti", "birthdate": "1990-04-21"}'.""")
    ] = "{}",
    password_stdin: FromStdin = False,
    json: Json = False,
) -> None:
    """Create a user. The password is asked for, or read from standard input."""
    from sso.identity.users.schemas import warnings_of
    from sso.settings import load_settings

    person = _new_user(
        {
            "username": username,
            "name": name or username,
            "email": email,
            "email_verified": verified and email is not None,
            "phone_number": phone,
            "phone_number_verified": verified and phone is not None,
            "nik": nik,
            "nik_verified": verified and nik is not None,
            "locale": locale,
            "roles": role or ["citizen"],
        },
        profile,
    )
    password = read_password(password_stdin)
    _check(load_settings(), password, [username, name, email or "", phone or ""])

    created = run(partial(_created, person=person, password=password), begins=True)
    for warning in warnings_of(person):
        complain(_("WARNING: %(text)s") % {"text": warning})
    if json:
        print_json(created)
    else:
        print(_("created %(name)s (%(id)s)") % {"name": username, "id": created["id"]})


async def _created(storage: Storage, person: NewUser, password: str) -> DescribedUser:
    """Create ``person`` and return the description."""
    from sso.identity.authn.passwords import Passwords
    from sso.identity.users import store
    from sso.identity.users.service import create_users, describe

    hashed = await Passwords(storage.settings).hash(password)
    async with storage.db.write() as session:
        user = (await create_users(session, [person], box=storage.box))[0]
        await store.set_password_hash(session, user.id, hashed, clock.now())
        await session.flush()
        return await describe(session, user)


def _new_user(fields: dict[str, object], profile: str) -> NewUser:
    """Return the user of the options of ``create``; ``profile`` is JSON."""
    from pydantic import ValidationError

    from sso.identity.users.schemas import NewUser
    from sso.identity.users.service import UserError

    try:
        return NewUser.model_validate({**fields, "profile": orjson.loads(profile)})
    except orjson.JSONDecodeError as error:
        raise UserError(f"--profile is not JSON: {error}") from None
    except ValidationError as error:
        raise UserError(*map(validation_line, error.errors())) from None


ImportedFile = Annotated[
    Path, typer.Argument(help="CSV with a first line of names, JSON lines or a JSON array; see docs/how-to/import.md.")
]
OfClient = Annotated[str | None, typer.Option("--from", help="client_id of the application that the users come from.")]
Verified = Annotated[
    list[str] | None,
    typer.Option(help="email, phone or nik: what the application has verified. Can be repeated."),
]
ColumnNames = Annotated[
    list[str] | None, typer.Option(help="OURS=THEIRS: the name of a column in the file. Can be repeated.")
]
Format = Annotated[str, typer.Option(help=f"{', '.join(('auto', *FORMATS, 'sql'))}.")]
DumpTable = Annotated[str | None, typer.Option(help="The table of an SQL dump (--format sql).")]
HashParameters = Annotated[
    Path | None,
    typer.Option("--hash-parameters", help="A file with the password hash parameters of a Firebase project, or none."),
]
Encoding = Annotated[str | None, typer.Option(help="Character encoding, such as windows-1252. Default: UTF-8.")]
ReportFile = Annotated[
    Path | None,
    typer.Option(help="File for rejected rows and left-out values. Default: FILE.rejected.csv or FILE.dry-run.csv."),
]
Update = Annotated[bool, typer.Option("--update", help="Update users who were imported before, by local_user_id.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check the file and show the first rows as they would be stored, without a change."),
]
CheckPassword = Annotated[
    str | None,
    typer.Option(
        metavar="USER", help="Check whether a password matches the hash in the row of this user, without a change."
    ),
]


@app.command("import")
def import_people(
    file: ImportedFile,
    client: OfClient = None,
    verified: Verified = None,
    column: ColumnNames = None,
    format: Format = "auto",
    table: DumpTable = None,
    parameters: HashParameters = None,
    encoding: Encoding = None,
    report: ReportFile = None,
    update: Update = False,
    dry_run: DryRun = False,
    check_password: CheckPassword = None,
    password_stdin: FromStdin = False,
    json: Json = False,
) -> None:
    """Import users from another application, with their password hashes. An interrupted import continues where it
    stopped.
    """
    from sso.cli import imports
    from sso.identity.authn.legacy_hashes import taken_over
    from sso.identity.users.importing import Options, check_file, sample_of

    if not file.is_file():
        refuse(_("%(file)s: there is no such file") % {"file": file})
    columns = imports.read_columns(column or ())
    common = imports.hash_parameters(parameters, format)
    format = imports.chosen_format(format, table)
    hashes = hashlib.sha256(orjson.dumps(common, option=orjson.OPT_SORT_KEYS)).hexdigest() if common else ""
    attributes = imports.importable_attributes()
    options = Options(client, frozenset(verified or ()), columns, format, encoding, update, hashes, attributes)
    checked = check_file(file, options)
    take_hash = partial(taken_over, parameters=common)
    if check_password is not None:
        _check_imported_password(file, checked.options, check_password, password_stdin, take_hash)
        return
    listed = imports.report_file(file, report, dry_run=dry_run)
    if client is None and "local_user_id" in checked.options.columns:
        complain(_("local_user_id is not stored: name the application that has these IDs with --from"))
    sample = sample_of(file, checked.options, take_hash, imports.SAMPLE) if dry_run else []
    progress = _import(file, options, checked, take_hash, listed, dry_run=dry_run)
    if json:
        print_json(imports.as_json(progress, checked.unread, listed, sample))
        return
    imports.print_sample(sample)
    imports.print_outcome(progress, checked.unread, listed, update=update, dry_run=dry_run)


def _import(
    file: Path, options: Options, checked: Checked, take_hash: TakeHash, listed: Path, *, dry_run: bool
) -> Progress:
    """Import a file and return the progress; the rejected rows are written to ``listed``."""
    from sso.accounts.contact_changes import contacts_notified
    from sso.cli import imports
    from sso.identity.authn.passwords import ARGON2_ID
    from sso.identity.users.importing import import_file

    size = file.stat().st_size

    async def work(services: AccountActions) -> Progress:
        if options.client_id is not None and services.registry.get(options.client_id) is None:
            text = _("there is no application %(client_id)s: register the application first")
            refuse(text % {"client_id": options.client_id})
        with imports.report_to(listed) as written, progress_bar(size) as moved:
            return await import_file(
                services.db,
                services.box,
                file,
                options,
                take_hash,
                checked=checked,
                report=written,
                on_progress=lambda progress: moved(progress.bytes),
                dry_run=dry_run,
                is_current=lambda stored: stored.startswith(ARGON2_ID),
                contacts_notified=lambda session, user: contacts_notified(session, services, user),
            )

    return run_loaded(work, begins=not dry_run)


def _check_imported_password(file: Path, options: Options, who: str, from_stdin: bool, take_hash: TakeHash) -> None:
    """Say whether a password fits the hash in somebody's row. Nothing is written."""
    from sso.cli.imports import kind_of_hash
    from sso.identity.authn.passwords import Passwords
    from sso.identity.users.importing import find_row
    from sso.identity.users.rows import RowRefused
    from sso.settings import load_settings

    try:
        row = find_row(file, options, who, take_hash)
    except RowRefused as error:
        refuse(_("the row of %(user)s would be rejected: %(error)s") % {"user": who, "error": error})
    if row is None:
        text = _("no row of %(file)s has this username, e-mail address, phone number, NIK or local_user_id")
        refuse(text % {"file": file})
    if not row.password:
        lost = [note.text for note in row.notes if note.text.startswith("password")]
        reason = "; ".join(lost) or _("the row has no password")
        refuse(_("line %(line)s: %(text)s") % {"line": row.number, "text": reason})
    password = read_password(True) if from_stdin else str(typer.prompt(_("Password"), hide_input=True))
    right, _new_hash = asyncio.run(Passwords(load_settings()).verify(password, row.password))
    values = {"line": row.number, "kind": kind_of_hash(row.password)}
    if not right:
        refuse(_("line %(line)s: the password does not match the hash: %(kind)s") % values)
    print(_("line %(line)s: the password matches the hash: %(kind)s") % values)


@app.command("recovery")
def recovery_command(user: Who) -> None:
    """Create a recovery code for a user who has lost every way to sign in. Check the document of the person first.

    The code alone does not open the account: the user also verifies a contact, or waits, and is notified.
    """
    from sso.accounts.helpdesk import start_recovery
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> str:
        async with services.db.write() as session:
            return await start_recovery(session, services, await find(session, user, services.box), actor=CLI)

    print(run_loaded(work))


@app.command("check")
def check_command(
    user: Who,
    document: Annotated[str, typer.Option(help=f"Which document: {', '.join(DOCUMENTS)}.")],
    number: Annotated[
        str, typer.Option(help="The number of the document; for a KTP, the NIK. Only its end is stored.")
    ],
    place: Annotated[str, typer.Option(help="Place of the check.")],
) -> None:
    """Record that an officer has compared a person with an identity document."""
    from sso.accounts.identity_checks import check_identity, read_check
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    checked = read_check(document, number, place)

    async def work(services: AccountActions) -> None:
        async with services.db.write() as session:
            await check_identity(session, services, await find(session, user, services.box), checked, actor=CLI)

    run_loaded(work)
    print(_("recorded"))


@app.command("uncheck")
def uncheck_command(user: Who) -> None:
    """Withdraw the identity check of a user."""
    from sso.accounts.identity_checks import revoke_identity_check
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> bool:
        async with services.db.write() as session:
            person = await find(session, user, services.box)
            return await revoke_identity_check(session, services, person, actor=CLI)

    print(_("withdrawn") if run_loaded(work) else _("there was no identity check"))


proposals = group("Decide about imported users who may have an account already.")
app.add_typer(proposals, name="proposals")


@proposals.command("list")
def list_proposals(
    status: Annotated[str, typer.Option(help=f"Only those: {', '.join(PROPOSAL_STATES)}.")] = "open",
    after: Annotated[str | None, typer.Option(help="Start after this id.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List imported users who may have an account already."""
    from sso.identity.users import merge_proposals as merging

    start = an_id(after, N_("proposal")) if after else None

    async def work(storage: Storage) -> list[merging.ProposalView]:
        async with storage.db.read() as session:
            proposals = await merging.page_of_proposals(session, status, start, limit + 1)
        return [merging.proposal_view(storage.box, proposal) for proposal in proposals]

    check_choice("--status", status, PROPOSAL_STATES)
    proposals = first_of(run(work), limit, _(MORE_AFTER))
    if json:
        print_json(proposals)
        return
    rows = [
        (
            proposal["id"],
            proposal["name"],
            proposal["client_id"],
            proposal["local_user_id"],
            _same(proposal),
            proposal["user_id"],
        )
        for proposal in proposals
    ]
    print_table(("id", "name", "from", "local id", "same", "user"), rows)


def _same(proposal: merging.ProposalView) -> str:
    """Return what is the same, and what of it nobody vouches for."""
    verified = {identifier["kind"] for identifier in proposal["identifiers"] if identifier["verified"]}
    return ", ".join(kind if kind in verified else f"{kind} {_('(not verified)')}" for kind in proposal["reasons"])


def _decide(proposal: str, decision: str) -> None:
    from sso.accounts.merging import decide_proposal
    from sso.platform.actor import CLI

    chosen = an_id(proposal, N_("proposal"))

    async def work(services: AccountActions) -> merging.Decided:
        async with services.db.write() as session:
            return await decide_proposal(session, services, chosen, decision, actor=CLI)

    result = run_loaded(work)
    print(_(DECIDED[decision]))
    if result.other_usernames:
        text = _("username: %(username)s; the user can also sign in with: %(others)s")
        print(text % {"username": result.username, "others": ", ".join(result.other_usernames)})
    for identifier in result.view()["left_out"]:
        print(_("left out: %(kind)s %(value)s") % identifier)
    if len(result.local_user_ids) > 1:
        print(_("the application receives: %(ids)s") % {"ids": ", ".join(result.local_user_ids)})


Which = Annotated[str, typer.Argument(metavar="PROPOSAL", help="The id of a proposal.")]


@proposals.command("merge")
def merge_command(proposal: Which) -> None:
    """Merge the imported user with the account. The password of the account stays."""
    _decide(proposal, "merged")


@proposals.command("separate")
def separate_command(proposal: Which) -> None:
    """Create a separate account for the imported user, without the identifiers that both have."""
    _decide(proposal, "separate")


@proposals.command("drop")
def drop_command(proposal: Which) -> None:
    """Discard the imported row."""
    _decide(proposal, "dropped")


@app.command("list")
def list_people(
    after: Annotated[str | None, typer.Option(help="Start after this user ID.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List users, the oldest account first."""
    from sso.identity.users import store
    from sso.identity.users.service import describe

    async def work(storage: Storage) -> list[DescribedUser]:
        async with storage.db.read() as session:
            users = await store.page_of_users(session, read_uuid(after) if after else None, limit + 1)
            return [await describe(session, user) for user in users]

    people = first_of(run(work), limit, _(MORE_AFTER))
    if json:
        print_json(people)
        return
    rows = [
        (person["id"], person["name"], ", ".join(person["roles"]), "disabled" if person["disabled_at"] else "active")
        for person in people
    ]
    print_table(("id", "name", "roles", "status"), rows)


@app.command("show")
def show(user: Who) -> None:
    """Show a user as JSON. This command also finds users by an identifier that is not verified, and says so."""
    from sso.identity.users.service import describe, find

    async def work(storage: Storage) -> DescribedUser:
        async with storage.db.read() as session:
            return await describe(session, await find(session, user, storage.box, unverified=True))

    print_json(run(work))


@app.command("password")
def password(user: Who, password_stdin: FromStdin = False) -> None:
    """Set the password of a user. All sessions and tokens of the user end."""
    from sso.accounts.credentials import change_password
    from sso.identity.authn.passwords import Passwords
    from sso.identity.users.service import describe, find
    from sso.platform.actor import CLI

    chosen = read_password(password_stdin)

    async def work(services: AccountActions) -> int:
        async with services.db.read() as session:
            described = await describe(session, await find(session, user, services.box))
        _check(
            services.settings,
            chosen,
            [described["name"], *[identifier["value"] for identifier in described["identifiers"]]],
        )
        hashed = await Passwords(services.settings).hash(chosen)
        async with services.db.write() as session:
            return await change_password(session, services, await find(session, user, services.box), hashed, actor=CLI)

    print(_("the password was changed; %(count)s sessions were ended") % {"count": run_loaded(work)})


@app.command("disable")
def disable(user: Who) -> None:
    """Disable a user: sign-in is refused, all sessions and tokens end, and applications are notified."""
    from sso.accounts.administration import disable_user
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> int:
        async with services.db.write() as session:
            return await disable_user(session, services, await find(session, user, services.box), actor=CLI)

    print(_("disabled; %(count)s sessions were ended") % {"count": run_loaded(work)})


@app.command("roles")
def roles_command(
    user: Who,
    role: Annotated[list[str] | None, typer.Option(help=f"{NAMES_OF_ROLES}; may be given again.")] = None,
) -> None:
    """Set the roles of a user; other roles are removed. The last administrator keeps the role."""
    from sso.accounts.administration import give_roles
    from sso.identity.users import store
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> list[str]:
        async with services.db.write() as session:
            person = await find(session, user, services.box)
            await give_roles(session, services, person, role or [], actor=CLI)
            return await store.roles_of(session, person.id)

    print(_("roles: %(roles)s") % {"roles": ", ".join(run_loaded(work)) or _("none")})


@app.command("delete")
def delete_command(
    user: Who, sure: Annotated[bool, typer.Option("--yes", help="Do not ask. A deletion cannot be undone.")] = False
) -> None:
    """Delete a user: all sessions and tokens end, and all personal data is deleted. Only the user ID is kept, for the
    audit log.
    """
    from sso.accounts.deletion import delete_user
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    if not sure:
        typer.confirm(_("Delete %(name)s? You cannot undo this.") % {"name": user}, abort=True)

    async def work(services: AccountActions) -> int:
        async with services.db.write() as session:
            return await delete_user(session, services, await find(session, user, services.box), actor=CLI)

    print(_("deleted; %(count)s sessions were ended") % {"count": run_loaded(work)})


@app.command("enable")
def enable(user: Who) -> None:
    """Enable a disabled user."""
    from sso.accounts.administration import enable_user
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> None:
        async with services.db.write() as session:
            person = await find(session, user, services.box)
            await enable_user(session, services, person, actor=CLI)

    run_loaded(work)
    print(_("enabled"))


def _check(settings: Settings, password: str, personal_words: list[str]) -> None:
    from sso.identity.authn.passwords import WeakPassword, check_strength

    try:
        check_strength(settings, password, [word for word in personal_words if word])
    except WeakPassword as error:
        refuse(str(error))
