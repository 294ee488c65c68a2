"""The link in mails that ends them: a page, and what its button does (RFC 8058)."""

from html import escape
from typing import Final

from tremula.features.pushers.email_courier import UNSUBSCRIBE_PATH
from tremula.features.pushers.service import Pushers
from tremula.infra.http import Auth, Json, Request, Response, endpoint

_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; form-action 'self';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@endpoint("GET", UNSUBSCRIBE_PATH, auth=Auth.NONE, limit="default")
async def get_unsubscribe(req: Request, pushers: Pushers) -> Json:
    """A page that asks: programs that look through mail follow its links."""
    stored = await pushers.find_unsubscribing(req.query.require("token"))
    if stored is None:
        return _page("This address gets no such mails any more.", status=404)
    address = escape(stored.key.pushkey)
    return _page(
        f"Mails about unread messages go to {address}."
        '<form method="post"><button>Send no more</button></form>'
    )


@endpoint("POST", UNSUBSCRIBE_PATH, auth=Auth.NONE, limit="default")
async def post_unsubscribe(req: Request, pushers: Pushers) -> Json:
    """End the mails; by the page above, or by the button of a mail program."""
    await pushers.unsubscribe(req.query.require("token"))
    return _page("This address gets no more mails about unread messages.")


def _page(body: str, *, status: int = 200) -> Response:
    html = f"<!DOCTYPE html><html><title>Mails</title><body><p>{body}</p></body></html>"
    return Response(status, html.encode(), _HEADERS)
