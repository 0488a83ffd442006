"""Values of applications and teams that commands, pages and rules share. Their own module: help imports no rule."""

from __future__ import annotations

from typing import Literal

State = Literal["draft", "sandbox", "submitted", "approved", "suspended", "retired"]
Role = Literal["owner", "member"]
ROLES: tuple[Role, ...] = ("owner", "member")
