"""The page on which people log in whose client knows no flow of ours (CS "Login
Fallback").

It is the same for all: the script reads the query, and shows texts as texts only.
"""

from typing import Final

from tremula.infra.http.pages import page, page_headers, script_source

# COMPAT(Element for Android and iOS, classic): they set `onLogin` on an object that is
# there once the page has loaded, and get the answer as the address `js:…` of a frame.
_SCRIPT: Final = """
(() => {
"use strict";
window.matrixLogin = window.matrixLogin || {};
const LOGIN = "/_matrix/client/v3/login";
const query = new URLSearchParams(location.search);
const form = document.querySelector("form");
const notice = document.querySelector("[role=alert]");
const { user, password, button } = form.elements;

function say(text) {
  notice.textContent = text;
}

function parameters() {
  const known = {};
  for (const key of ["device_id", "initial_device_display_name"]) {
    if (query.has(key)) known[key] = query.get(key);
  }
  if (query.has("refresh_token")) {
    known.refresh_token = query.get("refresh_token") === "true";
  }
  return known;
}

function identifierOf(name) {
  if (name.indexOf("@") > 0) {
    return { type: "m.id.thirdparty", medium: "email", address: name };
  }
  return { type: "m.id.user", user: name };
}

function reasonOf(status, answer) {
  const seconds = Math.ceil(answer.retry_after_ms / 1000);
  if (seconds > 0) {
    const time = seconds === 1 ? "a second" : `${seconds} seconds`;
    return `Too many attempts. Try again in ${time}.`;
  }
  return answer.error || `The server could not do that (${status}). Try again later.`;
}

async function ask(options) {
  let response;
  try {
    response = await fetch(LOGIN, options);
  } catch {
    return { ok: false, answer: { error: "The server cannot be reached. Try again." } };
  }
  const answer = await response.json().catch(() => null);
  const ok = response.ok && answer !== null;
  return { ok, status: response.status, answer: answer || {} };
}

async function logIn(credentials) {
  say("");
  button.disabled = true;
  const { ok, status, answer } = await ask({
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...parameters(), ...credentials }),
  });
  button.disabled = false;
  if (!ok) {
    say(reasonOf(status, answer));
    return false;
  }
  form.hidden = true;
  form.reset();
  if (typeof window.matrixLogin.onLogin === "function") {
    say("You are logged in.");
    window.matrixLogin.onLogin(answer);
  } else {
    say("You are logged in. You can close this page.");
  }
  return true;
}

async function start() {
  const token = query.get("loginToken");
  if (token !== null && await logIn({ type: "m.login.token", token })) return;
  const { ok, answer } = await ask();
  if (ok && !answer.flows.some((flow) => flow.type === "m.login.password")) {
    say("Nobody can log in to this server with a password.");
    return;
  }
  form.hidden = false;
  user.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const identifier = identifierOf(user.value.trim());
  logIn({ type: "m.login.password", identifier, password: password.value });
});
start();
})();
"""

_BODY: Final = f"""<p role="alert"></p>
<noscript><p>This page needs JavaScript.</p></noscript>
<form method="post" hidden>
<label>User name or e-mail address
<input name="user" autocomplete="username" autocapitalize="none" spellcheck="false"
  required></label>
<label>Password
<input name="password" type="password" autocomplete="current-password" required></label>
<button name="button">Log in</button>
</form>
<script>{_SCRIPT}</script>"""

HEADERS: Final = page_headers(
    f"script-src {script_source(_SCRIPT)}",
    "connect-src 'self'",
    "frame-src js:",
    # Without the script, no password is sent anywhere.
    "form-action 'none'",
)
LOGIN_PAGE: Final = page("Log in", _BODY)
