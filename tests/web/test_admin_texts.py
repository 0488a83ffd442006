"""Every value that the console shows has a text in both languages, and every refusal is translated."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
from tests.sources import nodes_of

import sso
from sso.accounts.bulk_actions import BULK_ACTIONS
from sso.accounts.refusal_texts import REFUSALS, is_known, refusal_text
from sso.accounts.role_refusal_texts import TEXTS as TEXTS_OF_ROLES
from sso.accounts.role_rules import REFUSALS as ROLE_RULES
from sso.accounts.user_actions import ACTIONS
from sso.http.admin import attention, sessions
from sso.http.admin.application_check import CHECK_STATES
from sso.http.admin.applications import LISTING_TEXTS, LISTINGS
from sso.http.admin.audit_labels import EVENT_GROUPS, EVENT_TEXTS, OUTCOME_TEXTS, STATE_TEXTS
from sso.http.admin.dashboard import BEFORE, LEVELS, SERIES_TEXTS, TRENDS
from sso.http.admin.imports import DECISIONS, PROPOSALS, REASON_TEXTS
from sso.http.admin.invitation_files import LINE_MISTAKES, REFUSED
from sso.http.admin.invitations import DONE
from sso.http.admin.selected import TEXTS
from sso.http.admin.users import CONTACT_PROBLEMS
from sso.http.common.charts import round_up
from sso.http.common.csv_rows import cell, lines_of
from sso.http.common.i18n import translations
from sso.http.common.labels import DOCUMENTS, FACTOR_TEXTS, KIND_TEXTS, LEVEL_TEXTS, ROLE_NAMES, ROLE_TEXTS, SPANS
from sso.http.console.delivery_texts import CHANNELS, KINDS, STATUS, reason_text
from sso.http.console.entries import ADMIN_PAGES, PAGE_TEXTS
from sso.identity.sessions.reasons import EndReason
from sso.identity.users.models import CREDENTIAL_KINDS
from sso.platform.outbox.models import SHARED_RECEIVERS, DeliveryKind, DeliveryStatus
from sso.platform.permissions import RoleName

pytestmark = pytest.mark.unit
SOURCE = Path(sso.__file__).parent
WORDS = translations("id").gettext
SAME = {
    "NIP",
    "Back-channel logout",
    "NIK", "Webhook", "WhatsApp", "SMS", "auditor", "administrator", "endpoint token", "token", "Endpoint", "Filter",
}  # fmt: skip
"""Texts that are the same in both languages."""


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (STATUS, set(DeliveryStatus)), (KINDS, set(DeliveryKind)), (CHANNELS, {*SHARED_RECEIVERS, "whatsapp"}),
        (sessions.REASONS, set(EndReason)), (ROLE_NAMES, set(get_args(RoleName))), (LISTING_TEXTS, set(LISTINGS)),
        (FACTOR_TEXTS, set(CREDENTIAL_KINDS)), (BEFORE, set(SPANS)), (TEXTS["people"], set(BULK_ACTIONS)),
        ({level: LEVEL_TEXTS[level] for level in LEVELS}, set(LEVELS)),
        ({name: text for name, text, _, _ in TRENDS}, {"sign_in", "sign_in_failed", "account_made", "token"}),
    ],
)  # fmt: skip
def test_a_table_has_a_text_for_every_value(texts: dict[str, object], values: set[str]) -> None:
    assert set(texts) == {str(value) for value in values}


def every_text() -> list[str]:
    """Return every text of the tables of the console."""
    tables = [
        STATUS, KINDS, CHANNELS, sessions.REASONS, sessions.HOW, sessions.STATE, sessions.ENDING_STATES, sessions.AGES,
        ROLE_NAMES, ROLE_TEXTS, LISTING_TEXTS, FACTOR_TEXTS, KIND_TEXTS, DOCUMENTS, BEFORE, LEVEL_TEXTS, SERIES_TEXTS,
        SPANS, OUTCOME_TEXTS, STATE_TEXTS, EVENT_TEXTS, CHECK_STATES, DECISIONS, PROPOSALS, REASON_TEXTS, DONE, REFUSED,
        LINE_MISTAKES, CONTACT_PROBLEMS, PAGE_TEXTS,
    ]  # fmt: skip
    texts = [text for table in tables for text in table.values()]
    texts += [part for acts in TEXTS.values() for text in acts.values() for part in (text.title, text.text, text.done)]
    texts += [group.title for group in EVENT_GROUPS.values()]
    texts += [text for _, text, _, _ in TRENDS] + [title for _, _, title, _ in ADMIN_PAGES]
    return texts + [text for _, text in REFUSALS]


def test_every_text_is_translated() -> None:
    missing = sorted({text for text in every_text() if WORDS(text) == text and text not in SAME})
    assert missing == []


def test_every_type_of_event_is_in_one_group() -> None:
    grouped = [type_ for group in EVENT_GROUPS.values() for type_ in group.types]
    assert sorted(grouped) == sorted(EVENT_TEXTS)


def refusals_of(*names: str) -> set[str]:
    """Return the messages of the refusals that use cases raise, with ``'x'`` and ``5`` for what they name."""
    messages = set()
    paths = [*(SOURCE / "accounts").rglob("*.py"), SOURCE / "identity/users/service.py"]
    paths += [SOURCE / "identity/users/merge_proposals.py", SOURCE / "identity/users/saved_searches.py"]
    paths += [SOURCE / "portal/lifecycle.py", SOURCE / "portal/administration.py", SOURCE / "portal/approval.py"]
    for path in paths:
        for node in nodes_of(path):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call) or not node.exc.args:
                continue
            argument = node.exc.args[0]
            if getattr(node.exc.func, "id", "") in names and isinstance(argument, (ast.Constant, ast.JoinedStr)):
                messages.add(_text(argument))
    return messages


def _text(argument: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    parts = []
    for part in argument.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        elif isinstance(part, ast.FormattedValue):
            of_file = ast.unparse(part.value).endswith("path")
            parts.append("/tmp/x.csv" if of_file else "'x'" if part.conversion == ord("r") else "5")
    return "".join(parts)


NO_PAGE = {
    "LookupError", "Busy",  # inside the program
    "NeedsConfirmation", "DeclarationRefused", "RoleFileError",  # commands alone
    "NoPassword", "NotAFormula", "SchemeUnknown", "OptionsRefused", "NotTaken", "PatternRefused", "_Broken", "_refused",
    "RowRefused",  # files of many users, which commands alone import
    "FlowRefused", "NipRefused", "PasskeyRefused", "ProfileInvalid", "ValueRefused", "WeakPassword", "RequestExpired",
    "ValuesInvalid", "AccountLocked", "WrongPassword",  # pages know these by a code, not by their text
    "TooManyEnd", "TooPowerful", "OnlyOwner",  # their text is made where they are defined
    "RowWrong", "ValueError",  # a value of a line: read with the line
}  # fmt: skip
"""Families of refusals of use cases whose texts the console does not show. A new family is translated, or named
here."""
SHOWN_REFUSALS = {
    "UserError", "ClientError", "Stale", "NotChecked", "RoleError", "NotYours", "GroupRefused", "FileRefused",
    "Refusal", "UnitFileRefused",
}  # fmt: skip
COMMANDS_ONLY = (
    "--encoding", "--format", "--column", "this file was", "'x' is not a format", "'x' is none of our columns",
    "5 rows were read", "valid_from: ",
)  # fmt: skip
"""How refusals begin that only a command can get: of an option, or of an import that was begun before."""


def test_every_refusal_of_the_use_cases_is_shown_in_words() -> None:
    """No family of refusals, and no text of those that pages show, is missing from the tables of texts."""
    known = {re.sub(r"\d+", "5", text) for text in TEXTS_OF_ROLES}
    families, missing = set(), set()
    for path in [*(SOURCE / "accounts").rglob("*.py"), *(SOURCE / "identity").rglob("*.py")]:
        nodes = nodes_of(path)
        texts = {target.id: node.value for node in nodes if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
        for node in nodes:
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call) or not node.exc.args:
                continue
            family = ast.unparse(node.exc.func).rpartition(".")[2]
            families.add(family)
            if family in SHOWN_REFUSALS:
                of_role = family == "RoleError"
                argument = node.exc.args[1 if of_role else 0]
                argument = texts.get(argument.id, argument) if isinstance(argument, ast.Name) else argument
                if isinstance(argument, ast.Call) and ast.unparse(argument.func) == "N_":
                    argument = argument.args[0]
                if isinstance(argument, (ast.Constant, ast.JoinedStr)):
                    text = _text(argument)
                    has_text = re.sub(r"\d+", "5", text) in known if of_role else is_known(text) or WORDS(text) != text
                    has_text = has_text or text in REFUSED
                    missing |= set() if has_text or text.startswith(COMMANDS_ONLY) else {f"{path.name}: {text}"}
    assert families - NO_PAGE - SHOWN_REFUSALS == set(), "translate these, or say why no page shows them"
    assert sorted(missing) == [], "add these to refusal_texts.py, or to role_texts.py"
    assert set(ROLE_RULES.values()) <= set(TEXTS_OF_ROLES)
    assert [text for text in TEXTS_OF_ROLES.values() if WORDS(text) == text] == []


def test_every_refusal_that_the_console_shows_is_translated() -> None:
    refusals = refusals_of("UserError", "ClientError", "Stale", "NotChecked")
    assert len(refusals) > 25
    unknown = sorted(text for text in refusals if not is_known(text))
    assert unknown == [], "add these to sso/accounts/refusal_texts.py"
    assert refusal_text("siti@kota.example is already used", WORDS) == "siti@kota.example dipakai akun lain."


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("the application answered 500", "Penerima menjawab dengan status 500."),
        ("it is of no use any more", "Kode kedaluwarsa sebelum pesan dapat dikirim."),
        ("the mail server refuses the address: 550", "Server email menolak alamat ini (550)."),
        ("warga.example is at what is not a public address", "warga.example tidak berada di alamat publik."),
        ("ReadTimeout: ", "Penerima tidak merespons tepat waktu."),
        ("something new", "something new"),
        (None, ""),
    ],
)
def test_a_failure_is_said_in_words(error: str | None, text: str) -> None:
    assert reason_text(error, WORDS) == text


@pytest.mark.parametrize(
    "value",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "%0A", "|calc", '=HYPERLINK("https://evil.example")'],
)
def test_a_cell_of_a_csv_file_is_no_formula(value: str) -> None:
    assert cell(value).startswith("'")
    assert "\n" not in lines_of([[value]]).decode().strip()


def test_the_axis_of_a_chart_ends_at_a_round_number() -> None:
    assert [round_up(value) for value in (0, 1, 2, 3, 7, 10, 11, 41, 99, 101)] == [2, 2, 2, 4, 10, 10, 20, 60, 100, 200]


def test_every_action_on_several_accounts_is_one_on_a_single_account() -> None:
    assert set(BULK_ACTIONS) <= set(ACTIONS)
    assert attention.MANY <= 1000
