"""What is written to addresses, whoever is behind them."""

from html import escape
from typing import Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from tremula.features.third_party.storage import Purpose, Session
from tremula.infra.mail import Mail, Mailer, MailFailed, one_line
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import ThreepidMediumNotSupported, Unknown
from tremula.protocol.identifiers import ServerName

CONFIRM_PATH: Final = "/_matrix/tremula/email/submit_token"

_ASKED: Final = {
    Purpose.REGISTER: "make an account with this e-mail address",
    Purpose.RESET: "set another password for the account with this e-mail address",
    Purpose.ADD: "add this e-mail address to an account",
}
_IGNORE: Final = "If that was not you, ignore this message: nothing has changed."


_UNKNOWN_INVITER: Final = "If you do not know who that is, ignore this message."


class Invitation(Struct, frozen=True):
    """What a mail says of an invitation."""

    inviter: str
    room_name: str | None

    @property
    def room(self) -> str:
        """The room in words."""
        if self.room_name is None:
            return "a room"
        return f"the room “{one_line(self.room_name)}”"


class Letters(Struct, frozen=True):
    """Sends mail to addresses that people have given; none to flood anybody.

    Without a mailer there is no mail here.
    """

    mailer: Mailer | None
    limiter: RateLimiter
    server_name: ServerName
    base_url: str

    def check_possible(self) -> Mailer:
        """What sends mail.

        Raises:
            ThreepidMediumNotSupported: nothing does.
        """
        if self.mailer is None:
            raise ThreepidMediumNotSupported("This server has no e-mail addresses.")
        return self.mailer

    async def send_token(self, session: Session, token: str) -> None:
        """Ask whoever reads the mail to prove that the address is theirs.

        Raises:
            MatrixError: it can't be sent.
        """
        asked = _ASKED[session.purpose]
        await self._send(
            session.address,
            subject=f"Confirm your e-mail address for {self.server_name}",
            text=f"Somebody, hopefully you, wants to {asked} on {self.server_name}.",
            button=("Confirm", self._link(session, token)),
            ending=_IGNORE,
        )

    async def send_in_use(self, address: EmailAddress) -> None:
        """Tell the owner of an address that somebody wants to have it.

        Raises:
            MatrixError: it can't be sent.
        """
        await self._send(
            address,
            subject=f"You have an account on {self.server_name}",
            text=(
                "Somebody, hopefully you, wants to use this e-mail address for an"
                f" account on {self.server_name}. There is one with it already: log in"
                " with it, or ask for a new password if you do not know it any more."
            ),
            ending=_IGNORE,
        )

    async def send_unknown(self, address: EmailAddress) -> None:
        """Tell whoever is behind an address that there is no account with it.

        Raises:
            MatrixError: it can't be sent.
        """
        await self._send(
            address,
            subject=f"No account on {self.server_name} has this address",
            text=(
                "Somebody, hopefully you, has asked for a new password for the account"
                f" with this e-mail address on {self.server_name}. There is none; it"
                " may have another address."
            ),
            ending=_IGNORE,
        )

    async def send_invitation(
        self, address: EmailAddress, invitation: Invitation
    ) -> None:
        """Tell whoever is behind an address that they are invited to a room.

        Raises:
            MatrixError: it can't be sent.
        """
        inviter = one_line(invitation.inviter)
        await self._send(
            address,
            subject=f"{inviter} invites you to {invitation.room}",
            text=(
                f"{inviter} invites you to {invitation.room} on {self.server_name}."
                " Make an account there with this e-mail address, or add the address to"
                " yours: then you find the invitation in your Matrix client."
            ),
            button=("Choose a client", f"https://matrix.to/#/{quote(inviter)}"),
            ending=_UNKNOWN_INVITER,
        )

    async def send_owner_invitation(
        self, session: Session, token: str, invitation: Invitation
    ) -> None:
        """Tell a user with that address that they are invited to a room: they are, once
        they press the button.

        Raises:
            MatrixError: it can't be sent.
        """
        inviter = one_line(invitation.inviter)
        await self._send(
            session.address,
            subject=f"{inviter} invites you to {invitation.room}",
            text=(
                f"{inviter} invites you to {invitation.room} on {self.server_name},"
                " where you have an account with this e-mail address. Take the"
                " invitation to find it in your Matrix client: who is in the room then"
                " sees your user ID."
            ),
            button=("Take the invitation", self._link(session, token)),
            ending=_UNKNOWN_INVITER,
        )

    def _link(self, session: Session, token: str) -> str:
        query = urlencode({"sid": session.sid, "token": token})
        return f"{self.base_url.rstrip('/')}{CONFIRM_PATH}?{query}"

    async def _send(
        self,
        address: EmailAddress,
        *,
        subject: str,
        text: str,
        ending: str,
        button: tuple[str, str] | None = None,
    ) -> None:
        mailer = self.check_possible()
        self.limiter.check("mail", f"to {address}")
        plain, html = [text], [f"<p>{escape(text)}</p>"]
        if button is not None:
            label, link = button
            plain.append(link)
            html.append(_BUTTON.format(link=escape(link), label=escape(label)))
        plain.append(ending)
        html.append(f'<p style="color:#666">{escape(ending)}</p>')
        mail = Mail(
            to=address,
            subject=subject,
            text="\n\n".join(plain) + "\n",
            html=_FRAME.format(body="\n".join(html)),
        )
        try:
            await mailer.send(mail)
        except MailFailed as failure:
            raise Unknown("The e-mail could not be sent.", status=502) from failure


_FRAME: Final = """<!DOCTYPE html>
<html lang="en"><body style="font:16px/1.5 sans-serif;color:#1c1c1c;margin:2em auto;
max-width:34em;padding:0 1em">
{body}
</body></html>
"""
_BUTTON: Final = (
    '<p><a href="{link}" style="display:inline-block;background:#2b5f4b;color:#fff;'
    'padding:.6em 1.4em;border-radius:.4em;text-decoration:none">{label}</a></p>'
    '<p style="color:#666;font-size:13px;word-break:break-all">{link}</p>'
)
