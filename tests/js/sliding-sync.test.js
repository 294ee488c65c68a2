/** matrix-js-sdk with sliding sync (MSC4186) in the place of `/sync`. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ClientEvent, EventType, RoomEvent, RoomMemberEvent } from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";

import { startedHomeserver } from "./homeserver.js";
import { until } from "./until.js";
import { logIn, register, seen, syncing, timeline } from "./user.js";

const homeserver = startedHomeserver();

const SUBSCRIPTION = {
    timeline_limit: 20,
    required_state: [
        ["*", "*"],
        ["m.room.member", "$ME"],
        ["m.room.member", "$LAZY"],
    ],
};

/** Let `client` sync through a window of twenty rooms until the test `t` ends. */
async function sliding(t, client) {
    const lists = new Map([["all", { ranges: [[0, 19]], ...SUBSCRIPTION, timeline_limit: 1 }]]);
    const slidingSync = new SlidingSync(homeserver.url, lists, SUBSCRIPTION, client, 10_000);
    await syncing(t, client, { slidingSync });
    return slidingSync;
}

/** The room as a client knows it, once it does. */
async function room(client, roomId) {
    await until(client, ClientEvent.Room, () => client.getRoom(roomId) !== null);
    return client.getRoom(roomId);
}

test("a client sees its rooms, and what is said in them", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const bob = await register(homeserver.url, "bob");
    const invite = [bob.getUserId()];
    const { room_id: roomId } = await alice.createRoom({ name: "Aspens", invite });
    await bob.joinRoom(roomId);
    await alice.sendTextMessage(roomId, "before");
    await sliding(t, bob);

    const bobRoom = await room(bob, roomId);
    const { event_id: eventId } = await alice.sendTextMessage(roomId, "after");
    await seen(bobRoom, eventId);

    assert.equal(bobRoom.name, "Aspens");
    assert.equal(bobRoom.getMyMembership(), "join");
    assert.equal(bobRoom.getMember(alice.getUserId()).membership, "join");
    assert.equal(bobRoom.getJoinedMemberCount(), 2);
    const bodies = timeline(bobRoom).map((event) => event.getContent().body);
    assert.deepEqual(bodies.slice(-2), ["before", "after"]);
});

test("an opened room has a longer timeline", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const { room_id: roomId } = await alice.createRoom({ name: "Aspens" });
    for (const body of ["one", "two", "three"]) await alice.sendTextMessage(roomId, body);
    const slidingSync = await sliding(t, alice);
    const opened = await room(alice, roomId);

    const bodies = () => timeline(opened).map((event) => event.getContent().body);
    await until(opened, RoomEvent.Timeline, () => bodies().includes("three"));
    slidingSync.modifyRoomSubscriptions(new Set([roomId]));
    await until(opened, RoomEvent.Timeline, () => bodies().includes("one"));

    assert.deepEqual(bodies().slice(-3), ["one", "two", "three"]);
});

test("invitations, typing and receipts come", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const bob = await register(homeserver.url, "bob");
    await sliding(t, bob);
    const { room_id: roomId } = await alice.createRoom({ invite: [bob.getUserId()] });
    const invited = await room(bob, roomId);
    const membership = invited.getMyMembership();
    await bob.joinRoom(roomId);
    await until(invited, RoomEvent.MyMembership, () => invited.getMyMembership() === "join");

    const { event_id: eventId } = await alice.sendTextMessage(roomId, "hello");
    await seen(invited, eventId);
    await alice.sendTyping(roomId, true, 30_000);
    const member = () => invited.getMember(alice.getUserId());
    await until(bob, RoomMemberEvent.Typing, () => member()?.typing === true);
    const event = invited.findEventById(eventId);
    await alice.sendReadReceipt(event);
    const readers = () => invited.getUsersReadUpTo(event);
    await until(invited, RoomEvent.Receipt, () => readers().includes(alice.getUserId()));

    assert.equal(membership, "invite");
    assert.equal(event.getType(), EventType.RoomMessage);
});

test("a connection goes on after the server was started anew", async (t) => {
    const alice = await register(homeserver.url, "alice");
    const device = await logIn(homeserver.url, alice.getUserId());
    const { room_id: roomId } = await alice.createRoom({ name: "Aspens" });
    await sliding(t, device);
    const known = await room(device, roomId);

    await homeserver.stop();
    await homeserver.start();
    const { event_id: eventId } = await alice.sendTextMessage(roomId, "back");
    await seen(known, eventId);

    assert.equal(known.getLastLiveEvent().getId(), eventId);
});
