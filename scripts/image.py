"""Replay the Dockerfile in a bare Debian tree, without a container program, and ask the server whether it is ready.

    sudo python3 scripts/image.py            make image: needs root, debootstrap, chroot and unshare

Each stage of the Dockerfile is a tree of its own, made with debootstrap (Debian 13, with its Python in place of the one
of the image that FROM names). RUN, COPY, ENV, USER, WORKDIR, ENTRYPOINT, CMD and HEALTHCHECK are read from the
Dockerfile and done in it. The last stage runs as its USER on a root that is mounted read-only, without capabilities and
without a way to gain some, with nothing writable but /data and /tmp. The health check of the Dockerfile has to succeed,
a file must not be writable, and SIGTERM has to end the server with exit code 0.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITE = "trixie"
PACKAGES = "python3,python3-venv,ca-certificates"
MIRROR = "http://deb.debian.org/debian"
ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc"]
READY_SECONDS = 60


@dataclass
class Stage:
    """One FROM of the Dockerfile: its tree, and what it has set so far."""

    name: str
    tree: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    user: str = "root"
    directory: str = "/"
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile, each with its arguments on one line."""
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [
        (word, rest.strip()) for line in joined.splitlines() if line.strip() for word, _, rest in [line.partition(" ")]
    ]


def wanted_stages(steps: list[tuple[str, str]]) -> set[str]:
    """Return the names of the stages that the last one needs."""
    stages: list[tuple[str, set[str]]] = []
    for word, rest in steps:
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            stages.append((name or str(len(stages)), {image}))
        elif match := re.match(r"--from=(\S+)", rest):
            stages[-1][1].add(match[1])
    needed = {stages[-1][0]}
    for name, uses in reversed(stages):
        needed |= uses if name in needed else set()
    return needed & {name for name, _ in stages}


class Replay:
    """Does what the Dockerfile says, below ``place``."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.stages: dict[str, Stage] = {}

    def base(self) -> Path:
        """Return the bare Debian tree, made once."""
        tree = self.place / "debian"
        if not (tree / "usr/bin/python3").exists():
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, tree, MIRROR)
            for name in ("python", "python3"):  # the image of Python has it there
                (tree / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        return tree

    def build(self, text: str) -> Stage:
        """Do every instruction that the last stage needs, and return that stage."""
        steps = instructions(text)
        needed, count, stage = wanted_stages(steps), 0, None
        for word, rest in steps:
            if word == "FROM":
                image, _, name = rest.partition(" AS ")
                name, count = name or str(count), count + 1
                stage = self.begin(image, name) if name in needed else None
            elif stage is not None:
                print(f"{stage.name}: {word} {rest[:100]}", flush=True)
                getattr(self, f"do_{word.lower()}")(stage, rest)
        assert stage is not None
        return stage

    def begin(self, image: str, name: str) -> Stage:
        """Begin a stage with a copy of the stage or of the tree that it is made from."""
        tree = self.place / f"stage-{name}"
        if tree.exists():
            shutil.rmtree(tree)
        parent = self.stages.get(image)
        run("cp", "-a", "--reflink=auto", parent.tree if parent else self.base(), tree)
        stage = Stage(name, tree)
        if parent:
            stage.environment, stage.user, stage.directory = dict(parent.environment), parent.user, parent.directory
            stage.entry, stage.command, stage.health = parent.entry, parent.command, parent.health
        self.stages[name] = stage
        return stage

    def do_run(self, stage: Stage, rest: str) -> None:
        """Run a command in the tree, with the network and the package settings of this machine."""
        settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
        bound = ["/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", os.environ.get("PIP_CERT", "")]
        bound += [os.environ.get("PIP_FIND_LINKS", "")]
        mounts = "".join(bind(Path(path), stage.tree) for path in bound if path and Path(path).exists())
        script = f"set -e; {mounts} mount -t proc proc {stage.tree}/proc; exec chroot {stage.tree} /bin/sh -c "
        script += shlex.quote(f"cd {stage.directory}; {rest}")
        run(*ALONE, "sh", "-c", script, env={**stage.environment, **settings, "HOME": "/root"})

    def do_copy(self, stage: Stage, rest: str) -> None:
        """Copy from the checkout, or from another stage."""
        words, origin = rest.split(), ROOT
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")  # as .dockerignore says
        if words[0].startswith("--from="):
            origin, ignore = self.stages[words.pop(0).removeprefix("--from=")].tree, shutil.ignore_patterns()
        *sources, target = words
        into = stage.tree / str(Path("/", stage.directory, target)).lstrip("/")
        for name in sources:
            source = origin / name.lstrip("/")
            place = into / source.name if target.endswith("/") else into
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True, ignore=ignore)
            else:
                shutil.copy2(source, place)

    def do_env(self, stage: Stage, rest: str) -> None:
        """Set variables, which may name earlier ones."""
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            stage.environment[name] = re.sub(r"\$(\w+)", lambda match: stage.environment.get(match[1], ""), value)

    def do_workdir(self, stage: Stage, rest: str) -> None:
        """Change the directory, and make it."""
        stage.directory = str(Path(stage.directory, rest))
        (stage.tree / stage.directory.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def do_user(self, stage: Stage, rest: str) -> None:
        """Change the user of what follows."""
        stage.user = rest

    def do_entrypoint(self, stage: Stage, rest: str) -> None:
        """Remember the program."""
        stage.entry = json.loads(rest)

    def do_cmd(self, stage: Stage, rest: str) -> None:
        """Remember the arguments."""
        stage.command = json.loads(rest)

    def do_healthcheck(self, stage: Stage, rest: str) -> None:
        """Remember the command that tells whether the server is ready."""
        stage.health = json.loads(rest.partition(" CMD ")[2])

    def do_volume(self, stage: Stage, rest: str) -> None:
        """Nothing: the run mounts it."""

    def do_expose(self, stage: Stage, rest: str) -> None:
        """Nothing: the network is that of the machine."""

    def do_arg(self, stage: Stage, rest: str) -> None:
        """Set a variable to its default."""
        self.do_env(stage, rest)

    do_label = do_volume


def bind(path: Path, tree: Path) -> str:
    """Return the commands that show a file or directory of this machine at the same place of the tree."""
    target = shlex.quote(f"{tree}{path}")
    make = f"mkdir -p {target}" if path.is_dir() else f"mkdir -p {tree}{path.parent}; touch {target}"
    return f"{make}; mount --bind -o ro {shlex.quote(str(path))} {target}; "


def run(*command: object, env: dict[str, str] | None = None) -> None:
    """Run a command; end with its output if it fails."""
    done = subprocess.run([str(word) for word in command], env=env, stdin=subprocess.DEVNULL, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(str(word) for word in command)[:200]}")


def confined(stage: Stage, data: Path, words: list[str]) -> list[str]:
    """Return the command that runs ``words`` as the image would be run with --read-only and without capabilities."""
    tree = stage.tree
    mounts = "; ".join(
        (
            f"mount --bind {tree} {tree}",
            f"mount --bind {data} {tree}/data",
            f"mount -t tmpfs -o mode=1777,size=64m tmp {tree}/tmp",  # noqa: S108
            f"mount -t proc proc {tree}/proc",
            f"mount -o remount,bind,ro {tree}",
            f"mount --bind /dev {tree}/dev",
        )
    )
    uid = next(
        line.split(":")[2]
        for line in (tree / "etc/passwd").read_text().splitlines()
        if line.split(":")[0] == stage.user
    )
    drop = f"setpriv --reuid={uid} --regid={uid} --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs"
    inside = f"cd {stage.directory}; exec {drop} {shlex.join(words)}"
    return [*ALONE, "sh", "-ec", f"{mounts}; exec chroot {tree} /bin/sh -ec {shlex.quote(inside)}"]


def is_healthy(stage: Stage) -> bool:
    """Tell whether the health check of the image succeeds."""
    command = ["chroot", str(stage.tree), *stage.health]
    return subprocess.run(command, env=stage.environment, stderr=-3, check=False).returncode == 0  # noqa: S603


def serve(stage: Stage, place: Path) -> None:
    """Start the server as the image would, and check that it is ready, confined, and ends when asked."""
    data = place / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    owner = (stage.tree / "data").stat()
    os.chown(data, owner.st_uid, owner.st_gid)
    print(f"run: {' '.join(stage.entry + stage.command)} as {stage.user} on a read-only root", flush=True)
    begun = time.monotonic()
    server = subprocess.Popen(confined(stage, data, stage.entry + stage.command), env=stage.environment)  # noqa: S603
    try:
        while not is_healthy(stage):
            if server.poll() is not None or time.monotonic() - begun > READY_SECONDS:
                sys.exit("the server is not ready")
            time.sleep(0.2)
        print(f"ready after {time.monotonic() - begun:.1f} s", flush=True)
        process = next(pid for pid in descendants(server.pid) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes())
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line
        )
        facts = {name: status[name] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs")}
        print(f"process: {facts}", flush=True)
        if facts["Uid"].split()[0] == "0" or int(facts["CapBnd"], 16) or facts["NoNewPrivs"] != "1":
            sys.exit("the server has rights that it does not need")
        writable = confined(
            stage, data, ["sh", "-c", "touch /opt/sso/x /etc/x 2>/dev/null && exit 1; touch /data/x /tmp/x"]
        )
        run(*writable, env=stage.environment)
        os.kill(process, signal.SIGTERM)
        code = server.wait(30)
        print(f"SIGTERM: exit code {code}", flush=True)
        if code:
            sys.exit("the server did not end as asked")
    finally:
        server.kill()


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and theirs."""
    pids = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pids += [int(child), *descendants(int(child))]
    return pids


def main() -> None:
    """Replay the Dockerfile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", type=Path, help="directory of the trees, kept for the next time")
    chosen = parser.parse_args()
    missing = [name for name in ("debootstrap", "chroot", "unshare", "setpriv") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        sys.exit(
            f"needs root{', and ' + ', '.join(missing) if missing else ''}: apt-get install debootstrap util-linux"
        )
    with tempfile.TemporaryDirectory(prefix="sso-image-") as temporary:
        place = (chosen.place or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        stage = Replay(place).build((ROOT / "Dockerfile").read_text())
        size = sum(path.lstat().st_size for path in (stage.tree / "opt").rglob("*") if path.is_file())
        print(f"/opt: {size // 1024**2} MB", flush=True)
        serve(stage, place)
    print("the image starts as a user without rights on a read-only root")


if __name__ == "__main__":
    main()
