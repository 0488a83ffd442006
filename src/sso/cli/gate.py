"""``sso gate``: applications behind the forward authentication gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import CANNOT, Json, check_choice, complain, group, print_json, refuse, run_loaded
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.clients.registry import Client
    from sso.gate.outside import Finding
    from sso.gate.services import GateServices

app = group()

KINDS = ("nginx", "traefik", "caddy", "haproxy", "envoy", "apache")
ClientId = Annotated[str, typer.Argument(metavar="APP", help="The client_id of an application of the type gate.")]


ProxyKind = Annotated[str, typer.Option("--for", metavar="PROXY", help="One of: " + ", ".join(KINDS) + ".")]
Application = Annotated[
    str, typer.Option("--application", metavar="URL", help="Where the proxy reaches the application.")
]
Service = Annotated[
    str, typer.Option("--provider", metavar="URL", help="Where the proxy reaches this service; default: the issuer.")
]
Certificate = Annotated[
    str, typer.Option("--certificate", metavar="PATH", help="The certificate; for haproxy with its key.")
]
CertificateKey = Annotated[str, typer.Option("--certificate-key", metavar="PATH", help="The key of the certificate.")]
Listen = Annotated[int, typer.Option("--listen", metavar="PORT", help="The port of the proxy.")]
Folder = Annotated[
    str, typer.Option("--folder", metavar="PATH", help="Where the proxy finds the script (haproxy, apache).")
]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="DIR", help="Write the files there instead of printing them.")
]


@app.command("config")
def config_command(
    client_id: ClientId,
    kind: ProxyKind,
    application: Application = "http://127.0.0.1:8080",
    provider: Service = "",
    certificate: Certificate = "/etc/ssl/certs/gate.pem",
    certificate_key: CertificateKey = "/etc/ssl/private/gate.key",
    listen: Listen = 443,
    folder: Folder = "",
    output: Output = None,
) -> None:
    """Print the complete configuration of a proxy in front of an application.

    The configuration contains a key with which the proxy shows that it is the proxy of this application. Everyone who
    has the key can ask whether a cookie is valid, and make no cookies. The key changes with SSO_SECRET_KEY alone; keys
    of former secret keys are accepted as long as these are listed.

    The client secret that the gate sends in Basic credentials is not in the file: the service sends it with each
    answer.

    haproxy and apache need two files: --output writes them, otherwise both are printed one after the other. Allow the
    address of the proxy in SSO_TRUSTED_PROXIES.
    """
    check_choice("--for", kind, KINDS)

    async def work(loaded: GateServices) -> dict[str, str]:
        from sso.gate.proxies import files_for
        from sso.gate.proxies.plan import plan_for

        plan = plan_for(
            _with_secret(_gate(loaded, client_id)),
            loaded.box,
            provider=provider or loaded.settings.issuer,
            application=application,
            certificate=certificate,
            certificate_key=certificate_key,
            listen=listen,
            folder=folder or (str(output) if output is not None else ""),
        )
        return files_for(kind, plan)  # type: ignore[arg-type]

    _write(run_loaded(work), output)


def _with_secret(client: Client) -> Client:
    """Return an application, and complain where it has no client secret that the gate could send."""
    if client.meta.sends_secret and not client.current_secrets():
        text = _("The gate sends this application its client secret. Create one: sso clients secret %(id)s")
        complain(text % {"id": client.client_id})
    return client


def _write(files: Mapping[str, str], output: Path | None) -> None:
    """Write files that hold a key, for their owner alone, or print them."""
    if output is None:
        print("\n".join(files.values()), end="")
        return
    for name, text in files.items():
        path = output / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text)
        print(path)


@app.command("check")
def check_command(
    client_id: ClientId,
    url: Annotated[str, typer.Argument(metavar="URL", help="A page of the application that needs a sign-in.")],
    direct: Annotated[
        str,
        typer.Option("--direct", metavar="URL", help="The address of the application itself, which must not answer."),
    ] = "",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept every certificate: for a test with a certificate of your own.")
    ] = False,
    json: Json = False,
) -> None:
    """Try the gate of an application from outside, without signing in.

    Tries a page, a request of a script, forged headers in every spelling, forged hosts, paths with tricks, the
    sign-out, caching, and with --direct the way around the proxy. Exit code 1: something is wrong.
    """

    async def work(loaded: GateServices) -> list[Finding]:
        from sso.gate.outside import NotHere, try_gate
        from sso.gate.outside_http import sender

        client = _gate(loaded, client_id)
        async with sender(verify=not insecure) as send:
            try:
                return await try_gate(client, loaded.settings.issuer, url, direct, send)
            except NotHere as error:
                refuse(str(error))

    findings = run_loaded(work)
    if json:
        print_json([{"check": finding.check, "ok": finding.ok, "text": finding.text} for finding in findings])
    else:
        for finding in findings:
            print(f"{_('ok') if finding.ok else _('wrong'):<6} {finding.check}: {finding.text}")
    if not all(finding.ok for finding in findings):
        complain(_("The gate of this application is not safe yet."))
        raise typer.Exit(CANNOT)


def _gate(provider: GateServices, client_id: str) -> Client:
    client = provider.registry.get(client_id)
    if client is None or client.meta.gate is None:
        refuse(_("%(id)s is not an application of the type gate") % {"id": client_id})
    return client
