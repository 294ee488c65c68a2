/**
 * A server that is killed while people speak in secret: whatever was said is read.
 *
 * CRASHES_SEED repeats when it is killed, as far as its and the clients' speed permits.
 */

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { ENCRYPTED, decrypted, encrypting, knows } from "./crypto.js";
import { startedHomeserver } from "./homeserver.js";
import { PATIENCE_MS } from "./until.js";
import { acceptInvite, createRoom, logIn, register, roomOf } from "./user.js";

const CRASHES = 5;
// Of a request: connections that are kept for the next one end with the server, too.
const ATTEMPTS = 10;
const homeserver = startedHomeserver();

/** Numbers from 0 up to `limit` that depend on `seed` alone (mulberry32). */
function dice(seed) {
    let state = seed;
    return (limit) => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
    };
}

/** The way to a server that crashes: it repeats what was not answered once it is back. */
class PatientWay extends EventEmitter {
    #isOpen = Promise.resolve();

    /** Fetch as `fetch` does; the answer has arrived as a whole. */
    fetch = async (resource, options) => {
        for (let left = ATTEMPTS; ; left--) {
            await this.#isOpen;
            this.emit("request");
            try {
                const response = await fetch(resource, options);
                return new Response(await response.arrayBuffer(), response);
            } catch (error) {
                options.signal?.throwIfAborted();
                if (left === 1) throw error;
            }
        }
    };

    /** Let requests wait while the server is killed and started again. */
    async crash(server) {
        let open;
        this.#isOpen = new Promise((resolve) => (open = resolve));
        await server.kill();
        await server.start();
        open();
    }

    /** Wait until so many more requests were made. */
    async requests(count) {
        for (let left = count; left > 0; left--) {
            await once(this, "request", { signal: AbortSignal.timeout(PATIENCE_MS) });
        }
    }
}

/** Send one message after the other for as long as `isWanted`; returns the texts by event ID. */
async function talk(client, roomId, isWanted) {
    const said = new Map();
    while (isWanted()) {
        const text = `${client.getUserId()} says ${said.size}`;
        const { event_id: eventId } = await client.sendTextMessage(roomId, text);
        said.set(eventId, text);
    }
    return said;
}

test("all that is said while the server is killed again and again is read", async (t) => {
    const seed = Number(
        process.env.CRASHES_SEED ?? (process.env.CI ? 1 : Date.now() % 1_000_000),
    );
    t.diagnostic(`CRASHES_SEED=${seed}`);
    const roll = dice(seed);
    const way = new PatientWay();
    const options = { fetchFn: way.fetch };
    // So many that no timeline has a gap, which the SDK would not fill by itself.
    const encrypt = (client) => encrypting(t, client, { initialSyncLimit: 1000 });
    const newDevice = async (user) => encrypt(await logIn(homeserver.url, user, options));
    const alice = await encrypt(await register(homeserver.url, "alice", options));
    const bob = await encrypt(await register(homeserver.url, "bob", options));
    const desk = await newDevice(bob.getUserId());
    // A new key for every message: each of them has to reach all the devices.
    const [encryption] = ENCRYPTED.initial_state;
    const content = { ...encryption.content, rotation_period_msgs: 1 };
    const { roomId } = await createRoom(alice, {
        invite: [bob.getUserId()],
        initial_state: [{ ...encryption, content }],
    });
    await acceptInvite(bob, roomId);
    await Promise.all([knows(alice, bob), knows(alice, desk), knows(bob, alice), knows(bob, desk)]);

    let isOver = false;
    const talks = [alice, bob].map((client) => talk(client, roomId, () => !isOver));
    const arrivals = [];
    for (let crash = 0; crash < CRASHES; crash++) {
        await way.requests(1 + roll(40));
        await sleep(roll(20));
        // Somebody who logs in meanwhile has keys of theirs claimed, too.
        if (crash === 1 || crash === 3) arrivals.push(newDevice(alice.getUserId()));
        await way.crash(homeserver);
    }
    isOver = true;
    const said = new Map((await Promise.all(talks)).flatMap((texts) => [...texts]));

    assert.ok(said.size > CRASHES);
    for (const device of [alice, bob, desk]) {
        const room = await roomOf(device, roomId);
        for (const [eventId, text] of said) assert.equal(await decrypted(room, eventId), text);
    }
    const late = await Promise.all(arrivals);
    await Promise.all(late.map((device) => knows(bob, device)));
    const { event_id: last } = await bob.sendTextMessage(roomId, "we are all here");
    for (const device of [alice, desk, ...late]) {
        assert.equal(await decrypted(await roomOf(device, roomId), last), "we are all here");
    }
});
