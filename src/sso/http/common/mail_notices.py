"""What each message to users says: mails, SMS and WhatsApp messages. ``mail_texts.py`` composes them."""

from __future__ import annotations

from dataclasses import dataclass

from sso.http.common.i18n import N_


@dataclass(frozen=True, slots=True)
class Notice:
    """What one kind of message says. ``subject`` is also the text of its SMS; ``advice``: what to do; ``button``: what
    its link is called; ``code``: it holds a code, and an SMS says that instead."""

    subject: str
    text: str
    advice: str
    button: str = ""
    code: bool = False


_NOT_YOU = N_("If you did not do this, contact %(support)s immediately.")
_DO_NOT_SHARE = N_("Do not give this code to anybody, not even to us.")
_QUESTIONS = N_("If you have questions, contact %(support)s.")
NOTICES = {
    "code_sign_up": Notice(
        N_("Your code is %(code)s"),
        N_("Enter this code to continue your registration. The code is valid for %(minutes)s minutes."),
        N_("Do not give this code to anybody. If you did not register, ignore this message."),
        code=True,
    ),
    "code_sign_in": Notice(
        N_("Your code is %(code)s"),
        N_("Enter this code to sign in. The code is valid for %(minutes)s minutes."),
        N_("Do not give this code to anybody. If you are not signing in, somebody knows your password: change it now."),
        code=True,
    ),
    "code_contact": Notice(
        N_("Your code is %(code)s"),
        N_("Enter this code to verify this e-mail address or phone number. The code is valid for %(minutes)s minutes."),
        _DO_NOT_SHARE,
        code=True,
    ),
    "code_recover": Notice(
        N_("Your code is %(code)s"),
        N_("Use this code to recover your account. The code is valid for %(minutes)s minutes."),
        N_(
            "Do not give this code to anybody. If you did not ask for a code, ignore this message. Your "
            "password has not changed."
        ),
        code=True,
    ),
    "already_here": Notice(
        N_("You already have an account"),
        N_(
            "On %(at)s, somebody tried to register with this address or number. It already belongs to your "
            "account. Sign in with it."
        ),
        N_("If you forgot your password, recover your account. If you did not try to register, ignore this message."),
        N_("Sign in"),
    ),
    "welcome": Notice(
        N_("Your account is ready"),
        N_("Your account is active. You can use it in all city applications."),
        N_("If you did not create this account, contact %(support)s immediately."),
        N_("Go to my account"),
    ),
    "new_device": Notice(
        N_("Sign-in from a new device"),
        N_("Your account was signed in to on %(at)s from a new device: %(device)s. %(place)s"),
        N_(
            "If this was not you, report it with this link. We then end all sessions and lock your account "
            "until you recover it."
        ),
        N_("This was not me"),
    ),
    "password_changed": Notice(
        N_("Your password was changed"),
        N_("The password of your account was changed on %(at)s. All your sessions were ended."),
        _NOT_YOU,
    ),
    "factor_added": Notice(
        N_("A new sign-in method was added"),
        N_("On %(at)s, a new sign-in method was added to your account: %(what)s."),
        _NOT_YOU,
    ),
    "factor_removed": Notice(
        N_("A sign-in method was removed"),
        N_("On %(at)s, a sign-in method was removed from your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_added": Notice(
        N_("A new contact was added to your account"),
        N_("On %(at)s, a new e-mail address or phone number was added to your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_removed": Notice(
        N_("A contact was removed from your account"),
        N_("On %(at)s, an e-mail address or phone number was removed from your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_verified": Notice(
        N_("A contact of your account was verified"),
        N_("On %(at)s, an e-mail address or phone number of your account was marked as verified: %(what)s."),
        _NOT_YOU,
    ),
    "contact_unverified": Notice(
        N_("A contact is no longer verified"),
        N_("On %(at)s, an e-mail address or phone number of your account was marked as not verified: %(what)s."),
        _NOT_YOU,
    ),
    "contact_primary": Notice(
        N_("Your main contact was changed"),
        N_("On %(at)s, the main e-mail address or phone number of your account was changed to %(what)s."),
        _NOT_YOU,
    ),
    "sign_in_name_changed": Notice(
        N_("Your username, NIK or NIP was changed"),
        N_("On %(at)s, a username, NIK or NIP of your account was added, changed or removed: %(what)s."),
        _NOT_YOU,
    ),
    "recovery_waits": Notice(
        N_("Somebody is recovering your account"),
        N_(
            "On %(at)s, somebody started to recover your account without two-step verification. You can choose "
            "a new password from %(ready)s."
        ),
        N_("If this was not you, stop the recovery now. If it was you, wait: we send you a link at that time."),
        N_("Stop the recovery"),
    ),
    "recovery_ready": Notice(
        N_("You can now recover your account"),
        N_("You can choose a new password now. The link works once and is valid for 24 hours."),
        _NOT_YOU,
        N_("Choose a new password"),
    ),
    "recovery_stopped": Notice(
        N_("The account recovery was stopped"),
        N_("The recovery of your account was stopped on %(at)s. Nothing in your account was changed."),
        _QUESTIONS,
    ),
    "helpdesk_recovery": Notice(
        N_("The helpdesk created a recovery code"),
        N_("On %(at)s, the helpdesk created a code that can be used to recover your account."),
        N_("If you did not ask the helpdesk for help, contact %(support)s immediately."),
    ),
    "recovered": Notice(
        N_("Your account was recovered"),
        N_("On %(at)s, a new password was set for your account. All your sessions were ended."),
        _NOT_YOU,
    ),
    "locked": Notice(
        N_("Your account is locked for your security"),
        N_(
            "You reported a sign-in that was not yours. We ended all sessions. Until %(until)s, your password, "
            "passkeys, e-mail addresses and phone numbers cannot be changed."
        ),
        N_("Recover your account now and choose a new password."),
        N_("Recover account"),
    ),
    "identity_checked": Notice(
        N_("Your identity was verified"),
        N_("On %(at)s, an officer at %(place)s recorded that your identity document was checked."),
        _NOT_YOU,
    ),
    "exported": Notice(
        N_("Your data was downloaded"),
        N_("On %(at)s, a copy of your personal data was downloaded from your account."),
        _NOT_YOU,
    ),
    "deletion_planned": Notice(
        N_("Your account will be deleted"),
        N_("On %(at)s, you asked us to delete your account. We will delete it on %(until)s."),
        N_(
            "To keep your account, sign in before that date and choose to keep it. Do the same if you did not "
            "ask for this."
        ),
    ),
    "deletion_cancelled": Notice(
        N_("Your account will not be deleted"),
        N_("On %(at)s, you cancelled the deletion of your account."),
        _NOT_YOU,
    ),
    "employment_ended": Notice(
        N_("Your employment with the city has ended"),
        N_(
            "Since %(at)s, your account is no longer the account of an employee. You cannot sign in with your NIP any "
            "more, and applications for employees are closed to you. Your account as a citizen stays as it is."
        ),
        N_("If this is wrong, contact your personnel office."),
    ),
    "application_connected": Notice(
        N_("A new application was connected"),
        N_("On %(at)s, you allowed %(what)s to see data from your account."),
        N_(
            "You can withdraw this permission in your account. If you did not do this, contact %(support)s immediately."
        ),
    ),
    "merged": Notice(
        N_("Your two accounts were merged"),
        N_(
            "On %(at)s, an administrator merged another account of yours into this account. Verify the added "
            "e-mail addresses and phone numbers in your account."
        ),
        N_("If you did not expect this, contact %(support)s immediately."),
        N_("Go to my account"),
    ),
    "new_password_needed": Notice(
        N_("Choose a new password"),
        N_("On %(at)s, an administrator required a new password for your account. All your sessions were ended."),
        N_(
            "Choose a new password now. We send a code to this address or number. If you do not know why, "
            "contact %(support)s."
        ),
        N_("Choose a new password"),
    ),
    "factors_reset": Notice(
        N_("Two-step verification was removed"),
        N_(
            "On %(at)s, an administrator removed two-step verification and all passkeys from your account. All "
            "your sessions were ended."
        ),
        N_("If you did not expect this, contact %(support)s immediately."),
    ),
    "team_invitation": Notice(
        N_("You are invited to a team"),
        N_("On %(at)s, somebody invited you to the team of %(what)s in the developer portal."),
        N_("The invitation is valid for 14 days. If you do not know this application, ignore this message."),
        N_("Open the developer portal"),
    ),
    "user_invitation": Notice(
        N_("Create your account"),
        N_(
            "An administrator invites you to create an account for %(service)s. Choose a password or a passkey "
            "before %(until)s."
        ),
        N_("If you do not expect an invitation, ignore this message: no account is created."),
        N_("Create my account"),
    ),
    "secret_expires": Notice(
        N_("A client secret expires soon"),
        N_(
            "A client secret of %(what)s expires on %(until)s. After that, the application cannot sign users "
            "in with it."
        ),
        N_(
            "Create a new client secret now, use it in the application, and revoke the old one when it is no "
            "longer used."
        ),
        N_("Open the developer portal"),
    ),
    "access_review": Notice(
        N_("Review who has the roles of your application"),
        N_("An access review of %(what)s has started. Confirm each role or end it before %(until)s."),
        N_("Depending on the settings of the application, roles that nobody confirms end on that day."),
        N_("Open the developer portal"),
    ),
    "access_review_ends": Notice(
        N_("An access review ends soon"),
        N_("The access review of %(what)s ends on %(until)s. Some roles are not confirmed yet."),
        N_("Depending on the settings of the application, roles that nobody confirms end on that day."),
        N_("Open the developer portal"),
    ),
    "access_review_over": Notice(
        N_("An access review is over"),
        N_("The access review of %(what)s ended on %(until)s."),
        N_("See the result in the developer portal."),
        N_("Open the developer portal"),
    ),
    "access_review_admin": Notice(
        N_("Review who has the roles of an application"),
        N_("An access review of %(what)s has started. Confirm each role or end it before %(until)s."),
        N_(
            "The application has no owner. Depending on its settings, roles that nobody confirms end on that day. The "
            "console lists them under Needs attention."
        ),
        N_("Open the console"),
    ),
    "access_review_ends_admin": Notice(
        N_("An access review ends soon"),
        N_("The access review of %(what)s ends on %(until)s. Some roles are not confirmed yet."),
        N_(
            "The application has no owner. Depending on its settings, roles that nobody confirms end on that day. The "
            "console lists them under Needs attention."
        ),
        N_("Open the console"),
    ),
    "access_review_over_admin": Notice(
        N_("An access review is over"),
        N_("The access review of %(what)s ended on %(until)s."),
        N_("See the result in the console: application, Users and roles."),
        N_("Open the console"),
    ),
    "application_decided": Notice(
        N_("News about your application"),
        N_("On %(at)s, an administrator made a decision or wrote a note about %(what)s."),
        N_("Read the decision or note in the developer portal."),
        N_("Open the developer portal"),
    ),
    "webhook_disabled": Notice(
        N_("A webhook of your application was disabled"),
        N_(
            "On %(at)s, a webhook of %(what)s was disabled: the server answered 410 or has not accepted an event "
            "for a long time. The application gets no more events at this address."
        ),
        N_("Correct the server. Then enable the webhook in the developer portal."),
        N_("Open the developer portal"),
    ),
    "account_disabled": Notice(
        N_("Your account was disabled"),
        N_("Your account was disabled on %(at)s. You cannot sign in, and all your sessions were ended."),
        N_("If you do not know why, contact %(support)s."),
    ),
    "sessions_ended": Notice(
        N_("You were signed out"),
        N_("An administrator ended your session on %(at)s. Sign in again to continue."),
        N_("If you do not know why, contact %(support)s."),
    ),
    "message_budget": Notice(
        N_("The daily message budget is almost used up"),
        N_(
            "At %(at)s, %(percent)s %% of the daily budget of %(what)s was used. When the budget is used up, "
            "no more messages of this kind are sent today."
        ),
        N_(
            "Look for unusual registrations and codes to foreign numbers. Then raise the budget or close "
            'registration: see the operations manual, section "WhatsApp and SMS".'
        ),
    ),
}
LINKS = {
    "already_here": "/login",
    "welcome": "/account",
    "new_device": "/not-me",
    "recovery_waits": "/recover/stop",
    "recovery_ready": "/recover/continue",
    "locked": "/recover",
    "merged": "/account/contacts",
    "new_password_needed": "/recover",
    "team_invitation": "/developer",
    "user_invitation": "/invitation",
    "secret_expires": "/developer",
    "access_review": "/developer",
    "access_review_ends": "/developer",
    "access_review_over": "/developer",
    "access_review_admin": "/admin",
    "access_review_ends_admin": "/admin",
    "access_review_over_admin": "/admin",
    "application_decided": "/developer",
    "webhook_disabled": "/developer",
}
"""Where the button of a message leads; ``token`` among its values is added."""
OPTIONAL = {"new_device": "new_device", "application_connected": "application_connected"}
"""Notices that a person may switch off, and what the preference is called."""
MAIL_ONLY = frozenset({"message_budget"})
"""Notices that are never sent to a telephone number."""
