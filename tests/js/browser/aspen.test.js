/** A client on matrix-js-sdk in a browser: what people do in it, by classic and by sliding sync. */

import { test } from "node:test";

import { startedHomeserver } from "../homeserver.js";
import { createRoom, PASSWORD, register, syncing } from "../user.js";
import { startedBrowser } from "./browser.js";

const homeserver = startedHomeserver();
const browser = startedBrowser();

/** A person in front of the client, and another who writes to a room of both. */
async function inARoom(t, sync) {
    const alice = await register(homeserver.url, "alice");
    const bob = await syncing(t, await register(homeserver.url, "bob"));
    const room = await createRoom(bob, { name: "Aspens", invite: [alice.getUserId()] });
    await alice.joinRoom(room.roomId);
    const { event_id: question } = await bob.sendTextMessage(room.roomId, "who is there?");
    const page = await browser.open(t, "aspen", homeserver, { sync });
    await page.getByLabel("user").fill(alice.getUserId());
    await page.getByLabel("password").fill(PASSWORD);
    await page.getByRole("button", { name: "Log in" }).click();
    const entry = page.locator("#rooms button", { hasText: "Aspens" });
    await entry.waitFor();
    return { page, entry, alice, bob, roomId: room.roomId, question };
}

async function say(page, text) {
    await page.getByLabel("message").fill(text);
    await page.keyboard.press("Enter");
}

function shown(page, text) {
    return page.locator("#timeline .message", { hasText: text });
}

for (const sync of ["classic", "sliding"]) {
    test(`${sync} sync: people send, edit and react`, async (t) => {
        const { page, entry, bob, roomId } = await inARoom(t, sync);
        await entry.click();
        await shown(page, "who is there?").waitFor();

        await say(page, "a frend");
        await shown(page, "a frend").getByRole("button", { name: "Edit" }).click();
        await say(page, "a friend");
        await shown(page, "a friendedited").waitFor();
        await shown(page, "who is there?").getByRole("button", { name: "👍" }).click();
        await shown(page, "who is there?").locator(".reactions", { hasText: "👍 1" }).waitFor();
        await bob.sendTextMessage(roomId, "welcome");
        await shown(page, "welcome").waitFor();
    });

    test(`${sync} sync: a reply in a thread stays in it`, async (t) => {
        const { page, entry, bob, roomId, question } = await inARoom(t, sync);
        await entry.click();

        await shown(page, "who is there?").getByRole("button", { name: "Thread" }).click();
        await say(page, "a friend");
        const replies = page.locator("#replies .message");
        await replies.filter({ hasText: "a friend" }).waitFor();
        await bob.sendMessage(roomId, question, { msgtype: "m.text", body: "which one?" });
        await replies.filter({ hasText: "which one?" }).waitFor();
        await shown(page, "who is there?").getByRole("button", { name: "2 in thread" }).waitFor();
        await shown(page, "a friend").waitFor({ state: "detached" });
    });

    test(`${sync} sync: unread messages are counted, until they are read`, async (t) => {
        const { page, entry, bob, roomId } = await inARoom(t, sync);

        await bob.sendTextMessage(roomId, "anybody?");
        await entry.locator(".unread", { hasText: "2" }).waitFor();
        await entry.click();
        await entry.locator(".unread").waitFor({ state: "detached" });
    });
}

test("what was said is found again", async (t) => {
    const { page, entry, bob, roomId } = await inARoom(t, "classic");
    await entry.click();
    await bob.sendTextMessage(roomId, "the leaves of an aspen tremble");
    await shown(page, "tremble").waitFor();

    const found = page.locator("#found li", { hasText: "the leaves of an aspen tremble" });
    await page.getByLabel("search").fill("leaves");
    await page.keyboard.press("Enter");
    await found.waitFor();
});
