"""The relying-party check: we sign in at an application's sandbox as a browser would, with a provider of ours that does
not play by the rules, and look whether the application lets us in.

Nothing is asked of the application but what every one has: an address where it begins a sign-in, and a page that looks
different to who is signed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from urllib.parse import parse_qsl, urlsplit

import httpx2 as httpx
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.models import Application, RelyingPartyCheck
from sso.clients.registry import Registry, stored_metadata
from sso.clients.secrets import ClientError
from sso.oidc.requests import with_parameters
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.security.outbound_errors import OutboundRefused, public_reason
from sso.platform.security.outbound_http import Visited
from sso.portal.applications import checked_digest, sandbox_id
from sso.portal.rp_check import fake_provider
from sso.portal.rp_check.browser import Browser, Look, Stuck, origin_of
from sso.portal.rp_check.fake_provider import IN_THE_TOKEN, WRONG, Case, Play
from sso.portal.rp_check.results import Finding, passed
from sso.portal.rp_check.store import last_play, play_of, running_check, set_play
from sso.portal.services import CheckServices
from sso.settings import Settings

log = logging.getLogger(__name__)

_RUNNING: set[asyncio.Task[None]] = set()


async def begin_check(
    session: AsyncSession, registry: Registry, settings: Settings, application: Application, page: str, *, actor: Actor
) -> RelyingPartyCheck:
    """Begin a check, within the transaction of ``session``.

    Args:
        session: the transaction.
        registry: the registered clients.
        settings: the settings.
        application: the application; its sandbox says where a sign-in begins.
        page: an address of it that looks different to who is signed in; where nothing, where a sign-in begins.
        actor: who asks.

    Raises:
        ClientError: when one is running, or the sandbox does not say where a sign-in begins.
    """
    client = registry.enabled(sandbox_id(application.application_id))
    row = await store.get_client(session, sandbox_id(application.application_id))
    if client is not None and (row is None or stored_metadata(row.metadata_).stored() != client.meta.stored()):
        raise ClientError("it was changed a moment ago: try again")
    if client is None or not client.meta.initiate_login_uri:
        raise ClientError("the sandbox does not say where a sign-in begins: initiate_login_uri")
    known = {origin_of(uri) for uri in (client.meta.initiate_login_uri, *client.meta.redirect_uris)}
    if page and origin_of(page) not in known - {origin_of(settings.issuer)}:
        raise ClientError("the page must be at a registered address of the sandbox")
    if await running_check(session, application.application_id) is not None:
        raise ClientError("a check is running already")
    check = RelyingPartyCheck(
        application_id=application.application_id,
        revision=application.revision,
        digest=checked_digest(application),
        started_by=str(actor.name),
        status="running",
        results={"page": page, "findings": []},
        created_at=clock.now(),
    )
    session.add(check)
    await session.flush()
    record(session, "application.check_begun", actor=actor.name, client_id=application.application_id)
    return check


def start(services: CheckServices, check: RelyingPartyCheck) -> None:
    """Let a check that was begun run by itself, in this process."""
    task = asyncio.create_task(Check(services, check).run())
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)


class Check:
    """One run: every case, one after the other.

    Args:
        services: what the check needs.
        check: the check that was begun.
    """

    def __init__(self, services: CheckServices, check: RelyingPartyCheck) -> None:
        client = services.registry.enabled(sandbox_id(check.application_id))
        assert client is not None  # begin_check saw it
        self.services, self.check_id, self.client = services, check.id, client
        self.client_application = check.application_id
        self.issuer = fake_provider.issuer_of(services.settings.issuer, check.application_id)
        self.alg = services.id_token_alg(client)
        self.key = ""
        self.fetched_keys = False
        start = str(client.meta.initiate_login_uri)
        self.start = with_parameters(start, [("iss", self.issuer)])
        self.page = str(check.results.get("page", "")) or start
        own = {origin_of(services.settings.issuer)}
        self.hosts = frozenset({origin_of(uri) for uri in (start, *client.meta.redirect_uris)} - own)
        self.play = Play("honest", "", "", "", "", "")
        self.out: Look | None = None
        self.into: Look | None = None

    async def run(self) -> None:
        """Play every case, and write what became of each. Whatever fails is a finding, not an error."""
        findings: list[Finding] = []
        try:
            await self._choose_key()
            findings.append(await self._honest())
            await self._write(findings, "running")
            if findings[0].outcome == "passed":
                await self._wrong_ones(findings)
            if not await self._is_unchanged():
                findings = [finding for finding in findings if finding.case != "honest_again"]
                findings.append(Finding("honest_again", "failed", "changed"))
            await self._write(findings, "done")
        except Exception:
            log.exception("the relying-party check of %s failed", self.client.client_id)
            await self._write([*findings, Finding("honest", "failed", "our side failed")], "done")

    async def _choose_key(self) -> None:
        """Sign with the key of the last check, which the application may have kept, or with a new one."""
        async with self.services.db.read() as session:
            last = await last_play(session, self.services.box, self.client_application, self.alg)
        self.fetched_keys = last is not None
        self.key = last.key if last is not None else fake_provider.new_key(self.alg)
        self.play = Play("honest", "", "", "", self.key, "", alg=self.alg)

    async def _wrong_ones(self, findings: list[Finding]) -> None:
        """Play what must be refused, and sign in honestly after each: an application that refuses everything has
        refused nothing. How often in between is left to chance, so that no counting replaces looking."""
        for case in WRONG:
            finding = await self._run_case(case)
            wrong = ""
            for _ in range(1 + secrets.randbelow(2)):
                wrong = wrong or await self._honest_round(self._browser())
            if wrong:
                findings.append(Finding(case, "unclear", "dead") if finding.outcome == "refused" else finding)
                findings.append(Finding("honest_again", "failed", wrong))
                return
            findings.append(finding)
            await self._write(findings, "running")
        findings.append(Finding("honest_again", "passed"))

    async def _run_case(self, case: Case) -> Finding:
        browser = self._browser()
        try:
            request_parameters = await self._begin(browser, "honest" if case == "forged_logout_token" else case)
        except Stuck as error:  # it was never shown what is wrong, so it has not refused that
            return Finding(case, "unclear", str(error)[:300])
        if case == "replayed_code":
            return await self._replayed(browser, request_parameters)
        if case == "forged_logout_token":
            return await self._forged_logout(browser, request_parameters)
        if case == "wrong_nonce" and not self.play.nonce:
            return Finding(case, "not_applicable", "no_nonce")
        if case in ("missing_state", "foreign_state") and not request_parameters.get("state"):
            return Finding(case, "accepted", "no_state")
        with contextlib.suppress(Stuck):  # whether somebody is signed in then is seen on the page
            await self._return(browser, request_parameters)
        if case in IN_THE_TOKEN and not (await self._played()).redeemed:
            return Finding(case, "unclear", "not_redeemed")
        return await self._judge(browser, case)

    async def _honest(self) -> Finding:
        """Sign in twice: each must succeed."""
        try:
            self.out = await self._look(self._browser())
        except Stuck as error:
            return Finding("honest", "failed", str(error)[:300])
        wrong = await self._honest_round(self._browser()) or await self._honest_round(self._browser())
        if wrong:
            return Finding("honest", "failed", wrong)
        return Finding("honest", "passed", "" if self.play.challenge else "no_pkce")

    async def _honest_round(self, browser: Browser) -> str:
        """Sign in honestly, and return what is wrong with it: nothing, when the application fetched the tokens as it
        is registered, answered without an error, and shows that somebody is signed in."""
        try:
            request_parameters = await self._begin(browser, "honest")
            answer, _ = await self._return(browser, request_parameters)
            look = await self._look(browser)
        except Stuck as error:
            return str(error)[:300]
        played = await self._played()
        self.fetched_keys = self.fetched_keys or "jwks" in played.asked
        if not played.redeemed:
            return "no_token"
        if not self.fetched_keys and (look == self.out or answer.status >= 400):
            return "old_keys"
        if answer.status >= 400:
            return "callback_fails"
        if not 200 <= look.status < 300 or look.path == self.issuer:
            return "looks_the_same" if look == self.out else "page_fails"
        if look == self.out:
            return "looks_the_same"
        self.into = self.into or look
        return ""

    async def _signed_in(self, browser: Browser, request_parameters: dict[str, str]) -> str:
        """Sign in for a case that begins with an honest sign-in, and return the address of the answer; nothing where it
        did not succeed."""
        try:
            _, url = await self._return(browser, request_parameters)
            look = await self._look(browser)
        except Stuck:
            return ""
        return url if look != self.out and (await self._played()).redeemed else ""

    async def _replayed(self, browser: Browser, request_parameters: dict[str, str]) -> Finding:
        url = await self._signed_in(browser, request_parameters)
        if not url:
            return Finding("replayed_code", "unclear", "not_signed_in")
        stranger = self._browser()
        try:
            await stranger.open(url, self.issuer)
        except Stuck:
            return Finding("replayed_code", "refused")
        return await self._judge(stranger, "replayed_code")

    async def _forged_logout(self, browser: Browser, request_parameters: dict[str, str]) -> Finding:
        uri = self.client.meta.backchannel_logout_uri
        if uri is None:
            return Finding("forged_logout_token", "not_applicable", "no_backchannel")
        if not await self._signed_in(browser, request_parameters):
            return Finding("forged_logout_token", "unclear", "not_signed_in")
        try:
            before = await self._look(browser)
            status = await self._log_out(uri, "forged_logout_token")
            after = await self._look(browser)
            if after != before or 200 <= status < 300:
                return Finding("forged_logout_token", "accepted", f"HTTP {status}")
            if not 200 <= await self._log_out(uri, "honest") < 300:
                return Finding("forged_logout_token", "unclear", "logout_fails")
        except (OutboundRefused, httpx.HTTPError) as error:
            return Finding("forged_logout_token", "unclear", public_reason(uri, error))
        except Stuck as error:
            return Finding("forged_logout_token", "unclear", str(error)[:300])
        return Finding("forged_logout_token", "refused", f"HTTP {status}")

    async def _log_out(self, uri: str, case: Case) -> int:
        """Send a logout token, forged or honest, and return the status of the answer."""
        self.play.case = case
        token = fake_provider.logout_token(self.play, self.issuer, self.client, self.alg)
        return await self.services.outbound.post_form(uri, {"logout_token": token})

    async def _is_unchanged(self) -> bool:
        """Tell whether the application is what it was when the check began."""
        async with self.services.db.read() as session:
            row = await session.get(RelyingPartyCheck, self.check_id)
            application = await session.get(Application, row.application_id) if row is not None else None
            return row is not None and application is not None and row.digest == checked_digest(application)

    def _browser(self) -> Browser:
        return Browser(self.services.outbound, self.hosts)

    async def _begin(self, browser: Browser, case: Case) -> dict[str, str]:
        """Let the application begin a sign-in, and return what it asks for."""
        _, url = await browser.open(self.start, self.issuer + "/authorize")
        if not url.startswith(self.issuer + "/authorize"):
            raise Stuck(f"it does not send the browser to {self.issuer}/authorize; is that its issuer?")
        request_parameters = dict(parse_qsl(urlsplit(url).query))
        if request_parameters.get("client_id") != self.client.client_id:
            raise Stuck(
                f"it names the client_id {request_parameters.get('client_id', '')!r}, not {self.client.client_id!r}"
            )
        if not self.client.check_redirect_uri(request_parameters.get("redirect_uri", "")):
            raise Stuck(
                f"it asks for the redirect_uri {request_parameters.get('redirect_uri', '')!r}, which is not registered"
            )
        self.play = Play(
            case,
            secrets.token_urlsafe(24),
            request_parameters.get("nonce", "")[:500],
            request_parameters.get("code_challenge", "")[:200],
            self.key,
            f"uji-{secrets.token_hex(4)}",
            redirect_uri=request_parameters["redirect_uri"],
            alg=self.alg,
        )
        await self._write_play()
        return request_parameters

    async def _return(self, browser: Browser, request_parameters: dict[str, str]) -> tuple[Visited, str]:
        """Bring the answer back to the application, and return what came of it, and the address of the answer."""
        parameters = fake_provider.answer_parameters(self.play, self.issuer, request_parameters.get("state", ""))
        url = with_parameters(request_parameters["redirect_uri"], list(parameters.items()))
        visited, _ = await browser.open(url, self.issuer)
        return visited, url

    async def _look(self, browser: Browser) -> Look:
        visited, url = await browser.open(self.page, self.issuer)
        path = urlsplit(url).path if not url.startswith(self.issuer) else self.issuer
        return Look(visited.status, path, bool(self.play.subject) and self.play.subject.encode() in visited.body)

    async def _judge(self, browser: Browser, case: Case) -> Finding:
        try:
            look = await self._look(browser)
        except Stuck:
            return Finding(case, "refused")
        if look == self.out:
            return Finding(case, "refused")
        if look.named or look == self.into:
            return Finding(case, "accepted")
        return Finding(case, "unclear", f"HTTP {look.status} {look.path}")

    async def _played(self) -> Play:
        async with self.services.db.read() as session:
            return await play_of(session, self.services.box, self.check_id)

    async def _write_play(self) -> None:
        async with self.services.db.write() as session:
            await set_play(session, self.services.box, self.check_id, self.play)

    async def _write(self, findings: list[Finding], status: str) -> None:
        as_json: list[dict[str, object]] = [
            {"case": finding.case, "outcome": finding.outcome, "detail": finding.detail} for finding in findings
        ]
        async with self.services.db.write() as session:
            row = await session.get(RelyingPartyCheck, self.check_id)
            if row is None:
                return
            row.results = {**row.results, "findings": as_json}
            if status == "done":
                row.status, row.finished_at = "done", clock.now()  # its key is used by the next check
                data = {"passed": passed(row)}
                record(session, "application.checked", actor=row.started_by, client_id=row.application_id, data=data)
