/** What two people say to each other, and how they see that it was read. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
    ClientEvent,
    EventType,
    MatrixEventEvent,
    RelationType,
    RoomEvent,
    RoomMemberEvent,
} from "matrix-js-sdk";

import { startedHomeserver } from "./homeserver.js";
import { until } from "./until.js";
import { seen, timeline, twoInARoom } from "./user.js";

const homeserver = startedHomeserver();

test("two people chat", async (t) => {
    const options = { name: "Aspens" };
    const { alice, bob, aliceRoom, bobRoom, roomId } = await twoInARoom(t, homeserver.url, options);

    const { event_id: greeting } = await alice.sendTextMessage(roomId, "hello bob");
    const heard = await seen(bobRoom, greeting);
    const { event_id: answer } = await bob.sendTextMessage(roomId, "hello alice");
    await seen(aliceRoom, answer);

    assert.equal(bobRoom.name, "Aspens");
    assert.equal(heard.getSender(), alice.getUserId());
    assert.deepEqual(heard.getContent(), { msgtype: "m.text", body: "hello bob" });
    const bodies = timeline(aliceRoom).map((event) => event.getContent().body);
    assert.deepEqual(bodies.slice(-2), ["hello bob", "hello alice"]);
});

test("what a device sent comes back to it as its own, and to others without", async (t) => {
    const { alice, aliceRoom, bobRoom, roomId } = await twoInARoom(t, homeserver.url);

    const { event_id: eventId } = await alice.sendTextMessage(roomId, "hello", "txn1");
    const echo = await seen(aliceRoom, eventId);
    // The SDK's own copy has a status until the event has come from the server.
    await until(echo, MatrixEventEvent.Status, () => echo.status === null);
    const heard = await seen(bobRoom, eventId);

    assert.equal(echo.getUnsigned().transaction_id, "txn1");
    assert.equal(heard.getUnsigned().transaction_id, undefined);
    assert.equal(timeline(aliceRoom, (event) => event.getType() === "m.room.message").length, 1);
});

// Up to room version 10 a redaction names its target beside its content, since then within.
for (const version of ["10", "12"]) {
    test(`a redacted message loses its text, in a room of version ${version}`, async (t) => {
        const options = { room_version: version };
        const { alice, bob, bobRoom, roomId } = await twoInARoom(t, homeserver.url, options);
        const { event_id: regretted } = await alice.sendTextMessage(roomId, "a secret");
        const message = await seen(bobRoom, regretted);
        await assert.rejects(bob.redactEvent(roomId, regretted), { errcode: "M_FORBIDDEN" });

        await alice.redactEvent(roomId, regretted, undefined, { reason: "spoke too soon" });
        await until(bobRoom, RoomEvent.Redaction, () => message.isRedacted());

        assert.deepEqual(message.getContent(), {});
        assert.equal(message.getRedactionEvent().content.reason, "spoke too soon");
        const fetched = await bob.fetchRoomEvent(roomId, regretted);
        assert.deepEqual(fetched.content, {});
        assert.equal(fetched.unsigned.redacted_because.sender, alice.getUserId());
    });
}

test("reactions and edits find the message that they are about", async (t) => {
    const { alice, bob, aliceRoom, bobRoom, roomId } = await twoInARoom(t, homeserver.url);
    const { event_id: eventId } = await alice.sendTextMessage(roomId, "helo");
    const message = await seen(bobRoom, eventId);

    await alice.sendMessage(roomId, {
        msgtype: "m.text",
        body: "* hello",
        "m.new_content": { msgtype: "m.text", body: "hello" },
        "m.relates_to": { rel_type: RelationType.Replace, event_id: eventId },
    });
    await until(message, MatrixEventEvent.Replaced, () => message.replacingEvent());
    const relation = { rel_type: RelationType.Annotation, event_id: eventId, key: "👋" };
    const { event_id: wave } = await bob.sendEvent(roomId, EventType.Reaction, {
        "m.relates_to": relation,
    });
    await seen(aliceRoom, wave);

    assert.equal(message.getContent().body, "hello");
    const reactions = aliceRoom.relations.getChildEventsForEvent(
        eventId,
        RelationType.Annotation,
        EventType.Reaction,
    );
    assert.deepEqual(
        reactions.getSortedAnnotationsByKey().map(([key, events]) => [key, events.size]),
        [["👋", 1]],
    );
});

test("a receipt shows how far somebody has read", async (t) => {
    const { alice, bob, aliceRoom, bobRoom, roomId } = await twoInARoom(t, homeserver.url);
    const { event_id: eventId } = await alice.sendTextMessage(roomId, "read this");
    const message = await seen(bobRoom, eventId);
    assert.ok(!aliceRoom.hasUserReadEvent(bob.getUserId(), eventId));

    await bob.sendReadReceipt(message);

    const hasRead = () => aliceRoom.getEventReadUpTo(bob.getUserId(), true) === eventId;
    await until(aliceRoom, RoomEvent.Receipt, hasRead);
    assert.ok(aliceRoom.hasUserReadEvent(bob.getUserId(), eventId));
});

test("somebody is seen to type, and to stop", async (t) => {
    const { alice, bob, aliceRoom, roomId } = await twoInARoom(t, homeserver.url);
    const member = aliceRoom.getMember(bob.getUserId());

    await bob.sendTyping(roomId, true, 30_000);
    await until(alice, RoomMemberEvent.Typing, () => member.typing);
    await bob.sendTyping(roomId, false, 0);
    await until(alice, RoomMemberEvent.Typing, () => !member.typing);
});

test("people who share a room see what the other is up to", async (t) => {
    const { alice, bob } = await twoInARoom(t, homeserver.url);

    await bob.setPresence({ presence: "online", status_msg: "watching trees" });

    const seenUser = () => alice.getUser(bob.getUserId());
    await until(alice, ClientEvent.Event, () => seenUser()?.presenceStatusMsg);
    assert.equal(seenUser().presenceStatusMsg, "watching trees");
    assert.equal(seenUser().presence, "online");
});

test("push rules tell a client what to notify of", async (t) => {
    const { alice, bob, bobRoom, roomId } = await twoInARoom(t, homeserver.url);
    const mention = { "m.mentions": { user_ids: [bob.getUserId()] } };
    const texts = [
        { msgtype: "m.text", body: "hello" },
        { msgtype: "m.text", body: "hello bob", ...mention },
        { msgtype: "m.notice", body: "I am a bot" },
    ];

    const actions = [];
    for (const content of texts) {
        const { event_id: eventId } = await alice.sendMessage(roomId, content);
        actions.push(bob.getPushActionsForEvent(await seen(bobRoom, eventId)));
    }

    const [plain, mentioned, notice] = actions;
    assert.deepEqual(plain, { notify: true, tweaks: { highlight: false, sound: "default" } });
    assert.deepEqual(mentioned, { notify: true, tweaks: { highlight: true, sound: "default" } });
    assert.equal(notice.notify, false);
});
