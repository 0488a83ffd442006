"""Creations that are carried out once, whoever repeats the request."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import Depends, Header
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.http.api.access import Access, CallerAccess
from sso.http.api.problems import Problem
from sso.http.common.services import Box, Db
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.platform.security.idempotency import KeyUsed, begin_once, finish_once

IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A value that you choose. The same request with it within a day is carried out once.",
    ),
]


@dataclass(frozen=True, slots=True)
class Created:
    """What a creation answers."""

    body: BaseModel
    location: str
    status: int = 201


Check = Callable[[AsyncSession], Awaitable[None]]
"""Whether a creation may be asked for now: by this caller, of what there is now."""


@dataclass(frozen=True, slots=True)
class CreationRequest:
    """A request that creates something.

    Args:
        request: what is answered; the key is bound to its application, person, method, address and body.
        access: the caller.
        db: the database.
        box: encrypts the answer that is kept.
        key: the header ``Idempotency-Key``.
    """

    request: Request
    access: CallerAccess
    db: Database
    box: SecretBox
    key: str | None

    async def once(self, check: Check, make: Callable[[AsyncSession], Awaitable[Created]]) -> Response:
        """Carry out a creation in one transaction; with a key that came before, give the answer of that time, to a
        caller who may still ask for it.

        Args:
            check: everything that the route checks besides its permission. It runs each time, before an earlier answer
                is given too: that answer may hold a secret, and the caller may have lost the right to it meanwhile.
            make: carries it out.

        Raises:
            Problem: when the key came with another request, or the caller may not ask.
        """
        if self.key is None:
            async with self.db.write() as session:
                await check(session)
                return _response(_answer(await make(session)))
        request, caller = self.request, self.access.caller
        name = f"{caller.client.client_id} {caller.actor} {self.key}"
        address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        fingerprint = f"{request.method} {address} {hashlib.sha256(await request.body()).hexdigest()}"
        try:
            async with self.db.write() as session:
                before = await begin_once(session, self.box, name, fingerprint)
                await check(session)
                if before is not None:
                    return _response(before)
                answer = _answer(await make(session))
                await finish_once(session, self.box, name, answer)
        except KeyUsed:
            text = "This Idempotency-Key came with another request: take another."
            raise Problem(422, "idempotency_key_reused", text) from None
        return _response(answer)


async def _creation(
    request: Request, access: Access, db: Db, box: Box, key: IdempotencyKeyHeader = None
) -> CreationRequest:
    return CreationRequest(request, access, db, box, key)


Creation = Annotated[CreationRequest, Depends(_creation)]
"""A creation that is carried out once, as a dependency of a route."""


def _answer(created: Created) -> bytes:
    body = orjson.loads(created.body.model_dump_json(by_alias=True))
    return orjson.dumps({"status": created.status, "location": created.location, "body": body})


def _response(answer: bytes) -> Response:
    stored = orjson.loads(answer)
    headers = {"Location": stored["location"], "Cache-Control": "no-store"}
    return Response(orjson.dumps(stored["body"]), stored["status"], headers, "application/json")
