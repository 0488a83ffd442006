"""Checks of the settings and of this host: nothing here asks the database."""

from __future__ import annotations

import shutil

from sso.errors import Refusal
from sso.settings import Settings
from sso.setup.findings import Finding, bad, either, good, says, warning

MIN_FREE_BYTES = 500 * 1024 * 1024
MIN_DIFFERENT_CHARS = 10
WELL_KNOWN = ("change", "secret", "example", "password", "rahasia", "default")
"""Words in a secret key that somebody has copied from a document."""


def address_of_provider(settings: Settings) -> Finding:
    """Check the issuer, the proxies and who can register applications."""
    if settings.loopback:
        text = says("%(issuer)s can be reached from this machine only: a trial", issuer=settings.issuer)
        return warning("settings", text, command="sso setup")
    if settings.client_registration == "open":
        text = says("SSO_CLIENT_REGISTRATION=open: everybody can register applications; use this on test systems only")
        return warning("settings", text, setting="SSO_CLIENT_REGISTRATION=token")
    if not settings.trusted_proxies:
        text = says("SSO_TRUSTED_PROXIES is empty: behind a reverse proxy all users have the IP address of the proxy")
        return warning("settings", text, setting="SSO_TRUSTED_PROXIES=10.0.0.0/8")
    return good("settings", says("the issuer is %(issuer)s", issuer=settings.issuer))


def secret_key(settings: Settings) -> Finding:
    """Check where the secret key comes from, and that nobody can guess it."""
    if not settings.secret_key:
        path = settings.data_dir / "secret.key"
        return good("secret key", says("kept in %(path)s, because the issuer is a loopback address", path=path))
    first = settings.secret_key[0].get_secret_value()
    if len(set(first)) < MIN_DIFFERENT_CHARS:
        text = says("SSO_SECRET_KEY can be guessed: replace it with a random key; see docs/how-to/operations.md")
        return bad("secret key", text, command="openssl rand -base64 48")
    if any(word in first.lower() for word in WELL_KNOWN):
        text = says("SSO_SECRET_KEY looks like the example of a document: replace it with a random key")
        return warning("secret key", text, command="openssl rand -base64 48")
    if len(settings.secret_key) > 1:
        count = len(settings.secret_key)
        text = says("SSO_SECRET_KEY has %(count)s secrets: remove the old ones after sso keys reencrypt", count=count)
        return good("secret key", text, command="sso keys reencrypt")
    return good("secret key", says("SSO_SECRET_KEY is set"))


def countries(settings: Settings) -> Finding:
    """Check the file with the countries of IP addresses."""
    from sso.platform.security.geoip import Countries

    try:
        Countries(settings)
    except Refusal as error:
        text = says("%(error)s", error="; ".join(error.mistakes))
        return bad("countries", text, setting="SSO_COUNTRY_DATABASE=/etc/sso/dbip-country-lite.mmdb")
    return good("countries", says("read from %(path)s", path=settings.country_database))


def disk(settings: Settings) -> Finding:
    """Check the free space of the data directory."""
    place = settings.data_dir if settings.data_dir.exists() else settings.data_dir.absolute().parent
    free = shutil.disk_usage(place).free if place.exists() else 0
    text = says("%(free)s MB free at %(place)s", free=free // 1024 // 1024, place=place)
    return good("disk", text) if free > MIN_FREE_BYTES else bad("disk", text, command=f"du -h -d 1 {place}")


def mail(settings: Settings) -> Finding:
    """Check whether e-mails can be sent."""
    if settings.development_outbox:
        text = says("SSO_DEVELOPMENT_OUTBOX is on: e-mails and SMS are not sent, and everybody can read them")
        return warning("mail", text, setting="SSO_DEVELOPMENT_OUTBOX=false")
    if "email" not in settings.channels:
        text = says("the channel email is disabled (SSO_CHANNELS)")
        return warning("mail", text, page="/admin/system/channels")
    if settings.smtp_url is None:
        rest = (
            says("SMS can be sent")
            if settings.can_send("phone")
            else says("users cannot register or recover an account by themselves")
        )
        text = says("there is no mail server (SSO_SMTP_URL): users receive no e-mails")
        return warning("mail", text, rest, command="sso setup")
    text = says("a mail server is set; to try it, send a test e-mail")
    return good("mail", text, page="/admin/setup#mail", command="sso mail test ADDRESS")


def stored_settings(mistakes: list[str]) -> Finding:
    """Check that the settings in the database can be used."""
    text = says("not used: %(mistakes)s", mistakes="; ".join(mistakes))
    return either("stored settings", False, text, page="/admin/system", command="sso settings list")
