"""What "Bring an application in" shows is right: catalogue entries are applied, PHP is parsed as that of the version
that the page names, commands and options exist, texts of errors are ours, and links lead somewhere. Both languages show
the same code."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
import typer.main
import yaml
from babel.messages.pofile import read_po
from tests.cli.conftest import Cli, cli
from tests.docs.scripts import ROOT

from sso.cli import command_line

__all__ = ["cli"]
pytestmark = pytest.mark.unit
ENGLISH = ROOT / "docs/how-to/bring-an-application.md"
INDONESIAN = ROOT / "docs/id/how-to/bring-an-application.md"
PAGES = pytest.mark.parametrize("page", [ENGLISH, INDONESIAN], ids=["en", "id"])
PROGRAMS = (
    "WordPress", "Moodle", "Nextcloud", "MediaWiki", "DokuWiki", "phpMyAdmin", "Grafana", "GitLab", "CodeIgniter 3",
    "Laravel",
)  # fmt: skip
NEW_PHP = ("wfLoadExtension", "Route::get", "App\\Models")
"""Programs whose own code needs a newer PHP than 5.6."""
LOCALES = ROOT / "src/sso/http/common/locale"


@cache
def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code of a page in one language, without their indentation."""
    return [dedent(block) for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.S | re.M)]


@cache
def entries() -> dict[str, dict[str, Any]]:
    """Return the catalogue entries that the page shows, by client ID."""
    by_client_id: dict[str, dict[str, Any]] = {}
    for block in blocks(ENGLISH, "yaml"):
        document = yaml.safe_load(block)
        for entry in document["applications"] if isinstance(document, dict) else document:
            assert entry["client_id"] not in by_client_id, "each application has a name of its own"
            by_client_id[entry["client_id"]] = entry
    return by_client_id


@cache
def parsed(version: str, sources: tuple[str, ...]) -> str:
    """Return what a parser of a version of PHP says against sources: nothing, where they are right."""
    script = """
    require '/usr/share/php/PhpParser/autoload.php';
    $kind = constant('PhpParser\\ParserFactory::ONLY_PHP' . $argv[1][0]);
    $lexer = new PhpParser\\Lexer\\Emulative(['phpVersion' => $argv[1]]);
    $parser = (new PhpParser\\ParserFactory())->create($kind, $lexer);
    foreach (json_decode(stream_get_contents(STDIN)) as $source) {
        try { $parser->parse($source); } catch (PhpParser\\Error $error) { echo $error->getMessage(), "\\n", $source; }
    }
    """
    done = subprocess.run(
        ["php", "-r", script, "--", version], input=json.dumps(sources), capture_output=True, text=True
    )
    return done.stdout + done.stderr


def test_the_catalogue_entries_are_accepted(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "kota.yaml"
    text = yaml.safe_dump({"catalogue": "kota", "applications": list(entries().values())}, sort_keys=False)
    file.write_text(text)
    answer = cli("clients", "apply", str(file), "--dry-run")
    assert answer.code == 0, answer.out + answer.err
    assert {name for name in entries() if f"+ {name} " in answer.out} == set(entries())
    relaxed = {name for name, entry in entries().items() if "profile" in entry}
    assert relaxed == {"belajar"}, "one program alone relaxes a rule, and the page says so"


@PAGES
def test_the_php_is_that_of_the_version_that_the_page_names(page: Path) -> None:
    sources = blocks(page, "php")
    assert all(source.startswith("<?php\n") for source in sources)
    new = tuple(source for source in sources if any(word in source for word in NEW_PHP))
    old = tuple(source for source in sources if source not in new)
    assert len(new) == 3
    assert parsed("5.6", old) == ""
    assert parsed("7.4", new) == ""


@PAGES
def test_commands_of_ours_exist_with_their_options(page: Path) -> None:
    command = typer.main.get_command(command_line())
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(sso [a-z]+ [^`…]*)`", page.read_text())
    ours = [shlex.split(line.partition(" > ")[0])[1:] for line in lines if line.startswith("sso ")]
    assert len(ours) > 10
    for words in ours:
        current: Any = command
        while words and (inner := getattr(current, "commands", {}).get(words[0])):
            current, words = inner, words[1:]
        assert not hasattr(current, "commands"), words
        options = {option for parameter in current.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, (current.name, words)


@PAGES
def test_other_settings_are_read_by_a_reader_of_their_kind(page: Path) -> None:
    grafana = configparser.ConfigParser(interpolation=None)
    grafana.read_string(next(block for block in blocks(page, "ini") if "[server]" in block))
    section = grafana["auth.generic_oauth"]
    entry = entries()[section["client_id"]]
    assert set(section["scopes"].split()) == set(entry["scope"].split())
    for block in blocks(page, "nginx"):
        assert re.fullmatch(r"fastcgi_param \w+ \$sso_\w+;\n", block)
    (ruby,) = blocks(page, "ruby")
    assert all(ruby.count(opening) == ruby.count(closing) for opening, closing in ("[]", "{}"))
    for value in re.findall(r"redirect_uri: '([^']+)'", ruby):
        assert value in entries()["git"]["redirect_uris"]


@PAGES
def test_addresses_in_the_code_are_those_that_are_registered(page: Path) -> None:
    uris = {uri for entry in entries().values() for uri in entry.get("redirect_uris", [])}
    code_blocks = [block for language in ("php", "ini", "apache") for block in blocks(page, language)]
    for block in code_blocks:
        for uri in re.findall(r"(?:'redirect_uri' => '|OIDC_REDIRECT_URI[ =])(https://[^'\n]+)", block):
            assert uri in uris, uri
        for scope in re.findall(r"(?:'scope' => '|OIDC_SCOPE[ =]\")([a-z ]+)['\"]", block):
            assert any(entry.get("scope") == scope for entry in entries().values()), scope


def test_both_languages_show_the_same_code_and_the_same_programs() -> None:
    for language in ("yaml", "php", "ini", "apache", "ruby", "nginx", "sh"):
        assert blocks(ENGLISH, language) == blocks(INDONESIAN, language), language
    for page in (ENGLISH, INDONESIAN):
        headings = re.findall(r"^## (.+)$", page.read_text(), re.M)
        assert tuple(headings[-len(PROGRAMS) :]) == PROGRAMS, page


def test_texts_of_errors_are_shown_as_we_write_them() -> None:
    """Texts in quotation marks in tables are of pages, those between backticks of endpoints, commands and packages."""
    with (LOCALES / "id/LC_MESSAGES/sso.po").open("rb") as file:
        catalogue = {str(message.id): str(message.string) for message in read_po(file) if isinstance(message.id, str)}
    sources = "\n".join(
        path.read_text() for folder in ("src/sso", "packages/php") for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".php", ".html")
    )  # fmt: skip
    sources += "Invalid 'code' in request."  # of Authlib
    of_others = {
        "A user already exists on this site with this username.", "This account is pending email confirmation.",
        "You must access Nextcloud with HTTPS to use OpenID Connect.",
        "Failed to provision the user", "404 Page Not Found",
        "An Error Was Encountered: The action you have requested is not allowed.",
        "Failed to contact the OIDC provider token endpoint: Client authentication failed.",
    }  # fmt: skip
    for page in (ENGLISH, INDONESIAN):
        for row in re.findall(r"^\| ([\"“`].+?) \| ", page.read_text(), re.M):
            for text in re.findall(r"[\"“]([^\"”]+)[\"”]", row):
                if text in of_others:
                    continue
                known = catalogue.values() if page == INDONESIAN else catalogue
                assert text in known or text in sources, (page.name, text)
            for code in re.findall(r"`([^`]+)`", row):
                words = code.removesuffix("…").removesuffix(".")
                assert any(part in sources for part in (words, words.partition("=")[0])) or words in of_others | {
                    "this client is registered with token_endpoint_auth_method=client_secret_basic",  # sent by a test
                    "Call to undefined function curl_init()", "required attribute email was not provided",
                    "ReceiverAnswered: the application answered 404",
                }, (page.name, code)  # fmt: skip


@PAGES
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            anchors = {
                re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
                for line in re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            }
            assert anchor in anchors, link


def test_the_readers_see_indented_entries_as_they_must_stand() -> None:
    """Entries are list items, which stand two spaces deeper in the file of the city."""
    for block in blocks(ENGLISH, "yaml"):
        if block.startswith("- "):
            whole = yaml.safe_load("catalogue: kota\napplications:\n" + indent(block, "  "))
            assert len(whole["applications"]) == 1
