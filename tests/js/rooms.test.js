/** What a room is, and who is in it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ClientEvent, EventType, KnownMembership, RoomEvent, RoomMemberEvent } from "matrix-js-sdk";

import { SERVER_NAME, startedHomeserver } from "./homeserver.js";
import { until } from "./until.js";
import { createRoom, logIn, register, roomWith, seen, syncing, twoInARoom } from "./user.js";

const homeserver = startedHomeserver();

test("changes of the state reach the others", async (t) => {
    const { alice, bob, bobRoom, roomId } = await twoInARoom(t, homeserver.url);

    await alice.setRoomName(roomId, "Aspens");
    await alice.setRoomTopic(roomId, "Trees that tremble");
    await alice.sendStateEvent(roomId, "org.example.colour", { colour: "yellow" }, "");
    const state = (type) => bobRoom.currentState.getStateEvents(type, "")?.getContent();
    await until(bob, ClientEvent.Sync, () => state("org.example.colour"));

    assert.deepEqual(state("org.example.colour"), { colour: "yellow" });
    assert.equal(state(EventType.RoomTopic).topic, "Trees that tremble");
    assert.equal(bobRoom.name, "Aspens");
    const read = await bob.getStateEvent(roomId, "org.example.colour", "");
    assert.deepEqual(read, { colour: "yellow" });
});

test("power is given to those who need it", async (t) => {
    const { alice, bob, bobRoom, roomId } = await twoInARoom(t, homeserver.url);
    await assert.rejects(bob.setRoomName(roomId, "Bob's"), { errcode: "M_FORBIDDEN" });

    await alice.setPowerLevel(roomId, bob.getUserId(), 50);
    await until(bob, RoomMemberEvent.PowerLevel, () => bobsLevel() === 50);
    await bob.setRoomName(roomId, "Bob's");

    await until(bobRoom, RoomEvent.Name, () => bobRoom.name === "Bob's");
    function bobsLevel() {
        return bobRoom.getMember(bob.getUserId()).powerLevel;
    }
});

test("who is banned is out until they are unbanned", async (t) => {
    const { alice, bob, bobRoom, roomId } = await twoInARoom(t, homeserver.url, {
        preset: "public_chat",
    });

    await alice.ban(roomId, bob.getUserId(), "too loud");
    await roomWith(bob, roomId, KnownMembership.Ban);
    assert.equal(bobRoom.getMember(bob.getUserId()).events.member.getContent().reason, "too loud");
    await assert.rejects(bob.joinRoom(roomId), { errcode: "M_FORBIDDEN" });
    await alice.unban(roomId, bob.getUserId());
    await bob.joinRoom(roomId);
    await roomWith(bob, roomId, KnownMembership.Join);

    await bob.leave(roomId);
    await roomWith(bob, roomId, KnownMembership.Leave);
    await bob.forget(roomId);
    assert.equal(bob.getRoom(roomId), null);
});

test("a room is found by its alias and in the directory", async (t) => {
    const alice = await syncing(t, await register(homeserver.url, "alice"));
    const bob = await syncing(t, await register(homeserver.url, "bob"));
    const options = { room_alias_name: "aspens", visibility: "public", preset: "public_chat" };
    const { roomId } = await createRoom(alice, options);

    const { chunk } = await bob.publicRooms({ limit: 10 });
    const joined = await bob.joinRoom(`#aspens:${SERVER_NAME}`);

    assert.deepEqual(
        chunk.map((room) => [room.room_id, room.num_joined_members]),
        [[roomId, 1]],
    );
    assert.equal(joined.roomId, roomId);
});

test("members who say nothing are loaded when they are asked for", async (t) => {
    const { alice, bob, aliceRoom, roomId } = await twoInARoom(t, homeserver.url);
    const { event_id: eventId } = await alice.sendTextMessage(roomId, "hello");
    await seen(aliceRoom, eventId);
    const device = await logIn(homeserver.url, alice.getUserId());
    const other = await syncing(t, device, { initialSyncLimit: 1 });
    const room = other.getRoom(roomId);
    assert.equal(room.getJoinedMemberCount(), 2);

    await room.loadMembersIfNeeded();

    const names = room.getJoinedMembers().map((member) => member.userId);
    assert.deepEqual(names.sort(), [alice.getUserId(), bob.getUserId()].sort());
});

test("tags, account data and ignored users are there at once", async (t) => {
    const { alice, bob, aliceRoom, roomId } = await twoInARoom(t, homeserver.url);

    await alice.setRoomTag(roomId, "m.favourite", { order: 0.25 });
    await alice.setAccountData("org.example.colour", { colour: "yellow" });
    await alice.setIgnoredUsers([bob.getUserId()]);
    await until(aliceRoom, RoomEvent.Tags, () => aliceRoom.tags["m.favourite"]);

    assert.deepEqual(aliceRoom.tags, { "m.favourite": { order: 0.25 } });
    const { colour } = alice.getAccountData("org.example.colour").getContent();
    assert.equal(colour, "yellow");
    assert.ok(alice.isUserIgnored(bob.getUserId()));
});

test("a new display name is shown in the rooms", async (t) => {
    const { bob, alice, aliceRoom } = await twoInARoom(t, homeserver.url);
    const member = aliceRoom.getMember(bob.getUserId());

    await bob.setDisplayName("Bob the Builder");

    await until(alice, RoomMemberEvent.Name, () => member.name === "Bob the Builder");
});

test("an invitation to a direct chat says so", async (t) => {
    const alice = await syncing(t, await register(homeserver.url, "alice"));
    const bob = await syncing(t, await register(homeserver.url, "bob"));
    const options = { invite: [bob.getUserId()], is_direct: true, name: "Aspens" };

    const { roomId } = await createRoom(alice, options);
    const invited = await roomWith(bob, roomId, KnownMembership.Invite);

    assert.equal(invited.getDMInviter(), alice.getUserId());
    assert.equal(invited.name, "Aspens");
});
