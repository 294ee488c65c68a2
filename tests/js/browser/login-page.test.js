/** The page on which people log in whose app knows no flow of the server's. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { startedHomeserver } from "../homeserver.js";
import { PASSWORD, register } from "../user.js";
import { startedBrowser } from "./browser.js";

const homeserver = startedHomeserver();
const browser = startedBrowser();

async function loginPage(t, parameters = {}) {
    const query = new URLSearchParams(parameters);
    const page = await browser.openUrl(t, `${homeserver.url}/_matrix/static/client/login/?${query}`);
    // As apps do: they see which frames the page begins to load.
    await page.evaluate(() => {
        window.violations = [];
        document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
        window.matrixLogin.onLogin = (response) => {
            window.response = response;
            const frame = document.createElement("iframe");
            frame.src = `js:${JSON.stringify({ action: "onLogin", response })}`;
            document.documentElement.append(frame);
        };
    });
    return page;
}

async function enter(page, user, password) {
    await page.getByLabel("User name").fill(user);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in" }).click();
}

function notice(page, text) {
    return page.getByRole("alert").filter({ hasText: text }).waitFor();
}

test("login page: the app is given the response", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const page = await loginPage(t, { device_id: "TREE", refresh_token: "true", other: "x" });

    await enter(page, alice.getUserId(), PASSWORD);
    await notice(page, "You are logged in.");

    const response = await page.evaluate(() => window.response);
    assert.equal(response.user_id, alice.getUserId());
    assert.equal(response.device_id, "TREE");
    assert.ok(response.access_token);
    assert.ok(response.refresh_token);
    assert.ok(!(await page.content()).replaceAll(/<iframe.*?>/g, "").includes(response.access_token));
    assert.deepEqual(await page.evaluate(() => window.violations), []);
});

test("login page: a wrong password can be mended", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const page = await loginPage(t);

    await enter(page, alice.getUserId(), "wrong");
    await notice(page, "invalid username or password");
    await enter(page, alice.getUserId(), PASSWORD);
    await notice(page, "You are logged in.");
});

test("login page: errors are shown as text, waiting in words", async (t) => {
    const page = await loginPage(t);
    const answers = [
        { status: 403, json: { errcode: "M_FORBIDDEN", error: "<b>no</b>" } },
        { status: 429, json: { errcode: "M_LIMIT_EXCEEDED", error: "slow", retry_after_ms: 1500 } },
        { status: 502, body: "Bad Gateway" },
    ];
    await page.route("**/v3/login", (route) => route.fulfill(answers.shift()));

    await enter(page, "alice", "secret");
    await notice(page, "<b>no</b>");
    await enter(page, "alice", "secret");
    await notice(page, "Too many attempts. Try again in 2 seconds.");
    await enter(page, "alice", "secret");
    await notice(page, "The server could not do that (502).");
    await page.unroute("**/v3/login");
    await page.route("**/v3/login", (route) => route.abort());
    await enter(page, "alice", "secret");
    await notice(page, "The server cannot be reached. Try again.");
});

test("login page: a login token is tried first, then the flows", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const auth = { type: "m.login.password", identifier: { type: "m.id.user", user: alice.getUserId() }, password: PASSWORD };
    const { login_token: loginToken } = await alice.http.authedRequest("POST", "/login/get_token", {}, { auth }, { prefix: "/_matrix/client/v1" });
    await notice(await loginPage(t, { loginToken }), "You are logged in");

    // Each token is good for one login.
    const page = await loginPage(t, { loginToken });
    await page.getByLabel("Password").waitFor();
    assert.notEqual(await page.getByRole("alert").textContent(), "");
});

test("login page: it says so if there are no passwords", async (t) => {
    const page = await loginPage(t);
    await page.route("**/v3/login", (route) => route.fulfill({ json: { flows: [{ type: "m.login.sso" }] } }));
    await page.reload();
    await notice(page, "Nobody can log in to this server with a password.");
    assert.ok(await page.getByLabel("Password").isHidden());
});
