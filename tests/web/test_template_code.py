"""The compiled code of templates is shared by the languages and kept on the disk, and is never that of another source
or of other options."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment, Undefined, nodes
from jinja2.bccache import bc_magic
from jinja2.environment import Template

from sso.http.common.pages import environment
from sso.http.common.template_code import TemplateCode


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return the names of the templates that were compiled."""
    names: list[str | None] = []
    generate = Environment._generate

    def counted(self: Environment, source: nodes.Template, name: str | None, *rest: object, **more: object) -> str:
        names.append(name)
        return generate(self, source, name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Environment, "_generate", counted)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return names


def page(folder: Path, source: str = "Halo {{ name }}", *, trim_blocks: bool = False) -> Template:
    code = TemplateCode({"trim_blocks": trim_blocks}, folder)
    loader = DictLoader({"page.html": source})
    created = Environment(autoescape=True, loader=loader, bytecode_cache=code, trim_blocks=trim_blocks)
    return created.get_template("page.html")


def test_another_process_reads_the_code(tmp_path: Path, compiled: list[str | None]) -> None:
    assert page(tmp_path).render(name="<Siti>") == "Halo &lt;Siti&gt;"
    assert page(tmp_path).render(name="<Budi>") == "Halo &lt;Budi&gt;"
    assert compiled == ["page.html"]
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o644]


def test_another_source_or_other_options_are_compiled(tmp_path: Path, compiled: list[str | None]) -> None:
    page(tmp_path)
    assert page(tmp_path, "Hai {{ name }}").render(name="Siti") == "Hai Siti"
    page(tmp_path, trim_blocks=True)
    assert len(compiled) == 3


def test_code_of_another_version_of_jinja_is_not_used(
    tmp_path: Path, compiled: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    page(tmp_path)
    monkeypatch.setattr("sso.http.common.template_code.version", lambda _: "9.9.9")
    page(tmp_path)
    assert len(compiled) == 2


def test_a_damaged_file_is_replaced(tmp_path: Path, compiled: list[str | None]) -> None:
    page(tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    header = len(bc_magic)
    code_at = whole.index(b"\xe3", header + 60)
    no_code = whole[:code_at] + b"i\x01\x00\x00\x00"
    no_name = whole[:header] + pickle.dumps(Undefined, 2).replace(b"Undefined", b"Defined")
    for damaged in (b"", whole[:60], b"x" * 40, no_code, no_name):
        file.write_bytes(damaged)
        assert page(tmp_path).render(name="Siti") == "Halo Siti"
        assert file.read_bytes() == whole
    assert len(compiled) == 6


@pytest.mark.parametrize("place", ["missing/folder", "file"])
def test_a_directory_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, compiled: list[str | None], place: str
) -> None:
    (tmp_path / "file").write_text("")
    assert page(tmp_path / place).render(name="Siti") == "Halo Siti"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_is_written_where_python_writes_no_bytecode(
    tmp_path: Path, compiled: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    page(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_languages_share_the_code(compiled: list[str | None]) -> None:
    indonesian, english = (environment(locale).get_template("sign_in.html") for locale in ("id", "en"))
    assert indonesian.root_render_func.__code__ is english.root_render_func.__code__
