/** Accounts and their devices. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ClientEvent, HttpApiEvent, SyncState } from "matrix-js-sdk";

import { SERVER_NAME, startedHomeserver } from "./homeserver.js";
import { until } from "./until.js";
import { logIn, newClient, PASSWORD, register, syncing } from "./user.js";

const homeserver = startedHomeserver();

test("an account is made, and logged in to from another device", async () => {
    const alice = await register(homeserver.url, "alice");
    const phone = await logIn(homeserver.url, alice.getUserId());

    const { user_id: userId, device_id: deviceId } = await phone.whoami();

    assert.match(userId, new RegExp(`^@alice-[0-9a-f-]+:${SERVER_NAME}$`));
    assert.deepEqual([userId, deviceId], [alice.getUserId(), phone.getDeviceId()]);
    const { devices } = await alice.getDevices();
    const ids = devices.map((device) => device.device_id);
    assert.deepEqual(ids.sort(), [alice.getDeviceId(), phone.getDeviceId()].sort());
});

test("a name that is taken and a wrong password are refused", async () => {
    const alice = await register(homeserver.url, "alice");
    const username = alice.getUserIdLocalpart();
    const auth = { type: "m.login.dummy" };

    const again = newClient(homeserver.url).registerRequest({ username, password: PASSWORD, auth });
    await assert.rejects(again, { errcode: "M_USER_IN_USE" });
    const guess = newClient(homeserver.url).loginWithPassword(username, "wrong");
    await assert.rejects(guess, { errcode: "M_FORBIDDEN" });
});

test("who logs out on all devices is logged out while they sync", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const phone = await syncing(t, await logIn(homeserver.url, alice.getUserId()));
    let loggedOut = false;
    phone.on(HttpApiEvent.SessionLoggedOut, () => (loggedOut = true));

    await alice.http.authedRequest("POST", "/logout/all");

    await until(phone, ClientEvent.Sync, () => phone.getSyncState() === SyncState.Error);
    assert.ok(loggedOut);
});

test("another device is deleted with the password", async () => {
    const alice = await register(homeserver.url, "alice");
    const phone = await logIn(homeserver.url, alice.getUserId());
    const deviceId = phone.getDeviceId();
    const challenge = await alice.deleteDevice(deviceId).catch((error) => error);
    assert.equal(challenge.httpStatus, 401);

    await alice.deleteDevice(deviceId, {
        type: "m.login.password",
        identifier: { type: "m.id.user", user: alice.getUserId() },
        password: PASSWORD,
        session: challenge.data.session,
    });

    await assert.rejects(phone.whoami(), { errcode: "M_UNKNOWN_TOKEN" });
});
