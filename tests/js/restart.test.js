/** A server that goes away while clients wait for news, and comes back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SyncState } from "matrix-js-sdk";

import { startedHomeserver } from "./homeserver.js";
import { seen, syncState, timeline, twoInARoom } from "./user.js";

const homeserver = startedHomeserver();

test("clients go on after a restart as if nothing had happened", async (t) => {
    const { alice, bob, aliceRoom, bobRoom, roomId } = await twoInARoom(t, homeserver.url);
    const { event_id: before } = await alice.sendTextMessage(roomId, "before", "txn1");
    await seen(bobRoom, before);

    await homeserver.stop();
    await Promise.all([alice, bob].map((client) => syncState(client, SyncState.Reconnecting)));
    await homeserver.start();
    for (const client of [alice, bob]) assert.ok(client.retryImmediately());
    await Promise.all([alice, bob].map((client) => syncState(client, SyncState.Syncing)));

    const { event_id: after } = await alice.sendTextMessage(roomId, "after");
    await seen(bobRoom, after);
    for (const room of [aliceRoom, bobRoom]) {
        const messages = timeline(room, (event) => event.getType() === "m.room.message");
        assert.deepEqual(messages.map((event) => event.getId()), [before, after]);
    }
    const content = { msgtype: "m.text", body: "before" };
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/txn1`;
    const again = await alice.http.authedRequest("PUT", path, undefined, content);
    assert.equal(again.event_id, before);
});
