"""What people sign in with, in the one form under which it is found."""

from __future__ import annotations

import pyotp
import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from tests.db.test_migrations import _dump
from tests.support import PASSWORD, SECRET_KEY, City, query_of

from sso import clock
from sso.authn.factors import add_totp, check_totp, new_totp_seed, reseal_seeds
from sso.authn.passwords import Passwords
from sso.security.box import SecretBox
from sso.users.importing import SEAL
from sso.users.merging import reseal_people
from sso.users.models import Identifier, MergeProposal
from sso.users.schemas import NewUser
from sso.users.service import UserError, create_users, find, open_nik
from sso.users.store import credentials_of, identifiers_of

NIK = "3671014104900001"


async def test_an_identifier_belongs_to_one_person(city: City) -> None:
    for names, wrong in ((("SITI", "baru"), "siti"), (("dua", "DUA"), "dua")):
        people = [NewUser(username=name, name=name) for name in names]
        with pytest.raises(UserError, match=f"{wrong} is already used"):
            async with city.provider.db.write() as session:
                await create_users(session, people)


async def test_a_nik_is_sealed_found_and_shown_masked(city: City) -> None:
    async with city.provider.db.write() as session:
        person = NewUser(username="nina", name="Nina", nik=NIK, nik_verified=True)
        made = (await create_users(session, [person], box=city.provider.box))[0]
    async with city.provider.db.read() as session:
        assert (await find(session, "3671 0141 0490 0001", city.provider.box)).id == made.id
        one = next(one for one in await identifiers_of(session, made.id) if one.kind == "nik")
        assert (one.value, open_nik(one, city.provider.box)) == ("3671••••••••0001", NIK)
        with pytest.raises(UserError):
            await find(session, "3671014104900002", city.provider.box)
    assert NIK not in await _dump(city.provider.db)
    with pytest.raises(UserError, match="the NIK is already used"):
        async with city.provider.db.write() as session:
            again = NewUser(username="lain", name="Lain", nik=NIK)
            await create_users(session, [again], box=city.provider.box)


async def test_one_signs_in_with_a_nik_that_was_checked_and_with_no_other(city: City) -> None:
    hashed = await Passwords(city.settings).hash(PASSWORD)
    async with city.provider.db.write() as session:
        for name, nik, verified in (("nina", NIK, True), ("nani", "3671014104900003", False)):
            person = NewUser(username=name, name=name, nik=nik, nik_verified=verified, password_hash=hashed)
            await create_users(session, [person], box=city.provider.box)
    async with city.browser() as browser:
        assert "code" in query_of((await browser.sign_in(city.relying_party("warga"), NIK)).headers["location"])
    async with city.browser() as browser:
        assert (await browser.sign_in(city.relying_party("warga"), "3671014104900003")).status_code == 400


async def test_several_may_say_what_nobody_has_proven_and_who_proves_it_has_it(city: City) -> None:
    now = clock.now()
    async with city.provider.db.write() as session:
        for name in ("siti", "budi"):
            said = {"kind": "email", "value": "dua@warga.example", "lookup": "dua@warga.example"}
            session.add(Identifier(user_id=city.users[name], created_at=now, **said))
    async with city.provider.db.read() as session:
        with pytest.raises(UserError, match="nobody has the verified identifier"):
            await find(session, "dua@warga.example")
    async with city.provider.db.write() as session:
        mine = Identifier.lookup == "dua@warga.example", Identifier.user_id == city.users["budi"]
        await session.execute(update(Identifier).where(*mine).values(verified_at=now))
    async with city.provider.db.read() as session:
        assert (await find(session, "dua@warga.example")).id == city.users["budi"]
    with pytest.raises(IntegrityError):
        async with city.provider.db.write() as session:
            mine = Identifier.lookup == "dua@warga.example", Identifier.user_id == city.users["siti"]
            await session.execute(update(Identifier).where(*mine).values(verified_at=now))


async def test_what_is_sealed_of_people_is_sealed_anew(city: City) -> None:
    new = SecretBox([b"another secret of more than 32 characters"])
    both = SecretBox([b"another secret of more than 32 characters", SECRET_KEY.encode()])
    siti, seed = city.users["siti"], new_totp_seed()
    async with city.provider.db.write() as session:
        await create_users(session, [NewUser(username="nina", name="Nina", nik=NIK)], box=city.provider.box)
        await add_totp(session, city.provider.box, siti, seed, 1)
        row = {"user_id": siti, "reasons": ["nik"], "status": "open", "created_at": clock.now()}
        session.add(MergeProposal(**row, sealed=city.provider.box.seal(b"{}", SEAL)))
    async with city.provider.db.write() as session:
        assert await reseal_people(session, both) + await reseal_seeds(session, both) == 3
    async with city.provider.db.write() as session:
        assert await reseal_people(session, both) + await reseal_seeds(session, both) == 0
        nina = await find(session, "nina")
        one = next(one for one in await identifiers_of(session, nina.id) if one.kind == "nik")
        assert open_nik(one, new) == NIK
        app = next(one for one in await credentials_of(session, siti) if one.kind == "totp")
        assert await check_totp(session, new, app, pyotp.TOTP(seed).at(clock.timestamp()))
