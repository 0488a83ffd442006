"""The services of the process and the caller's address, as dependencies of routes: read once, where a request arrives.

Routes that the shell calls itself (``http/common/direct.py``) take the request alone and read them in their first line.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from sso.http.common.state import Site, address_of, kept_address_of, site_of


async def _site(request: Request) -> Site:
    return site_of(request)


async def _address(request: Request) -> str:
    return address_of(request)


async def _stored_address(request: Request) -> str | None:
    return kept_address_of(request)


CurrentSite = Annotated[Site, Depends(_site)]
"""The services of the process."""
CallerAddress = Annotated[str, Depends(_address)]
"""The network address of the caller, which is never stored."""
StoredAddress = Annotated[str | None, Depends(_stored_address)]
"""The network address of the caller in the form in which it is stored."""
