"""What pages and commands say when a use case refuses to change roles of applications."""

from __future__ import annotations

from sso.accounts.role_rules import REFUSALS
from sso.platform.messages import N_

NO_REASON = N_("Write the reason. It is recorded in the audit log.")
OTHERWISE = N_("The change was not made: %(detail)s.")
NOT_FOUND = N_(
    "You cannot give this role to a user with this e-mail address, phone number, username or user ID. A team can name "
    "members of the team, users of the application and employees."
)
NO_UNIT = N_("No unit or group has this code.")
NOTHING_CHOSEN = N_("Select at least one role in the list.")
NO_DATE = N_("Enter the last day as in 2027-12-31. It must be in the future.")
ONE_OF_BOTH = N_("Enter either a user or the code of a unit or group.")
TEXTS: dict[str, str] = {
    REFUSALS["not_defined"]: N_("The application does not define this role."),
    REFUSALS["own_role"]: N_("You cannot give or confirm a role for yourself. Ask another administrator."),
    REFUSALS["not_allowed"]: N_("You are not allowed to give or end roles of this application."),
    REFUSALS["other_unit"]: N_("You can give roles only to members of your units, and to units below them."),
    REFUSALS["whole_role"]: N_("You can give this role only for one of your units. Enter the code of the unit."),
    REFUSALS["not_of_unit"]: N_(
        "You can end only roles that are limited to one of your units, or that its administrators gave."
    ),
    "write the reason": NO_REASON,
    "the end must be in the future": NO_DATE,
    "this role is already given, and has not ended": N_("This role was already given and has not ended."),
    "this role has ended already": N_("This role has already ended."),
    "a test user has roles in sandboxes only": N_("A test user can have roles only in a sandbox."),
    "only a role of a unit is for the units below it": N_(
        "“Units below too” is only for a role that is given to a unit."
    ),
    "a role is limited to a unit of the tree, not to a group": N_("A role can be limited to a unit, not to a group."),
    "an access review of this application is running already": N_("An access review of this application is running."),
    "the last day must be tomorrow at the earliest, and within a year": N_(
        "The last day must be tomorrow at the earliest, and within a year."
    ),
    "this access review is over": N_("This access review is over."),
    "only an owner of the application reviews who has its roles": N_(
        "Only an owner of the application can start or cancel an access review."
    ),
    "there is no such unit or group": NO_UNIT,
    "a role begins and ends within ten years": N_("The first and the last day must be within ten years."),
    "the end must be after the beginning": N_("The last day must be after the first day."),
    "there is no such user": NOT_FOUND,
    "there is no such role assignment": N_("This role does not exist any more."),
    "there is no such application": N_("The application does not exist any more."),
    "there is no such application in production": N_("The application is not in production."),
    "there is no such access review": N_("This access review does not exist."),
    "name either a user or a group": ONE_OF_BOTH,
    "give 1 to 100 roles at once": N_("You can give 1 to 100 roles at once."),
    "this role has begun already: end it, and give it again": N_(
        "The role has begun. To change its first day, end it and give it again."
    ),
    "a role of the plan has ended meanwhile": N_("One of the roles has ended in the meantime. Check the list again."),
}
"""What the use cases refuse, as pages and commands say it."""
