"""Every table, gathered in one place for migrations and tests."""

from sso.clients import models as clients
from sso.gate import models as gate
from sso.gate.cas import models as cas
from sso.identity.attributes import models as attributes
from sso.identity.authn import models as authn
from sso.identity.employees import models as employees
from sso.identity.groups import models as groups
from sso.identity.sessions import models as sessions
from sso.identity.users import models as users
from sso.oidc import models as oidc
from sso.oidc.store import models as tokens
from sso.platform.audit import models as audit
from sso.platform.db import Base, ends
from sso.platform.keys import models as keys
from sso.platform.metrics import models as usage
from sso.platform.outbox import models as delivery
from sso.platform.security import models as security
from sso.platform.stored_settings import models as stored_settings
from sso.portal.webhooks import models as team_webhooks
from sso.setup import models as setup

metadata = Base.metadata

__all__ = [
    "attributes",
    "audit",
    "authn",
    "cas",
    "clients",
    "delivery",
    "employees",
    "ends",
    "gate",
    "groups",
    "keys",
    "metadata",
    "oidc",
    "security",
    "sessions",
    "setup",
    "stored_settings",
    "team_webhooks",
    "tokens",
    "usage",
    "users",
]
