"""A sample program runs nothing that a redirect URI or a name says: its README and its .env are read by a shell."""

from __future__ import annotations

import io
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.support import Browser, City
from tests.web.test_developer import OFFERED, person, register, signed_in

from sso.http.developer.literals import dotenv
from sso.http.developer.sample import stacks_of

NASTY = [
    "http://localhost:4000?x=$(touch${IFS}ran)",
    "http://localhost:4000/cb?a=1&touch&ran",
    "http://localhost:4000/cb?a=`touch%20ran`",
    "http://localhost:4000/cb?a='%22;id;",
]
NAME = "Antrean $(touch ran) `touch ran` \"; touch ran; '"


def sourced(directory: Path, text: str) -> dict[str, str]:
    """Return what a shell reads from a ``.env`` file."""
    (directory / ".env").write_text(text)
    script = 'set -a; . ./.env; set +a; printf "%s\\0" "$OIDC_REDIRECT_URI" "$OIDC_POST_LOGOUT_REDIRECT_URI"'
    run = subprocess.run(["/bin/sh", "-c", script], cwd=directory, capture_output=True, text=True, check=True)
    assert run.stderr == "", run.stderr
    return dict(zip(("redirect", "after"), run.stdout.split("\0"), strict=False))


@OFFERED
async def test_a_shell_runs_nothing_of_a_redirect_uri_or_a_name(city: City, tmp_path: Path) -> None:
    await person(city, "dimas", "developer")
    dimas = await signed_in(city, "dimas")
    for number, uri in enumerate(NASTY):
        await check(city, dimas, f"antrean{number}", uri, tmp_path)
    await dimas.http.aclose()


async def check(city: City, dimas: Browser, name: str, uri: str, directory: Path) -> None:
    await register(dimas, client_id=name, client_name=NAME, **{"sandbox.redirect_uris": uri})
    client = city.provider.registry.get(f"{name}-sandbox")
    if client is None:  # the rules refuse it
        return
    assert stacks_of(client)
    for stack in stacks_of(client):
        answer: Any = await dimas.http.get(f"/developer/apps/{name}/quick-start/{stack}.zip")
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        root = f"{name}-sandbox-{stack}"
        assert all(re.fullmatch(r"[\w.\-/]+", path) and ".." not in path for path in archive.namelist())
        readme = archive.read(f"{root}/README.md").decode()
        assert "http://localhost:4000/ in a browser" in readme
        assert not re.search(r"touch|\$\(|`touch|id;", readme), readme
        values = sourced(directory, archive.read(f"{root}/.env").decode())
        assert values["redirect"] == uri.replace("`", "%60")
        assert sorted(path.name for path in directory.iterdir()) == [".env"], "nothing ran"


@pytest.mark.parametrize("text", ["a&id", "~/x", "a:~root", "$(id)", 'a"b', "a\\b", "a b", "a;b", "a|b"])
def test_a_value_of_a_dotenv_file_is_one_word_of_a_shell(text: str) -> None:
    run = subprocess.run(
        ["/bin/sh", "-c", f'X={dotenv(text)}; printf %s "$X"'], capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == (text, "")
