"""The rules for new passwords, stolen passwords, and the hashes of other systems (NIST SP 800-63B-4 section
3.1.1.2)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from passlib import hash as known
from tests.demands import demand

from sso.identity.authn.breached import is_breached
from sso.identity.authn.legacy_hashes import taken_over
from sso.identity.authn.passwords import Passwords, WeakPassword, check_strength, common_words, strength
from sso.settings import Settings

GOOD = "kuda-laut-terbang-91"
OLD = "sandi lama 99"


def settings(**overrides: Any) -> Settings:
    values: dict[str, Any] = {"argon2_memory": "8MiB", "argon2_iterations": 1, **overrides}
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


@demand("SP 800-63B 3.1.1.2", "short, common and contextual passwords are refused; long ones and spaces are not")
@pytest.mark.parametrize(
    ("password", "second_factor", "code"),
    [
        (GOOD, False, ""),
        ("kuda laut terbang", False, ""),
        ("kuda-laut-91", False, "short"),
        ("kuda-laut-91", True, ""),
        ("kuda-91", True, "short"),
        ("１２３４５６７", True, "short"),
        ("x" * 257, False, "long"),
        ("kuda-laut\x00terbang-91", False, "long"),
        ("passwordpassword", False, "common"),
        ("indonesiaindonesia", False, "common"),
        ("bismillahbismillah", False, "common"),
        ("aaaaaaaaaaaaaaaaaa", False, "common"),
        ("sitirahmawati1990", False, "common"),
        ("siti@warga.example1", False, "common"),
        ("TangerangSatu2026", False, "common"),
        ("ini kata sandi dengan spasi di tengahnya", False, ""),
    ],
)
def test_what_is_refused(password: str, second_factor: bool, code: str) -> None:
    about = ["Siti Rahmawati", "siti@warga.example"]
    if not code:
        check_strength(settings(), password, about, second_factor=second_factor)
        return
    with pytest.raises(WeakPassword) as refused:
        check_strength(settings(), password, about, second_factor=second_factor)
    assert refused.value.code == code


@demand("SP 800-63B 3.1.1.2", "there are no rules of composition")
def test_there_are_no_rules_of_composition() -> None:
    check_strength(settings(), "perahu kertas di sungai", [])


def test_the_lengths_are_the_citys_to_choose() -> None:
    check_strength(settings(password_min_length=10), "kuda-lau7!x", [])


def test_how_strong_it_is_while_it_is_typed() -> None:
    assert strength(settings(), "kuda", []).missing == 11
    assert strength(settings(), GOOD, []).missing == 0
    assert strength(settings(), GOOD, []).score == 4
    assert strength(settings(), "", []).score == 0
    assert strength(settings(), "siti rahmawati", ["Siti Rahmawati"]).score == 0


def test_indonesian_words_are_guessed_first() -> None:
    assert {"sayang", "merdeka", "bismillah", "tangerang"} <= set(common_words())
    assert strength(settings(), "merdeka", []).score == 0


@pytest.mark.parametrize("form", ["file", "range", "range.txt"])
def test_stolen_passwords_are_refused(tmp_path: Path, form: str) -> None:
    stolen = [GOOD, "perahu-kertas-88", *(f"curian-{n}" for n in range(500))]
    digests = sorted(hashlib.sha1(password.encode()).hexdigest().upper() for password in stolen)
    if form == "file":
        path = tmp_path / "pwned.txt"
        path.write_text("\n".join(f"{digest}:{number}" for number, digest in enumerate(digests, 1)))
    else:
        path = tmp_path / "ranges"
        path.mkdir()
        for digest in digests:
            with (path / (digest[:5] + form.removeprefix("range"))).open("a") as file:
                file.write(f"{digest[5:]}:3\r\n")
    for password in stolen:
        assert is_breached(path, password), password
    for other in ("kuda-laut-terbang-92", "", "zzz", "curian-501"):
        assert not is_breached(path, other), other
    with pytest.raises(WeakPassword) as refused:
        check_strength(settings(breached_passwords=path), GOOD, [])
    assert refused.value.code == "breached"


def hashes() -> dict[str, tuple[str, dict[str, str]]]:
    """Return the password in each form in which other systems keep it."""
    text = OLD.encode()
    pbkdf2 = hashlib.pbkdf2_hmac("sha256", text, b"garam", 1000).hex()
    return {
        "bcrypt 2y": (known.bcrypt.using(rounds=4).hash(OLD).replace("$2b$", "$2y$"), {}),
        "bcrypt 2a": (known.bcrypt.using(rounds=4, ident="2a").hash(OLD), {}),
        "md5": (hashlib.md5(text).hexdigest(), {}),
        "sha1": (hashlib.sha1(text).hexdigest(), {}),
        "sha256": (hashlib.sha256(text).hexdigest(), {}),
        "salt.md5": (hashlib.md5(b"garam" + text).hexdigest(), {"salt": "garam"}),
        "md5.salt": (hashlib.md5(text + b"garam").hexdigest().upper(), {"salt": "garam", "scheme": "password.salt"}),
        "salt.sha1": (hashlib.sha1(b"garam" + text).hexdigest(), {"salt": "garam", "scheme": "salt.password"}),
        "phpass": (known.phpass.using(rounds=7).hash(OLD), {}),
        "md5-crypt": (known.md5_crypt.hash(OLD), {}),
        "sha512-crypt": (known.sha512_crypt.using(rounds=1000).hash(OLD), {}),
        "des-crypt": (known.des_crypt.hash(OLD), {}),
        "pbkdf2": (known.pbkdf2_sha256.using(rounds=100).hash(OLD), {}),
        "werkzeug": (f"pbkdf2:sha256:1000$garam${pbkdf2}", {}),
        "django": (known.django_pbkdf2_sha256.using(rounds=100).hash(OLD), {}),
        "django sha1": (known.django_salted_sha1.hash(OLD), {}),
        "django bcrypt": (known.django_bcrypt_sha256.using(rounds=4).hash(OLD), {}),
        "ldap ssha": (known.ldap_salted_sha1.hash(OLD), {}),
        "ldap md5": (known.ldap_md5.hash(OLD), {}),
        "mysql": (known.mysql41.hash(OLD), {}),
        "argon2": (known.argon2.using(rounds=1, memory_cost=1024).hash(OLD), {}),
    }


@pytest.mark.parametrize("kind", list(hashes()))
async def test_a_hash_of_another_system_is_verified_and_replaced(kind: str) -> None:
    text, options = hashes()[kind]
    passwords, imported = Passwords(settings()), taken_over(text, **options)
    right, stronger = await passwords.verify(OLD, imported)
    assert right
    assert stronger is not None
    assert stronger.startswith("$argon2id$")
    assert await passwords.verify(OLD, stronger) == (True, None)
    assert (await passwords.verify("x" + OLD, imported))[0] is False
    assert (await passwords.verify("", imported))[0] is False


async def test_bcrypt_counts_72_bytes_as_it_did_there() -> None:
    imported = taken_over(known.bcrypt.using(rounds=4).hash("a" * 72))
    assert (await Passwords(settings()).verify("a" * 100, imported))[0] is True


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("plain text", {}),
        ("$2b$31$cKbFxK..247tYeC7rOs.XeZ/Qsi8izcEZSc6qCiB9GntC096zA7JW", {}),
        ("pbkdf2:sha256:99999999$garam$" + "0" * 64, {}),
        ("0" * 33, {"salt": "x"}),
        ("0" * 32, {"salt": "x", "scheme": "both"}),
        ("$argon2id$broken", {}),
        ("{CRYPT}!", {}),
    ],
)
def test_what_cannot_be_verified_or_costs_too_much_is_refused(text: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        taken_over(text, **options)


async def test_an_unknown_user_costs_a_check_with_the_costs_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords, checked = Passwords(settings(argon2_iterations=2)), []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, hashed: str, password: bytes) -> bool:
        checked.append(extract_parameters(hashed))
        return verify(hasher, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    assert await passwords.verify(GOOD, None) == (False, None)
    assert checked == [extract_parameters(await passwords.hash(GOOD))]
    assert checked[0].time_cost == 2
