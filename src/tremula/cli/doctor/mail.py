"""Whether mail goes out."""

from typing import Final

from tremula.cli.doctor.finding import Finding, note, ok, wrong
from tremula.infra.clock import SystemClock
from tremula.infra.config import Mail
from tremula.infra.mail import Mailer, MailFailed

_SUBJECT: Final = "mail"


async def examine_mail(settings: Mail) -> Finding:
    """Log in to the SMTP server, as for a message, and send none."""
    if settings.host is None:
        return note(_SUBJECT, "mail.host is not set: the server sends no mail")
    mailer = Mailer(settings, SystemClock())
    try:
        await mailer.check()
    except MailFailed as failure:
        return wrong(
            _SUBJECT, f"{mailer.place} can't be used ({failure})", "correct [mail]"
        )
    return ok(_SUBJECT, f"{mailer.place} takes mail")
