"""Acts that yield a permission by another way than a role, a scope or an account."""

from __future__ import annotations

from tests.api.conftest import program
from tests.support import City

BODY = {"url": "https://hook.example/", "events": ["*"]}


async def test_who_does_not_read_the_audit_log_has_it_sent_nowhere(city: City) -> None:
    writer = await program(city, "sso:webhooks:write")
    answer = await writer("POST", "/webhooks", json=BODY)
    assert answer.status_code == 403, "a webhook would be sent every event of the audit log"
    assert "sso:audit:read" in answer.headers["www-authenticate"]
    reader = await program(city, "sso:webhooks:write sso:audit:read")
    assert (await reader("POST", "/webhooks", json=BODY)).status_code == 201
