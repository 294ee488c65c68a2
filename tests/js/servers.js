/** Servers that federate over TLS, as tests/interop has them. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { PROGRAM } from "./homeserver.js";

/** Start them all; returns their `urls` by name, and how to `close` them. */
export async function startServers() {
    const process = spawn(join(dirname(PROGRAM), "python"), ["-m", "tests.interop"], {
        cwd: fileURLToPath(new URL("../..", import.meta.url)),
        stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = once(process, "exit");
    const [line] = await Promise.race([once(createInterface(process.stdout), "line"), ended]);
    if (typeof line !== "string") throw new Error(`the servers ended with ${line}`);
    return {
        urls: JSON.parse(line),
        close: async () => {
            process.stdin.end();
            const [code] = await ended;
            if (code !== 0) throw new Error(`the servers ended with ${code}`);
        },
    };
}
