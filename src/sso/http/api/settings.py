"""Settings: their values, changes in the database, and the checks of the installation."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.preconditions import (
    IfMatch,
    changed_meanwhile,
    check_etag,
    names_any_version,
    representation_response,
)
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import settings as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.http.common.state import site_of
from sso.platform.stored_settings import ChangedMeanwhile, change_settings, changes_of, newest_change
from sso.settings import CHANGEABLE, Settings, display, variable
from sso.settings.reference import masked
from sso.setup.examination import readiness
from sso.setup.findings import finding_view

router = new_router(prefix=PREFIX, tags=["settings"])
Name = Annotated[str, Path(max_length=64, pattern=r"^[a-z][a-z0-9_]*$", description="Such as `service_name`.")]


@router.get(
    "/settings",
    summary="List settings",
    response_model=schemas.SettingPage,
    responses=problems(),
    **needs("settings:read"),
)
async def list_settings(settings: CurrentSettings) -> Response:
    """Every setting in effect in the process that answers, with the ETag for a change."""
    return representation_response(_all(settings))


@router.patch(
    "/settings",
    summary="Change settings",
    response_model=schemas.SettingPage,
    responses=problems(412, 422, 428),
    **needs("settings:write"),
)
async def patch_settings(
    body: schemas.SettingsUpdate,
    access: Access,
    db: Db,
    settings: CurrentSettings,
    known: Clients,
    if_match: IfMatch = None,
) -> Response:
    """Change settings in the database, all or none (RFC 7396). Every process uses the new values within two seconds.
    Only some settings can be changed, within limits; what the environment sets stays."""
    async with db.read() as session:
        newest = await newest_change(session)  # before the values, so that a change between the two is noticed
    await known.refresh()
    check_etag(if_match, _all(settings))
    seen, actor = None if names_any_version(if_match) else newest, access.actor_with_address
    try:
        async with db.write() as session:
            await change_settings(session, settings, body.values, reason=body.reason, actor=actor, seen=seen)
    except ChangedMeanwhile:
        raise changed_meanwhile() from None
    await known.refresh()
    return representation_response(_all(settings))


@router.get("/settings/{name}", summary="Show a setting", responses=problems(404), **needs("settings:read"))
async def get_setting(name: Name, settings: CurrentSettings) -> schemas.Setting:
    if name not in type(settings).model_fields:
        raise not_found("setting")
    return _representation(settings, name)


@router.get(
    "/settings/{name}/history",
    summary="List the changes of a setting",
    responses=problems(404),
    **needs("settings:read"),
)
async def setting_history(name: Name, db: Db, settings: CurrentSettings) -> schemas.SettingChangePage:
    """The newest 50 changes. To go back, send an earlier value with `PATCH /settings`."""
    if name not in type(settings).model_fields:
        raise not_found("setting")
    async with db.read() as session:
        changes = await changes_of(session, name)
    items = [schemas.SettingChange.model_validate(change, from_attributes=True) for change in changes]
    return schemas.SettingChangePage(items=items)


@router.get("/checks", summary="List the checks of the installation", responses=problems(), **needs("settings:read"))
async def list_checks(request: Request) -> schemas.CheckPage:
    """What is ready and what is not: the short checks of `sso doctor`."""
    findings = await readiness(site_of(request).provider)
    return schemas.CheckPage(items=[schemas.Check.model_validate(finding_view(finding)) for finding in findings])


def _all(settings: Settings) -> schemas.SettingPage:
    return schemas.SettingPage(items=[_representation(settings, name) for name in type(settings).model_fields])


def _representation(settings: Settings, name: str) -> schemas.Setting:
    field, source = type(settings).model_fields[name], settings.source_of(name)
    return schemas.Setting(
        name=name,
        variable=variable(name),
        value=masked(getattr(settings, name)),
        source=source,
        default=masked(display(field.get_default(call_default_factory=True))),
        changeable=name in CHANGEABLE and source != "environment",
        description=field.description or "",
    )
