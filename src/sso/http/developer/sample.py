"""What a developer takes along: the values of an application as ``.env`` and JSON, and a sample program as a ZIP file.

A client secret is not stored in a readable form. The page that shows it sends it back when the developer downloads a
file, so that the file has it too; nothing keeps it.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import Depends
from pydantic import AfterValidator
from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client, Registry
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.responses import json_response, to_wait
from sso.http.common.services import Clients, CurrentSettings, Db, Limits
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, cut
from sso.http.console.access import Here, OwnForm, developer_page, token_for
from sso.http.developer.application_page import APPS, Member, Reader
from sso.http.developer.literals import dotenv
from sso.http.developer.quick_start import STACKS, Stack, commands_of, files_of, library, local_port, values_of
from sso.platform.security.rate_limits import TooManyFailures
from sso.portal.first_sign_in import first_sign_in
from sso.settings import Settings

router = new_router()

_SECRET = re.compile(r"[A-Za-z0-9_-]{0,200}")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a ZIP file, so that the same values give the same file."""


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A client secret that was created.

    Args:
        application_id: the application.
        client_id: its sandbox or its production client, which has the secret.
        secret: the secret.
        fresh: whether the sandbox was opened with it.
    """

    application_id: str
    client_id: str
    secret: str
    fresh: bool = False


def _secret(text: str) -> str:
    return text if _SECRET.fullmatch(text) else ""


class SampleForm(FormModel):
    """A download: ``env``, ``json`` or ``zip`` with a stack, for a client, with the secret that the page shows."""

    choice: ChoiceField = Choice()
    client: Annotated[str, cut(100)] = ""
    secret: Annotated[str, AfterValidator(_secret)] = ""


Download = Annotated[Sent[SampleForm], Depends(OwnForm(SampleForm, "sample {application_id}"))]


def stacks_of(client: Client | None, kind: str = "web") -> dict[str, Stack]:
    """Return the stacks that have a whole program for a client."""
    if client is None:
        return {}
    return {name: stack for name, stack in STACKS.items() if kind in stack.kinds and stack.run}


def env_file(settings: Settings, client: Client, secret: str) -> str:
    """Return the values of a client as a ``.env`` file, which a shell can read too."""
    values = values_of(settings.issuer, client)
    named = {
        "OIDC_ISSUER": values["issuer"],
        "OIDC_CLIENT_ID": values["client_id"],
        "OIDC_CLIENT_SECRET": secret,
        "OIDC_REDIRECT_URI": values["redirect_uri"],
        "OIDC_POST_LOGOUT_REDIRECT_URI": values["after_logout"],
        "OIDC_SCOPE": values["scope"],
    }
    return "".join(f"{name}={dotenv(value.replace('`', '%60')) if value else ''}\n" for name, value in named.items())


def json_file(settings: Settings, client: Client, secret: str) -> str:
    """Return the values of a client as JSON, by the names of the specifications."""
    values = values_of(settings.issuer, client)
    document = {
        "issuer": values["issuer"],
        "client_id": values["client_id"],
        "client_secret": secret or None,
        "redirect_uris": list(client.meta.redirect_uris),
        "post_logout_redirect_uris": list(client.meta.post_logout_redirect_uris),
        "scope": values["scope"],
        "token_endpoint_auth_method": client.meta.token_endpoint_auth_method,
        "openid_configuration": values["discovery"],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def zip_file(settings: Settings, client: Client, name: str, secret: str) -> bytes:
    """Return a sample program with the values of a client: its files, ``.env`` and a README."""
    files = dict(files_of(name, settings.issuer, client))
    if STACKS[name].library:
        files |= library(STACKS[name].library)
    files[".env"] = env_file(settings, client, secret)
    files["README.md"] = _read_me(name, client, lacks_secret=client.meta.needs_secret and not secret)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{client.client_id}-{name}/{path.lstrip('/')}", _EPOCH), text)
    return buffer.getvalue()


def _read_me(name: str, client: Client, *, lacks_secret: bool) -> str:
    stack = STACKS[name]
    run = stack.run.replace(":3000", f":{local_port(client)}")
    steps = f"{commands_of(name, 'install')}\nset -a; . ./.env; set +a\n{run}\n"
    missing = "`.env` has no client secret. Put it there before you run the program.\n\n"
    return (
        f"# {client.client_id}: {stack.title}\n\nA sample program that signs users in and out with OpenID Connect.\n\n"
        f"{missing if lacks_secret else ''}"
        f"```sh\n{steps}```\n\nThen open http://localhost:{local_port(client)}/ in a browser.\n"
    )


async def secret_page(
    request: Request, here: Here, settings: Settings, registry: Registry, new_secret: NewSecret
) -> Response:
    """Return the page that shows a secret, once, with the files that hold it."""
    client = registry.get(new_secret.client_id)
    if client is None:
        return failure(request, "not_found", 404)
    machine = client.meta.type == "service"
    return await developer_page(
        request,
        here,
        new_secret.application_id,
        "developer_ready.html",
        application_id=new_secret.application_id,
        client_id=new_secret.client_id,
        secret=new_secret.secret,
        fresh=new_secret.fresh,
        machine=machine,
        stacks={} if machine else stacks_of(client),
        env=env_file(settings, client, new_secret.secret),
        json=json_file(settings, client, new_secret.secret),
        issuer=settings.issuer,
        csrf_token=token_for(request, f"sample {new_secret.application_id}"),
    )


@router.post(APPS + "/{application_id}/sample")
async def download(
    request: Request, there: Member, sent: Download, clients: Clients, settings: CurrentSettings
) -> Response:
    """Send a file with the values of a client and the secret that the page shows."""
    form = sent.form
    client = clients.registry.get(form.client)
    if client is None or form.client not in (there.application_id, there.sandbox_id):
        return failure(request, "not_found", 404)
    act, name = form.choice
    if act == "env":
        return _attachment(env_file(settings, client, form.secret), "text/plain", f"{client.client_id}.env")
    if act == "json":
        return _attachment(json_file(settings, client, form.secret), "application/json", f"{client.client_id}.json")
    if act == "zip" and name in stacks_of(client, there.application.kind):
        return _zip_response(settings, client, name, form.secret)
    return failure(request, "not_found", 404)


@router.get(APPS + "/{application_id}/quick-start/{stack}.zip")
async def sample_program(
    request: Request, stack: str, there: Reader, clients: Clients, settings: CurrentSettings
) -> Response:
    """Send a sample program without a client secret."""
    client_id = request.query_params.get("client", there.sandbox_id)
    client = clients.registry.enabled(client_id) if client_id in (there.application_id, there.sandbox_id) else None
    if client is None or stack not in stacks_of(client, there.application.kind):
        return failure(request, "not_found", 404)
    return _zip_response(settings, client, stack, "")


def _zip_response(settings: Settings, client: Client, name: str, secret: str) -> Response:
    body = zip_file(settings, client, name, secret)
    return _attachment(body, "application/zip", f"{client.client_id}-{name}.zip")


def _attachment(body: str | bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(body, media_type=media_type, headers=headers | {"X-Content-Type-Options": "nosniff"})


@router.get(APPS + "/{application_id}/first-sign-in")
async def watch(there: Reader, db: Db, settings: CurrentSettings, limits: Limits) -> Response:
    """Tell a page that waits for the first sign-in whether it arrived, at most 60 times a minute for each user."""
    try:
        await limits.watches.take(str(there.here.visit.user.id))
    except TooManyFailures as error:
        return to_wait(json_response(429, {"at": None}), error.retry_after)
    async with db.read() as session:
        at = await first_sign_in(session, settings, there.application_id)
    return json_response(200, {"at": at.isoformat() if at is not None else None}, {"Cache-Control": "no-store"})
