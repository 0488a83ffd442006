"""What pages say when a use case refuses an action, in words that are translated.

Use cases refuse in English, for the API and the command line too. Each pattern here recognises one refusal; a test
looks in the source for refusals that no pattern recognises.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sso.http.common.i18n import N_

Words = Callable[[str], str]

_PATTERNS: tuple[tuple[str, str], ...] = (
    (
        r"to change this account you need the permission (?P<permission>\S+), which the account has too",
        N_("The account has the permission %(permission)s, which you do not have."),
    ),
    (r"this is your own account", N_("This is your own account.")),
    (r"the (user|person) was deleted|who was deleted cannot be enabled", N_("The user was deleted.")),
    (r"the session has ended", N_("The session has already ended.")),
    (
        r"the delivery was delivered, is fetched by its receiver, or is not sent",
        N_("This delivery cannot be sent again."),
    ),
    (r"the user does not exist", N_("The user does not exist.")),
    (r"the account is already disabled", N_("The account is already disabled.")),
    (r"the account is not disabled", N_("The account is not disabled.")),
    (r"the person is disabled", N_("The account is disabled. Enable the account first.")),
    (r"there is no such proposal.*", N_("The row was decided before.")),
    (r"it is the same account", N_("Both are the same account.")),
    (r"one of them was deleted, or is a test person", N_("One of the accounts was deleted or is a test user.")),
    (
        r"the account is locked:.*",
        N_("The account is locked. The user recovers the account, or an administrator ends the lock first."),
    ),
    (
        r"a test person is nobody:.*",
        N_("This is a test user. The account cannot be changed, verified or recovered."),
    ),
    (r"last_contact", N_("This is the only contact of the account. Add another one first.")),
    (
        r"no e-mail address or telephone number of theirs is proven.*",
        N_("The user has no verified e-mail address or phone number and could not choose a new password."),
    ),
    (
        r"a passkey is their only way to sign in:.*",
        N_("A passkey is the only sign-in method of the user. Create a recovery code instead."),
    ),
    (r"somebody else has proven that this NIK is theirs", N_("Another account has this NIK, and it is verified.")),
    (r"the person has another NIK, which was checked before", N_("The user has another NIK that was verified before.")),
    (r"nobody checks their own identity", N_("You cannot verify your own identity.")),
    (r"tick the box if you are sure", N_("Tick the box to confirm the deletion.")),
    (r"(?P<value>.+) is already used", N_("%(value)s belongs to another account.")),
    (r"(?P<value>.+) is already invited", N_("%(value)s is already invited.")),
    (
        r"(?P<value>.+) cannot count as verified:.*",
        N_("%(value)s cannot be marked as verified: this is not a valid phone number."),
    ),
    (r"'(?P<value>.+)' is not a role:.*", N_("There is no role %(value)s.")),
    (r"a test person has no roles:.*", N_("A test user cannot have roles.")),
    (
        r"this is the last administrator:.*",
        N_("This is the last administrator. Make another user an administrator first."),
    ),
    (
        r"nobody has the verified identifier '?(?P<value>.*?)'?",
        N_("No account has the verified identifier %(value)s."),
    ),
    (
        r"'?(?P<value>.+?)'? means several people: name one by the user id: (?P<ids>.+)",
        N_("%(value)s can mean several users. Use the user ID: %(ids)s"),
    ),
    (
        r"several people say that this is theirs; name one by the user id",
        N_("Several users have this identifier, and none has verified it. Use the user ID."),
    ),
    (
        r"nothing that is verified on both sides is the same:.*",
        N_("The row and the account have no verified identifier in common, so they cannot be merged."),
    ),
    (
        r"nothing would be left to sign in with:.*",
        N_("The row has no identifier of its own. Merge it or discard it."),
    ),
    (
        r"nobody else owns (?P<applications>.+): make somebody else an owner first",
        N_("The user is the only owner of %(applications)s. Add another owner first."),
    ),
    (r"invitations need a mail server:.*", N_("Mail is not set up, so invitations cannot be sent.")),
    (r"the invitation was sent a moment ago:.*", N_("The invitation was sent a moment ago. Try again in a minute.")),
    (
        r"the invitation was sent (?P<times>\d+) times:.*",
        N_("The invitation was sent %(times)s times. Withdraw it and invite the user again."),
    ),
    (
        r"(?P<count>\d+) invitations wait already:.*",
        N_("%(count)s invitations are open. Withdraw some of them first."),
    ),
    (
        r"you have saved (?P<count>\d+) searches:.*",
        N_("You have saved %(count)s searches. Delete one of them first."),
    ),
    (r"'(?P<value>[^']+)' is suspended already", N_("The application is already suspended.")),
    (r"'(?P<value>[^']+)' is not suspended", N_("The application is not suspended.")),
    (r"there is no application '?(?P<value>[^']+?)'?(; see: .*)?", N_("There is no application %(value)s.")),
    (
        r"'(?P<value>[^']+)' is the sandbox of '(?P<stem>[^']+)': name that",
        N_("%(value)s is the sandbox of %(stem)s. Choose that application."),
    ),
    (
        r"it has not passed the relying-party check as it is now",
        N_("The application has not passed the sign-in check for this revision."),
    ),
    (r"nothing waits for a decision", N_("The application is not waiting for a decision.")),
    (r"say what must be different", N_("Write what the team must change.")),
    (
        r".+, which needs permissions that you do not have: (?P<missing>.+)",
        N_("The application has permissions that you do not have: %(missing)s."),
    ),
    (r"say something", N_("Write a message.")),
    (r"is not an e-mail address.*", N_("This is not an e-mail address.")),
    (r"must have 1 to (?P<maximum>\d+) characters", N_("Type 1 to %(maximum)s characters.")),
    (r"is an e-mail address: .*", N_("A user name has no @. Type an e-mail address in its own field.")),
    (
        r"must have 3 to 64 letters.*",
        N_("A user name has 3 to 64 letters, digits, dots, hyphens or underscores, and begins with a letter or digit."),
    ),
    (
        r"has the form of a number that a spreadsheet rewrote.*|.*spreadsheet.*",
        N_("A spreadsheet program changed this value. Format the column as text."),
    ),
    (r"is not a telephone number.*|.*telephone number.*", N_("This is not a valid phone number.")),
    (r"is not a language tag: .*", N_("This is not a language tag. Write it as in id or id-ID.")),
    (r"must not begin with =, \+, - or @", N_("A name must not begin with =, +, - or @.")),
    (r"String should match pattern .*", N_("The value must not contain < or >.")),
    (r"String should have at most (?P<maximum>\d+) characters?", N_("Type at most %(maximum)s characters.")),
    (r"String should have at least .*", N_("The value is missing.")),
    (r"must not have the character (?P<character>.*)", N_("The value must not contain the character %(character)s.")),
    (r"must not begin with a combining mark.*", N_("The value must not contain so many combining marks.")),
    (r"Input should be .*", N_("This value is not allowed here.")),
    (r"somebody else changed it meanwhile", N_("The application was changed meanwhile. Look at it again.")),
    (r"a team has at most (?P<count>\d+) people", N_("A team has at most %(count)s members.")),
    (
        r"'(?P<value>[^']+)' is looked after by the catalogue '(?P<file>[^']+)': change it there"
        r"|its configuration is looked after by the catalogue '(?P<file2>[^']+)': change it there",
        N_("A catalogue file manages the application. Change the settings in that file."),
    ),
    (
        r"'(?P<value>[^']+)' is taken.*|another application has the name '(?P<value2>[^']+)'",
        N_("The client ID is used."),
    ),
    (r"the file names? .*", N_("The document of the sector does not name the redirect URIs.")),
)
"""(pattern of the whole text, text with the values that the pattern names)."""
REFUSALS = tuple((re.compile(pattern), text) for pattern, text in _PATTERNS)


def refusal_text(text: str, words: Words) -> str:
    """Return a refusal in the language of the page; one that no pattern recognises as it is.

    Args:
        text: what the use case says.
        words: translates a text.
    """
    for pattern, sentence in REFUSALS:
        match = pattern.fullmatch(text)
        if match is not None:
            values = {name: value or "" for name, value in match.groupdict().items()}
            return words(sentence) % values
    return text


def is_known(text: str) -> bool:
    """Tell whether a refusal is translated."""
    return any(pattern.fullmatch(text) for pattern, _ in REFUSALS)
