/** `tremula serve` as a process of its own, over a new SQLite file on a free port. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

import { PATIENCE_MS } from "./until.js";

export const SERVER_NAME = "test";

export const PROGRAM =
    process.env.TREMULA ?? fileURLToPath(new URL("../../.venv/bin/tremula", import.meta.url));
const SETTINGS = {
    TREMULA_RATE_LIMITS__ENABLED: "false",
    TREMULA_PASSWORD_HASHING__TIME_COST: "1",
    TREMULA_PASSWORD_HASHING__MEMORY_KIB: "8",
};
const LISTENING = /^ +listening +http:\/\/localhost:([0-9]+) /;
// What must never stand in a log: failures, and coroutines that nobody awaited.
const COMPLAINT = /Traceback|Warning:|\[(error|critical) *\]/;

/** One server after the other over the same database, at the same address. */
export class Homeserver {
    #folder;
    #port = 0;
    #process = null;

    /** Where it listens, now or after the next start. */
    get url() {
        return `http://127.0.0.1:${this.#port}`;
    }

    /** Start, and wait until it listens. */
    async start() {
        this.#folder ??= await mkdtemp(join(tmpdir(), "tremula-js-"));
        const log = await open(this.#log, "a");
        this.#process = spawn(
            PROGRAM,
            [
                ...["serve", "--server-name", SERVER_NAME, "--data-dir", this.#folder],
                ...["--listen", `127.0.0.1:${this.#port}`],
            ],
            { cwd: this.#folder, env: environment(), stdio: ["ignore", "pipe", log.fd] },
        );
        await Promise.all([once(this.#process, "spawn"), log.close()]);
        this.#port = await announcedPort(this.#process.stdout);
    }

    /** Stop as an operator does; it has to end well. */
    async stop() {
        const signal = AbortSignal.timeout(PATIENCE_MS);
        // Where it has ended by itself there is nobody to be told.
        if (this.#process.kill("SIGTERM")) await once(this.#process, "exit", { signal });
        const { exitCode } = this.#process;
        this.#process = null;
        if (exitCode !== 0) throw new Error(`it ended with ${exitCode}: ${await this.#readLog()}`);
    }

    /** Crash: not one instruction more is run. */
    async kill() {
        const signal = AbortSignal.timeout(PATIENCE_MS);
        this.#process.kill("SIGKILL");
        await once(this.#process, "exit", { signal });
        this.#process = null;
    }

    /** Stop, remove what it wrote, and fail if it logged a failure. */
    async close() {
        try {
            if (this.#process) await this.stop();
            const log = await this.#readLog();
            if (COMPLAINT.test(log)) throw new Error(log);
        } finally {
            this.#process?.kill("SIGKILL");
            await rm(this.#folder, { recursive: true });
        }
    }

    get #log() {
        return join(this.#folder, "server.log");
    }

    #readLog() {
        return readFile(this.#log, "utf-8");
    }
}

function environment() {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("TREMULA_"));
    return { ...Object.fromEntries(inherited), ...SETTINGS };
}

async function announcedPort(stdout) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    for await (const line of createInterface({ input: stdout, signal })) {
        const announced = LISTENING.exec(line);
        if (announced) return Number(announced[1]);
    }
    throw new Error("the server did not start");
}

/** A server for all tests of a file. */
export function startedHomeserver() {
    const homeserver = new Homeserver();
    before(() => homeserver.start());
    after(() => homeserver.close());
    return homeserver;
}
