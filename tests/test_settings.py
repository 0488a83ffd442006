"""Settings: typed, documented, and refused with one line for each mistake."""

from __future__ import annotations

import os
from datetime import timedelta
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from sso.settings import (
    GROUPS,
    Settings,
    SettingsError,
    env_example,
    example,
    format_duration,
    format_size,
    load_settings,
    reference,
    variable,
)
from sso.settings.values import parse_duration, parse_size
from sso.settings.variables import RENAMED

ROOT = Path(__file__).parents[1]
REAL = {"issuer": "https://masuk.kota.example", "secret_key": "x" * 32, "database_url": "postgresql://u@h/d"}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SSO_{name.upper()}", raising=False)


def test_the_generated_files_are_current() -> None:
    assert (ROOT / "docs/reference/settings.md").read_text() == reference()
    assert (ROOT / ".env.example").read_text() == env_example()


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert example(field), name


def test_every_setting_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS for name in group.model_fields) == sorted(Settings.model_fields)


def test_no_check_of_a_group_hides_one_of_another_group() -> None:
    checks = [name for group in GROUPS for name in group.__pydantic_decorators__.field_validators]
    assert sorted(checks) == sorted(Settings.__pydantic_decorators__.field_validators)


def test_the_examples_are_valid(tmp_path: Path) -> None:
    values = {name: example(field) for name, field in Settings.model_fields.items() if name != "development_outbox"}
    files = dict.fromkeys(("breached_passwords", "brand_logo", "country_database", "whatsapp_token_file"), tmp_path)
    assert load_settings(**{**values, **files, "secret_key": "x" * 32}).session_lifetime == timedelta(hours=24)


def test_the_example_of_the_environment_names_only_settings_that_exist() -> None:
    names = {f"SSO_{name.upper()}" for name in Settings.model_fields}
    lines = (ROOT / ".env.example").read_text().splitlines()
    used = {line.lstrip("# ").partition("=")[0] for line in lines if line.lstrip("# ").startswith("SSO_")}
    assert used
    assert used <= names


def test_a_trial_on_one_machine_needs_nothing() -> None:
    settings = load_settings()
    assert settings.loopback
    assert settings.effective_database_url().startswith("sqlite+aiosqlite:///")
    assert settings.secrets() == settings.secrets()
    assert (settings.data_dir / "secret.key").stat().st_mode & 0o077 == 0


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no secret, no database": (
        {"issuer": "https://masuk.kota.example"},
        ["SSO_SECRET_KEY is required", "SSO_DATABASE_URL is required"],
    ),
    "http": ({**REAL, "issuer": "http://masuk.kota.example"}, ["SSO_ISSUER: must be https"]),
    "path": ({**REAL, "issuer": "https://masuk.kota.example/sso"}, ["SSO_ISSUER: must be an origin only"]),
    "slash": ({**REAL, "issuer": "https://masuk.kota.example/"}, ["SSO_ISSUER: must be an origin only"]),
    "no scheme": ({**REAL, "issuer": "masuk.kota.example"}, ["SSO_ISSUER: must be an https URL"]),
    "short secret": ({**REAL, "secret_key": "short"}, ["SSO_SECRET_KEY: each secret must have at least 32"]),
    "one short secret": ({**REAL, "secret_key": "x" * 40 + ",short"}, ["SSO_SECRET_KEY: each secret"]),
    "proxy": ({**REAL, "trusted_proxies": "10.0.0.0/8, nginx"}, ["SSO_TRUSTED_PROXIES: 'nginx' is not an IP address"]),
    "network": ({**REAL, "outbound_networks": "kota"}, ["SSO_OUTBOUND_NETWORKS: 'kota' is not an IP address"]),
    "database": ({**REAL, "database_url": "mysql://h/d"}, ["SSO_DATABASE_URL: must begin with postgresql://"]),
    "mail server": ({**REAL, "smtp_url": "mail.kota.example"}, ["SSO_SMTP_URL: must be smtps://"]),
    "gateway": ({**REAL, "sms_url": "http://sms.kota.example"}, ["SSO_SMS_URL: must be an https URL"]),
    "number": ({**REAL, "sessions_per_user": "many"}, ["SSO_SESSIONS_PER_USER: Input should be a valid integer"]),
    "no duration": ({**REAL, "session_lifetime": "soon"}, ["SSO_SESSION_LIFETIME: must be a number and a unit"]),
    "seconds without a unit": (
        {**REAL, "authorization_code_lifetime": "60"},
        ["SSO_AUTHORIZATION_CODE_LIFETIME: must be a number and a unit (ms, s, m, h, d), such as 30s, 10m, 24h or 14d; "
         "not 60"],
    ),
    "too long": (
        {**REAL, "authorization_code_lifetime": "11m"}, ["SSO_AUTHORIZATION_CODE_LIFETIME: must be at most 10m"],
    ),
    "too small": ({**REAL, "max_body_size": "1KiB"}, ["SSO_MAX_BODY_SIZE: must be at least 4KiB"]),
    "bytes without a unit": ({**REAL, "max_body_size": "65536"}, ["SSO_MAX_BODY_SIZE: must be a number and a unit"]),
    "half a day": ({**REAL, "trusted_device_lifetime": "36h"}, ["SSO_TRUSTED_DEVICE_LIFETIME: must be whole days"]),
    "idle": ({**REAL, "session_idle_timeout": "25h"}, ["SSO_SESSION_IDLE_TIMEOUT must not be more than"]),
    "several": (
        {"authorization_code_lifetime": "1s", "log_level": "LOUD"},
        ["SSO_LOG_LEVEL", "SSO_AUTHORIZATION_CODE_LIFETIME"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("values", "lines"), BAD.values(), ids=BAD.keys())
def test_mistakes_are_one_line_each(values: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**values)
    assert len(caught.value.mistakes) == len(lines)
    for mistake, expected in zip(sorted(caught.value.mistakes), sorted(lines), strict=True):
        assert expected in mistake
        assert "\n" not in mistake


def test_the_environment_and_a_file_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SSO_CITY_NAME=Kota Lain\nSSO_AUTHORIZATION_CODE_LIFETIME=30s\nOTHER_NAME=1\n")
    monkeypatch.setenv("SSO_AUTHORIZATION_CODE_LIFETIME", "45s")
    monkeypatch.setenv("SSO_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    settings = load_settings()
    assert (settings.city_name, settings.authorization_code_lifetime) == ("Kota Lain", timedelta(seconds=45))
    assert settings.trusted_proxies == ["10.0.0.0/8", "::1"]


def test_variables_that_are_no_settings_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SSO_STEP_UP_SECONDS=600\n")
    monkeypatch.setenv("SSO_CODE_MINUTES", "10")
    monkeypatch.setenv("SSO_CITY_NAM", "Kota")
    monkeypatch.setenv("SSO_SERVICE_PORT_HTTP", "8000")
    monkeypatch.setenv("SSO_PORT_8000_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("SSO_DB_PORT", "tcp://10.0.0.2:5432")
    monkeypatch.setenv("SSO_POSTGRES_SERVICE_HOST", "10.0.0.2")
    monkeypatch.setenv("SSO_LOG_LEVEL", "LOUD")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    *unknown, invalid = caught.value.mistakes
    assert unknown == [
        "SSO_CITY_NAM is not a setting: did you mean SSO_CITY_NAME?",
        "SSO_CODE_MINUTES is not a setting: its name is now SSO_ONE_TIME_CODE_LIFETIME",
        "SSO_STEP_UP_SECONDS is not a setting: its name is now SSO_REAUTHENTICATION_AGE",
    ]
    assert invalid.startswith("SSO_LOG_LEVEL: ")
    with pytest.raises(SettingsError, match="code_seconds is not a setting"):
        load_settings(code_seconds=60)


def test_old_names_lead_to_settings_that_exist() -> None:
    names = {variable(name) for name in Settings.model_fields}
    assert set(RENAMED.values()) <= names
    assert not names & set(RENAMED)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", timedelta(0)),
        ("500ms", timedelta(milliseconds=500)),
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("24h", timedelta(days=1)),
        ("14d", timedelta(days=14)),
    ],
)
def test_durations_are_read_and_written(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == text


@pytest.mark.parametrize("text", ["", "10", "10 m", "m", "1.5h", "-1s", "1h30m", "10M", "10min", 600, 0, None])
def test_other_forms_of_durations_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="such as 30s, 10m, 24h or 14d"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [("100B", 100), ("64KiB", 65536), ("5MiB", 5 * 1024**2), ("0B", 0)])
def test_sizes_are_read_and_written(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert format_size(size) == text


@pytest.mark.parametrize("text", ["64", "64KB", "64 KiB", "1.5MiB", 65536])
def test_other_forms_of_sizes_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="such as 64KiB or 5MiB"):
        parse_size(text)


def test_a_setting_that_needs_a_package_which_is_missing_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sso.settings.find_spec", lambda name: None)
    database = tmp_path / "countries.mmdb"
    database.touch()
    with pytest.raises(SettingsError) as caught:
        load_settings(
            **REAL,
            rate_limit_storage="valkeys://h:6379/0",
            country_database=database,
            smtp_url="smtps://u:p@h:465",
        )
    assert caught.value.mistakes == [
        "SSO_DATABASE_URL names PostgreSQL: install sso[postgres]",
        "SSO_RATE_LIMIT_STORAGE names Redis or Valkey: install sso[redis]",
        "SSO_COUNTRY_DATABASE is set: install sso[geo]",
        "SSO_SMTP_URL is set: install sso[mail]",
    ]
    assert load_settings(rate_limit_storage="database")


def test_secrets_do_not_show() -> None:
    assert "x" * 32 not in repr(load_settings(**REAL))


def test_a_secret_key_is_kept_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the first start: the next start must not encrypt with an empty key."""
    settings = Settings(_env_file=None, issuer="http://localhost:8000", data_dir=tmp_path / "data")  # type: ignore[call-arg]

    def full(_: int) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            settings.secrets()
    assert list((tmp_path / "data").iterdir()) == []
    (key,) = settings.secrets()
    assert settings.secrets() == [key]
    (path,) = (tmp_path / "data").iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == ("secret.key", 0o600)
    path.write_bytes(b"")
    with pytest.raises(SettingsError, match="is not complete"):
        settings.secrets()
