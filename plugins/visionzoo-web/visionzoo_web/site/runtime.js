// onnxruntime-web: WebAssembly with SIMD in a worker of its own, or WebGPU where that is asked for.

export const site = fetch(new URL("site.json", import.meta.url)).then((response) => response.json());
const MAX_THREADS = 4; // more share the memory's bandwidth and the cores of a phone
const runtimes = new Map();

/** How many threads WebAssembly may use: several only in a page that is isolated from others by its headers. */
export function threads() {
  return globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
}

// A model of one Identity. Opening it starts the runtime while the real file still comes.
const IDENTITY = Uint8Array.from(
  atob("CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0="),
  (character) => character.charCodeAt(0),
);

async function opened(ort, bytes, backend) {
  return ort.InferenceSession.create(bytes, { executionProviders: [backend], logSeverityLevel: 3 });
}

async function started(backend) {
  const folder = new URL(`${(await site).runtime}/`, import.meta.url).href;
  const ort = await import(`${folder}ort.${backend}.min.mjs`);
  ort.env.wasm.wasmPaths = folder;
  ort.env.wasm.numThreads = threads();
  ort.env.wasm.proxy = backend === "wasm"; // the page stays responsive; WebGPU has no proxy
  ort.env.logLevel = "error";
  await (await opened(ort, IDENTITY, backend)).release();
  return ort;
}

/** The runtime for a backend. It starts once; after a failure, again. */
export function start(backend) {
  if (!runtimes.has(backend)) {
    const runtime = started(backend);
    runtimes.set(backend, runtime);
    runtime.catch(() => runtimes.delete(backend));
  }
  return runtimes.get(backend);
}

/** A session for the bytes of a file, and the runtime that it belongs to. */
export async function openSession(bytes, backend) {
  const ort = await start(backend);
  return { ort, session: await opened(ort, bytes, backend) };
}

let turn = Promise.resolve(); // one run at a time: a runtime refuses a second one

/** The outputs of a model by name. `data`: uint8 RGB of n pictures; `shape`: [n, height, width]. */
export function run(model, data, shape, outputs) {
  const answer = turn.then(() => {
    const image = new model.ort.Tensor("uint8", data.slice(), [...shape, 3]); // the worker takes its memory away
    return model.session.run({ image }, outputs);
  });
  turn = answer.catch(() => {});
  return answer;
}

/** The logits of n pictures, one after the other, as a Float32Array. */
export async function logitsOf(model, data, shape) {
  const { logits } = await run(model, data, shape, ["logits"]);
  const expected = shape[0] * model.card.classes.length;
  if (logits.data.length !== expected) throw Object.assign(new Error("classes"), { key: "wrong.classes" });
  if (!logits.data.every(Number.isFinite)) throw new Error("logits");
  return logits.data;
}

/** Probabilities, in float64 as zoo computes them. */
export function softmax(logits) {
  const most = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const powers = Float64Array.from(logits, (value) => Math.exp(value - most));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((value) => value / sum);
}

// An error of this type is all that a browser tells about a lost network.
function withoutNetwork(error) {
  throw error instanceof TypeError ? Object.assign(error, { key: "wrong.offline" }) : error;
}

/** What an address has, as a Uint8Array. `progress` is called with the number of bytes so far. */
export async function fetchBytes(address, { progress, signal } = {}) {
  const response = await fetch(address, { signal }).catch(withoutNetwork);
  const { ok, status } = response;
  if (!ok) throw Object.assign(new Error(`${status} ${new URL(address).pathname}`), { status });
  const parts = [];
  let size = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read().catch(withoutNetwork);
    if (done) break;
    parts.push(value);
    size += value.length;
    progress?.(size);
  }
  const bytes = new Uint8Array(size);
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}
