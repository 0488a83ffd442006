"""What pages and commands say when a use case refuses an action, in words that are translated.

Use cases refuse in English, which the API and English commands show as it is. Each pattern here recognises one refusal;
a test looks in the source for refusals that no pattern recognises.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sso.platform.messages import N_

Words = Callable[[str], str]

REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"to change this account you need the permission (?P<permission>\S+), which the account has too", re.S
        ),
        N_("The account has the permission %(permission)s, which you do not have."),
    ),
    (re.compile(r"this is your own account", re.S), N_("This is your own account.")),
    (re.compile(r"the user was deleted", re.S), N_("The user was deleted.")),
    (re.compile(r"the session has ended", re.S), N_("The session has already ended.")),
    (
        re.compile(r"the delivery was delivered, is fetched by its receiver, or is not sent", re.S),
        N_("This delivery cannot be sent again."),
    ),
    (re.compile(r"the user does not exist", re.S), N_("The user does not exist.")),
    (re.compile(r"the account is already disabled", re.S), N_("The account is already disabled.")),
    (re.compile(r"the account is not disabled", re.S), N_("The account is not disabled.")),
    (re.compile(r"the account is disabled", re.S), N_("The account is disabled. Enable the account first.")),
    (re.compile(r"there is no such proposal.*", re.S), N_("The row was decided before.")),
    (re.compile(r"both are the same account", re.S), N_("Both are the same account.")),
    (
        re.compile(r"one of the accounts was deleted or is a test user", re.S),
        N_("One of the accounts was deleted or is a test user."),
    ),
    (
        re.compile(r"the account is locked:.*", re.S),
        N_("The account is locked. The user recovers the account, or an administrator ends the lock first."),
    ),
    (
        re.compile(r"this is a test user:.*", re.S),
        N_("This is a test user. The account cannot be changed, verified or recovered."),
    ),
    (re.compile(r"last_contact", re.S), N_("This is the only contact of the account. Add another one first.")),
    (
        re.compile(r"the user has no verified e-mail address or phone number.*", re.S),
        N_("The user has no verified e-mail address or phone number and could not choose a new password."),
    ),
    (
        re.compile(r"a passkey is the only sign-in method of the user:.*", re.S),
        N_("A passkey is the only sign-in method of the user. Create a recovery code instead."),
    ),
    (
        re.compile(r"another account has this NIK, and it is verified", re.S),
        N_("Another account has this NIK, and it is verified."),
    ),
    (
        re.compile(r"the user has another NIK that was verified before", re.S),
        N_("The user has another NIK that was verified before."),
    ),
    (re.compile(r"you cannot verify your own identity", re.S), N_("You cannot verify your own identity.")),
    (re.compile(r"tick the box if you are sure", re.S), N_("Tick the box to confirm the deletion.")),
    (re.compile(r"(?P<value>.+) is already used", re.S), N_("%(value)s belongs to another account.")),
    (re.compile(r"(?P<value>.+) is already invited", re.S), N_("%(value)s is already invited.")),
    (
        re.compile(r"(?P<value>.+) cannot be marked as verified:.*", re.S),
        N_("%(value)s cannot be marked as verified: this is not a valid phone number."),
    ),
    (re.compile(r"'(?P<value>.+)' is not a role:.*", re.S), N_("There is no role %(value)s.")),
    (re.compile(r"a test user cannot have roles:.*", re.S), N_("A test user cannot have roles.")),
    (
        re.compile(r"this is the last administrator:.*", re.S),
        N_("This is the last administrator. Make another user an administrator first."),
    ),
    (
        re.compile(r"nobody has the verified identifier '?(?P<value>.*?)'?", re.S),
        N_("No account has the verified identifier %(value)s."),
    ),
    (
        re.compile(r"'?(?P<value>.+?)'? can mean several users: use the user ID: (?P<ids>.+)", re.S),
        N_("%(value)s can mean several users. Use the user ID: %(ids)s"),
    ),
    (
        re.compile(r"several users have this identifier, and none has verified it: use the user ID", re.S),
        N_("Several users have this identifier, and none has verified it. Use the user ID."),
    ),
    (
        re.compile(r"the row and the account have no verified identifier in common:.*", re.S),
        N_("The row and the account have no verified identifier in common, so they cannot be merged."),
    ),
    (
        re.compile(r"the row has no identifier of its own:.*", re.S),
        N_("The row has no identifier of its own. Merge it or discard it."),
    ),
    (
        re.compile(r"nobody else owns (?P<applications>.+): make somebody else an owner first", re.S),
        N_("The user is the only owner of %(applications)s. Add another owner first."),
    ),
    (re.compile(r"invitations need a mail server:.*", re.S), N_("Mail is not set up, so invitations cannot be sent.")),
    (
        re.compile(r"the invitation was sent a moment ago:.*", re.S),
        N_("The invitation was sent a moment ago. Try again in a minute."),
    ),
    (
        re.compile(r"the invitation was sent (?P<times>\d+) times:.*", re.S),
        N_("The invitation was sent %(times)s times. Withdraw it and invite the user again."),
    ),
    (
        re.compile(r"(?P<count>\d+) invitations wait already:.*", re.S),
        N_("%(count)s invitations are open. Withdraw some of them first."),
    ),
    (
        re.compile(r"you have saved (?P<count>\d+) searches:.*", re.S),
        N_("You have saved %(count)s searches. Delete one of them first."),
    ),
    (re.compile(r"'(?P<value>[^']+)' is suspended already", re.S), N_("The application is already suspended.")),
    (re.compile(r"'(?P<value>[^']+)' is not suspended", re.S), N_("The application is not suspended.")),
    (
        re.compile(r"there is no application '?(?P<value>[^']+?)'?(; see: .*)?", re.S),
        N_("There is no application %(value)s."),
    ),
    (
        re.compile(r"'(?P<value>[^']+)' is the sandbox of '(?P<stem>[^']+)': name that", re.S),
        N_("%(value)s is the sandbox of %(stem)s. Choose that application."),
    ),
    (
        re.compile(r"it has not passed the relying-party check as it is now", re.S),
        N_("The application has not passed the sign-in check for this revision."),
    ),
    (
        re.compile(r"the application is not waiting for a decision", re.S),
        N_("The application is not waiting for a decision."),
    ),
    (re.compile(r"write what the team must change", re.S), N_("Write what the team must change.")),
    (
        re.compile(r".+, which needs permissions that you do not have: (?P<missing>.+)", re.S),
        N_("The application has permissions that you do not have: %(missing)s."),
    ),
    (re.compile(r"write a message", re.S), N_("Write a message.")),
    (re.compile(r"is not an e-mail address.*", re.S), N_("This is not an e-mail address.")),
    (re.compile(r"must have 1 to (?P<maximum>\d+) characters", re.S), N_("Enter 1 to %(maximum)s characters.")),
    (
        re.compile(r"is an e-mail address: .*", re.S),
        N_("A username has no @. Enter an e-mail address in its own field."),
    ),
    (
        re.compile(r"must have 3 to 64 letters.*", re.S),
        N_("A username has 3 to 64 letters, digits, dots, hyphens or underscores, and begins with a letter or digit."),
    ),
    (
        re.compile(r"has the form of a number that a spreadsheet rewrote.*|.*spreadsheet.*", re.S),
        N_("A spreadsheet program changed this value. Format the column as text."),
    ),
    (
        re.compile(r"is not a phone number.*|has two phone numbers.*|this is not a valid phone number.*", re.S),
        N_("This is not a valid phone number."),
    ),
    (re.compile(r"is not a language tag: .*", re.S), N_("This is not a language tag. Write it as in id or id-ID.")),
    (re.compile(r"must not begin with =, \+, - or @", re.S), N_("A name must not begin with =, +, - or @.")),
    (re.compile(r"String should match pattern .*", re.S), N_("The value must not contain < or >.")),
    (
        re.compile(r"String should have at most (?P<maximum>\d+) characters?", re.S),
        N_("Enter at most %(maximum)s characters."),
    ),
    (re.compile(r"String should have at least .*", re.S), N_("The value is missing.")),
    (
        re.compile(r"must not have the character (?P<character>.*)", re.S),
        N_("The value must not contain the character %(character)s."),
    ),
    (
        re.compile(r"must not begin with a combining mark.*", re.S),
        N_("The value must not contain so many combining marks."),
    ),
    (
        re.compile(r".* must be 1 to 64 letters, digits, dots, underscores and hyphens, such as DINKES-01", re.S),
        N_("A code has 1 to 64 letters, digits, dots, hyphens and underscores, for example DINKES-01."),
    ),
    (
        re.compile(r"has (?P<values>\d+) values for (?P<columns>\d+) columns", re.S),
        N_("%(values)s values for %(columns)s columns"),
    ),
    (re.compile(r"a quotation mark is opened and not closed", re.S), N_("a quotation mark is not closed")),
    (re.compile(r"Input should be .*", re.S), N_("This value is not allowed here.")),
    (
        re.compile(r"the application has just been changed: read the application again", re.S),
        N_("The application has just been changed. Check it again."),
    ),
    (re.compile(r"a team has at most (?P<count>\d+) members", re.S), N_("A team has at most %(count)s members.")),
    (
        re.compile(r"'[^']+' is managed by the catalogue '[^']+': remove it from that file, .*", re.S),
        N_("To retire this application, remove it from its catalogue file and run “sso clients apply --delete”."),
    ),
    (
        re.compile(
            r"'(?P<value>[^']+)' is managed by the catalogue '(?P<file>[^']+)': change it there"
            r"|its configuration is managed by the catalogue '(?P<file2>[^']+)': change it there",
            re.S,
        ),
        N_("A catalogue file manages the application. Change the settings in that file."),
    ),
    (
        re.compile(r"'(?P<value>[^']+)' is taken.*|another application has the name '(?P<value2>[^']+)'", re.S),
        N_("The client ID is used."),
    ),
    (re.compile(r"(nip: )?a NIP has 18 digits", re.S), N_("A NIP has 18 digits.")),
    (
        re.compile(r"(nip: )?the date of birth in this NIP .*", re.S),
        N_("The date of birth in this NIP (digits 1 to 8) does not exist."),
    ),
    (
        re.compile(r"(nip: )?the year of appointment in this NIP .*", re.S),
        N_("The year of appointment in this NIP (digits 9 to 12) does not fit the date of birth, or is in the future."),
    ),
    (
        re.compile(r"(nip: )?digits 13 and 14 of this NIP .*", re.S),
        N_("Digits 13 and 14 of this NIP must be a month (01 to 12), or 21 to 29 for PPPK."),
    ),
    (
        re.compile(r"(nip: )?digit 15 of this NIP .*", re.S),
        N_("Digit 15 of this NIP must be 1 (man) or 2 (woman)."),
    ),
    (
        re.compile(r"(nip: )?the serial number in this NIP .*", re.S),
        N_(
            "The serial number in this NIP (digits 16 to 18) is 000. A spreadsheet may have destroyed the last digits: "
            "format the column as text, and save the file again."
        ),
    ),
    (
        re.compile(r"(old_nip: )?an old NIP has 9 digits.*", re.S),
        N_("An old NIP has 9 digits. A spreadsheet may have removed zeros at the beginning."),
    ),
    (
        re.compile(r"(nip: )?another account has this NIP as its username.*", re.S),
        N_("Another account has this NIP as its username. Change that username first."),
    ),
    (re.compile(r"(nip: )?another account has this NIP", re.S), N_("Another account has this NIP.")),
    (re.compile(r"an employee of this kind has a NIP", re.S), N_("An employee of this kind has a NIP. Enter the NIP.")),
    (re.compile(r"the employment ends before it begins", re.S), N_("The end must be after the beginning.")),
    (
        re.compile(r"the user has no employment that could end", re.S),
        N_("The user has no employment that could end."),
    ),
    (re.compile(r"nobody confirms their own employment", re.S), N_("You cannot confirm your own employment.")),
    (re.compile(r"somebody decided about this row before", re.S), N_("Somebody has decided about this row already.")),
    (
        re.compile(r"to change the position you need the permission groups:write", re.S),
        N_("To change the position you need the permission to change units and groups."),
    ),
    (
        re.compile(r"to choose the unit you need the permission groups:write", re.S),
        N_("To choose a unit, you need the permission groups:write."),
    ),
    (
        re.compile(r"((from|until): )?is not a date.*", re.S),
        N_("The date is not valid. Write it as in 2026-12-31."),
    ),
    (
        re.compile(r"employment_status: .*|must be one of pns, .*", re.S),
        N_("Choose the kind of employment."),
    ),
    (
        re.compile(r"(unit_code: )?there is no unit (?P<code>\S+?)(\. Import the units first)?", re.S),
        N_("There is no unit with the code %(code)s."),
    ),
    (
        re.compile(r"the other account is the one of an employee.*", re.S),
        N_("The other account belongs to an employee. Keep that account, and merge this one into it."),
    ),
    (
        re.compile(r"--complete: (?P<count>\d+) lines have no NIP .* \(the first is line (?P<line>\d+)\).*", re.S),
        N_(
            "A complete list needs a NIP in every line. %(count)s lines have no NIP that can be read; the first is "
            "line %(line)s. Correct these lines first."
        ),
    ),
    (
        re.compile(r"the file has no column (?P<column>\w+): name it with --column .*", re.S),
        N_("The file has no column %(column)s."),
    ),
    (
        re.compile(r"the file has several columns for (?P<column>\w+): choose with --column .*", re.S),
        N_("The file has several columns for %(column)s. Keep one of them."),
    ),
    (re.compile(r"\S+ holds no row that can be read.*", re.S), N_("The file has no row that can be read.")),
    (re.compile(r"\S+ is empty", re.S), N_("The file is empty.")),
    (
        re.compile(r"\S+ is not UTF-8.*|\S+ seems to be UTF-16.*", re.S),
        N_("The file is not UTF-8. Save it as CSV UTF-8."),
    ),
    (
        re.compile(r"\S+/\S+\.csv:? .*", re.S),
        N_("The file is not a CSV file with the names of the columns in its first line. Save it as CSV UTF-8."),
    ),
    (re.compile(r"the file names? .*", re.S), N_("The document of the sector does not name the redirect URIs.")),
)
"""(pattern of the whole text, text with the values that the pattern names)."""


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
