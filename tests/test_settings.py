"""Settings: typed, documented, and refused with one line for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sso.settings import Settings, SettingsError, load_settings, reference

ROOT = Path(__file__).parents[1]
REAL = {"issuer": "https://masuk.kota.example", "secret_key": "x" * 32, "database_url": "postgresql://u@h/d"}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SSO_{name.upper()}", raising=False)


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs/settings.md").read_text() == reference()


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


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
    "no scheme": ({**REAL, "issuer": "masuk.kota.example"}, ["SSO_ISSUER: must be an https address"]),
    "short secret": ({**REAL, "secret_key": "short"}, ["SSO_SECRET_KEY: each secret must have at least 32"]),
    "one short secret": ({**REAL, "secret_key": "x" * 40 + ",short"}, ["SSO_SECRET_KEY: each secret"]),
    "proxy": ({**REAL, "trusted_proxies": "10.0.0.0/8, nginx"}, ["SSO_TRUSTED_PROXIES: 'nginx' is not an address"]),
    "database": ({**REAL, "database_url": "mysql://h/d"}, ["SSO_DATABASE_URL: must begin with postgresql://"]),
    "number": ({**REAL, "code_seconds": "soon"}, ["SSO_CODE_SECONDS: Input should be a valid integer"]),
    "too long": ({**REAL, "code_seconds": 6000}, ["SSO_CODE_SECONDS: Input should be less than or equal to 600"]),
    "idle": ({**REAL, "session_idle_seconds": 90000}, ["SSO_SESSION_IDLE_SECONDS must not be more than"]),
    "several": ({"code_seconds": 1, "log_level": "LOUD"}, ["SSO_CODE_SECONDS", "SSO_LOG_LEVEL"]),
}


@pytest.mark.parametrize(("values", "lines"), BAD.values(), ids=BAD.keys())
def test_mistakes_are_one_line_each(values: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**values)
    assert len(caught.value.mistakes) == len(lines)
    for mistake, expected in zip(caught.value.mistakes, lines, strict=True):
        assert expected in mistake
        assert "\n" not in mistake


def test_the_environment_and_a_file_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SSO_CITY_NAME=Kota Lain\nSSO_CODE_SECONDS=30\n")
    monkeypatch.setenv("SSO_CODE_SECONDS", "45")
    monkeypatch.setenv("SSO_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    settings = load_settings()
    assert (settings.city_name, settings.code_seconds) == ("Kota Lain", 45)
    assert settings.trusted_proxies == ["10.0.0.0/8", "::1"]


def test_secrets_do_not_show() -> None:
    assert "x" * 32 not in repr(load_settings(**REAL))
