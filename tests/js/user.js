/** People with matrix-js-sdk: a client library that we did not write. */

import { randomUUID } from "node:crypto";

import { ClientEvent, createClient, KnownMembership, RoomEvent } from "matrix-js-sdk";

import { PATIENCE_MS, until } from "./until.js";

export const PASSWORD = "correct horse";

// The SDK tells the console whatever it does; failures that count come as exceptions.
for (const level of ["trace", "debug", "log", "info", "warn", "error"]) console[level] = () => {};

/** A client without an account. */
export function newClient(url, options = {}) {
    return createClient({ baseUrl: url, localTimeoutMs: PATIENCE_MS, ...options });
}

/** The client of a new account, whose name begins with `name`. */
export async function register(url, name, options = {}) {
    const username = `${name}-${randomUUID()}`;
    const auth = { type: "m.login.dummy" };
    const request = { username, password: PASSWORD, auth };
    return clientOf(url, await newClient(url, options).registerRequest(request), options);
}

/** The client of another device of a user. */
export async function logIn(url, user, options = {}) {
    const identifier = { type: "m.id.user", user };
    const request = { type: "m.login.password", identifier, password: PASSWORD };
    return clientOf(url, await newClient(url, options).loginRequest(request), options);
}

function clientOf(url, account, options) {
    return newClient(url, {
        accessToken: account.access_token,
        deviceId: account.device_id,
        timelineSupport: true,
        userId: account.user_id,
        ...options,
    });
}

/** Let `client` sync until the test `t` ends; returns it when the first answer has come. */
export async function syncing(t, client, options = {}) {
    // Of a poll that is cut off the SDK leaves a timer behind, of nearly two minutes; so
    // package.json has the tests end in spite of it.
    t.after(() => client.stopClient());
    await client.startClient({ lazyLoadMembers: true, ...options });
    await until(client, ClientEvent.Sync, () => client.isInitialSyncComplete());
    return client;
}

/** Wait until a client says of its sync that it is so. */
export function syncState(client, state) {
    return until(client, ClientEvent.Sync, () => client.getSyncState() === state);
}

/** Create a room; returns it as the creator's client knows it from `/sync`. */
export async function createRoom(client, options = {}) {
    const { room_id: roomId } = await client.createRoom(options);
    return roomWith(client, roomId, KnownMembership.Join);
}

/** Join a room to which an invitation has to come. */
export async function acceptInvite(client, roomId) {
    await roomWith(client, roomId, KnownMembership.Invite);
    await client.joinRoom(roomId);
    return roomWith(client, roomId, KnownMembership.Join);
}

/** Wait until `client` knows from `/sync` that its user has this membership of a room. */
export function roomWith(client, roomId, membership) {
    // Of a new room the SDK tells before it is among the client's rooms; after that, once
    // an answer has been gone through as a whole.
    return until(client, ClientEvent.Sync, () => {
        const room = client.getRoom(roomId);
        return room?.getMyMembership() === membership && room;
    });
}

/** Wait until `client` knows a room, be it as a member or invited. */
export function roomOf(client, roomId) {
    return until(client, ClientEvent.Sync, () => client.getRoom(roomId));
}

/** The events of a room's live timeline that fulfil `isWanted`, oldest first. */
export function timeline(room, isWanted = () => true) {
    return room.getLiveTimeline().getEvents().filter(isWanted);
}

/** Wait for an event in the live timeline of a room. */
export function seen(room, eventId) {
    const isIt = (event) => event.getId() === eventId;
    return until(room, RoomEvent.Timeline, () => timeline(room, isIt)[0]);
}

/** Two people with clients that sync, and a room of theirs as each of them knows it. */
export async function twoInARoom(t, url, options = {}) {
    const alice = await syncing(t, await register(url, "alice"));
    const bob = await syncing(t, await register(url, "bob"));
    const aliceRoom = await createRoom(alice, { invite: [bob.getUserId()], ...options });
    const { roomId } = aliceRoom;
    const bobRoom = await acceptInvite(bob, roomId);
    const bobsMembership = () => aliceRoom.getMember(bob.getUserId())?.membership;
    await until(alice, ClientEvent.Sync, () => bobsMembership() === KnownMembership.Join);
    return { alice, bob, aliceRoom, bobRoom, roomId };
}
