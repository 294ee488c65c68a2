/** Hydrogen, the whole application, as its package has it. */

import {
    createNavigation,
    createRouter,
    FeatureSet,
    Platform,
    RootViewModel,
} from "hydrogen-view-sdk";
import downloadSandbox from "hydrogen-view-sdk/download-sandbox.html?url";
import worker from "hydrogen-view-sdk/main.js?url";
import olmLegacy from "@matrix-org/olm/olm_legacy.js?url";
import olm from "@matrix-org/olm/olm.js?url";
import olmWasm from "@matrix-org/olm/olm.wasm?url";
import "hydrogen-view-sdk/theme-element-light.css";

const platform = new Platform({
    container: document.getElementById("app"),
    assetPaths: {
        downloadSandbox,
        worker,
        serviceWorker: "sw.js",
        olm: { wasm: olmWasm, legacyBundle: olmLegacy, wasmBundle: olm },
    },
    config: { defaultHomeServer: new URL(location).searchParams.get("homeserver") },
});
await platform.init();
const navigation = createNavigation();
platform.setNavigation(navigation);
const urlRouter = createRouter({ navigation, history: platform.history });
urlRouter.attach();
const features = await FeatureSet.load(platform.settingsStorage);
const app = new RootViewModel({ platform, navigation, urlRouter, features });
await app.load();
platform.createAndMountRootView(app);
