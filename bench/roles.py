"""What users of the benchmark have: a role of their own, and a role through a unit three levels below the one it was
given to. A program of its own, which the benchmark runs with the settings of a server: `python -m bench.roles CLIENT`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from sqlalchemy import select

import sso.schema  # noqa: F401  # every table
from sso import clock
from sso.identity.groups import store
from sso.identity.groups.models import Group, Membership, RoleAssignment
from sso.identity.users.models import User
from sso.platform.db import Database
from sso.settings import load_settings

CATALOGUE = """\
    application_roles:
      operator: {title: Operator}
      reader: {title: Reader}
    groups_of_interest: [DINKES/*]
"""
"""What the application registers."""
CODES = ("KOTA", "DINKES", "BIDANG", "PKM-1")


async def give(client_id: str) -> None:
    """Give every user the roles and the unit."""
    db, now = Database(load_settings(), create=False), clock.now()
    try:
        async with db.write() as session:
            parent: Any = None
            for code in CODES:
                times = {"created_at": now, "updated_at": now}
                group = Group(kind="unit", code=code, name_id=code, parent_id=parent, **times)
                await store.add_group(session, group)
                if code == "DINKES":
                    given = {"reason": "bench", "given_by": "bench", "created_at": now}
                    session.add(
                        RoleAssignment(
                            client_id=client_id, role="reader", group_id=group.id, with_units_below=True, **given
                        )
                    )
                parent = group.id
            for user_id in (await session.execute(select(User.id))).scalars().all():
                session.add(Membership(user_id=user_id, group_id=parent, source="import", created_at=now))
                session.add(RoleAssignment(client_id=client_id, role="operator", user_id=user_id, **given))
    finally:
        await db.close()


if __name__ == "__main__":
    asyncio.run(give(sys.argv[1]))
