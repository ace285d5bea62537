// What the page keeps for use without a network, and whether its folder has changed since.

const used = new Set();
let registration = null;

/** Keeps the page, where the browser can. */
export async function keepPage() {
  if (!navigator.serviceWorker) return;
  try {
    const { version } = await (await fetch("files.json", { cache: "no-cache" })).json();
    registration = await navigator.serviceWorker.register(`sw.js?v=${version}`, { updateViaCache: "none" });
    tell();
  } catch {
    // Without it, the page works as long as there is a network.
  }
}

/** Keeps a model that was loaded. */
export function keepModel(name) {
  used.add(`models/${name}.json`).add(`models/${name}.onnx`);
  tell();
}

// The newest worker has the cache that stays.
function tell() {
  const worker = registration?.installing ?? registration?.waiting ?? registration?.active;
  worker?.postMessage({ keep: [...used] });
}

/** Whether the folder has other models than this page knows. */
export async function isReplaced(name) {
  try {
    const { models } = await (await fetch("site.json", { cache: "no-cache" })).json();
    return !models.some((model) => model.name === name);
  } catch {
    return false;
  }
}
