"""Files as other systems export them, with the same people in each: one with a password, one disabled, one with rights,
one whose password nobody can type."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from passlib import hash as known

OLD = "sandi lama ñ 99"
FIREBASE = {
    "base64_signer_key": base64.b64encode(bytes(range(64))).decode(),
    "base64_salt_separator": "Bw==",
    "rounds": 8,
    "mem_cost": 10,
}
SALT = b"garamgaram"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def php(secret: bytes = OLD.encode()) -> str:
    return bcrypt.hashpw(secret, bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def keycloak(path: Path) -> Path:
    value = hashlib.pbkdf2_hmac("sha512", OLD.encode(), SALT, 1000, 64)
    credential = {
        "id": "c1",
        "type": "password",
        "createdDate": 1700000000000,
        "secretData": json.dumps({"value": b64(value), "salt": b64(SALT), "additionalParameters": {}}),
        "credentialData": json.dumps(
            {"hashIterations": 1000, "algorithm": "pbkdf2-sha512", "additionalParameters": {}}
        ),
    }
    user: dict[str, Any] = {
        "createdTimestamp": 1700000000000, "totp": False, "disableableCredentialTypes": [], "notBefore": 0,
        "requiredActions": [], "realmRoles": ["default-roles-kota", "offline_access"],
    }  # fmt: skip
    users = [
        {**user, "id": "k-1", "username": "kc.ani", "firstName": "Ani", "lastName": "Wijaya", "enabled": True,
         "email": "kc.ani@warga.example", "emailVerified": True, "credentials": [credential, {"type": "otp"}],
         "attributes": {"phoneNumber": ["0812 1111 0001"], "locale": ["id"], "unit": ["x"]}},
        {**user, "id": "k-2", "username": "kc.budi", "enabled": False, "email": "kc.budi@warga.example",
         "credentials": [credential]},
        {**user, "id": "k-3", "username": "kc.citra", "enabled": True, "emailVerified": False, "groups": ["/admin"],
         "email": "kc.citra@warga.example", "realmRoles": ["admin"], "credentials": [credential],
         "clientRoles": {"realm-management": ["realm-admin"]}},
        {**user, "id": "k-4", "username": "kc.dewi", "enabled": True, "credentials": []},
        {**user, "id": "k-5", "username": "service-account-x", "enabled": True, "serviceAccountClientId": "x"},
    ]  # fmt: skip
    realm = {
        "id": "r", "realm": "kota", "notBefore": 0, "displayName": 'Kota "Satu" {[\\',
        "roles": {"realm": [{"name": "admin", "attributes": {"users": ["]"]}}], "client": {}},
        "groups": [{"name": "admin", "path": "/admin", "realmRoles": ["admin"]}],
        "users": users,
        "clients": [], "components": {"x": [{"config": {}}]}, "keycloakVersion": "26.4.2",
    }  # fmt: skip
    path.write_text(json.dumps(realm, indent=2))
    return path


def auth0(path: Path) -> Path:
    bcrypted = bcrypt.hashpw(OLD.encode(), bcrypt.gensalt(4)).decode()
    users: list[dict[str, Any]] = [
        {"_id": {"$oid": "60425dc43519d90068f82973"}, "email_verified": True, "email": "a0.ani@warga.example",
         "passwordHash": bcrypted, "tenant": "kota", "connection": "Username-Password-Authentication",
         "username": "a0ani", "_tmp_is_unique": True},
        {"user_id": "auth0|2", "email": "a0.budi@warga.example", "email_verified": False, "blocked": True},
        {"user_id": "auth0|3", "email": "a0.citra@warga.example", "name": "a0.citra@warga.example",
         "given_name": "Citra", "family_name": "Lestari", "app_metadata": {"roles": ["admin"]},
         "custom_password_hash": {"algorithm": "pbkdf2", "hash": {"encoding": "utf8",
                                  "value": known.pbkdf2_sha256.using(rounds=9).hash(OLD)}}},
        {"user_id": "google-oauth2|4", "email": "a0.dewi@warga.example", "email_verified": True, "name": "Dewi",
         "identities": [{"provider": "google-oauth2", "connection": "google-oauth2", "isSocial": True}]},
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps(user) for user in users) + "\n")
    return path


def auth0_array(path: Path) -> Path:
    users = [json.loads(line) for line in auth0(path).read_text().splitlines()]
    path.write_text(json.dumps(users, indent=1))
    return path


def firebase_hash(password: str) -> str:
    key = hashlib.scrypt(password.encode(), salt=SALT + b"\x07", n=1024, r=8, p=1, dklen=32, maxmem=2**26)
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return b64(encryptor.update(bytes(range(64))))


def firebase_people() -> list[dict[str, Any]]:
    common = {"passwordHash": firebase_hash(OLD), "salt": b64(SALT), "createdAt": "1700000000000"}
    return [
        {"localId": "f1", "email": "fb.ani@warga.example", "emailVerified": True, "displayName": "Ani W",
         "phoneNumber": "+6281211110002", "providerUserInfo": [{"providerId": "password"}], **common},
        {"localId": "f2", "email": "fb.budi@warga.example", "emailVerified": False, "disabled": True, **common},
        {"localId": "f3", "email": "fb.citra@warga.example", "emailVerified": False, "displayName": "Citra, Lestari",
         "customAttributes": '{"admin":true}', "providerUserInfo": [{"providerId": "google.com"}], **common},
        {"localId": "f4", "phoneNumber": "+6281211110003", "createdAt": "1"},
    ]  # fmt: skip


def firebase(path: Path) -> Path:
    path.write_text(json.dumps({"users": firebase_people()}))
    return path


def firebase_csv(path: Path) -> Path:
    lines = []
    for person in firebase_people():
        cells = [""] * 28
        names = ("localId", "email", "emailVerified", "passwordHash", "salt", "displayName", "photoUrl")
        for at, name in enumerate(names):
            value = person.get(name, "")
            cells[at] = str(value).lower() if isinstance(value, bool) else str(value)
        cells[5] = f'"{cells[5]}"' if "," in cells[5] else cells[5]
        cells[7] = "g1" if any(p["providerId"] == "google.com" for p in person.get("providerUserInfo", [])) else ""
        cells[25], cells[26] = person.get("phoneNumber", ""), "true" if person.get("disabled") else "false"
        if "customAttributes" in person:
            cells[27] = '"' + person["customAttributes"].replace('"', '""') + '"'
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def django(path: Path) -> Path:
    hashed = known.django_pbkdf2_sha256.using(rounds=100).hash(OLD)
    fields: dict[str, Any] = {
        "last_login": None, "is_superuser": False, "first_name": "", "last_name": "", "is_staff": False,
        "is_active": True, "date_joined": "2024-01-01T00:00:00Z", "groups": [], "user_permissions": [],
    }  # fmt: skip
    dump = [
        {"model": "contenttypes.contenttype", "pk": 1, "fields": {"app_label": "auth", "model": "user"}},
        {"model": "auth.group", "pk": 7, "fields": {"name": "Pengelola", "permissions": []}},
        {"model": "auth.user", "pk": 1, "fields": {**fields, "username": "dj.ani", "email": "dj.ani@warga.example",
         "first_name": "Ani", "last_name": "Wijaya", "password": hashed}},
        {"model": "auth.user", "pk": 2, "fields": {**fields, "username": "dj.budi", "is_active": False,
         "password": hashed}},
        {"model": "auth.user", "pk": 3, "fields": {**fields, "username": "dj.citra", "is_superuser": True,
         "groups": [7], "password": hashed, "email": ""}},
        {"model": "warga.akun", "pk": "0b1f", "fields": {"last_login": None, "password": "!" + "a1B2" * 10,
         "email": "dj.dewi@warga.example", "full_name": "Dewi", "is_active": True, "jabatan": "staf"}},
    ]  # fmt: skip
    path.write_text(json.dumps(dump))
    return path


def django_lines(path: Path) -> Path:
    path.write_text("\n".join(json.dumps(entry) for entry in json.loads(django(path).read_text())))
    return path


def ldif(path: Path) -> Path:
    hashed = known.ldap_salted_sha1.hash(OLD).replace("{SSHA}", "{ssha}")
    lines = [
        "version: 1", "# a comment", "  that goes on", "dn: dc=kota,dc=example",
        "objectClass: organization", "o: Kota", "",
        "dn: uid=ld.ani,ou=people,dc=kota,dc=example", "objectClass: inetOrgPerson", "uid: ld.ani",
        "cn:: " + b64("Añi Wijaya".encode()), "sn: Wijaya", "mail: ld.ani@warga.ex", " ample",
        "mail: ani2@warga.example", "mobile: +62 812 1111 0004", "userPassword:: " + b64(hashed.encode()),
        "jpegPhoto:: " + b64(b"\xff\xd8" * 30), " " + b64(b"\xff\xd8" * 30), "memberOf: cn=admins,dc=kota,dc=example",
        "entryUUID: 11111111-2222-3333-4444-555555555555", "description:< file:///etc/passwd", "",
        "dn: uid=ld.budi,ou=people,dc=kota,dc=example", "objectClass: inetOrgPerson", "uid: ld.budi", "cn: Budi",
        "nsAccountLock: TRUE", "userPassword: " + hashed, "",
        "dn: uid=ld.citra,ou=people,dc=kota,dc=example", "objectClass: person", "objectClass: posixAccount",
        "uid: ld.citra", "cn: Citra", "userPassword: {CRYPT}" + known.sha512_crypt.using(rounds=1000).hash(OLD), "",
        "dn: uid=ld.dewi,ou=people,dc=kota,dc=example", "objectClass: person", "uid: ld.dewi", "cn: Dewi",
        "userPassword: {SASL}dewi@KOTA", "",
        "dn: uid=ld.eka,ou=people,dc=kota,dc=example", "changetype: delete", "",
        "dn: uid=ld.fajar,ou=people,dc=kota,dc=example", "objectClass: person", "uid: ld.fajar", "cn:: ###", "",
    ]  # fmt: skip
    path.write_bytes("\r\n".join(lines).encode())
    return path


def wordpress(path: Path) -> Path:
    wp = "$wp" + php(b64(hmac.new(b"wp-sha384", OLD.encode(), "sha384").digest()).encode())
    phpass = known.phpass.using(rounds=7).hash(OLD)
    path.write_text(
        "-- MySQL dump 10.13\n/*!40101 SET NAMES utf8mb4 */;\nDROP TABLE IF EXISTS `wp_comments`;\n"
        "CREATE TABLE `wp_comments` (\n  `comment_ID` bigint unsigned NOT NULL AUTO_INCREMENT,\n  `text` text,\n"
        "  PRIMARY KEY (`comment_ID`)\n) ENGINE=InnoDB;\n"
        "INSERT INTO `wp_comments` VALUES (1,'\\'); INSERT INTO `wp_users` VALUES (9,\\'x\\');\\n'),(2,'a;b');\n"
        "CREATE TABLE `wp_users` (\n  `ID` bigint unsigned NOT NULL AUTO_INCREMENT,\n"
        "  `user_login` varchar(60) NOT NULL DEFAULT '',\n  `user_pass` varchar(255) NOT NULL DEFAULT '',\n"
        "  `user_nicename` varchar(50) DEFAULT '',\n  `user_email` varchar(100) DEFAULT '',\n"
        "  `user_url` varchar(100) DEFAULT '',\n  `user_registered` datetime DEFAULT '0000-00-00 00:00:00',\n"
        "  `user_activation_key` varchar(255) DEFAULT '',\n  `user_status` int DEFAULT '0',\n"
        "  `display_name` varchar(250) DEFAULT '',\n  PRIMARY KEY (`ID`),\n  KEY `k` (`user_login`)\n) ENGINE=InnoDB;\n"
        "LOCK TABLES `wp_users` WRITE;\n"
        f"INSERT INTO `wp_users` VALUES (1,'wp.ani','{wp}','ani','wp.ani@warga.example','https://ani.example',"
        "'2024-01-01 00:00:00','',0,'Ani \\'W\\' Wijaya'),"
        f"(3,'wp.citra','{phpass}','citra','wp.citra@warga.example','','2024-01-01 00:00:00','',0,'Citra; (satu), 2'),"
        "(4,'wp.dewi','','dewi','wp.dewi@warga.example','','2024-01-01 00:00:00','',0,'Dewi');\nUNLOCK TABLES;\n"
        "INSERT INTO `wp_usermeta` (`umeta_id`, `user_id`, `meta_key`, `meta_value`) VALUES "
        "(1,1,'wp_capabilities','a:1:{s:10:\"subscriber\";b:1;}'),"
        "(2,3,'wp_capabilities','a:1:{s:13:\"administrator\";b:1;}');\n"
    )
    return path


def wordpress_csv(path: Path) -> Path:
    path.write_text(
        "ID,user_login,user_pass,user_email,display_name,roles\n"
        f"1,wp.ani,{known.phpass.using(rounds=7).hash(OLD)},wp.ani@warga.example,Ani,subscriber\n"
        f'3,wp.citra,{php()},wp.citra@warga.example,Citra,"administrator,editor"\n'
        "4,wp.dewi,,wp.dewi@warga.example,Dewi,\n"
    )
    return path


MOODLE = ("id", "auth", "confirmed", "deleted", "suspended", "mnethostid", "username", "password", "idnumber",
          "firstname", "lastname", "email", "phone1", "phone2", "lang")  # fmt: skip


def moodle_rows() -> list[tuple[Any, ...]]:
    hashed = known.sha512_crypt.using(rounds=1000).hash(OLD)
    common = ("", "Nama", "Moodle")
    return [
        (1, "manual", 1, 0, 0, 1, "guest", "x", *common, "root@localhost", "", "", "id"),
        (2, "manual", 1, 0, 0, 1, "md.ani", hashed, *common, "md.ani@warga.example", "", "081211110005", "id"),
        (3, "manual", 1, 0, 1, 1, "md.budi", hashed, *common, "md.budi@warga.example", "", "", "id"),
        (4, "manual", 1, 0, 0, 1, "md.citra", php(), "1990", "Citra", "L", "md.citra@warga.example", "", "", "en"),
        (5, "ldap", 1, 0, 0, 1, "md.dewi", "not cached", *common, "md.dewi@warga.example", "", "", "id"),
        (6, "email", 0, 0, 0, 1, "md.eka", hashed, *common, "md.eka@warga.example", "", "", "id"),
    ]


def moodle(path: Path) -> Path:
    """pg_dump with COPY."""
    lines = ["\t".join(map(str, row)) for row in moodle_rows()]
    path.write_text(
        "--\n-- PostgreSQL database dump\n--\n\\restrict abc\nSET statement_timeout = 0;\n"
        "CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS $$ INSERT INTO mdl_user VALUES (1); $$;\n"
        f"COPY public.mdl_user ({', '.join(MOODLE)}) FROM stdin;\n" + "\n".join(lines) + "\n\\.\n\n"
        "COPY public.mdl_post (id, text) FROM stdin;\n1\tCOPY public.mdl_user (id) FROM stdin;\\n9\n\\.\n"
    )
    return path


def moodle_csv(path: Path) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in [MOODLE, *moodle_rows()]) + "\n")
    return path


LARAVEL = ("id", "name", "email", "email_verified_at", "password", "role", "remember_token", "deleted_at")


def laravel_rows() -> list[tuple[Any, ...]]:
    return [
        (1, "Ani", "lv.ani@warga.example", "2024-01-01 10:00:00", php(), "warga", "r", None),
        (2, "Budi", "lv.budi@warga.example", "2024-01-01 10:00:00", php(), "warga", None, "2024-02-02 00:00:00"),
        (3, "Citra", "lv.citra@warga.example", None, php(), "admin", None, None),
        (4, "Dewi", "lv.dewi@warga.example", "0000-00-00 00:00:00", "!", "warga", None, None),
    ]


def sql(value: Any) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"


def laravel(path: Path) -> Path:
    """phpMyAdmin: one row in each line."""
    rows = ",\n".join("(" + ", ".join(map(sql, row)) + ")" for row in laravel_rows())
    names = ", ".join(f"`{name}`" for name in LARAVEL)
    path.write_text(f"-- phpMyAdmin SQL Dump\nINSERT INTO `users` ({names}) VALUES\n{rows};\nCOMMIT;\n")
    return path


def laravel_csv(path: Path) -> Path:
    rows = [LARAVEL, *(["" if value is None else value for value in row] for row in laravel_rows())]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


KINDS: dict[str, tuple[str, Callable[[Path], Path], list[str]]] = {
    "keycloak": ("keycloak", keycloak, ["kc.ani", "kc.citra"]),
    "auth0": ("auth0", auth0, ["a0ani", "a0.citra@warga.example"]),
    "auth0, array": ("auth0", auth0_array, ["a0ani"]),
    "firebase": ("firebase", firebase, ["fb.ani@warga.example"]),
    "firebase, CSV": ("firebase", firebase_csv, ["fb.ani@warga.example"]),
    "django": ("django", django, ["dj.ani", "dj.citra"]),
    "django, lines": ("django", django_lines, ["dj.ani", "dj.citra"]),
    "ldif": ("ldif", ldif, ["ld.ani", "ld.citra"]),
    "wordpress": ("wordpress", wordpress, ["wp.ani", "wp.citra"]),
    "wordpress, CSV": ("wordpress", wordpress_csv, ["wp.ani", "wp.citra"]),
    "moodle": ("moodle", moodle, ["md.ani", "md.citra"]),
    "moodle, CSV": ("moodle", moodle_csv, ["md.ani", "md.citra"]),
    "laravel": ("laravel", laravel, ["lv.ani@warga.example"]),
    "laravel, CSV": ("laravel", laravel_csv, ["lv.ani@warga.example"]),
}
"""Each file: its format, what writes it, and who signs in with the old password: an address
that nobody has verified opens nothing."""
