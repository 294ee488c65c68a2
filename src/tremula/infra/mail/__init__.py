"""Mail to users, by the operator's SMTP server."""

from tremula.infra.mail.mailer import Mailer, MailFailed, MailRefused
from tremula.infra.mail.message import Mail, one_line

__all__ = ["Mail", "MailFailed", "MailRefused", "Mailer", "one_line"]
