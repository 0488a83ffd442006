"""People of a directory as LDIF (RFC 2849): ``slapcat``, ``ldapsearch -LLL``, or the export of an LDAP server."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sso.errors import Refusal
from sso.identity.users.readers.people import NotAPerson, NotTaken, Row, full_name, left_out, people, refuse_disabled
from sso.identity.users.readers.text import TextFile, TextLine
from sso.identity.users.records import MAX_RECORD_BYTES, Record

_OURS = {
    "username": ("uid", "samaccountname", "userid"),
    "email": ("mail", "rfc822mailbox"),
    "phone_number": ("mobile", "telephonenumber", "homephone"),
    "name": ("displayname", "cn", "gecos"),
    "given_name": ("givenname", "gn"),
    "family_name": ("sn", "surname"),
    "locale": ("preferredlanguage",),
    "website": ("labeleduri",),
    "nik": ("nik",),
    "birthdate": ("birthdate", "dateofbirth"),
    "local_user_id": ("entryuuid", "nsuniqueid", "ipauniqueid", "objectguid", "uidnumber"),
}
_PASSWORD = "userpassword"
_GROUPS = ("memberof", "ismemberof", "nsrole", "nsroledn")
_LOCKED = (
    "nsaccountlock",
    "logindisabled",
    "pwdaccountlockedtime",
    "useraccountcontrol",
    "accountstatus",
    "inetuserstatus",
)
_KEPT = frozenset({name for names in _OURS.values() for name in names}) | {
    _PASSWORD, "objectclass", "dn", "changetype", *_GROUPS, *_LOCKED,
}  # fmt: skip
_CLASSES = frozenset(
    {"person", "organizationalperson", "inetorgperson", "posixaccount", "account", "user", "pilotperson", "mailuser"}
)
_FORM = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*)((?:;[A-Za-z0-9-]+)*):(:|<)? *(.*)", re.S)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*", re.ASCII)
MAX_VALUES = 200


@dataclass(slots=True)
class _Entry:
    """An entry that is being read. ``wrong``: why it is rejected."""

    line: int
    values: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    wrong: str = ""
    size: int = 0
    lines: int = 0

    def add(self, text: str) -> None:
        """Take a line, after it was unfolded."""
        match = _FORM.fullmatch(text)
        if match is None:
            self.wrong = self.wrong or f"has a line that is no attribute: {text[:40]!r}"
            return
        name, mark, value = match[1].casefold(), match[3], match[4]
        if name not in _KEPT:
            return
        if mark == "<":
            self.notes.append(f"{match[1]}: is the address of a file, which is not read")
            return
        if mark == ":":
            decoded = self._decoded(match[1], value)
            if decoded is None:
                return
            value = decoded
        mine = self.values.setdefault(name, [])
        if len(mine) < MAX_VALUES:
            mine.append(value)

    def _decoded(self, name: str, value: str) -> str | None:
        try:
            if not _BASE64.fullmatch(value):
                raise ValueError
            raw = base64.b64decode("".join(value.split()), validate=True)
        except (ValueError, binascii.Error):
            self.wrong = self.wrong or f"{name}: is broken base64"
            return None
        if name.casefold() == "objectguid":
            return raw.hex()
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            if name.casefold() == "dn":
                self.wrong = self.wrong or "dn: is not UTF-8"
            else:
                self.notes.append(f"{name}: is not UTF-8 text")
            return None


def read_ldif(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """Yield the people of a directory. Entries of other object classes (units, groups) are passed over.

    Raises:
        Refusal: when the file is no LDIF.
    """
    return people(_entries(path, encoding), ldif_row)


def _entries(path: Path, encoding: str | None) -> Iterator[Record]:
    with TextFile(path, encoding) as file:
        if not re.search(r"^(version:|dn:)", file.start(), re.MULTILINE | re.IGNORECASE):
            raise Refusal(f"{path} is no LDIF: no line begins with dn:")
        entry: _Entry | None = None
        held: str | None = None
        read = 0
        for line in file.lines():
            text, read = line.text, line.offset + line.size
            if text == "":
                yield from _ended(entry, held, read)
                entry, held = None, None
                continue
            if text is not None and text.startswith("#"):
                if entry is not None and held:
                    entry.add(held)
                held = ""  # a comment may go on in lines that begin with a blank
                continue
            entry = entry or _Entry(line.number)
            entry.lines = line.number - entry.line + 1
            held = _next(entry, held, line)
        yield from _ended(entry, held, read)


def _next(entry: _Entry, held: str | None, line: TextLine) -> str | None:
    """Take a line of an entry, and return what may go on in the next line. Empty: that is not kept."""
    text = line.text
    if text is None:
        entry.wrong = entry.wrong or line.reason
        return ""
    if text.startswith(" "):
        if held is None:
            entry.wrong = entry.wrong or "begins with a blank"
        if not held:
            return ""
        if entry.size + len(text) > MAX_RECORD_BYTES:
            entry.wrong = entry.wrong or f"has more than {MAX_RECORD_BYTES // 1024} KB"
            return ""
        entry.size += len(text)
        return held + text[1:]
    if held:
        entry.add(held)
    name = re.split("[;:]", text, maxsplit=1)[0].casefold()
    if ":" in text and name not in _KEPT:
        return ""  # such as a photograph, which may be large
    entry.size += len(text)
    if entry.size > MAX_RECORD_BYTES:
        entry.wrong = entry.wrong or f"has more than {MAX_RECORD_BYTES // 1024} KB"
        return ""
    return text


def _ended(entry: _Entry | None, held: str | None, read: int) -> Iterator[Record]:
    if entry is None:
        return
    if held:
        entry.add(held)
    if not entry.wrong and not entry.values and not entry.notes:
        return  # the line with the version
    if not entry.wrong and "dn" not in entry.values:
        entry.wrong = "has no dn"
    if entry.wrong:
        yield Record(entry.line, None, entry.wrong, read, entry.lines)
    else:
        yield Record(entry.line, dict(entry.values), "", read, entry.lines, tuple(entry.notes))


def ldif_row(entry: Mapping[str, list[str]], notes: list[str]) -> Row:
    """Return the row of an entry.

    Raises:
        NotAPerson: of an entry of another object class.
        NotTaken: of a record of a change, or an account that is locked.
    """
    if "changetype" in entry:
        raise NotTaken(f"is the record of a change ({entry['changetype'][0][:20]}), not an entry")
    classes = {value.strip().casefold() for value in entry.get("objectclass", ())}
    is_known = bool({"uid", "mail", "samaccountname", _PASSWORD} & set(entry))
    if (classes and not classes & _CLASSES) or (not classes and not is_known) or "computer" in classes:
        raise NotAPerson
    _refuse_locked(entry)
    row: Row = {}
    for ours, names in _OURS.items():
        values = [value for name in names for value in entry.get(name, ())]
        row[ours] = values[0].strip() if values else None
        if ours in ("username", "email", "phone_number", "nik"):
            left_out(notes, ours, list(dict.fromkeys(values[1:])), "is a further value; the first one is taken")
    row["name"] = row["name"] or full_name(row["given_name"], row["family_name"])
    row["local_user_id"] = row["local_user_id"] or row["username"] or entry["dn"][0]
    left_out(notes, "groups", [value for name in _GROUPS for value in entry.get(name, ())])
    row["password_hash"] = _password(entry.get(_PASSWORD, []), notes)
    return row


def _refuse_locked(entry: Mapping[str, list[str]]) -> None:
    value = {name: entry[name][0].strip().casefold() for name in _LOCKED if name in entry}
    for name in ("nsaccountlock", "logindisabled"):
        refuse_disabled(value.get(name) == "true", f"{name} is TRUE")
    refuse_disabled(bool(value.get("pwdaccountlockedtime")), "pwdAccountLockedTime is set")
    control = value.get("useraccountcontrol", "0")
    refuse_disabled(control.isascii() and control.isdigit() and bool(int(control[:12]) & 2), "userAccountControl")
    for name in ("accountstatus", "inetuserstatus"):
        refuse_disabled(name in value and value[name] != "active", f"{name} is not active")


def _password(values: list[str], notes: list[str]) -> str | None:
    """Return one hash. A directory lets several stand side by side, each of which opens the account."""
    hashes = [
        hashed
        for hashed in values
        if re.match(r"\{(?!sasl|kerberos|passthrough)[^}]+\}(?![!*x]$)", hashed, re.IGNORECASE)
    ]
    if len(values) > 1:
        notes.append(f"password_hash: {len(values)} passwords stand side by side; one is taken")
    for hashed in hashes or values:
        if hashed.startswith("{"):
            return hashed
    if values and re.match(r"[!*]|x$|$", values[0]) is None:
        notes.append("password_hash: is not in the form {SCHEME}..., so it may be readable; it is not taken")
        return None
    return values[0] if values else None
