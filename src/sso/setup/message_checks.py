"""The check of messages to telephone numbers: SMS and WhatsApp, and their budgets."""

from __future__ import annotations

from sso.platform.db import Database
from sso.settings import Settings
from sso.setup.findings import Finding, Words, bad, either, good, says


async def messages(settings: Settings, db: Database) -> Finding:
    """Check that messages to telephone numbers can be sent, and how much of each budget is used."""
    from sso.platform.security.message_limits import MessageBudgets
    from sso.platform.security.rate_limits import Counts, DatabaseStorage

    channels = settings.phone_channels
    if not channels:
        return good("messages", says("neither SMS (SSO_SMS_URL) nor WhatsApp is set up"))
    words = [says("channels: %(channels)s", channels=", ".join(channels))]
    if "whatsapp" in channels and not settings.development_outbox:
        problem, sender = await _whatsapp(settings)
        if problem is not None:
            return bad("messages", problem, command="sso messages test NUMBER --channel whatsapp")
        words.append(says("WhatsApp: %(sender)s", sender=sender))
        if "sms" not in channels:
            words.append(says("there is no SMS for messages that WhatsApp cannot deliver"))
    uses = await MessageBudgets(settings, Counts(DatabaseStorage(db))).uses()
    for use in uses:
        used = {"budget": use.budget.name, "used": use.used, "maximum": use.budget.maximum}
        words.append(says("%(budget)s: %(used)s of %(maximum)s today", **used))
    is_full = any(use.percent >= settings.phone_budget_alarm for use in uses)
    test = f"sso messages test NUMBER --channel {channels[0]}"
    return either("messages", not is_full, *words, page="/admin/system/limits", command="" if is_full else test)


async def _whatsapp(settings: Settings) -> tuple[Words | None, str]:
    """Ask WhatsApp for the sender; return what is wrong, or how the sender is."""
    from sso.platform.outbox import Abandon
    from sso.platform.outbox.whatsapp import WhatsApp
    from sso.platform.security.outbound_http import Outbound

    outbound = Outbound(settings)
    try:
        return None, await WhatsApp(settings, outbound).check()
    except Abandon as error:
        return says("%(error)s: see docs/how-to/operations.md, WhatsApp and SMS", error=error), ""
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return says("WhatsApp does not answer: %(error)s", error=text), ""
    finally:
        await outbound.close()
