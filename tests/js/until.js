/** Waiting for what a client comes to know, without asking again and again. */

import { on } from "node:events";

export const PATIENCE_MS = 20_000;

/**
 * What `find` finds, at once or in time, now or after one of the next occurrences of `event` on `emitter`.
 * Nothing is missed in between: it listens before it looks.
 */
export async function until(emitter, event, find) {
    const occurrences = on(emitter, event, { signal: AbortSignal.timeout(PATIENCE_MS) });
    try {
        let found = await find();
        while (!found) {
            await occurrences.next();
            found = await find();
        }
        return found;
    } catch (error) {
        throw new Error(`in vain: until ${event}, ${find}`, { cause: error });
    } finally {
        await occurrences.return();
    }
}
