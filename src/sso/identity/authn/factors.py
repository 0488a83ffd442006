"""What a person sets up besides a password: an authenticator app (RFC 6238), recovery codes, passkeys (WebAuthn)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, TypedDict
from urllib.parse import urlsplit

import orjson
import pyotp
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users import store
from sso.identity.users.models import Credential, User
from sso.platform.db import run_bridged
from sso.platform.security.encryption import SecretBox
from sso.platform.security.json_documents import members, read_json
from sso.platform.security.replay import first_use
from sso.platform.security.tokens import base64url
from sso.settings import Settings

TOTP_SECONDS = 30
TOTP_STEPS_AROUND = 1
RECOVERY_CODES = 10
RECOVERY_CODE_CHARS = 16
MAX_PASSKEYS = 20
MAX_NAME_CHARS = 60
CHALLENGE_SECONDS = 1800
SIGN_IN = "get"
"""The purpose of the challenges of a sign-in."""
_TOTP_PURPOSE = "totp"
_TRANSPORTS = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_totp_seed() -> str:
    """Return the seed of a new authenticator app: 160 bits, in base 32."""
    return pyotp.random_base32(32)


def totp_uri(settings: Settings, seed: str, account: str) -> str:
    """Return what the QR code holds (the Key URI Format of authenticator apps)."""
    return pyotp.TOTP(seed).provisioning_uri(name=account, issuer_name=settings.service_name)


def totp_step(seed: str, typed: str, after: int = 0) -> int | None:
    """Return the step of time whose code was typed, one step early or late at the most; None where it is none.

    Args:
        seed: the seed.
        typed: what was typed.
        after: the last step that was used: a code works once (RFC 6238 section 5.2).
    """
    digits = "".join(char for char in typed if char.isascii() and char.isdigit())
    now, totp = clock.timestamp() // TOTP_SECONDS, pyotp.TOTP(seed)
    steps = range(now - TOTP_STEPS_AROUND, now + TOTP_STEPS_AROUND + 1)
    matching = [step for step in steps if hmac.compare_digest(totp.at(step * TOTP_SECONDS), digits)]
    return next((step for step in matching if step > after), None)


def encrypt_seed(box: SecretBox, seed: str) -> str:
    """Return a seed as it is stored."""
    return base64.b64encode(box.encrypt(seed.encode(), _TOTP_PURPOSE)).decode()


async def add_totp(session: AsyncSession, box: SecretBox, user_id: uuid.UUID, seed: str, step: int) -> None:
    """Let a person use an authenticator app, in place of any other. ``step``: of the code that proved it."""
    now = clock.now()
    await store.remove_credentials(session, user_id, ["totp"])
    credential = Credential(
        user_id=user_id, kind="totp", secret=encrypt_seed(box, seed), created_at=now, updated_at=now
    )
    credential.data = {"state": str(step)}
    session.add(credential)


async def check_totp(session: AsyncSession, box: SecretBox, credential: Credential, typed: str) -> bool:
    """Tell whether a code of the authenticator app was typed that was not used before; it is used up."""
    seed = box.decrypt(base64.b64decode(credential.secret), _TOTP_PURPOSE).decode()
    last = str(credential.data.get("state", "0"))
    step = totp_step(seed, typed, int(last))
    if step is None:
        return False
    return await store.used(session, credential.id, {"state": str(step)}, clock.now(), since=last)


async def reencrypt_seeds(session: AsyncSession, box: SecretBox) -> int:
    """Seal every seed with the newest key and return how many had an older one."""
    count = 0
    async for credential in store.each_credential(session, "totp"):
        encrypted = base64.b64decode(credential.secret)
        if not box.is_current(encrypted):
            credential.secret = encrypt_seed(box, box.decrypt(encrypted, _TOTP_PURPOSE).decode())
            count += 1
    return count


async def new_recovery_codes(session: AsyncSession, user_id: uuid.UUID) -> list[str]:
    """Give a person new recovery codes in place of any others, and return them: they are not to be had again."""
    now = clock.now()
    await store.remove_credentials(session, user_id, ["recovery_code"])
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(RECOVERY_CODE_CHARS)) for _ in range(RECOVERY_CODES)]
    for code in codes:
        hashed = _recovery_hash(code)
        session.add(Credential(user_id=user_id, kind="recovery_code", secret=hashed, created_at=now, updated_at=now))
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]


async def use_recovery_code(session: AsyncSession, user_id: uuid.UUID, typed: str) -> bool:
    """Use up a recovery code; tell whether there was one."""
    code = "".join(char for char in typed.casefold() if char in _ALPHABET)
    if len(code) != RECOVERY_CODE_CHARS:
        return False
    return await store.take_credential(session, user_id, "recovery_code", _recovery_hash(code))


def _recovery_hash(code: str) -> str:
    """80 bits of chance need no slow hash."""
    return hashlib.sha256(f"recovery {code}".encode()).hexdigest()


class PasskeyRefused(Exception):
    """What the browser sent is not a passkey of ours, or not for this challenge, origin or person."""


def _named_in(answer: str) -> tuple[bytes, bytes | None]:
    """Return the id of the passkey that answered, and the id of the user that it names; None: it names none.

    Raises:
        PasskeyRefused: when the answer cannot be read.
    """
    from webauthn.helpers import base64url_to_bytes

    try:
        response = members(read_json(answer))
        external_id = base64url_to_bytes(str(response["rawId"]))
        handle = members(response["response"]).get("userHandle")
        return external_id, base64url_to_bytes(str(handle)) if handle else None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PasskeyRefused("it cannot be read") from None


class Passkeys:
    """Makes and checks passkeys (Web Authentication Level 3) for the host of the issuer.

    A challenge is made without storing anything: it says when it was made and is signed for this browser; when it is
    answered it is remembered as used.

    Args:
        settings: the issuer.
        keys: sign challenges, newest first.
    """

    def __init__(self, settings: Settings, keys: list[bytes]) -> None:
        self._origin = settings.issuer
        self._rp_id = urlsplit(settings.issuer).hostname or ""
        self._settings = settings
        self._keys = keys

    def challenge(self, browser: str, purpose: str) -> bytes:
        """Return a random challenge that is valid for one browser and one purpose, and that says when it was made."""
        head = secrets.token_bytes(16) + struct.pack(">Q", clock.timestamp())
        return head + self._mac(self._keys[0], head, browser, purpose)

    def creation_options(self, user: User, label: str, existing: list[Credential], browser: str) -> str:
        """Return the options with which a browser makes a passkey, as JSON."""
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers.structs import (
            AuthenticatorSelectionCriteria,
            PublicKeyCredentialDescriptor,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        excluded = [
            PublicKeyCredentialDescriptor(id=credential.external_id)
            for credential in existing
            if credential.external_id
        ]
        options = generate_registration_options(
            rp_id=self._rp_id,
            rp_name=self._settings.service_name,
            user_id=user.id.bytes,
            user_name=label,
            user_display_name=user.name,
            challenge=self.challenge(browser, f"create {user.id}"),
            exclude_credentials=excluded,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
        )
        return options_to_json(options)

    def request_options(self, browser: str, purpose: str = SIGN_IN, known: Iterable[Credential] = ()) -> str:
        """Return the options with which a browser asks for a passkey, as JSON.

        Args:
            browser: the random value that names the browser.
            purpose: the act that the answer is good for, and for no other; by default a sign-in.
            known: the passkeys that may answer; none: any passkey that the browser has.
        """
        allowed = [
            {"type": "public-key", "id": base64url(passkey.external_id)} for passkey in known if passkey.external_id
        ]
        challenge = base64url(self.challenge(browser, purpose))
        return orjson.dumps(
            {"challenge": challenge, "rpId": self._rp_id, "userVerification": "required", "allowCredentials": allowed}
        ).decode()

    async def add(self, session: AsyncSession, user_id: uuid.UUID, browser: str, answer: str, name: str) -> Credential:
        """Check and keep a passkey that a browser made.

        Raises:
            PasskeyRefused: when it is not right.
        """
        from webauthn import verify_registration_response

        challenge = await self._answered(session, answer, browser, f"create {user_id}")
        try:
            registration = verify_registration_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except Exception as error:  # the library has many kinds; whatever is wrong, it is not accepted
            raise PasskeyRefused(f"{type(error).__name__}: {error}") from None
        now, known = clock.now(), await store.credentials_of(session, user_id)
        if sum(passkey.kind == "passkey" for passkey in known) >= MAX_PASSKEYS:
            raise PasskeyRefused("there are too many")
        if await store.find_passkey(session, registration.credential_id) is not None:
            raise PasskeyRefused("it is known already")
        data = {
            "sign_count": registration.sign_count,
            "backed_up": registration.credential_backed_up,
            "aaguid": str(registration.aaguid),
        }
        data |= _where_it_is(answer)
        credential = Credential(
            user_id=user_id,
            kind="passkey",
            secret=base64.urlsafe_b64encode(registration.credential_public_key).decode(),
            external_id=registration.credential_id,
            name=name[:MAX_NAME_CHARS],
            data=data,
            created_at=now,
            updated_at=now,
        )
        session.add(credential)
        return credential

    async def check(
        self,
        session: AsyncSession,
        browser: str,
        answer: str,
        user_id: uuid.UUID | None = None,
        purpose: str = SIGN_IN,
    ) -> tuple[User, Credential, list[str]]:
        """Return whose passkey answered, the passkey, and the person's roles.

        Args:
            session: the transaction.
            browser: the random value that names the browser.
            answer: what the browser sent, JSON.
            user_id: who it must be, where that is known.
            purpose: the act that the challenge was made for.

        Raises:
            PasskeyRefused: when it is not right.
        """
        from webauthn import verify_authentication_response

        challenge = await self._answered(session, answer, browser, purpose)
        external_id, named = _named_in(answer)
        stored = await store.find_passkey(session, external_id)
        if stored is None or stored[0].disabled_at is not None or (user_id is not None and stored[0].id != user_id):
            raise PasskeyRefused("the passkey is unknown, or belongs to another user")
        user, credential, roles = stored
        if named is not None and named != user.id.bytes:
            raise PasskeyRefused("the passkey was created for another user")
        count = int(str(credential.data.get("sign_count", 0)))
        try:
            verified = verify_authentication_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                credential_public_key=base64.urlsafe_b64decode(credential.secret),
                credential_current_sign_count=count,
                require_user_verification=True,
            )
        except Exception as error:  # see above
            raise PasskeyRefused(f"{type(error).__name__}: {error}") from None
        await store.used(
            session, credential.id, {**credential.data, "sign_count": verified.new_sign_count}, clock.now()
        )
        return user, credential, roles

    async def _answered(self, session: AsyncSession, answer: str, browser: str, purpose: str) -> bytes:
        """Return the challenge that was answered: one of ours, for this browser, not too old, and not used before."""
        from webauthn.helpers import base64url_to_bytes

        try:
            response = members(members(read_json(answer))["response"])
            client_data = members(read_json(base64url_to_bytes(str(response["clientDataJSON"]))))
            challenge = base64url_to_bytes(str(client_data["challenge"]))
        except (KeyError, TypeError, ValueError):
            raise PasskeyRefused("it cannot be read") from None
        head, mac = challenge[:24], challenge[24:]
        if not any([hmac.compare_digest(mac, self._mac(key, head, browser, purpose)) for key in self._keys]):
            raise PasskeyRefused("the challenge is not ours")
        age = clock.timestamp() - struct.unpack(">Q", head[16:])[0]
        if not 0 <= age <= CHALLENGE_SECONDS:
            raise PasskeyRefused("the challenge is too old")
        until = clock.now() + timedelta(seconds=CHALLENGE_SECONDS)
        if not await run_bridged(session, lambda sync: first_use(sync, "passkey", challenge.hex(), until)):
            raise PasskeyRefused("the challenge was answered before")
        return challenge

    @staticmethod
    def _mac(key: bytes, head: bytes, browser: str, purpose: str) -> bytes:
        return hmac.digest(key, head + f"{browser} {purpose}".encode(), "sha256")[:16]


class _Place(TypedDict):
    transports: list[str]
    attachment: Literal["platform", "cross-platform"] | None


def _where_it_is(answer: str) -> _Place:
    """Return what the browser says of where a new passkey is (Web Authentication sections 5.1 and 5.2.1): it is told to
    applications as a type, and nothing depends on it."""
    response = members(read_json(answer))
    transports = members(response["response"]).get("transports")
    known = [transport for transport in transports if transport in _TRANSPORTS] if isinstance(transports, list) else []
    attachment = response.get("authenticatorAttachment")
    if attachment != "platform" and attachment != "cross-platform":
        attachment = None
    return {"transports": known, "attachment": attachment}
