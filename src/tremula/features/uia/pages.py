"""The pages on which people complete a stage (CS "Fallback").

No session ID is in any: their forms go to the address that they stand on.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from tremula.infra.config import PolicyDocument
from tremula.infra.http.pages import page, page_headers, script_source

# "This page must use the following JavaScript when the authentication has been
# completed".
SCRIPT: Final = """
if (window.onAuthDone) {
    window.onAuthDone();
} else if (window.opener && window.opener.postMessage) {
    window.opener.postMessage("authDone", "*");
}
"""

HEADERS: Final = page_headers("form-action 'self'")
# COMPAT(Element for Android and iOS, classic): their `onAuthDone` tells them by the
# address `js:…` of a frame.
DONE_HEADERS: Final = page_headers(
    "form-action 'none'", f"script-src {script_source(SCRIPT)}", "frame-src js:"
)

_OPERATIONS: Final = {
    "add3PID": "add an e-mail address to it",
    "changePassword": "change its password",
    "deactivateAccount": "deactivate it for ever",
    "deleteDevice": "log out a device",
    "deleteDevices": "log out devices",
    "generateLoginToken": "log in on another device",
    "uploadCrossSigningKeys": "replace the keys that it is verified by",
}


def dummy_page(server_name: str, error: str | None) -> bytes:
    """Asks for a press of a button."""
    return page(
        "Continue",
        f"<p>Continue in your Matrix client, on {escape(server_name)}.</p>"
        f"{_error(error)}"
        '<form method="post"><button>Continue</button></form>',
    )


def terms_page(
    server_name: str, documents: Sequence[PolicyDocument], error: str | None
) -> bytes:
    """Asks to accept the documents, which open in pages of their own."""
    links = "".join(
        f'<li><a href="{escape(each.url)}" hreflang="{escape(each.language)}"'
        ' target="_blank" rel="noopener noreferrer">'
        f"{escape(each.name)}</a></li>"
        for each in documents
    )
    return page(
        "Accept the terms",
        f"<p>To have an account on {escape(server_name)}, read and accept:</p>"
        f"<ul>{links}</ul>{_error(error)}"
        '<form method="post"><button>Accept</button></form>'
        '<p class="small">If you do not accept them, close this page.</p>',
    )


def token_page(server_name: str, error: str | None) -> bytes:
    """Asks for a registration token."""
    return page(
        "Enter your registration token",
        f"<p>Accounts on {escape(server_name)} are for those with a token of its"
        f" operators.</p>{_error(error)}"
        '<form method="post"><label>Registration token'
        '<input name="token" required autofocus maxlength="64" autocomplete="off"'
        ' autocapitalize="none" spellcheck="false"></label>'
        "<button>Continue</button></form>",
    )


def password_page(user_id: str, operation: str, error: str | None) -> bytes:
    """Asks for the user's own password, and says what for."""
    asked = _OPERATIONS.get(operation, "change it")
    return page(
        "Enter your password",
        f"<p>Somebody who is logged in to <strong>{escape(user_id)}</strong> wants to"
        f" {escape(asked)}. If that is you, enter the password of the account.</p>"
        f"{_error(error)}"
        '<form method="post"><label>Password'
        '<input name="password" type="password" required autofocus maxlength="512"'
        ' autocomplete="current-password"></label>'
        "<button>Confirm</button></form>"
        '<p class="small">If you did not ask for that, close this page.</p>',
    )


def done_page() -> bytes:
    """Tells the client; the person too, where it does not close the page."""
    return page(
        "Thank you",
        "<p>Go back to your Matrix client to continue; you can close this page.</p>"
        f"<script>{SCRIPT}</script>",
    )


def expired_page() -> bytes:
    """The session is old, used up, or was never one."""
    return page(
        "This page does not work any more",
        "<p>It may be too old, or what it was for is done. Go back to your Matrix"
        " client and begin again.</p>",
    )


def not_asked_page() -> bytes:
    """The session has the stage in no flow, or not yet."""
    return page(
        "This is not asked for now",
        "<p>Something else has to be done first, or this is not needed. Go back to your"
        " Matrix client to continue.</p>",
    )


def unknown_page() -> bytes:
    """There is no such stage, or none that a page can complete."""
    return page(
        "This cannot be done here",
        "<p>This server has no page for this. Go back to your Matrix client to"
        " continue.</p>",
    )


def _error(error: str | None) -> str:
    if error is None:
        return ""
    return f'<p role="alert"><strong>{escape(error)}</strong></p>'
