/** People on servers that federate speak in secret: two Tremulas, and Tremula with Synapse. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
    bootstrap,
    decrypted,
    encryptedRoom,
    encrypting,
    knows,
    verifyByEmoji,
} from "./crypto.js";
import { startServers } from "./servers.js";
import { logIn, register, roomOf } from "./user.js";

let servers;
before(async () => (servers = await startServers()));
after(() => servers.close());

for (const [host, guest] of [
    ["tremula", "tremula2"],
    ["tremula", "synapse"],
    ["synapse", "tremula"],
]) {
    test(`people of ${host} and ${guest} verify each other and speak in secret`, async (t) => {
        if (!servers.urls[host] || !servers.urls[guest]) {
            return t.skip("SYNAPSE_VENV names no environment with Synapse");
        }
        const phone = await encrypting(t, await register(servers.urls[host], "alice"));
        const bob = await encrypting(t, await register(servers.urls[guest], "bob"));
        const desk = await encrypting(t, await logIn(servers.urls[guest], bob.getUserId()));
        await bootstrap(phone);
        await bootstrap(bob);
        const [phoneRoom, bobRoom] = await encryptedRoom(phone, bob);
        const { roomId } = phoneRoom;
        await Promise.all([knows(phone, bob), knows(phone, desk), knows(bob, phone)]);

        const [shown, shownToo] = await verifyByEmoji(bob, () =>
            phone.getCrypto().requestVerificationDM(bob.getUserId(), roomId),
        );
        const { event_id: greeting } = await phone.sendTextMessage(roomId, "for your eyes only");
        const { event_id: answer } = await desk.sendTextMessage(roomId, "understood");
        const laptop = await encrypting(t, await logIn(phone.baseUrl, phone.getUserId()));
        await Promise.all([knows(bob, laptop), knows(desk, laptop)]);
        const { event_id: welcome } = await bob.sendTextMessage(roomId, "welcome, new device");

        assert.deepEqual(shown, shownToo);
        for (const [one, other] of [[phone, bob], [bob, phone]]) {
            const crypto = one.getCrypto();
            const status = await crypto.getUserVerificationStatus(other.getUserId());
            assert.ok(status.isCrossSigningVerified());
        }
        for (const room of [phoneRoom, bobRoom, await roomOf(desk, roomId)]) {
            assert.equal(await decrypted(room, greeting), "for your eyes only");
            assert.equal(await decrypted(room, answer), "understood");
        }
        assert.equal(await decrypted(await roomOf(laptop, roomId), welcome), "welcome, new device");
    });
}
