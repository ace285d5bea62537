// Runs a model of `zoo export --web` in a page of your own: docs/web.md of visionzoo has an example.
import { readCard } from "./card.js";
import { pixelsOf } from "./pixels.js";
import { fetchBytes, logitsOf, openSession, softmax, start } from "./runtime.js";

/**
 * Loads a model.
 * @param place address of its files without the suffix, relative to this module: "models/NAME"
 * @param options backend: "wasm" or "webgpu"; progress: a function of the bytes that have come; signal: an AbortSignal
 * @returns a model, whose `card` has the names of the classes
 */
export async function load(place, { backend = "wasm", progress, signal } = {}) {
  const address = new URL(place, import.meta.url).href;
  const text = fetchBytes(`${address}.json`, { signal }).then((bytes) => new TextDecoder().decode(bytes));
  const parts = [text.then(readCard), fetchBytes(`${address}.onnx`, { progress, signal }), start(backend)];
  const [card, bytes] = await Promise.all(parts);
  return { card, backend, ...(await openSession(bytes, backend)) };
}

/**
 * Classifies a picture.
 * @param picture a File, Blob, ImageData, ImageBitmap, <img>, <video> or <canvas>, or { data, width, height } with RGB
 * @param top how many classes to list
 * @returns label, probability, top (the most probable classes), logits, pixels (what it was given), milliseconds
 */
export async function classify(model, picture, top = 5) {
  const pixels = await pixelsOf(picture);
  const started = performance.now();
  const logits = await logitsOf(model, pixels.data, [1, pixels.height, pixels.width]);
  const milliseconds = performance.now() - started;
  const answers = Array.from(softmax(logits), (probability, index) => ({ index, probability }));
  answers.sort((one, other) => other.probability - one.probability || one.index - other.index);
  const best = answers.slice(0, top).map((each) => ({ label: model.card.classes[each.index], ...each }));
  return { ...best[0], top: best, logits, pixels, milliseconds };
}

/** Frees the memory of a model. */
export const dispose = (model) => model.session.release();
