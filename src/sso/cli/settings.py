"""``sso settings``: the settings, where each value comes from, and those that are kept in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import Json, group, print_json, print_table, refuse, run
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.platform.services import Storage
    from sso.platform.stored_settings.models import SettingChange
    from sso.settings import Settings

app = group()

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the setting, such as SSO_SERVICE_NAME.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history and in the audit log.")]
MAX_SHOWN_CHARS = 60


@app.command("list")
def list_command(
    every: Annotated[bool, typer.Option("--all", help="Also list settings that only the environment sets.")] = False,
    json: Json = False,
) -> None:
    """List settings with their value and where it comes from: environment, database or default.

    Without --all, only the settings that can be changed with sso settings set are listed.
    """
    rows = run(_setting_rows)
    if not every:
        rows = [row for row in rows if row["changeable"]]
    if json:
        print_json(rows)
        return
    table = [(row["name"], _cut(str(row["value"])), _source(str(row["source"]))) for row in rows]
    print_table((_("name"), _("value"), _("from")), table)


@app.command("show")
def show_command(name: Name, json: Json = False) -> None:
    """Show one setting: its value, its meaning, its limits, and where the value comes from."""
    field_name = _field(name)
    row = next(row for row in run(_setting_rows) if row["name"] == _variable(field_name))
    if json:
        print_json(row)
        return
    labels = {"name": _("name"), "value": _("value"), "source": _("from"), "default": _("default")}
    for key, label in labels.items():
        print(f"{label}: {_source(str(row[key])) if key == 'source' else row[key]}")
    print(f"{_('meaning')}: {row['description']}")
    if not row["changeable"]:
        print(_("Only the environment can set it."))


@app.command("set")
def set_command(
    values: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE...", help="Settings and their new values; several are changed together."),
    ],
    reason: Reason,
) -> None:
    """Change settings in the database. Every process follows within two seconds. The environment wins."""
    changes: dict[str, str | None] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals:
            refuse(_("write NAME=VALUE, such as SSO_SERVICE_NAME=Name"))
        changes[_field(name)] = value
    _change(changes, reason)


@app.command("unset")
def unset_command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of the settings.")], reason: Reason
) -> None:
    """Delete the value of settings from the database, so that the default holds."""
    _change({_field(name): None for name in names}, reason)


@app.command("revert")
def revert_command(
    name: Name,
    change: Annotated[int, typer.Argument(metavar="CHANGE", help="See: sso settings history NAME")],
    reason: Reason,
) -> None:
    """Go back to the value that a setting had after an earlier change."""
    from sso.platform.stored_settings import earlier_value

    field_name = _field(name)

    async def work(storage: Storage) -> str | None:
        async with storage.db.read() as session:
            return await earlier_value(session, field_name, change)

    _change({field_name: run(work)}, reason)


@app.command("history")
def history_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Only this setting.")] = "", json: Json = False
) -> None:
    """Show the changes of settings in the database: who, when, from, to, and why. The newest comes first."""
    from sso.platform.stored_settings import changes_of

    field_name = _field(name) if name else None

    async def work(storage: Storage) -> list[SettingChange]:
        async with storage.db.read() as session:
            return await changes_of(session, field_name)

    changes = run(work)
    if json:
        fields = ("id", "at", "actor", "before", "after", "reason")
        print_json(
            [{"name": _variable(entry.name)} | {field: getattr(entry, field) for field in fields} for entry in changes]
        )
        return
    titles = (_("change"), _("when"), _("who"), _("name"), _("old value"), _("new value"), _("reason"))
    rows = [
        (
            change.id,
            change.at.isoformat(timespec="seconds"),
            change.actor,
            _variable(change.name),
            _cut(_value_text(change.before)),
            _cut(_value_text(change.after)),
            change.reason,
        )
        for change in changes
    ]
    print_table(titles, rows)


def _change(changes: dict[str, str | None], reason: str) -> None:
    """Change settings and print what was changed."""
    from sso.platform.actor import CLI
    from sso.platform.stored_settings import SettingChanged, change_settings

    async def work(storage: Storage) -> list[SettingChanged]:
        async with storage.db.write() as session:
            return await change_settings(session, storage.settings, changes, reason=reason, actor=CLI)

    done = run(work)
    for change in done:
        print(f"{_variable(change.name)}: {_cut(_value_text(change.before))} -> {_cut(_value_text(change.after))}")
    print(_("Every process follows within two seconds.") if done else _("Nothing to change."))


async def _setting_rows(storage: Storage) -> list[dict[str, object]]:
    """Return every setting as JSON shows it."""
    from sso.settings import CHANGEABLE, GROUPS
    from sso.settings.reference import display, masked

    settings: Settings = storage.settings
    return [
        {
            "name": _variable(name),
            "value": masked(getattr(settings, name)),
            "source": settings.source_of(name),
            "default": masked(display(field.get_default(call_default_factory=True))),
            "changeable": name in CHANGEABLE and settings.source_of(name) != "environment",
            "description": field.description,
        }
        for group_ in GROUPS
        for name, field in group_.model_fields.items()
    ]


def _field(name: str) -> str:
    """Return the field of a setting, which is typed as SSO_SERVICE_NAME or service_name."""
    from sso.settings import Settings

    field = name.lower().removeprefix("sso_")
    if field not in Settings.model_fields:
        refuse(_("%(name)s is not a setting; see: sso settings list --all") % {"name": name})
    return field


def _variable(field: str) -> str:
    return f"SSO_{field.upper()}"


def _value_text(value: str | None) -> str:
    return _("(no value)") if value is None else value


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def _source(source: str) -> str:
    texts = {"environment": _("environment"), "database": _("database"), "default": _("default")}
    return texts[source]
