/** End-to-end encryption with the crypto that real clients use (matrix-rust-sdk). */

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventType, MatrixEventEvent, SyncState } from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import {
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
import { logIn, PASSWORD, register, roomOf, seen, syncState } from "./user.js";

const homeserver = startedHomeserver();

test("two people speak in secret, each with two devices", async (t) => {
    const phone = await encrypting(t, await register(homeserver.url, "alice"));
    const laptop = await encrypting(t, await logIn(homeserver.url, phone.getUserId()));
    const bob = await encrypting(t, await register(homeserver.url, "bob"));
    const desk = await encrypting(t, await logIn(homeserver.url, bob.getUserId()));

    const [phoneRoom, bobRoom] = await encryptedRoom(phone, bob);
    const { roomId } = phoneRoom;
    const laptopRoom = await roomOf(laptop, roomId);
    const deskRoom = await roomOf(desk, roomId);

    const { event_id: greeting } = await phone.sendTextMessage(roomId, "for your eyes only");
    const { event_id: answer } = await bob.sendTextMessage(roomId, "understood");

    const everywhere = [phoneRoom, laptopRoom, bobRoom, deskRoom];
    for (const room of everywhere) {
        assert.equal(await decrypted(room, greeting), "for your eyes only");
        assert.equal(await decrypted(room, answer), "understood");
    }
    const { type } = await bob.http.authedRequest("GET", `/rooms/${roomId}/event/${greeting}`);
    assert.equal(type, EventType.RoomMessageEncrypted);
});

test("a user signs devices with cross-signing keys, which others see", async (t) => {
    const phone = await encrypting(t, await register(homeserver.url, "alice"));
    const bob = await encrypting(t, await register(homeserver.url, "bob"));
    await bootstrap(phone);
    await bootstrap(bob);
    await encryptedRoom(phone, bob);

    const user = phone.getUserId();
    const devices = await bob.getCrypto().getUserDeviceInfo([user], true);
    assert.deepEqual([...devices.get(user).keys()], [phone.getDeviceId()]);
    const status = await bob.getCrypto().getDeviceVerificationStatus(user, phone.getDeviceId());
    assert.ok(status.signedByOwner);

    const before = await phone.getCrypto().getCrossSigningKeyId();
    await bootstrap(phone, { password: PASSWORD });

    assert.notEqual(await phone.getCrypto().getCrossSigningKeyId(), before);
    await until(bob, CryptoEvent.UserTrustStatusChanged, async () => {
        const trust = await bob.getCrypto().getUserVerificationStatus(user);
        return trust.needsUserApproval;
    });
});

test("devices of one user verify each other, and one signs the other", async (t) => {
    const phone = await encrypting(t, await register(homeserver.url, "alice"));
    await bootstrap(phone);
    const laptop = await encrypting(t, await logIn(homeserver.url, phone.getUserId()));
    const ids = [phone.getUserId(), laptop.getDeviceId()];
    await knows(phone, laptop);

    const [shown, shownToo] = await verifyByEmoji(laptop, () =>
        phone.getCrypto().requestDeviceVerification(...ids),
    );

    assert.equal(shown.length, 7);
    assert.deepEqual(shown, shownToo);
    // The signature goes to the server, and comes back from there.
    await until(phone, CryptoEvent.DevicesUpdated, async () => {
        const status = await phone.getCrypto().getDeviceVerificationStatus(...ids);
        return status.signedByOwner;
    });
});

test("a new device reads old messages once it has the keys of the backup", async (t) => {
    const phone = await encrypting(t, await register(homeserver.url, "alice"));
    const bob = await encrypting(t, await register(homeserver.url, "bob"));
    await bootstrap(phone);
    const [phoneRoom] = await encryptedRoom(phone, bob);
    const { roomId } = phoneRoom;
    const { event_id: old } = await phone.sendTextMessage(roomId, "from before");
    await phone.getCrypto().resetKeyBackup();
    const backup = await until(phone, CryptoEvent.KeyBackupSessionsRemaining, async () => {
        const info = await phone.http.authedRequest("GET", "/room_keys/version");
        return info.count > 0 && info;
    });
    const key = await phone.getCrypto().getSessionBackupPrivateKey();

    const laptop = await encrypting(t, await logIn(homeserver.url, phone.getUserId()));
    const room = await roomOf(laptop, roomId);
    const event = await seen(room, old);
    await until(event, MatrixEventEvent.Decrypted, () => event.isDecryptionFailure());
    await laptop.getCrypto().storeSessionBackupPrivateKey(key, backup.version);
    const restored = await laptop.getCrypto().restoreKeyBackup();

    assert.deepEqual(restored, { total: backup.count, imported: backup.count });
    assert.equal(await decrypted(room, old), "from before");
});

test("what is said while nobody is logged in is kept for the next device", async (t) => {
    const cryptoCallbacks = safe();
    const phone = await encrypting(
        t,
        await register(homeserver.url, "alice", { cryptoCallbacks }),
    );
    const bob = await encrypting(t, await register(homeserver.url, "bob"));
    await bootstrapWithSecrets(phone);
    const [phoneRoom] = await encryptedRoom(phone, bob);
    const { roomId } = phoneRoom;
    const user = phone.getUserId();
    await phone.getCrypto().startDehydration();
    await until(bob, CryptoEvent.DevicesUpdated, async () => {
        const devices = await bob.getCrypto().getUserDeviceInfo([user]);
        return devices.get(user)?.size === 2;
    });
    await phone.logout(true);
    const { event_id: missed } = await bob.sendTextMessage(roomId, "are you there?");

    const laptop = await encrypting(t, await logIn(homeserver.url, user, { cryptoCallbacks }));
    await bootstrap(laptop);
    await laptop.getCrypto().startDehydration();

    const room = await roomOf(laptop, roomId);
    assert.equal(await decrypted(room, missed), "are you there?");
});

test("what was sent right before a restart is read after it", async (t) => {
    const alice = await encrypting(t, await register(homeserver.url, "alice"));
    const bob = await encrypting(t, await register(homeserver.url, "bob"));
    const [aliceRoom, bobRoom] = await encryptedRoom(alice, bob);

    const { event_id: before } = await alice.sendTextMessage(aliceRoom.roomId, "before");
    await homeserver.stop();
    await Promise.all([alice, bob].map((client) => syncState(client, SyncState.Reconnecting)));
    await homeserver.start();
    for (const client of [alice, bob]) assert.ok(client.retryImmediately());
    await Promise.all([alice, bob].map((client) => syncState(client, SyncState.Syncing)));
    const { event_id: after } = await bob.sendTextMessage(aliceRoom.roomId, "after");

    assert.equal(await decrypted(bobRoom, before), "before");
    assert.equal(await decrypted(aliceRoom, after), "after");
});
