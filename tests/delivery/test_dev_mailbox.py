"""The messages that a development server stores, while two processes write and read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sso.platform.outbox.dev_mailbox import FOLDER, keep, stored_messages
from sso.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path)  # type: ignore[call-arg]


def test_a_message_that_is_half_written_is_not_read(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(settings, {"to": "first"})
    write, during = Path.write_bytes, []

    def write_slowly(path: Path, content: bytes) -> int:
        write(path, content[:5])
        during.extend(stored_messages(settings))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_slowly)
    keep(settings, {"to": "second"})
    assert during == [{"to": "first"}]
    assert [message["to"] for message in stored_messages(settings)] == ["second", "first"]


def test_a_message_that_another_process_deletes_meanwhile_is_left_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for receiver in ("first", "second"):
        keep(settings, {"to": receiver})
    oldest = min((settings.data_dir / FOLDER).iterdir())
    read = Path.read_bytes

    def delete_and_read(path: Path) -> bytes:
        oldest.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", delete_and_read)
    assert stored_messages(settings) == [{"to": "second"}]
