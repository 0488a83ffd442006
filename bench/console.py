"""How long administrators wait with millions of people and sessions: lists and searches, on PostgreSQL.

    python -m bench.console [--people 2000000] [--sessions 5000000]

The data are made by the database itself; the pages are asked for in this process, as an administrator, so that what is
measured is the time of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
from bench.postgres import temporary_database
from sqlalchemy import text

from sso import clock
from sso.app import create_app
from sso.http.common.cookies import cookie_name
from sso.http.common.state import Site
from sso.identity.authn.authenticated import by_password
from sso.identity.sessions.service import start
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import create_users
from sso.platform.db import Database
from sso.platform.db.migrate import upgrade
from sso.platform.security.tokens import random_token
from sso.settings import Settings

ISSUER = "https://masuk.kota.example"
ROUNDS = 7
FIRST = "Siti Budi Dewi Agus Putri Eko Sri Wayan Ketut Made Nur Rina Joko Ratna Dimas Yusuf Maria Andi Lestari Hendra"
LAST = "Rahmawati Santoso Wulandari Prasetyo Hidayat Saputra Kusuma Nugroho Siregar Harahap Simanjuntak Wibowo Utami"
CLIENTS = 122

UUIDS = """
CREATE OR REPLACE FUNCTION bench_uuid() RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
    substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1),
    'hex')::uuid
$$
"""
"""A UUID of version 7, which PostgreSQL makes by itself only since version 18."""
PEOPLE = """
INSERT INTO users (id, name, profile, locale, created_at, updated_at, preferences)
SELECT bench_uuid(), f.one || ' ' || l.one || ' ' || substr(md5(n::text), 1, 6), '{}', 'id', now(), now(), '{}'
FROM generate_series(1, :people) n
JOIN unnest(string_to_array(:first, ' ')) WITH ORDINALITY f(one, at) ON f.at = 1 + n % :firsts
JOIN unnest(string_to_array(:last, ' ')) WITH ORDINALITY l(one, at) ON l.at = 1 + (n / 7) % :lasts
"""
NUMBERED = "CREATE TEMP TABLE numbered AS SELECT id, row_number() OVER (ORDER BY id) n FROM users"
IDENTIFIERS = """
INSERT INTO identifiers (id, user_id, kind, value, lookup, is_primary, created_at, verified_at)
SELECT bench_uuid(), id, 'email', 'warga' || n || '@kota.example', 'warga' || n || '@kota.example', true, now(), now()
FROM numbered
"""
CLIENT_ROWS = """
INSERT INTO clients (client_id, catalogue, status, metadata, version, created_at, updated_at)
SELECT 'aplikasi-' || n, 'bench', 'active', jsonb_build_object('type', 'web', 'client_name', 'Aplikasi ' || n,
  'redirect_uris', jsonb_build_array('https://a' || n || '.kota.example/cb'), 'grant_types',
  jsonb_build_array('authorization_code'), 'response_types', jsonb_build_array('code'), 'subject_type', 'public',
  'token_endpoint_auth_method', 'client_secret_basic'), 1, now(), now() FROM generate_series(1, :clients) n
"""
SESSIONS = """
INSERT INTO sessions (id, token_hash, user_id, created_at, last_seen_at, expires_at, auth_time, acr, amr, address,
  user_agent)
SELECT bench_uuid(), decode(md5(s::text) || md5((-s)::text), 'hex'), u.id, now(), now(), now() + interval '8 hours',
  now(), 'urn:sso:acr:password', '["pwd"]', '10.' || s % 200 || '.' || s % 250 || '.0/24',
  CASE WHEN s % 50 = 0 THEN 'Mozilla/5.0 (iPhone)' ELSE 'Mozilla/5.0 (Linux; Android 14)' END
FROM generate_series(1, :sessions) s JOIN numbered u ON u.n = 1 + (s::bigint * 7919) % :people
"""
PARTS = """
INSERT INTO session_clients (session_id, client_id, sid, first_used_at, last_used_at)
SELECT id, 'aplikasi-' || 1 + (row_number() OVER ()) % :clients, id::text, now(), now() FROM sessions
"""


async def fill(db: Database, people: int, sessions: int) -> None:
    """Make the data."""
    about = {"people": people, "first": FIRST, "last": LAST}
    about |= {"firsts": len(FIRST.split()), "lasts": len(LAST.split())}
    async with db.maintenance() as engine, engine.begin() as connection:
        await connection.execute(text("SET LOCAL synchronous_commit = off"))
        await connection.exec_driver_sql(UUIDS)
        for statement, values in (
            (PEOPLE, about), (NUMBERED, {}), (IDENTIFIERS, {}), (CLIENT_ROWS, {"clients": CLIENTS}),
            (SESSIONS, {"sessions": sessions, "people": people}), (PARTS, {"clients": CLIENTS}),
        ):  # fmt: skip
            began = time.perf_counter()
            await connection.execute(text(statement), values)
            print(f"  {statement.split()[2]:16} {time.perf_counter() - began:7.1f} s", flush=True)
    async with db.maintenance() as engine, engine.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await plain.execute(text("VACUUM ANALYZE"))


async def administrator(site: Site) -> str:
    """Make an administrator who is signed in, and return the value of the cookie."""
    async with site.provider.db.write() as session:
        (administrator,) = await create_users(
            session, [NewUser(username="ratna", name="Ratna Wulandari", roles=["admin"])]
        )
        about: dict[str, Any] = {"address": None, "user_agent": "bench", "request_id": "bench"}
        return (await start(session, site.settings, by_password(administrator), current=None, **about)).token


async def measure(database_url: str, folder: Path, people: int, sessions: int) -> None:
    """Make the data, ask for each page some times, and print the median and the longest."""
    settings = Settings(
        _env_file=None, issuer=ISSUER, database_url=database_url, data_dir=folder, secret_key=[random_token()],
        run_worker=False,
    )  # type: ignore[call-arg]  # fmt: skip
    db = Database(settings)
    await upgrade(db)
    print(f"making {people} people and {sessions} sessions", flush=True)
    await fill(db, people, sessions)
    await db.close()
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        site: Site = app.state.site
        cookies = {cookie_name(settings, "session"): await administrator(site)}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER, cookies=cookies) as browser:
            person = (await browser.get("/admin/people?q=warga77@kota.example")).text
            user_id = person.partition("/admin/people/0")[2][:35]
            pages = [
                "/admin/people", "/admin/people?q=siti", "/admin/people?q=sit rahm", "/admin/people?q=siti zzzzzz",
                "/admin/people?q=warga77@kota.example", f"/admin/people/0{user_id}", "/admin/sessions",
                "/admin/sessions?client=aplikasi-7", "/admin/sessions?person=warga77@kota.example",
                "/admin/sessions?network=10.7.7.0/24", "/admin/sessions?network=10.7.0.0/16",
                "/admin/sessions?system=iPhone", "/admin/sessions?status=ended", "/admin/audit", "/admin/deliveries",
                "/admin/applications", "/admin/applications/aplikasi-7", "/admin", "/admin?span=hour",
            ]  # fmt: skip
            print(f"{'median ms':>10} {'longest':>8}")
            for page in pages:
                took = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    answer = await browser.get(page)
                    took.append((time.perf_counter() - began) * 1000)
                    assert answer.status_code == 200, f"{page}: {answer.status_code} {answer.text[:300]}"
                print(f"{statistics.median(took):10.1f} {max(took):8.1f}  {page}", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=2_000_000)
    parser.add_argument("--sessions", type=int, default=5_000_000)
    options = parser.parse_args()
    with temporary_database("console") as (directory, url):
        clock.reset()
        asyncio.run(measure(url, directory, options.people, options.sessions))


if __name__ == "__main__":
    main()
