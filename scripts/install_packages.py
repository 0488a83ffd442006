"""Install the packages of a lock file into the environment that runs this: with uv, or with pip where uv cannot.

uv takes a fifth of the processor time of pip. It does not read pip's configuration, such as an index of one's own, so
this hands that over. Where uv cannot be installed, fails, or does not know an option that pip is told, several pips do
the work at once. Modules are compiled when they are first imported, which a fifth of them ever are. A lock file names
every package with its version and hashes, so that the order does not matter and nothing has to be resolved;
``tests/docs/test_install_packages.py`` checks that no requirement is missing in a lock file.

    .venv/bin/python scripts/install_packages.py requirements/run.txt
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
CONFIGURATION = [*PIP, "-vv", "config", "list"]
"""Even where pip is configured to be quiet, which would print nothing."""
INSTALL = [*PIP, "--quiet", "install", "--no-deps", "--no-compile", "--require-hashes", "-r"]
MAX_PIPS = 4
"""More do not make it faster: each takes half a second to start, and the packages come from one place."""
UV_LOCK = Path(__file__).parents[1] / "requirements/uv.txt"
UV = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
UV += ["--python", sys.executable, "--no-config"]
VARIABLES_OF_UV = {"UV_CACHE_DIR", "UV_NO_CACHE"}
"""Of uv's variables that are set already, these are kept. Others choose another Python, other places or links."""

LEVELS = ("global", "install", ":env:")
"""The sections of pip's configuration that it reads when it installs: a later one wins."""
MEANS = {
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "client-cert": ("SSL_CLIENT_CERT", ""),
    "proxy": ("ALL_PROXY", ""),
    "timeout": ("UV_HTTP_TIMEOUT", ""),
    "default-timeout": ("UV_HTTP_TIMEOUT", ""),
    "retries": ("UV_HTTP_RETRIES", ""),
}
"""The variable of uv for an option of pip, and what stands between several values."""
NOT_FOR_UV = {
    "break-system-packages", "cache-dir", "compile", "disable-pip-version-check", "log", "no-cache-dir", "no-color",
    "no-compile", "no-input", "no-python-version-warning", "no-warn-script-location", "prefer-binary", "progress-bar",
    "quiet", "require-hashes", "require-virtualenv", "root-user-action", "use-pep517", "verbose",
}  # fmt: skip
"""Options of pip that change nothing about which packages are installed, or from where."""


def split(lock: str, parts: int) -> list[str]:
    """Deal the packages of a lock file out into lists.

    Args:
        lock: the content of the file: each package begins a line, and its hashes follow on indented lines.
        parts: the number of lists.

    Returns:
        lists in the same form, without the empty ones.
    """
    packages = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)[1:]
    return [text for text in ("".join(packages[number::parts]) for number in range(parts)) if text]


def read_configuration(listed: str) -> dict[str, str]:
    """Read what ``pip config list`` has printed, and return the options that pip uses when it installs."""
    by_level: dict[str, dict[str, str]] = {level: {} for level in LEVELS}
    for section, name, value in re.findall(r"(?m)^(global|install|:env:)\.(\S+?)=(.*)$", listed):
        by_level[section][name] = str(ast.literal_eval(value))
    return {name: value for level in LEVELS for name, value in by_level[level].items()}


def hand_over(options: dict[str, str]) -> dict[str, str]:
    """Return the variables that tell uv what pip is told.

    Args:
        options: pip's options, without the dashes in front.

    Raises:
        ValueError: uv cannot be told this option.
    """
    variables = {}
    for name, value in options.items():
        if name == "cert":
            variables["SSL_CERT_DIR" if Path(value).is_dir() else "SSL_CERT_FILE"] = value
        elif name in MEANS:
            variable, between = MEANS[name]
            variables[variable] = between.join(value.split()) if between else value
        elif name not in NOT_FOR_UV:
            raise ValueError(f"pip is configured with {name}, which uv does not know")
    # From several indexes pip takes the version that is asked for, wherever it is. Its hash says it is the right one.
    return {**variables, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def with_uv(lock: Path) -> None:
    """Install uv, and with it what a lock file names.

    Raises:
        ValueError: uv cannot be told what pip is told.
        subprocess.CalledProcessError: uv cannot be installed, or could not install everything.
        OSError: uv cannot be started.
    """
    plain = {name: value for name, value in os.environ.items() if name != "PIP_QUIET"}
    listed = subprocess.run(CONFIGURATION, check=True, capture_output=True, text=True, env=plain)  # noqa: S603
    variables = hand_over(read_configuration(listed.stdout))
    subprocess.run([*INSTALL, str(UV_LOCK), "--only-binary=:all:"], check=True)  # noqa: S603
    mine = {name: value for name, value in os.environ.items() if name[:3] != "UV_" or name in VARIABLES_OF_UV}
    environment = {**mine, **variables, "VIRTUAL_ENV": sys.prefix}
    # Beside the packages, so that they are links to it and are not copied.
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        if environment.pop("UV_NO_CACHE", ""):
            environment["UV_CACHE_DIR"] = folder
        subprocess.run([*UV, "-r", str(lock)], check=True, env=environment)  # noqa: S603


def with_pips(lock: Path, *options: str) -> int:
    """Install what a lock file names with several pips; return 1 if a package could not be installed."""
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, text in enumerate(split(lock.read_text(), min(os.cpu_count() or 1, MAX_PIPS))):
            part = Path(folder, f"{number}.txt")
            part.write_text(text)
            running.append(subprocess.Popen([*INSTALL, str(part), *options]))  # noqa: S603
        return int(any([process.wait() for process in running]))


def main() -> int:
    """Install what the file in the first argument names; return 1 if a package could not be installed."""
    lock = Path(sys.argv[1])
    if not split(lock.read_text(), 1):
        print(f"{lock} names no package", file=sys.stderr)
        return 1
    try:
        with_uv(lock)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        reason = str(error) if isinstance(error, ValueError) else "uv is not to be had here, or could not"
        print(f"{reason}: pip installs {lock.name}", file=sys.stderr)
        # uv may have ended half-way through a package, which pip would take for a whole one.
        return with_pips(lock, "--force-reinstall")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
