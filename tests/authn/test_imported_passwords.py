"""Password hashes of other systems: every one that is taken does verify, costs a bounded amount, and fails in no other
way than by being wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from argon2.low_level import Type, hash_secret
from hypothesis import given, settings
from hypothesis import strategies as st
from passlib import hash as known
from tests.conftest import settings_for

from sso.identity.authn import hash_schemes, yescrypt
from sso.identity.authn.formulas import NotAFormula, read_formula
from sso.identity.authn.hash_schemes import read_hash
from sso.identity.authn.legacy_hashes import SCHEMES, NoPassword, taken_over, verify_imported
from sso.identity.authn.passwords import Passwords
from sso.identity.users.records import SchemeUnknown
from sso.platform.security.hash_costs import BOUNDS

OLD = "sandi lama 99"
FIREBASE = {
    "base64_signer_key": "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
    "base64_salt_separator": "Bw==",
    "rounds": 8,
    "mem_cost": 14,
}
"""The project of the example in Firebase's documentation of its scrypt."""
DJANGO_SCRYPT = "Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw=="
SHA512_CRYPT = "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
PUBLISHED: list[tuple[str, str, dict[str, Any]]] = [
    ("hashcat", "$P$984478476IagS59wHZvyQMArzfx58u.", {}),
    ("hashcat", "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf", {"scheme": "drupal"}),
    ("hashcat", "{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng==", {}),
    ("hashcat", "{ssha}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng==", {"scheme": "LDAP"}),
    ("hashcat", "{SSHA256}OZiz0cnQ5hgyel3Emh7NCbhBRCQ+HVBwYplQunHYnER7TLuV", {}),
    ("hashcat", "*FCF7C1B8749CF99D88E5F34271D636178FB5D130", {}),
    ("hashcat", "fcf7c1b8749cf99d88e5f34271d636178fb5d130", {"scheme": "sha1(unhex(sha1(password)))"}),
    ("hashcat", "7196759210defdc0", {"scheme": "mysql"}),
    ("hashcat", "sha1$fe76b$02d5916550edf7fc8c886f044887f4b1abf9b013", {}),
    ("hashcat", "pbkdf2_sha256$20000$H0dPx8NeajVu$GiC4k5kqbbR9qWBlsRgDywNqC2vd9kqfk7zdorEnNas=", {"scheme": "django"}),
    ("hashcat", "16780ba78d2d5f02f3202901c1b6d975", {"salt": "568", "scheme": "vbulletin"}),
    ("hashcat", "16780ba78d2d5f02f3202901c1b6d975", {"salt": "568"}),
    ("hashcat", "8d2129083ef35f4b365d5d87487e1207", {"salt": "47204", "scheme": "ipb"}),
    ("hashcat", "19e0e8d91c722e7091ca7a6a6fb0f4fa:54718031842521651757785603028777", {"scheme": "joomla"}),
    ("hashcat", ":B:56668501:0ce106caa70af57fd525aeaf80ef2898", {"scheme": "mediawiki"}),
    ("hashcat", "{PKCS5S2}NzIyNzM0NzY3NTIwNjI3MdDDis7wPxSbSzfFqDGf7u/L00kSEnupbz36XCL0m7wa", {}),
    ("hashcat", "$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6", {}),
    ("hashcat", "$5$rounds=5000$GX7BopJZJxPc/KEK$le16UF8I2Anb.rOrn22AUPWvzUETDGefUmAV8AZkGcD", {}),
    ("hashcat", "a936af92b0ae20b1ff6c3347a72e5fbe", {"scheme": "md5(md5)"}),
    ("hashcat", "A936AF92B0AE20B1FF6C3347A72E5FBE", {}),
    ("hashcat", "288496df99b33f8f75a7ce4837d1b480", {"scheme": "md5(sha1(password))"}),
    ("hashcat", "92d85978d884eb1d99a51652b1139c8279fa8663", {"scheme": "sha1(md5)"}),
    ("hashcat", "92D85978D884EB1D99A51652B1139C8279FA8663", {}),
    (
        "hashcat",
        "SCRAM-SHA-256$4096:IKfxzJ8Nq4PkLJCfgKcPmA==$iRw3qwTp18uaBnsTOEExbtgWdKeBMbSSnZvqD4sdqLQ=:"
        "hPciC1CcnBna3szR8Mf3MVc8t0W7QPbIHoMMrh4zRV0=",
        {},
    ),
    ("Hello world!", f"$6$saltstring${SHA512_CRYPT}", {}),
    ("Hello world!", f"{{CRYPT}}$6$saltstring${SHA512_CRYPT}", {}),
    ("Hello world!", f"{{crypt}}$6$saltstring${SHA512_CRYPT}", {"scheme": "ldap"}),
    ("lètmein", "md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3", {"scheme": "django"}),
    ("lètmein", "sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8", {"scheme": "django"}),
    ("lètmein", f"scrypt$16384$seasalt$8$1${DJANGO_SCRYPT}", {"scheme": "django"}),
    (
        "user1password",
        "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
        {"salt": "42xEC+ixf3L2lw==", "scheme": "firebase-scrypt", "parameters": FIREBASE},
    ),
]
"""Examples that the systems themselves, their tests, or hashcat publish."""


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def php_bcrypt(secret: bytes) -> str:
    return bcrypt.hashpw(secret[:72], bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def argon2(secret: bytes, kind: Type = Type.ID, version: int = 19) -> str:
    return hash_secret(secret, b"garamgaram123456", 1, 64, 1, 32, kind, version).decode()


def keycloak(algorithm: str, rounds: int, salt: bytes, value: bytes, **more: list[str]) -> str:
    secret = {"value": b64(value), "salt": b64(salt), "additionalParameters": {}}
    about = {"hashIterations": rounds, "algorithm": algorithm, "additionalParameters": more}
    return json.dumps(
        {"type": "password", "secretData": json.dumps(secret), "credentialData": json.dumps(about)},
        separators=(",", ":"),
    )


def aspnet(version: int, text: bytes) -> str:
    if version == 2:
        return b64(b"\0" + b"s" * 16 + hashlib.pbkdf2_hmac("sha1", text, b"s" * 16, 1000, 32))
    head = b"\1" + (2).to_bytes(4, "big") + (500).to_bytes(4, "big") + (16).to_bytes(4, "big")
    return b64(head + b"s" * 16 + hashlib.pbkdf2_hmac("sha512", text, b"s" * 16, 500, 32))


def mediawiki(text: bytes) -> str:
    return f":pbkdf2:sha512:300:64:{b64(b'garam')}:{b64(hashlib.pbkdf2_hmac('sha512', text, b'garam', 300, 64))}"


def ion_auth(salt: str, text: bytes) -> str:
    return salt + hashlib.sha1(salt.encode() + text).hexdigest()[: -len(salt)]


def symfony(text: bytes, salt: bytes) -> str:
    merged = text + b"{" + salt + b"}"
    digest = hashlib.sha512(merged).digest()
    for _ in range(1, 5000):
        digest = hashlib.sha512(digest + merged).digest()
    return b64(digest)


def auth0(algorithm: str, value: str, **more: Any) -> str:
    hash_ = {"value": value, "encoding": more.pop("encoding", "hex"), **more.pop("hash", {})}
    return json.dumps({"algorithm": algorithm, "hash": hash_, **more})


def hashes_of(password: str) -> list[tuple[str, dict[str, Any]]]:
    """Return a password in the forms of many systems, each computed here and not by the code under test."""
    text = password.encode()
    sha = lambda name, *parts: hashlib.new(name, b"".join(parts)).hexdigest()  # noqa: E731
    base384 = b64(hashlib.sha384(text).digest()).encode()
    wp = b64(hmac.new(b"wp-sha384", text, "sha384").digest()).encode()
    pbkdf2 = lambda name, rounds, size=None: hashlib.pbkdf2_hmac(name, text, b"garam", rounds, size)  # noqa: E731
    scrypt = hashlib.scrypt(text, salt=b"garam", n=1024, r=8, p=1, maxmem=2**26)
    v3 = lambda raw: raw.rstrip("=").replace("+", ".")  # noqa: E731
    return [
        (php_bcrypt(text), {"scheme": "laravel"}),
        (php_bcrypt(base384), {"scheme": "codeigniter"}),
        (php_bcrypt(base384), {"scheme": "bcrypt(base64(unhex(sha384(password))))"}),
        (php_bcrypt(base384), {}),
        (argon2(base384), {"scheme": "shield"}),
        (argon2(base384), {"scheme": "Myth Auth"}),
        (argon2(base384), {}),
        (argon2(text), {}),
        (argon2(text, Type.I), {"scheme": "moodle"}),
        (argon2(text, Type.D, 16), {}),
        (ion_auth("0123456789", text), {}),
        (ion_auth("kH3./xY9aZ", text), {}),
        (ion_auth("kH3./xY9aZ", text), {"scheme": "ion_auth"}),
        (sha("sha1", text, b"garam"), {"scheme": "ion-auth", "salt": "garam"}),
        ("$wp" + php_bcrypt(wp), {}),
        ("$wp" + php_bcrypt(wp), {"scheme": "wordpress"}),
        ("$wp" + argon2(wp), {"scheme": "wordpress"}),
        (f"scrypt:1024:8:1$garam${scrypt.hex()}", {"scheme": "werkzeug"}),
        (f"pbkdf2:sha256:1000$garam${pbkdf2('sha256', 1000).hex()}", {"scheme": "flask"}),
        (f"pbkdf2:sha512:1000$garam${pbkdf2('sha512', 1000).hex().upper()}", {}),
        (f"sha256$garam${hmac.new(b'garam', text, 'sha256').hexdigest()}", {"scheme": "werkzeug"}),
        (f"pbkdf2_sha256$1000$garam${b64(pbkdf2('sha256', 1000))}", {"scheme": "django"}),
        (f"scrypt$1024$garam$8$1${b64(scrypt)}", {}),
        ("argon2" + argon2(text), {"scheme": "django"}),
        ("bcrypt_sha256$" + php_bcrypt(sha("sha256", text).encode()).replace("$2y$", "$2b$", 1), {"scheme": "django"}),
        ("bcrypt$" + php_bcrypt(text).replace("$2y$", "$2b$", 1), {}),
        ("md5$$" + sha("md5", text), {}),
        ("U" + known.phpass.using(rounds=7).hash(sha("md5", text)), {"scheme": "drupal"}),
        (keycloak("pbkdf2-sha256", 100, b"garam", pbkdf2("sha256", 100, 64)), {}),
        (keycloak("pbkdf2-sha512", 100, b"garam", pbkdf2("sha512", 100, 64)), {"scheme": "keycloak"}),
        (keycloak("pbkdf2", 100, b"garam", pbkdf2("sha1", 100, 64)), {"scheme": "keycloak"}),
        (
            keycloak(
                "argon2", 1, b"garamgaram123456", base64.b64decode(argon2(text).rsplit("$", 1)[1] + "="),
                hashLength=["32"], memory=["64"], type=["id"], version=["1.3"], parallelism=["1"],
            ),
            {"scheme": "keycloak"},
        ),
        (aspnet(2, text), {}),
        (aspnet(3, text), {"scheme": "aspnet-identity"}),
        (
            b64(hashlib.sha1(b"garamku!" + password.encode("utf-16-le")).digest()),
            {"scheme": "aspnet-membership", "salt": b64(b"garamku!")},
        ),
        (f"{{PBKDF2-SHA512}}1000$Z2FyYW0${v3(b64(pbkdf2('sha512', 1000)))}", {"scheme": "ldap"}),
        (f"{{pbkdf2-sha512}}1000$Z2FyYW0${v3(b64(pbkdf2('sha512', 1000)))}", {}),
        (f"{{PBKDF2}}1000$Z2FyYW0${v3(b64(pbkdf2('sha1', 1000)))}", {}),
        (
            "{PBKDF2_SHA256}"
            + b64((1000).to_bytes(4, "big") + b"g" * 64 + hashlib.pbkdf2_hmac("sha256", text, b"g" * 64, 1000, 256)),
            {},
        ),
        ("{ARGON2}" + argon2(text), {}),
        ("{argon2}" + argon2(text), {"scheme": "ldap"}),
        ("{bcrypt}" + php_bcrypt(text), {}),
        ("{BLF-CRYPT}" + php_bcrypt(text), {}),
        ("{SHA}" + b64(hashlib.sha1(text).digest()), {}),
        ("{sha512}" + b64(hashlib.sha512(text).digest()), {}),
        ("{SMD5}" + b64(hashlib.md5(text + b"garam").digest() + b"garam"), {}),
        ("{SSHA.HEX}" + (hashlib.sha1(text + b"garam").digest() + b"garam").hex(), {}),
        ("{MD5}" + sha("md5", text), {}),
        (f"$pbkdf2-sha256$i=1000,l=32$Z2FyYW0${b64(pbkdf2('sha256', 1000)).rstrip('=')}", {}),
        (f"$scrypt$ln=10,r=8,p=1$Z2FyYW0${b64(scrypt).rstrip('=')}", {}),
        (mediawiki(text), {"scheme": "mediawiki"}),
        (":A:" + sha("md5", text), {}),
        (f"{sha('sha256', text, b'garam')}:garam", {"scheme": "joomla"}),
        (f"{sha('sha256', b'garam', text)}:garam:1", {}),
        ("{SHA256}" + f"{sha('sha256', text, b'garam')}:garam", {}),
        (symfony(text, b"garam"), {"scheme": "symfony", "salt": "garam"}),
        ("md5" + sha("md5", text, b"budi"), {"scheme": "postgresql", "salt": "budi"}),
        (sha("md5", b"lada", text, b"garam"), {"scheme": "md5('lada'.password.salt)", "salt": "garam"}),
        (sha("sha1", b"garam", sha("sha1", text).encode()), {"salt": "garam"}),
        (sha("sha384", text), {}),
        (auth0("bcrypt", php_bcrypt(text), encoding="utf8"), {"scheme": "auth0"}),
        (auth0("sha256", sha("sha256", b"garam", text), salt={"value": "garam", "position": "prefix"}), {}),
        (
            auth0("md5", b64(hashlib.md5(text + b"garam").digest()), encoding="base64",
                  salt={"value": b"garam".hex(), "encoding": "hex", "position": "suffix"}),
            {},
        ),
        (
            auth0("hmac", hmac.new(b"kunci", text, "sha256").hexdigest(),
                  hash={"digest": "sha256", "key": {"value": "kunci", "encoding": "utf8"}}),
            {},
        ),
        (
            auth0("scrypt", b64(scrypt), encoding="base64", salt={"value": "garam"}, cost=1024, blockSize=8,
                  parallelization=1, keylen=64),
            {},
        ),
        (known.apr_md5_crypt.hash(password), {}),
        (known.bcrypt_sha256.using(rounds=4).hash(password), {}),
        (known.sha1_crypt.using(rounds=100).hash(password), {}),
        (known.bsdi_crypt.using(rounds=101).hash(password), {}),
        (known.md5_crypt.hash(password), {"scheme": "crypt"}),
    ]  # fmt: skip


def test_published_examples_verify() -> None:
    for password, text, options in PUBLISHED:
        imported = taken_over(text, **options)
        assert verify_imported([password], imported), text
        assert not verify_imported(["x" + password], imported), text
        assert not verify_imported([""], imported), text


@pytest.mark.parametrize("password", [OLD, "kata–sandi ñandú 密码", "p" * 71 + "é", "'kutip' & \"<b>\" \\"])
def test_every_form_of_a_password_verifies(password: str) -> None:
    for text, options in hashes_of(password):
        imported = taken_over(text, **options)
        assert verify_imported([password], imported), (text, options)
        assert not verify_imported([password[1:]], imported), (text, options)


def test_long_passwords_verify_as_the_origin_did() -> None:
    long = "kata sandi yang sangat panjang " * 4
    assert verify_imported([long], taken_over(php_bcrypt(long.encode()[:72])))
    assert verify_imported([long], taken_over(php_bcrypt(b64(hashlib.sha512(long.encode()).digest()).encode())))
    ci4 = php_bcrypt(b64(hashlib.sha384(long.encode()).digest()).encode())
    assert verify_imported([long], taken_over(ci4, scheme="codeigniter"))
    assert not verify_imported([long[:72]], taken_over(ci4, scheme="codeigniter"))
    accents = "é" * 60
    assert verify_imported([accents], taken_over(php_bcrypt(accents.encode()[:72])))


def test_a_named_scheme_is_the_only_one_that_is_tried() -> None:
    ci4 = php_bcrypt(b64(hashlib.sha384(OLD.encode()).digest()).encode())
    assert not verify_imported([OLD], taken_over(ci4, scheme="bcrypt"))
    twice = hashlib.md5(hashlib.md5(OLD.encode()).hexdigest().encode()).hexdigest()
    once = hashlib.md5(OLD.encode()).hexdigest()
    assert not verify_imported([once], taken_over(twice, scheme="md5(md5)"))
    assert not verify_imported([OLD], taken_over(twice, scheme="md5"))


def test_what_a_form_did_to_the_typed_text_is_done_again() -> None:
    typed = 'O\'Neil & "satu"'
    wordpress = known.phpass.using(rounds=7).hash('O\\\'Neil & \\"satu\\"')
    assert verify_imported([typed], taken_over(wordpress))
    assert verify_imported([" abc "], taken_over(known.phpass.using(rounds=7).hash("abc")))
    phpbb = "O'Neil &amp; &quot;satu&quot;"
    assert verify_imported([typed], taken_over(known.phpass.using(rounds=7, ident="H").hash(phpbb)))
    assert verify_imported([typed], taken_over(php_bcrypt(phpbb.encode()), scheme="phpbb"))


def test_yescrypt_verifies_where_the_host_can_and_is_refused_with_the_reason_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if yescrypt.available():
        text = yescrypt._compute(OLD.encode(), "$y$j75$abcdefghijklmnop")
        for given_ in (text, "{CRYPT}" + text, "{crypt}" + text):
            assert verify_imported([OLD], taken_over(given_, scheme="crypt"))
            assert not verify_imported(["x"], taken_over(given_))
    monkeypatch.setattr(yescrypt, "available", lambda: False)
    with pytest.raises(ValueError, match="libxcrypt"):
        taken_over("$y$j9T$abcdefghijklmnop$" + "a" * 43)


MARKS = [
    "", " ", "!", "!!", "*", "x", "!*", "!$6$saltstring$" + SHA512_CRYPT, "!" + "a1B2" * 10, "{SASL}budi@kota.example",
    "{sasl}budi", "{CRYPT}!", "{crypt}*", "{CRYPT}!$6$x$y", "{CRYPT}x", "*LK*", "NP", "not cached", "restored", "\\N",
    "NULL", "-", "{KERBEROS}budi@KOTA.EXAMPLE", "*0",
]  # fmt: skip


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_of_an_account_without_password_is_told_from_a_broken_hash(mark: str) -> None:
    with pytest.raises(NoPassword):
        taken_over(mark)


def test_an_unknown_scheme_is_refused_with_the_nearest_name() -> None:
    for scheme, near in (("bcryp", "bcrypt"), ("djnago", "django"), ("codeignitor", "codeigniter"), ("mdd5", "md5")):
        with pytest.raises(SchemeUnknown, match=f"the nearest is {near}.*known: "):
            taken_over("0" * 32, scheme=scheme)
    for scheme in (
        "md5(",
        "md5()",
        "md5(password",
        "password",
        "salt",
        "md5(salt)",
        "md5(foo)",
        "md5(password))",
        "zz",
    ):
        with pytest.raises(ValueError):
            taken_over("0" * 32, salt="x", scheme=scheme)
    with pytest.raises(NotAFormula):
        read_formula("md5(" * 20 + "password" + ")" * 20)
    with pytest.raises(ValueError, match="password_salt"):
        taken_over("0" * 32, scheme="md5(salt.password)")
    with pytest.raises(ValueError, match="base64_signer_key"):
        taken_over("AAAA", salt="AAAA", scheme="firebase-scrypt")
    for scheme in SCHEMES:
        with pytest.raises(ValueError):
            taken_over("this is no hash", salt="garam", scheme=scheme)


B64 = b64(b"g" * 32).rstrip("=")
COSTLY: dict[str, dict[str, str]] = {
    "argon2": {
        "memory_kib": f"$argon2id$v=19$m={{}},t=1,p=1${B64}${B64}",
        "passes": f"$argon2i$v=19$m=64,t={{}},p=1${B64}${B64}",
        "lanes": f"{{{{ARGON2}}}}$argon2id$v=19$m=1024,t=1,p={{}}${B64}${B64}",
    },
    "bcrypt": {"log_rounds": "$2y${}$cKbFxK..247tYeC7rOs.Xeu.Qsi8izcEZSc6qCiB9GntC096zA7JW"},
    "bcrypt_sha256": {"log_rounds": "bcrypt_sha256$$2b${}$cKbFxK..247tYeC7rOs.Xeu.Qsi8izcEZSc6qCiB9GntC096zA7JW"},
    "bcrypt_sha256_passlib": {
        "log_rounds": "$bcrypt-sha256$v=2,t=2b,r={}$cKbFxK..247tYeC7rOs.Xe$u.Qsi8izcEZSc6qCiB9GntC096zA7Jm"
    },
    "phpass": {"log_rounds": "$P${:phpass}84478476IagS59wHZvyQMArzfx58u."},
    "drupal": {"log_rounds": "$S${:phpass}33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf"},
    "sha256_crypt": {"rounds": "$5$rounds={}$GX7BopJZJxPc/KEK$le16UF8I2Anb.rOrn22AUPWvzUETDGefUmAV8AZkGcD"},
    "sha512_crypt": {"rounds": f"{{{{crypt}}}}$6$rounds={{}}$saltstring${SHA512_CRYPT}"},
    "sha1_crypt": {"rounds": "$sha1${}$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq"},
    "bsdi_crypt": {"rounds": "_{:bsdi}K0.MNyUTgPqOX4o"},
    "pbkdf2": {"work": "pbkdf2_sha256${}$garam$" + b64(b"k" * 32)},
    "scram": {"work": f"SCRAM-SHA-256${{}}:{b64(b'garam')}${b64(b'k' * 32)}:{b64(b's' * 32)}"},
    "scrypt": {"memory_kib": f"scrypt:{{:n}}:8:1$garam${'00' * 64}"},
    "yescrypt": {"memory_kib": "$y$j{:yescrypt}T$abcdefghijklmnop$" + "a" * 43},
}
"""A hash of each scheme whose cost can be chosen."""
ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def costing(template: str, value: int) -> str:
    """Return a hash with one of its costs at ``value``."""
    if "{:n}" in template:
        return template.replace("{:n}", str(1 << (value // 1024).bit_length() + 9 if value > 2 << 17 else 1 << 17))
    if "{:yescrypt}" in template:
        return template.replace("{:yescrypt}", ITOA64[(value * 1024 // 128 // 32).bit_length() - 1 - 1 + (value % 2)])
    if "{:phpass}" in template:
        return template.replace("{:phpass}", ITOA64[value])
    if "{:bsdi}" in template:
        return template.replace("{:bsdi}", "".join(ITOA64[value >> shift & 63] for shift in (0, 6, 12, 18)))
    return template.replace("{}", f"{value:02}").replace("{{", "{").replace("}}", "}")


def test_every_scheme_has_bounds_and_keeps_them() -> None:
    assert {name for name, bounds in BOUNDS.items() if bounds} - set(COSTLY) == {
        "firebase_scrypt",
        "symfony",
        "formula",
    }
    for scheme, costs in COSTLY.items():
        for name, template in costs.items():
            maximum = BOUNDS[scheme][name]
            if scheme == "scrypt":
                maximum, over = 131072 + 1024, 4 * 131072
            else:
                over = maximum + 1
            if scheme == "yescrypt" and not yescrypt.available():
                continue
            at_most = read_hash(costing(template, maximum))
            assert at_most.scheme == scheme, template
            assert at_most.costs[name] <= BOUNDS[scheme][name]
            costly = costing(template, over)
            for text in (costly, costing(template, 99) if scheme == "bcrypt" else costly):
                with pytest.raises(ValueError):
                    taken_over(text)
                started = time.process_time()
                assert verify_imported([OLD], text) is False
                assert verify_imported([OLD], f"$imported{text}") is False
                assert time.process_time() - started < 0.05, text


def test_every_hash_that_is_read_names_only_costs_that_have_bounds() -> None:
    seen = set()
    for password, text, options in [*PUBLISHED, *((OLD, text, options) for text, options in hashes_of(OLD))]:
        read = read_hash(taken_over(text, **options))
        assert set(read.costs) <= set(BOUNDS[read.scheme]), password
        seen.add(read.scheme)
    assert set(BOUNDS) - seen <= {"des_crypt", "yescrypt"}


async def test_a_hash_that_is_stored_above_a_bound_fails_without_being_computed(tmp_path: Path) -> None:
    passwords = Passwords(settings_for("sqlite://", tmp_path))
    await passwords.verify(OLD, None)
    for text in (
        f"$argon2id$v=19$m=4194304,t=64,p=1${B64}${B64}",
        f"$argon2id$v=19$m=8192,t=4294967295,p=1${B64}${B64}",
        "$argon2id$v=19$broken",
        "$argon2id$",
        f"$argon2id$v=19$m=8192,t=1,p=1${B64}$***",
        "$2b$31$cKbFxK..247tYeC7rOs.Xeu.Qsi8izcEZSc6qCiB9GntC096zA7JW",
        f"pbkdf2:sha256:999999999$garam${'0' * 64}",
        "\x00", "", "$", "*", "!", "é",
    ):  # fmt: skip
        started = time.process_time()
        assert await passwords.verify(OLD, text) == (False, None)
        assert time.process_time() - started < 1
    passwords = Passwords(settings_for("sqlite://", tmp_path, argon2_iterations=65))
    assert await passwords.verify(OLD, await passwords.hash(OLD)) == (True, None)


SAMPLES = [(text, options) for text, options in hashes_of(OLD)] + [(text, options) for _, text, options in PUBLISHED]
QUICK_FIREBASE = {"salt": "42xEC+ixf3L2lw==", "scheme": "firebase-scrypt", "parameters": {**FIREBASE, "mem_cost": 4}}
MAX_COSTS = 10_000
"""What a broken hash may cost to be verified too: there is a hash of every scheme below it."""
BREAKABLE = [*SAMPLES, (b64(b"k" * 64), QUICK_FIREBASE)]


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(BREAKABLE) - 1), st.integers(0, 400), st.integers(0, 3), st.text(max_size=3), st.booleans())
def test_what_is_taken_is_verified_without_failing(which: int, at: int, cut: int, put: str, named: bool) -> None:
    text, options = BREAKABLE[which]
    at %= len(text) + 1
    broken = text[:at] + put + text[at + cut :]
    try:
        imported = taken_over(broken, **(options if named else {**options, "scheme": ""}))
    except ValueError:
        return
    read = read_hash(imported)
    assert all(value <= BOUNDS[read.scheme][name] for name, value in read.costs.items())
    if sum(read.costs.values()) < MAX_COSTS and read.costs.get("log_rounds", 0) < 12:
        assert verify_imported([OLD, "é\x00"], imported) in (True, False)


@given(st.text(max_size=120))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_verifying_fail(text: str) -> None:
    assert verify_imported([OLD, "\ud800"], text) in (True, False)
    with suppress(ValueError):
        taken_over(text, salt=text[:10], scheme=text[:20])


def test_truncated_and_broken_hashes_are_refused() -> None:
    for text in (
        "$2y$10$short",
        "{SSHA}AAAA",
        "{SSHA}####",
        "{SHA}" + b64(b"x" * 21),
        "{PBKDF2-SHA256}1000$Z2FyYW0",
        "pbkdf2_sha256$0$garam$" + b64(b"k" * 32),
        "pbkdf2_sha256$1000$garam$A===",
        "scrypt:1000:8:1$garam$" + "00" * 64,
        "scrypt:32768:0:1$garam$" + "00" * 64,
        "scrypt:32768:8:99999$garam$" + "00" * 64,
        f"$argon2id$v=19$m=1,t=1,p=1${B64}${B64}",
        "$argon2id$v=19$m=64,t=1,p=1$AA$AA",
        "$6$saltstring$short",
        "a" * 32 + "\x00",
        "a" * 31,
        "AQAAAAIAAYag" + "A" * 60,
        "$only$2y$10$x",
        "$formula$bWQ1$$" + "0" * 32,
        '{"algorithm": "pbkdf2-sha256"}',
        '{"secretData": "{", "credentialData": "{}"}',
        "md5" + "0" * 32,
        "rahasia",
        "Rahasia123!",
    ):
        with pytest.raises(ValueError) as refused:
            assert taken_over(text) == "", text
        assert not isinstance(refused.value, NoPassword), text


def test_spring_security_and_nextcloud_verify() -> None:
    """As the encoders of Spring Security 5.8 and 6 and Nextcloud's Hasher write them."""
    text, salt = OLD.encode(), b"0123456789abcdef"
    argon2 = hash_secret(text, salt, 2, 1024, 1, 32, Type.ID).decode()
    scrypt = hashlib.scrypt(text, salt=salt, n=1024, r=8, p=1, dklen=32)
    for stored in (
        f"{{argon2@SpringSecurity_v5_8}}{argon2}",
        "{pbkdf2@SpringSecurity_v5_8}" + (salt + hashlib.pbkdf2_hmac("sha256", text, salt, 310_000, 32)).hex(),
        "{pbkdf2}" + (salt[:8] + hashlib.pbkdf2_hmac("sha1", text, salt[:8], 185_000, 32)).hex(),
        f"{{scrypt@SpringSecurity_v5_8}}$a0801${b64(salt)}${b64(scrypt)}",
        "{SHA-256}{c2FsdA==}" + hashlib.sha256(text + b"{c2FsdA==}").hexdigest(),
        f"3|{argon2}",
    ):
        imported = taken_over(stored)
        assert (verify_imported([OLD], imported), verify_imported([OLD + "x"], imported)) == (True, False), stored
    for stored in (
        "{noop}sandi",
        "{pbkdf2@SpringSecurity_v5_8}00ff",
        "{scrypt}$ff0801$c2FsdA==$c2FsdHNhbHRzYWx0",
        "3|x",
    ):
        with pytest.raises(ValueError, match=r"no kind|costs|impossible"):
            taken_over(stored)


def test_the_forms_do_not_overlap() -> None:
    """A hash that two forms recognise would be verified by whichever stands first."""
    for text, options in SAMPLES:
        imported = taken_over(text, **options)
        forms = [form for form in hash_schemes._FORMS if form.pattern.fullmatch(imported)]
        assert len(forms) == 1 or {form.read.__name__ for form in forms} == {"_bare_digest", "_ion_auth"}, imported
