/** End-to-end encryption with the crypto that real clients use (matrix-rust-sdk). */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import {
    ClientEvent,
    EventType,
    KnownMembership,
    MatrixEventEvent,
    SyncState,
} from "matrix-js-sdk";
import {
    CryptoEvent,
    VerificationRequestEvent,
    VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/index.js";

import { startedHomeserver } from "./homeserver.js";
import { PATIENCE_MS, until } from "./until.js";
import {
    acceptInvite,
    createRoom,
    logIn,
    PASSWORD,
    register,
    seen,
    syncing,
    syncState,
} from "./user.js";

const homeserver = startedHomeserver();

const ENCRYPTED = {
    initial_state: [
        {
            type: EventType.RoomEncryption,
            state_key: "",
            content: { algorithm: "m.megolm.v1.aes-sha2" },
        },
    ],
};

/** Let a client of `test` encrypt, with keys that last as long as the client. */
async function encrypting(t, client) {
    await client.initRustCrypto({ useIndexedDB: false });
    await syncing(t, client);
    return client;
}

/** Make cross-signing keys; `password` replaces those that there are. */
async function bootstrap(client, { password } = {}) {
    await client.getCrypto().bootstrapCrossSigning({
        setupNewCrossSigning: password !== undefined,
        authUploadDeviceSigningKeys: async (request) => {
            try {
                return await request(null);
            } catch (challenge) {
                if (challenge.httpStatus !== 401 || !password) throw challenge;
                const identifier = { type: "m.id.user", user: client.getUserId() };
                const { session } = challenge.data;
                await request({ type: "m.login.password", identifier, password, session });
            }
        },
    });
}

/** What a user keeps outside of all devices: the key to the secret storage. */
function safe() {
    let held = null;
    return {
        cacheSecretStorageKey: (_id, _info, key) => (held = key),
        getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], held],
    };
}

/** Make cross-signing keys and the secret storage, to which `safe` has the key. */
async function bootstrapWithSecrets(client) {
    await bootstrap(client);
    const crypto = client.getCrypto();
    const recoveryKey = await crypto.createRecoveryKeyFromPassphrase();
    await crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => recoveryKey,
        setupNewSecretStorage: true,
    });
}

/** The next thing that `emitter` tells of as `event`. */
async function occurrence(emitter, event) {
    const [what] = await once(emitter, event, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return what;
}

/** What an encrypted event says. */
async function decrypted(room, eventId) {
    const event = await seen(room, eventId);
    const isDone = () => event.getClearContent() && !event.isDecryptionFailure();
    await until(event, MatrixEventEvent.Decrypted, isDone);
    return event.getContent().body;
}

/** An encrypted room of two people, as each of them knows it. */
async function encryptedRoom(alice, bob) {
    const aliceRoom = await createRoom(alice, { invite: [bob.getUserId()], ...ENCRYPTED });
    const bobRoom = await acceptInvite(bob, aliceRoom.roomId);
    const membership = () => aliceRoom.getMember(bob.getUserId())?.membership;
    await until(alice, ClientEvent.Sync, () => membership() === KnownMembership.Join);
    return [aliceRoom, bobRoom];
}

test("two people speak in secret, each with two devices", async (t) => {
    const phone = await encrypting(t, await register(homeserver.url, "alice"));
    const laptop = await encrypting(t, await logIn(homeserver.url, phone.getUserId()));
    const bob = await encrypting(t, await register(homeserver.url, "bob"));
    const desk = await encrypting(t, await logIn(homeserver.url, bob.getUserId()));

    const [phoneRoom, bobRoom] = await encryptedRoom(phone, bob);
    const { roomId } = phoneRoom;
    const rooms = [laptop, desk].map((client) =>
        until(client, ClientEvent.Sync, () => client.getRoom(roomId)),
    );
    const [laptopRoom, deskRoom] = await Promise.all(rooms);

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
    await until(phone, CryptoEvent.DevicesUpdated, () =>
        phone.getCrypto().getDeviceVerificationStatus(...ids),
    );
    const [theirs, ours] = await Promise.all([
        occurrence(laptop, CryptoEvent.VerificationRequestReceived),
        phone.getCrypto().requestDeviceVerification(...ids),
    ]);
    await theirs.accept();
    const verifier = await theirs.startVerification("m.sas.v1");
    const answering = await until(ours, VerificationRequestEvent.Change, () => ours.verifier);

    const compare = async (side) => {
        const shown = occurrence(side, VerifierEvent.ShowSas);
        const done = side.verify();
        const sas = await shown;
        return { emoji: sas.sas.emoji, confirm: () => sas.confirm(), done };
    };
    const sides = await Promise.all([verifier, answering].map(compare));
    assert.deepEqual(sides[0].emoji, sides[1].emoji);
    await Promise.all(sides.map((side) => side.confirm()));
    await Promise.all(sides.map((side) => side.done));

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
    const backedUp = await until(phone, CryptoEvent.KeyBackupSessionsRemaining, async () => {
        const info = await phone.http.authedRequest("GET", "/room_keys/version");
        return info.count > 0 && info;
    });
    const key = await phone.getCrypto().getSessionBackupPrivateKey();

    const laptop = await encrypting(t, await logIn(homeserver.url, phone.getUserId()));
    const room = await until(laptop, ClientEvent.Sync, () => laptop.getRoom(roomId));
    const event = await seen(room, old);
    await until(event, MatrixEventEvent.Decrypted, () => event.isDecryptionFailure());
    await laptop.getCrypto().storeSessionBackupPrivateKey(key, backedUp.version);
    const restored = await laptop.getCrypto().restoreKeyBackup();

    assert.deepEqual(restored, { total: backedUp.count, imported: backedUp.count });
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

    const room = await until(laptop, ClientEvent.Sync, () => laptop.getRoom(roomId));
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
