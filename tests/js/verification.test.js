/** People who verify each other, and all devices that are trusted because of it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { CryptoEvent, EventShieldColour } from "matrix-js-sdk/lib/crypto-api/index.js";

import {
    backedUp,
    bootstrap,
    bootstrapWithSecrets,
    decrypted,
    encryptedRoom,
    encrypting,
    knows,
    safe,
    verifyByEmoji,
} from "./crypto.js";
import { startedHomeserver } from "./homeserver.js";
import { until } from "./until.js";
import { logIn, register, roomOf, seen } from "./user.js";

const homeserver = startedHomeserver();

/** Wait until `client` trusts a device because whoever has it signed it, and is trusted. */
function trusts(client, device) {
    const ids = [device.getUserId(), device.getDeviceId()];
    return until(client, CryptoEvent.DevicesUpdated, async () => {
        const status = await client.getCrypto().getDeviceVerificationStatus(...ids);
        return status?.crossSigningVerified;
    });
}

/** Wait until `client` knows of another user by the signature of its own. */
function hasVerified(client, user) {
    return until(client, CryptoEvent.UserTrustStatusChanged, async () => {
        const status = await client.getCrypto().getUserVerificationStatus(user);
        return status.isCrossSigningVerified();
    });
}

/** A person with two devices that trust each other: one has made the keys, one was verified. */
async function personWithTwoDevices(t, name) {
    const cryptoCallbacks = safe();
    const first = await encrypting(t, await register(homeserver.url, name, { cryptoCallbacks }));
    await bootstrapWithSecrets(first);
    const second = await encrypting(t, await logIn(homeserver.url, first.getUserId()));
    await knows(first, second);
    const [shown, shownToo] = await verifyByEmoji(second, () =>
        first.getCrypto().requestDeviceVerification(first.getUserId(), second.getDeviceId()),
    );
    assert.deepEqual(shown, shownToo);
    await Promise.all([trusts(first, second), trusts(second, first)]);
    return { first, second, cryptoCallbacks };
}

test("who verifies somebody trusts all their devices, also one that comes later", async (t) => {
    const alice = await personWithTwoDevices(t, "alice");
    const bob = await personWithTwoDevices(t, "bob");
    const [aliceId, bobId] = [alice, bob].map((person) => person.first.getUserId());
    const [{ roomId }] = await encryptedRoom(alice.first, bob.first);

    // Who is asked by a device that they have not heard of does not notice.
    await knows(bob.first, alice.first);
    const [shown, shownToo] = await verifyByEmoji(bob.first, () =>
        alice.first.getCrypto().requestVerificationDM(bobId, roomId),
    );

    assert.deepEqual(shown, shownToo);
    for (const device of [alice.first, alice.second]) await hasVerified(device, bobId);
    for (const device of [bob.first, bob.second]) await hasVerified(device, aliceId);
    for (const device of [alice.first, alice.second]) await trusts(device, bob.second);

    const { event_id: secret } = await bob.second.sendTextMessage(roomId, "it is really me");
    for (const device of [alice.first, alice.second]) {
        const room = await roomOf(device, roomId);
        assert.equal(await decrypted(room, secret), "it is really me");
        const event = await seen(room, secret);
        const shield = await device.getCrypto().getEncryptionInfoForEvent(event);
        assert.deepEqual(shield, { shieldColour: EventShieldColour.NONE, shieldReason: null });
    }
    await backedUp(alice.first, await roomOf(alice.first, roomId), secret);

    const { cryptoCallbacks } = alice;
    const third = await encrypting(t, await logIn(homeserver.url, aliceId, { cryptoCallbacks }));
    await bootstrap(third);
    await third.getCrypto().loadSessionBackupPrivateKeyFromSecretStorage();
    await third.getCrypto().restoreKeyBackup();

    assert.equal(await decrypted(await roomOf(third, roomId), secret), "it is really me");
    await hasVerified(third, bobId);
    for (const device of [alice.second, bob.first, bob.second]) await trusts(device, third);
});
