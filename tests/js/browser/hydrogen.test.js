/** Hydrogen, a web client that we did not write, as a person sees and uses it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventType, RoomEvent } from "matrix-js-sdk";

import { startedHomeserver } from "../homeserver.js";
import { until } from "../until.js";
import { acceptInvite, createRoom, PASSWORD, register, syncing, timeline } from "../user.js";
import { startedBrowser } from "./browser.js";

const homeserver = startedHomeserver();
const browser = startedBrowser();

/** A person in Hydrogen, in a room with another whose client is matrix-js-sdk. */
async function inARoom(t, { encrypted = false } = {}) {
    const alice = await register(homeserver.url, "alice");
    const bob = await syncing(t, await register(homeserver.url, "bob"));
    const room = await createRoom(bob, { name: "Aspens", invite: [alice.getUserId()] });
    await alice.joinRoom(room.roomId);
    await bob.sendTextMessage(room.roomId, "who is there?");
    const page = await logIn(t, alice);
    await page.click(".RoomList a[href*='open-room']");
    await page.getByText("who is there?").waitFor();
    return { page, alice, bob, room };
}

async function logIn(t, user) {
    const page = await browser.open(t, "hydrogen", homeserver);
    await page.fill("#username", user.getUserId());
    await page.fill("#password", PASSWORD);
    await page.click("button[type=submit]");
    await page.locator(".RoomList").waitFor();
    return page;
}

async function say(page, text) {
    await page.locator(".MessageComposer_input textarea").fill(text);
    await page.keyboard.press("Enter");
}

/** Choose from the menu of the message with this text. */
async function choose(page, text, choice) {
    const message = page.locator(".Timeline_message", { hasText: text });
    await message.hover();
    await message.locator(".Timeline_messageOptions").click();
    await page.locator(".menu").getByText(choice).click();
}

/** The newest event of a type that the client of another user has in this room. */
function heard(room, type, isIt = () => true) {
    const find = () => timeline(room, (event) => event.getType() === type && isIt(event)).at(-1);
    return until(room, RoomEvent.Timeline, find);
}

test("hydrogen: two people chat", async (t) => {
    const { page, alice, bob, room } = await inARoom(t);

    await say(page, "only me");
    const isHers = (event) => event.getSender() === alice.getUserId();
    const message = await heard(room, EventType.RoomMessage, isHers);
    await bob.sendTextMessage(room.roomId, "welcome");
    await page.getByText("welcome").waitFor();

    assert.equal(message.getContent().body, "only me");
});

test("hydrogen: a reaction, and an answer to a message", async (t) => {
    const { page, room } = await inARoom(t);

    await choose(page, "who is there?", "👍");
    const reaction = await heard(room, EventType.Reaction);
    await page.locator(".Timeline_messageReactions").getByText("👍").waitFor();
    await choose(page, "who is there?", "Reply");
    await say(page, "a friend");
    const isAnswer = (event) => event.replyEventId;
    const answer = await heard(room, EventType.RoomMessage, isAnswer);
    await page.getByText("a friend").waitFor();

    assert.equal(reaction.getContent()["m.relates_to"].key, "👍");
    assert.equal(answer.replyEventId, reaction.getContent()["m.relates_to"].event_id);
});

test("hydrogen: what somebody edits and deletes", async (t) => {
    const { page, bob, room } = await inARoom(t);
    const { event_id: eventId } = await bob.sendTextMessage(room.roomId, "helo");
    await page.getByText("helo").waitFor();

    await bob.sendMessage(room.roomId, {
        msgtype: "m.text",
        body: "* hello",
        "m.new_content": { msgtype: "m.text", body: "hello" },
        "m.relates_to": { rel_type: "m.replace", event_id: eventId },
    });
    await page.getByText("hello").waitFor();
    await bob.redactEvent(room.roomId, eventId);
    await page.getByText("This message has been deleted").waitFor();
});

test("hydrogen: unread messages are counted, until they are read", async (t) => {
    const { page, alice, bob, room } = await inARoom(t);
    const other = await createRoom(bob, { name: "Birches", invite: [alice.getUserId()] });
    await page.locator(".RoomList", { hasText: "Birches" }).waitFor();
    await alice.joinRoom(other.roomId);

    for (const text of ["one", "two"]) await bob.sendTextMessage(other.roomId, text);
    const entry = page.locator(".RoomList li", { hasText: "Birches" });
    await entry.locator(".badge", { hasText: "2" }).waitFor();
    await entry.click();
    await entry.locator(".badge.hidden").waitFor({ state: "attached" });
});

test("hydrogen: a conversation goes on after the server has been restarted", async (t) => {
    const { page, bob, room } = await inARoom(t);

    await homeserver.stop();
    await homeserver.start();
    await bob.sendTextMessage(room.roomId, "back again");

    await page.getByText("back again").waitFor();
});
