"""Where clients and other servers find this server, and people its administrators."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tremula.infra.config import Support
from tremula.protocol.identifiers import ServerName


class WellKnown(Struct, frozen=True):
    """Where it is reached by clients, and by other servers; None: not configured.

    ``policy_key`` is that of the policy server of this server's name;
    ``rtc_foci`` are the transports of MatrixRTC, as older clients look for them.
    """

    base_url: str | None
    delegate: ServerName | None = None
    rtc_foci: Sequence[Mapping[str, str]] = ()
    support: Support = Support()
    policy_key: str | None = None

    def client(self) -> dict[str, Any] | None:
        """The content of ``/.well-known/matrix/client``."""
        if self.base_url is None:
            return None
        content: dict[str, Any] = {"m.homeserver": {"base_url": self.base_url}}
        if self.rtc_foci:
            content["org.matrix.msc4143.rtc_foci"] = list(self.rtc_foci)
        return content

    def support_content(self) -> dict[str, Any] | None:
        """The content of ``/.well-known/matrix/support``."""
        content: dict[str, Any] = {}
        if self.support.contacts:
            content["contacts"] = [
                {
                    key: value
                    for key, value in (
                        ("role", contact.role),
                        ("matrix_id", contact.matrix_id),
                        ("email_address", contact.email_address),
                    )
                    if value is not None
                }
                for contact in self.support.contacts
            ]
        if self.support.page is not None:
            content["support_page"] = self.support.page
        return content or None
