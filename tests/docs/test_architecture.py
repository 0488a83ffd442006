"""The page about the architecture is true: picture, imports, packages, files, functions, tables and paths."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

from starlette.routing import Route
from tests.conftest import settings_for
from tests.docs.scripts import ROOT, script

from sso.app import create_app
from sso.http.common.late_areas import complete
from sso.schema import metadata

PAGE = ROOT / "docs/contributing/architecture.md"
SOURCE = ROOT / "src/sso"
_FILE = re.compile(r"`([\w/]+\.py)(?:: (\w+))?`")


def test_the_picture_and_the_imports_are_current() -> None:
    picture, page = script("picture"), PAGE.read_text()
    assert (ROOT / "docs/contributing/architecture.svg").read_text() == picture.picture(), "run: make docs"
    assert page == picture.page(page), "run: make docs"
    assert "(architecture.svg)" in page


def test_the_data_model_and_the_index_of_decisions_are_current() -> None:
    model, page = script("data_model"), ROOT / "docs/contributing/data-model.md"
    assert page.with_suffix(".svg").read_text() == model.picture(), "run: make docs"
    assert page.read_text() == model.page(page.read_text()), "run: make docs"
    assert sum(map(len, model.groups().values())) == len(metadata.tables)
    assert (ROOT / "docs/decisions/index.md").read_text() == script("decisions_page").page(), "run: make docs"


def test_an_arrow_that_others_imply_is_left_out_of_the_picture() -> None:
    picture = script("picture")
    graph = picture.package_graph()
    drawn = set(picture.necessary(graph))
    assert ("http", "platform") not in drawn
    assert "platform" in graph["http"]
    assert not {target for _, target in drawn} & picture.FOUNDATION
    for name, targets in graph.items():
        reached = picture._reached({start: {end for begin, end in drawn if begin == start} for start in graph}, name)
        assert targets - picture.FOUNDATION <= reached, name


def test_files_do_not_import_each_other_in_a_circle() -> None:
    """Imports within functions and for types count, too."""
    picture = script("picture")
    files = picture.modules()
    graph = {}
    for name, file in files.items():
        assert not re.search(r"^ *from \.", file.read_text(), re.M), f"{file}: write the whole name of a module"
        targets = (target if target in files else target.rpartition(".")[0] for target in picture.imports(file))
        graph[name] = {target for target in targets if target and target != name}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_every_package_is_described() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text().partition("### Where each thing lives")[2], re.M)
    described = {name.removesuffix(".py") for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert set(script("picture").package_graph()) <= described


def test_files_and_functions_that_the_page_names_exist() -> None:
    named = _FILE.findall(PAGE.read_text())
    assert len(named) > 20
    for path, name in named:
        file = next((folder / path for folder in (SOURCE, ROOT) if (folder / path).exists()), None)
        if "/" not in path and file is None:  # models.py and its like, in any package
            assert list(SOURCE.rglob(path)), path
            continue
        assert file is not None, path
        assert not name or name in _top_level(file), f"{path}: {name}"


def _top_level(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def test_every_table_is_described_once() -> None:
    part = PAGE.read_text().partition("| tables | contents |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([a-z_, ]+) \|", part, re.M)
    described = [name for row in rows for name in row.split(", ")]
    assert sorted(described) == sorted(metadata.tables)


def test_every_path_is_described(tmp_path: Path) -> None:
    part = PAGE.read_text().partition("| area | paths |")[2]
    described = re.findall(r"`(/[^`]*)`", part)
    exact = {path for path in described if "…" not in path and "ID" not in path}
    areas = {path.partition("ID")[0].rstrip("…/") for path in described} - {""}
    app = create_app(settings_for(f"sqlite:///{tmp_path}/sso.db", tmp_path))
    paths = {route.path.partition("{")[0] for route in complete(app.router.routes) if isinstance(route, Route)}
    assert len(paths) > 60
    for path in paths - exact:
        assert any(f"{path}/".startswith(f"{area}/") for area in areas), path
    for area in areas | exact:
        assert any(f"{path}/".startswith(f"{area.rstrip('/')}/") for path in paths), area
