/**
 * A small client on matrix-js-sdk, which shows what the SDK makes of the server's answers: rooms by sliding or by
 * classic sync (`?sync=classic`), messages as they were edited, reactions, threads, and what a search found.
 */

import {
    ClientEvent,
    createClient,
    EventType,
    MatrixEventEvent,
    RelationType,
    RoomEvent,
    ThreadEvent,
} from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";
import "./aspen.css";

const parameters = new URL(location).searchParams;
const baseUrl = parameters.get("homeserver");
const element = (id) => document.getElementById(id);

let client;
let room;
// What the next message is about: an event to be edited, or the root of a thread.
let edited;
let root;

element("login").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const { user, password } = Object.fromEntries(new FormData(submitted.target));
    const identifier = { type: "m.id.user", user };
    const request = { type: "m.login.password", identifier, password };
    const account = await createClient({ baseUrl }).loginRequest(request);
    client = createClient({
        baseUrl,
        accessToken: account.access_token,
        userId: account.user_id,
        deviceId: account.device_id,
        timelineSupport: true,
    });
    for (const event of [ClientEvent.Sync, ClientEvent.Room, RoomEvent.Timeline, RoomEvent.Receipt]) {
        client.on(event, show);
    }
    for (const event of [MatrixEventEvent.Replaced, RoomEvent.UnreadNotifications, ThreadEvent.Update]) {
        client.on(event, show);
    }
    await client.startClient({ threadSupport: true, slidingSync: slidingSync() });
    for (const shown of document.querySelectorAll("#login, aside, main")) shown.hidden ^= true;
});

function slidingSync() {
    if (parameters.get("sync") === "classic") return undefined;
    const subscription = { timeline_limit: 20, required_state: [["*", "*"]] };
    const lists = new Map([["all", { ranges: [[0, 19]], ...subscription }]]);
    return new SlidingSync(baseUrl, lists, subscription, client, 5_000);
}

function show() {
    const rooms = client.getVisibleRooms().filter((each) => each.getMyMembership() === "join");
    element("rooms").replaceChildren(...rooms.map(roomEntry));
    if (!room) return;
    const events = room.getLiveTimeline().getEvents();
    element("timeline").replaceChildren(...events.filter(isMessage).map(message));
    const thread = root && room.getThread(root.getId());
    element("thread").hidden = !root;
    element("replies").replaceChildren(...(thread?.events ?? []).filter(isMessage).map(message));
    element("purpose").textContent = edited ? "Edit" : root ? "Reply in thread" : "";
}

function isMessage(event) {
    return event.getType() === EventType.RoomMessage && !event.isRelation(RelationType.Replace);
}

function roomEntry(each) {
    const button = made("button", each.name, each === room ? "current" : "");
    const unread = each.getUnreadNotificationCount();
    if (unread) button.append(made("span", unread, "unread"));
    button.addEventListener("click", () => {
        [room, root, edited] = [each, undefined, undefined];
        const newest = each.getLastLiveEvent();
        if (newest) client.sendReadReceipt(newest);
        show();
    });
    return button;
}

function message(event) {
    const entry = made("li", "", "message");
    entry.append(made("span", event.sender?.name ?? event.getSender(), "sender"), event.getContent().body ?? "…");
    if (event.replacingEvent()) entry.append(made("span", "edited", "edited"));
    entry.append(reactions(event));
    entry.append(action("👍", () => client.sendEvent(room.roomId, EventType.Reaction, {
        "m.relates_to": { rel_type: RelationType.Annotation, event_id: event.getId(), key: "👍" },
    })));
    if (event.getSender() === client.getUserId()) entry.append(action("Edit", () => (edited = event)));
    const replies = room.getThread(event.getId())?.length;
    entry.append(action(replies ? `${replies} in thread` : "Thread", () => openThread(event)));
    return entry;
}

function openThread(event) {
    root = event;
    if (!room.getThread(event.getId())) room.createThread(event.getId(), event, [], true);
}

function reactions(event) {
    const shown = made("span", "", "reactions");
    const about = room.relations.getChildEventsForEvent(
        event.getId(),
        RelationType.Annotation,
        EventType.Reaction,
    );
    for (const [key, events] of about?.getSortedAnnotationsByKey() ?? []) {
        shown.append(made("span", `${key} ${events.size}`));
    }
    return shown;
}

element("composer").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const input = submitted.target.elements.text;
    const content = { msgtype: "m.text", body: input.value };
    input.value = "";
    if (edited) {
        content["m.new_content"] = { ...content };
        content.body = `* ${content.body}`;
        content["m.relates_to"] = { rel_type: RelationType.Replace, event_id: edited.getId() };
        edited = undefined;
    }
    await client.sendMessage(room.roomId, root && !content["m.new_content"] ? root.getId() : null, content);
    show();
});

element("search").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const found = await client.searchRoomEvents({ term: submitted.target.elements.term.value });
    const bodies = found.results.map((each) => each.context.getEvent().getContent().body);
    element("found").replaceChildren(...bodies.map((body) => made("li", body)));
});

function action(label, act) {
    const button = made("button", label);
    button.addEventListener("click", async () => {
        await act();
        show();
    });
    return button;
}

function made(tag, text, className = "") {
    return Object.assign(document.createElement(tag), { textContent: text, className });
}
