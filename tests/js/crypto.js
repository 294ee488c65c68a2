/** People whose clients encrypt, with the crypto that real clients use (matrix-rust-sdk). */

import assert from "node:assert/strict";
import { once } from "node:events";

import { ClientEvent, EventType, KnownMembership, MatrixEventEvent } from "matrix-js-sdk";
import {
    CryptoEvent,
    VerificationRequestEvent,
    VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/index.js";

import { PATIENCE_MS, until } from "./until.js";
import { acceptInvite, createRoom, seen, syncing } from "./user.js";

export const ENCRYPTED = {
    initial_state: [
        {
            type: EventType.RoomEncryption,
            state_key: "",
            content: { algorithm: "m.megolm.v1.aes-sha2" },
        },
    ],
};

/** Let a client of `test` encrypt, with keys that last as long as the client. */
export async function encrypting(t, client, options = {}) {
    await client.initRustCrypto({ useIndexedDB: false });
    await syncing(t, client, options);
    return client;
}

/** Have cross-signing keys: make or fetch them; `password` replaces those that there are. */
export async function bootstrap(client, { password } = {}) {
    const crypto = client.getCrypto();
    // It asks the server for the public keys, without which the private ones can't be had.
    await crypto.userHasCrossSigningKeys();
    await crypto.bootstrapCrossSigning({
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
export function safe() {
    let held = null;
    return {
        cacheSecretStorageKey: (_id, _info, key) => (held = key),
        getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], held],
    };
}

/** Make cross-signing keys, a backup and the secret storage, to which `safe` has the key. */
export async function bootstrapWithSecrets(client) {
    await bootstrap(client);
    const crypto = client.getCrypto();
    const recoveryKey = await crypto.createRecoveryKeyFromPassphrase();
    await crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => recoveryKey,
        setupNewKeyBackup: true,
        setupNewSecretStorage: true,
    });
}

/** The next thing that `emitter` tells of as `event`. */
export async function occurrence(emitter, event) {
    const [what] = await once(emitter, event, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return what;
}

/** What an encrypted event says. */
export async function decrypted(room, eventId) {
    const event = await seen(room, eventId);
    const isDone = () => event.getClearContent() && !event.isDecryptionFailure();
    await until(event, MatrixEventEvent.Decrypted, isDone);
    return event.getContent().body;
}

/** Wait until `client`, which keeps a backup, has put the key of an event there. */
export async function backedUp(client, room, eventId) {
    const { session_id: sessionId } = (await seen(room, eventId)).getWireContent();
    const path = ["room_keys", "keys", room.roomId, sessionId].map(encodeURIComponent).join("/");
    await until(client, CryptoEvent.KeyBackupSessionsRemaining, async () => {
        const version = await client.getCrypto().getActiveSessionBackupVersion();
        try {
            return await client.http.authedRequest("GET", `/${path}`, { version });
        } catch (error) {
            if (error.errcode !== "M_NOT_FOUND") throw error;
            return null;
        }
    });
}

/** An encrypted room of two people, as each of them knows it. */
export async function encryptedRoom(alice, bob) {
    const aliceRoom = await createRoom(alice, { invite: [bob.getUserId()], ...ENCRYPTED });
    const bobRoom = await acceptInvite(bob, aliceRoom.roomId);
    const membership = () => aliceRoom.getMember(bob.getUserId())?.membership;
    await until(alice, ClientEvent.Sync, () => membership() === KnownMembership.Join);
    return [aliceRoom, bobRoom];
}

/** Wait until `client` knows of the device that another client is. */
export function knows(client, device) {
    const ids = [device.getUserId(), device.getDeviceId()];
    return until(client, CryptoEvent.DevicesUpdated, () =>
        client.getCrypto().getDeviceVerificationStatus(...ids),
    );
}

/**
 * Have the client `asked` and who `ask`s it verify each other; returns what each of them
 * was shown to compare.
 */
export async function verifyByEmoji(asked, ask) {
    const [theirs, ours] = await Promise.all([
        occurrence(asked, CryptoEvent.VerificationRequestReceived),
        ask(),
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
    await Promise.all(sides.map((side) => side.confirm()));
    await finished(asked, ours, sides);
    return sides.map((side) => side.emoji);
}

/**
 * Wait until both sides are done. The library sometimes does not note that the other is,
 * with any server (issue 109 of complement-crypto); what the client was sent decides then.
 */
async function finished(client, request, sides) {
    const done = Promise.all(sides.map((side) => side.done)).then(() => true);
    const late = once(AbortSignal.timeout(PATIENCE_MS), "abort").then(() => false);
    if (await Promise.race([done, late])) return;
    done.catch(() => {});
    const events = client.getRoom(request.roomId)?.getLiveTimeline().getEvents() ?? [];
    const told = events.filter((event) => event.getType() === EventType.KeyVerificationDone);
    assert.equal(told.length, 2, "the client was not told that both sides are done");
}
