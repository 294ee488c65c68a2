/** Paging back through what was said before a client came. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Direction, EventTimeline, TimelineWindow } from "matrix-js-sdk";

import { startedHomeserver } from "./homeserver.js";
import { logIn, register, syncing, timeline } from "./user.js";

const MESSAGES = 25;
const PAGE = 7;
const homeserver = startedHomeserver();

const idOf = (event) => event.getId();

/** A user with a room, and the IDs of what was said there. */
async function roomWithHistory() {
    const owner = await register(homeserver.url, "alice");
    const { room_id: roomId } = await owner.createRoom({});
    const sent = [];
    for (let number = 0; number < MESSAGES; number++) {
        sent.push((await owner.sendTextMessage(roomId, `message ${number}`)).event_id);
    }
    return { owner, roomId, sent };
}

/** A new device, which sees the last five events of the room. */
async function newDevice(t) {
    const { owner, roomId, sent } = await roomWithHistory();
    const client = await logIn(homeserver.url, owner.getUserId());
    await syncing(t, client, { initialSyncLimit: 5 });
    return { client, room: client.getRoom(roomId), sent };
}

test("a client pages back to the room's creation", async (t) => {
    const { client, room, sent } = await newDevice(t);
    assert.deepEqual(timeline(room).map(idOf), sent.slice(-5));

    while (room.oldState.paginationToken !== null) await client.scrollback(room, PAGE);

    const events = timeline(room);
    assert.equal(events[0].getType(), "m.room.create");
    assert.deepEqual(events.slice(-MESSAGES).map(idOf), sent);
    assert.equal(new Set(events.map(idOf)).size, events.length);
    assert.ok(events.slice(0, -MESSAGES).every((event) => event.isState()));
});

test("a window opens around an old message and grows both ways", async (t) => {
    const { client, room, sent } = await newDevice(t);
    const window = new TimelineWindow(client, room.getUnfilteredTimelineSet());

    await window.load(sent[10], PAGE);
    const around = window.getEvents().map(idOf);
    assert.ok(around.includes(sent[10]));
    assert.ok(around.length <= PAGE);
    for (const direction of [EventTimeline.FORWARDS, EventTimeline.BACKWARDS]) {
        while (window.canPaginate(direction)) await window.paginate(direction, PAGE);
    }

    const events = window.getEvents();
    assert.equal(events[0].getType(), "m.room.create");
    assert.deepEqual(events.slice(-MESSAGES).map(idOf), sent);
});

test("pages forward are the pages back, the other way round", async () => {
    const { owner, roomId, sent } = await roomWithHistory();

    const back = await pages(owner, roomId, Direction.Backward);
    const forth = await pages(owner, roomId, Direction.Forward);

    assert.deepEqual(forth, back.reverse());
    assert.deepEqual(forth.slice(-MESSAGES), sent);
});

/** The IDs of all events, from one end of the room to the other. */
async function pages(client, roomId, direction) {
    const found = [];
    let token = null;
    do {
        const page = await client.createMessagesRequest(roomId, token, PAGE, direction);
        found.push(...page.chunk.map((event) => event.event_id));
        token = page.end;
    } while (token !== undefined);
    return found;
}
