/** The web clients of these tests: bundled once, and served on a free port. */

import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
};

/** Bundle `pages/` and serve it; returns its `url`, and how to `close` it. */
export async function servePages() {
    const folder = await mkdtemp(join(tmpdir(), "tremula-pages-"));
    await bundle(folder);
    const server = createServer((request, response) => answer(folder, request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        close: async () => {
            server.closeAllConnections();
            server.close();
            await rm(folder, { recursive: true });
        },
    };
}

async function bundle(folder) {
    const pages = join(HERE, "pages");
    const worker = join(HERE, "../node_modules/hydrogen-view-sdk/lib-build/sw.js");
    await copyFile(worker, join(folder, "sw.js"));
    const file = "file";
    await build({
        entryPoints: [join(pages, "hydrogen.js"), join(pages, "aspen.js")],
        outdir: folder,
        bundle: true,
        format: "esm",
        splitting: true,
        logLevel: "error",
        // Of what the SDKs have for Node.js, nothing is reached in a browser.
        external: ["fs", "path", "crypto"],
        define: { global: "globalThis" },
        loader: { ".wasm": file, ".html": file, ".woff": file, ".woff2": file, ".svg": file },
        assetNames: "[name]-[hash]",
        plugins: [{ name: "asset", setup: asFiles }],
    });
}

/** Imports that end with `?url` are the address of a file. */
function asFiles({ onResolve, onLoad }) {
    const require = createRequire(import.meta.url);
    onResolve({ filter: /\?url$/ }, ({ path }) => ({
        path: require.resolve(path.slice(0, -"?url".length)),
        namespace: "asset",
    }));
    onLoad({ filter: /.*/, namespace: "asset" }, async ({ path }) => ({
        contents: await readFile(path),
        loader: "file",
    }));
}

async function answer(folder, request, response) {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const type = TYPES[extname(path)];
    const base = extname(path) === ".html" ? join(HERE, "pages") : folder;
    try {
        response.writeHead(200, { "content-type": type }).end(await readFile(join(base, path)));
    } catch {
        response.writeHead(404).end();
    }
}
