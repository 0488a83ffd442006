"""The example applications, and registering the applications of a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sso.clients import store
from sso.clients.models import REMOVED
from sso.errors import Refusal
from sso.platform.actor import CLI, Actor
from sso.portal.lifecycle import apply_catalogue

if TYPE_CHECKING:
    from sso.accounts.services import AccountActions
    from sso.clients.catalogue import Catalogue


class ApplicationsExist(Refusal):
    """Applications are registered already, so the examples are refused: they would suspend real applications."""


def examples_dir() -> Path:
    """Return the directory of the examples: in a checkout, or inside an installed package."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_examples"
    return installed if installed.is_dir() else package.parent.parent / "examples"


def example_catalogue() -> Path:
    """Return the file with the 122 example applications."""
    inside = examples_dir() / "clients.example.yaml"
    return inside if inside.is_file() else examples_dir().parent / "clients.example.yaml"


async def apply_file(services: AccountActions, catalogue: Catalogue, actor: Actor = CLI) -> int:
    """Register the applications of a catalogue, all or none; return how many are new or changed."""
    from sso.clients.catalogue_apply import make_plan

    async with services.db.write() as session:
        plan = await make_plan(session, catalogue)
        await apply_catalogue(session, services, plan, actor=actor)
    return len(plan.changes)


async def apply_examples(services: AccountActions, actor: Actor, *, allow_http_loopback: bool) -> int:
    """Register the example applications where no application is registered; return how many.

    Raises:
        ApplicationsExist: when an application is registered, active or suspended.
    """
    from sso.clients.catalogue import read_catalogue  # with YAML
    from sso.clients.catalogue_apply import make_plan

    catalogue = read_catalogue(example_catalogue(), allow_http_loopback=allow_http_loopback)
    async with services.db.write() as session:
        known = await store.all_clients(session)
        if any(client.status != REMOVED for client in known.values()):
            raise ApplicationsExist
        plan = await make_plan(session, catalogue)
        await apply_catalogue(session, services, plan, actor=actor)
    return len(plan.changes)
