"""Every value that pages show has a text in both languages: each table is compared with the list that it is for."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from tests.arranged import signed_in
from tests.sources import nodes_of, parsed
from tests.support import City

import sso
from sso.accounts.user_actions import ACTIONS
from sso.http.admin import audit_labels
from sso.http.admin.audit_labels import DATA_TEXTS, EVENT_TEXTS, OUTCOME_TEXTS, value_text
from sso.http.admin.mails import SENT_FOR
from sso.http.admin.sessions import REASONS
from sso.http.admin.setting_texts import INDONESIAN, INDONESIAN_TITLES
from sso.http.common import labels
from sso.http.common.i18n import translations
from sso.http.common.mail_texts import NOTICES
from sso.http.console.entries import ADMIN_PAGES, PAGE_TEXTS
from sso.http.developer.form_texts import KIND_TEXTS
from sso.identity.users.models import User
from sso.platform.audit import record
from sso.platform.permissions import PERMISSIONS, ROLES, RoleName
from sso.portal.applications import KINDS as APPLICATION_KINDS
from sso.settings import GROUPS, Settings

SOURCE = Path(sso.__file__).parent
RECORDS = {"record": 1, "record_by": 2}
"""The functions that add an event to the audit log, and where among their arguments its type stands."""
INDONESIAN_WORDS = translations("id")


@cache
def calls() -> list[tuple[ast.Module, ast.Call, ast.expr]]:
    """Return every call that adds an event to the audit log: its module, the call, and the type of the event."""
    record_calls = []
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        tree = parsed(path)
        for node in nodes_of(path) if "record(" in text or "record_by(" in text else ():
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if len(node.args) > RECORDS.get(name, len(node.args)):
                    record_calls.append((tree, node, node.args[RECORDS[name]]))
    return record_calls


def types_recorded() -> set[str]:
    """Return the types of events that the source records: each text of that shape, where a call names a variable."""
    types: set[str] = set()
    for tree, _, type_ in calls():
        texts = [constant.value for constant in ast.walk(type_) if isinstance(constant, ast.Constant)]
        if texts and not isinstance(type_, ast.JoinedStr):
            types.update(str(text) for text in texts)
        else:
            every = [
                constant.value
                for constant in ast.walk(tree)
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
            ]
            prefixes = ("user.", "session.", "contact.", "factor.", "client.")
            types.update(
                text
                for text in every
                if text.startswith(prefixes) and text.replace(".", "").isidentifier() and text[-1] != "_"
            )
    return {text for text in types if text.count(".") == 1}


def test_every_type_of_audit_event_has_a_text() -> None:
    assert len(calls()) > 100
    missing = sorted(types_recorded() - set(EVENT_TEXTS))
    assert not missing, f"add these to EVENT_TEXTS in sso/http/admin/audit_labels.py: {missing}"


def test_every_key_of_an_audit_event_has_a_text() -> None:
    keys = set()
    for _, call, _ in calls():
        for argument in call.keywords:
            if argument.arg == "data" and isinstance(argument.value, ast.Dict):
                keys |= {key.value for key in argument.value.keys if isinstance(key, ast.Constant)}
    assert len(keys) > 15
    missing = sorted(str(key) for key in keys - set(DATA_TEXTS))
    assert not missing, f"add these to DATA_TEXTS in sso/http/admin/audit_labels.py: {missing}"


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (labels.PERMISSION_TEXTS, set(PERMISSIONS)),
        (labels.ROLE_TEXTS, set(ROLES)),
        (labels.ROLE_NAMES, set(get_args(RoleName))),
        (audit_labels.ACT_TEXTS, {*ACTIONS, "create"}),
        (KIND_TEXTS, set(APPLICATION_KINDS)),
        (PAGE_TEXTS, {page[0] for page in ADMIN_PAGES if page[3]} | {"developer"}),
        (INDONESIAN, set(Settings.model_fields)),
        (INDONESIAN_TITLES, {group.title for group in GROUPS}),
        (SENT_FOR, set(NOTICES)),
    ],
    ids=[
        "permissions",
        "roles",
        "names of roles",
        "acts",
        "kinds",
        "pages",
        "settings",
        "groups of settings",
        "messages",
    ],
)
def test_a_table_has_a_text_for_every_value(table: dict[str, object], values: set[str]) -> None:
    assert set(table) == values


SAME = {"NIK", "NIP", "SMS", "Webhook", "unit", "access token", "refresh token", "administrator", "auditor"}
"""Words that are the same in both languages."""


def test_every_text_is_translated() -> None:
    every = [
        *labels.PERMISSION_TEXTS.values(), *labels.ROLE_TEXTS.values(), *labels.ROLE_NAMES.values(),
        *labels.DOCUMENTS.values(), *labels.FACTOR_TEXTS.values(), *labels.KIND_TEXTS.values(),
        *EVENT_TEXTS.values(), *OUTCOME_TEXTS.values(), *DATA_TEXTS.values(), *REASONS.values(), *PAGE_TEXTS.values(),
        *SENT_FOR.values(),
        *(text for table in audit_labels.VALUE_TEXTS.values() for text in table.values()),
    ]  # fmt: skip
    missing = sorted({text for text in every if INDONESIAN_WORDS.gettext(text) == text and text not in SAME})
    assert set(missing) <= {"webhook", "unit"}, missing


def test_values_are_said_in_words() -> None:
    words = INDONESIAN_WORDS.gettext
    assert value_text("passed", True, words) == "ya"
    assert value_text("roles", ["citizen", "group_admin"], words) == "warga, administrator kelompok aplikasi"
    assert value_text("act", "reset_factors", words) == "verifikasi dua langkah dihapus"
    assert value_text("note", "tidak dikenal", words) == "tidak dikenal"
    assert value_text("kind", "something new", words) == "something new"


async def test_the_audit_log_and_the_settings_are_in_the_language_of_the_page(city: City) -> None:
    async with city.provider.db.write() as session:
        ratna = str(city.users["ratna"])
        for type_ in EVENT_TEXTS:
            data = {"passed": True, "roles": ["group_admin"], "act": "disable", "reason": "password_changed"}
            record(session, type_, actor=ratna, subject=ratna, outcome="failure", data=data)
        user = await session.get(User, city.users["ratna"])
        assert user is not None
        user.locale = "id"
    async with await signed_in(city, "ratna") as browser:
        for language in ("id", "en"):
            words = translations(language).gettext
            page = (await browser.open(f"/admin/audit?lang={language}")).text
            for text in (
                ">gagal</span>, >failed</span>",
                "Pemeriksaan lulus: ya, Check passed: yes",
                "Tindakan: akun dinonaktifkan, Action: account disabled",
            ):
                own, other = text.split(", ") if language == "id" else reversed(text.split(", "))
                assert own in page, own
                assert other not in page, other
            texts = [words(text) for text in EVENT_TEXTS.values()]
            assert sum(text in page for text in texts) > 40  # one page of the list, and the filter
            settings = (await browser.open(f"/admin/system?lang={language}")).text
            assert ("Masa berlaku access token." in settings) == (language == "id")
            assert ("Lifetime of an access token." in settings) == (language == "en")
            assert ">True<" not in settings
            person = (await browser.open(f"/admin/people/{ratna}?lang={language}")).text
            assert "user.administered" not in person
            assert "user.groups_changed" not in person
