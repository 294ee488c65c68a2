"""The pages behind links in mails: plain HTML, no script, nothing from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Final

from tremula.features.third_party.storage import Purpose

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    # The token stands in the address of the page.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

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
        return _page(
            "Take the invitation",
            f"<p>Have it in your account on {escape(server_name)} with the address"
            f" <strong>{escape(address)}</strong>. Who is in the room then sees your"
            " user ID.</p>"
            '<form method="post"><button>Take it</button></form>'
            '<p class="small">If you do not want it, close this page.</p>',
        )
    return _page(
        "Confirm your e-mail address",
        f"<p>Confirm that <strong>{escape(address)}</strong> is your address,"
        f" {_ASKED[purpose]} on {escape(server_name)}.</p>"
        '<form method="post"><button>Confirm</button></form>'
        '<p class="small">If you did not ask for that, close this page.</p>',
    )


def confirmed_page(purpose: Purpose) -> bytes:
    """Sends them back to their client."""
    if purpose is Purpose.INVITE:
        return _page(
            "Thank you",
            "<p>You find the invitation in your Matrix client, if it has not been taken"
            " back; you can close this page.</p>",
        )
    return _page(
        "Thank you",
        "<p>Your e-mail address is confirmed. Go back to your Matrix client to"
        " continue; you can close this page.</p>",
    )


def expired_page() -> bytes:
    """The link is old, or was never one."""
    return _page(
        "This link does not work any more",
        "<p>It may be too old, or there is a newer one in a later message. Ask your"
        " Matrix client for another.</p>",
    )


def _page(title: str, body: str) -> bytes:
    return _FRAME.format(title=escape(title), body=body).encode()


_FRAME: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.05rem/1.6 system-ui, sans-serif; margin: 0; min-height: 100vh;
  display: grid; place-items: center; background: #f3f5f2; color: #1d2420; }}
main {{ background: #fff; max-width: 26rem; margin: 1rem; padding: 2rem 2.2rem;
  border-radius: .8rem; box-shadow: 0 .3rem 1.5rem rgba(0, 0, 0, .09); }}
h1 {{ font-size: 1.4rem; line-height: 1.25; margin: 0 0 1rem; }}
strong {{ overflow-wrap: anywhere; }}
button {{ font: inherit; font-weight: 600; width: 100%; padding: .7rem; border: 0;
  border-radius: .5rem; background: #2b5f4b; color: #fff; cursor: pointer; }}
button:hover, button:focus-visible {{ background: #1e4636; }}
.small {{ font-size: .9rem; opacity: .75; margin-bottom: 0; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #171b19; color: #e6ebe7; }}
  main {{ background: #222825; }}
}}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
