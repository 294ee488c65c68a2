"""The pages behind links in mails: plain HTML, no script, nothing from elsewhere."""

from html import escape
from typing import Final

from tremula.features.third_party.storage import Purpose
from tremula.infra.http.pages import page, page_headers

HEADERS: Final = page_headers()

_ASKED: Final = {
    Purpose.REGISTER: "to make an account with it",
    Purpose.RESET: "to set another password for your account",
    Purpose.ADD: "to add it to your account",
}


def confirm_page(server_name: str, address: str, purpose: Purpose) -> bytes:
    """Asks whether it was they who wanted that.

    Programs that look at links in mails only get this page: a person has to press.
    """
    if purpose is Purpose.INVITE:
        return page(
            "Take the invitation",
            f"<p>Have it in your account on {escape(server_name)} with the address"
            f" <strong>{escape(address)}</strong>. Who is in the room then sees your"
            " user ID.</p>"
            '<form method="post"><button>Take it</button></form>'
            '<p class="small">If you do not want it, close this page.</p>',
        )
    return page(
        "Confirm your e-mail address",
        f"<p>Confirm that <strong>{escape(address)}</strong> is your address,"
        f" {_ASKED[purpose]} on {escape(server_name)}.</p>"
        '<form method="post"><button>Confirm</button></form>'
        '<p class="small">If you did not ask for that, close this page.</p>',
    )


def confirmed_page(purpose: Purpose) -> bytes:
    """Sends them back to their client."""
    if purpose is Purpose.INVITE:
        return page(
            "Thank you",
            "<p>You find the invitation in your Matrix client, if it has not been taken"
            " back; you can close this page.</p>",
        )
    return page(
        "Thank you",
        "<p>Your e-mail address is confirmed. Go back to your Matrix client to"
        " continue; you can close this page.</p>",
    )


def expired_page() -> bytes:
    """The link is old, or was never one."""
    return page(
        "This link does not work any more",
        "<p>It may be too old, or there is a newer one in a later message. Ask your"
        " Matrix client for another.</p>",
    )
