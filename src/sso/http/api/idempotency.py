"""Creations that are carried out once, whoever repeats the request."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import Header
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.http.api.access import caller_in
from sso.http.api.problems import Problem
from sso.http.common.state import site_of
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
class Made:
    """What a creation answers."""

    body: BaseModel
    location: str
    status: int = 201


Check = Callable[[AsyncSession], Awaitable[None]]
"""Whether a creation may be asked for now: by this caller, of what there is now."""


async def once(
    request: Request, key: str | None, check: Check, make: Callable[[AsyncSession], Awaitable[Made]]
) -> Response:
    """Carry out a creation in one transaction; with a key that came before, give the answer of that time, to a caller
    who may still ask for it.

    Args:
        request: what is answered; the key is bound to its application, person, method, address and body.
        key: the header ``Idempotency-Key``.
        check: everything that the route checks besides its permission. It runs each time, before an earlier answer is
            given too: that answer may hold a secret, and the caller may have lost the right to it meanwhile.
        make: carries it out.

    Raises:
        Problem: when the key came with another request, or the caller may not ask.
    """
    provider = site_of(request).provider
    if key is None:
        async with provider.db.write() as session:
            await check(session)
            return _created(_answer(await make(session)))
    caller = caller_in(request)
    name = f"{caller.client.client_id} {caller.actor} {key}"
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    asked = f"{request.method} {address} {hashlib.sha256(await request.body()).hexdigest()}"
    try:
        async with provider.db.write() as session:
            before = await begin_once(session, provider.box, name, asked)
            await check(session)
            if before is not None:
                return _created(before)
            answer = _answer(await make(session))
            await finish_once(session, provider.box, name, answer)
    except KeyUsed:
        text = "This Idempotency-Key came with another request: take another."
        raise Problem(422, "idempotency_key_reused", text) from None
    return _created(answer)


def _answer(made: Made) -> bytes:
    body = orjson.loads(made.body.model_dump_json(by_alias=True))
    return orjson.dumps({"status": made.status, "location": made.location, "body": body})


def _created(answer: bytes) -> Response:
    said = orjson.loads(answer)
    headers = {"Location": said["location"], "Cache-Control": "no-store"}
    return Response(orjson.dumps(said["body"]), said["status"], headers, "application/json")
