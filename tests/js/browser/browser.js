/** Chromium without a window, and the pictures that it takes. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { servePages } from "./pages.js";

const PROGRAM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const PICTURES = process.env.PICTURES ?? fileURLToPath(new URL("../../../build/pictures", import.meta.url));
const PATIENCE_MS = 20_000;

/** A browser for all tests of a file, and the pages that it shows. */
export function startedBrowser() {
    const started = new Browser();
    before(() => started.start());
    after(() => started.close());
    return started;
}

class Browser {
    #browser;
    #pages;

    async start() {
        this.#pages = await servePages();
        this.#browser = await chromium.launch({
            executablePath: PROGRAM,
            // Chromium refuses to run as root with it, as CI may.
            chromiumSandbox: process.getuid() !== 0,
        });
    }

    async close() {
        await this.#browser?.close();
        await this.#pages?.close();
    }

    /** A client in a browser profile of its own; what it complains of fails the test `t`. */
    async open(t, name, homeserver, parameters = {}) {
        const query = new URLSearchParams({ homeserver: homeserver.url, ...parameters });
        return this.openUrl(t, `${this.#pages.url}/${name}.html?${query}`);
    }

    /** As `open`, what a server shows by itself. */
    async openUrl(t, url) {
        const context = await this.#browser.newContext({ viewport: { width: 1100, height: 750 } });
        context.setDefaultTimeout(PATIENCE_MS);
        const page = await context.newPage();
        const failures = [];
        // That it does not reach a server which is being restarted is no failure.
        const isFailure = (error) => error.name !== "ConnectionError";
        page.on("pageerror", (error) => isFailure(error) && failures.push(error));
        t.after(async () => {
            await picture(page, t.name);
            await context.close();
            if (failures.length) throw failures[0];
        });
        await page.goto(url);
        return page;
    }
}

/** Keep what `page` shows, for whoever wants to look at it. */
export async function picture(page, name) {
    await mkdir(PICTURES, { recursive: true });
    const path = join(PICTURES, `${name.replaceAll(/[^a-z0-9]+/gi, "-")}.png`);
    await page.screenshot({ path });
}
