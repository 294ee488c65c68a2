"""Pages for people: one frame and one look, nothing from elsewhere."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Final


def page(title: str, body: str) -> bytes:
    """A whole page: *title* is text, *body* HTML."""
    return _FRAME.format(title=escape(title), body=body).encode()


def page_headers(*directives: str) -> Mapping[str, str]:
    """Headers of a page that may do nothing but what *directives* of its content
    security policy allow. Addresses of pages have tokens in them: they go nowhere.
    """
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join((*_POLICY, *directives)),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


def script_source(script: str) -> str:
    """What a policy calls an inline script, so that no other one is run."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


_POLICY: Final = (
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)

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
label {{ display: block; font-weight: 600; margin-bottom: 1rem; }}
input {{ font: inherit; width: 100%; box-sizing: border-box; margin-top: .2rem;
  padding: .55rem .7rem; border: 1px solid #8a968f; border-radius: .5rem; }}
button {{ font: inherit; font-weight: 600; width: 100%; padding: .7rem; border: 0;
  border-radius: .5rem; background: #2b5f4b; color: #fff; cursor: pointer; }}
button:hover, button:focus-visible {{ background: #1e4636; }}
button:disabled {{ opacity: .6; cursor: default; }}
[role="alert"] {{ overflow-wrap: anywhere; }}
.small {{ font-size: .9rem; opacity: .75; margin-bottom: 0; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #171b19; color: #e6ebe7; }}
  main {{ background: #222825; }}
  a {{ color: #8fd0b5; }}
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
