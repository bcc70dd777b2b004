"""Builds the notification channels from the settings, and reports their state to `/readyz`."""

import structlog

from alerts.notifications import mail, mail_server
from alerts.notifications.sender import NO_MAIL, Channels
from alerts.notifications.smtp import Mailer
from alerts.outbound.resolve import Targets
from api.http.services import Probe
from api.settings import Settings, SettingsError, required

log = structlog.get_logger(__name__)


def make_channels(settings: Settings, targets: Targets) -> Channels:
    """Build the channels; raise SettingsError if only half of the mail settings are given."""
    if settings.smtp_url is None:
        if settings.mail_from is not None:
            raise SettingsError("DEWARWATCH_SMTP_URL is not set, and MAIL_FROM alone sends nothing")
        log.warning("no_mail", problem=NO_MAIL)
        return Channels(targets=targets, public_url=settings.public_url)
    sender = mail.address(required(settings.mail_from, "MAIL_FROM", "Dewarwatch <alerts@your.example>"))
    server = mail_server.parse(settings.smtp_url.get_secret_value())
    assert not isinstance(sender, str)  # the settings have checked both
    assert not isinstance(server, str)
    return Channels(targets=targets, mailer=Mailer(server), mail_from=sender, public_url=settings.public_url)


async def probe(channels: Channels) -> Probe:
    """Report whether mail can be sent; the process is ready either way, since everything else works."""
    mailer = channels.mailer
    if mailer is None:
        return Probe(ok=True, detail={"email": False, "problem": NO_MAIL})
    trouble = {} if mailer.trouble is None else {"problem": mailer.trouble}
    return Probe(ok=True, detail={"email": mailer.trouble is None, **trouble})
