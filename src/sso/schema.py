"""Every table, gathered in one place for migrations and tests."""

from sso.audit import models as audit
from sso.authn import models as authn
from sso.clients import models as clients
from sso.db import Base
from sso.delivery import models as delivery
from sso.keys import models as keys
from sso.oidc import models as oidc
from sso.security import models as security
from sso.sessions import models as sessions
from sso.tokens import models as tokens
from sso.usage import models as usage
from sso.users import models as users

metadata = Base.metadata

__all__ = [
    "audit",
    "authn",
    "clients",
    "delivery",
    "keys",
    "metadata",
    "oidc",
    "security",
    "sessions",
    "tokens",
    "usage",
    "users",
]
