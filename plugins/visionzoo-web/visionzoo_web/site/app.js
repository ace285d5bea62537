// The page: from what a visitor does to what is shown.
import { watch } from "./camera.js";
import { classify, dispose, load } from "./classifier.js";
import { digitOf } from "./drawing.js";
import { heatMap, paintHeat } from "./heat.js";
import { givenFiles } from "./given.js";
import { showEnd, showRefused, showShare, showStart } from "./loading.js";
import { isReplaced, keepModel, keepPage } from "./offline.js";
import { $, passFocus, sentence, showAnswer, showError, showNothing, showSeen } from "./output.js";
import { makePad } from "./pad.js";
import { pixelsOf } from "./pixels.js";
import { site, threads } from "./runtime.js";
import { about, example, facts, make, short } from "./shown.js";
import { fill, language, say } from "./texts.js";
import { verify } from "./verify.js";

const asked = new URLSearchParams(location.search);
// picture: what was given last, which may wait for a model. request: the number of the newest one; older ones are dropped.
const state = { model: null, picture: null, answer: null, loading: null, request: 0, working: null, camera: null, pad: null, address: "" };

/** Drops the answer, and the work at one. */
function clearAnswer() {
  stopWork();
  state.request++;
  state.answer = null;
  showNothing();
}

/** Drops the picture, too. */
function reset() {
  clearAnswer();
  state.picture = null;
  $("preview").hidden = true;
}

// A model

async function choose(index, backend, notice = "") {
  clearAnswer();
  stopCamera();
  state.loading?.abort();
  const loading = (state.loading = new AbortController());
  const old = state.model;
  state.model = null;
  $("verified").textContent = "";
  const { models } = await site;
  const { name, bytes } = models[index];
  showStart();
  const progress = (size) => loading.signal.aborted || showShare(Math.min(1, size / bytes));
  if (old) await dispose(old).catch(() => {});
  if (loading.signal.aborted) return; // another one was chosen
  try {
    const model = await load(`models/${name}`, { backend, progress, signal: loading.signal });
    if (loading.signal.aborted) return await dispose(model);
    state.model = model;
    keepModel(name);
  } catch (error) {
    if (loading.signal.aborted) return;
    loading.abort(); // the card may be refused while the file still comes
    if (backend === "wasm") {
      const why = error.status === 404 && (await isReplaced(name)) ? { key: "wrong.version" } : error;
      return state.loading === loading && showRefused(why);
    }
    $("webgpu").checked = false;
    return await choose(index, "wasm", sentence(error, "wrong.gpu"));
  }
  showEnd(notice);
  showModel(state.model);
  if (state.picture) await look(state.picture);
}

/** Goes on without the GPU after an error there. Returns whether it did. */
function leftGpu(error, { backend }) {
  if (backend !== "webgpu" || error.key) return false; // a picture that cannot be read fails anywhere
  $("webgpu").checked = false;
  choose(Number($("models").value), "wasm", sentence(error, "wrong.gpu"));
  return true;
}

function showModel({ card, backend }) {
  const number = threads();
  $("main").hidden = false;
  $("name").textContent = document.title = short(card.name);
  $("about").textContent = about(card);
  $("facts").replaceChildren(...facts(card));
  $("drawing").hidden = !card.dataset.drawable;
  $("backend").textContent = say(`backend.${backend}`, { threads: number, s: number > 1 ? "s" : "" });
  $("examples").hidden = !card.examples.length;
  $("example-list").replaceChildren(...card.examples.map((each, index) => example(each, index, show)));
  for (const element of [$("seen"), $("heat-map")]) element.width = element.height = 1;
}

// A picture

/** Shows a file and classifies it. */
function show(file, others = 0) {
  stopCamera();
  state.pad.clear();
  URL.revokeObjectURL(state.address);
  state.address = URL.createObjectURL(file);
  $("preview").src = state.address;
  $("preview").alt = say("input.alt");
  $("preview").hidden = false;
  $("hint").textContent = others ? say("input.one", { n: others + 1 }) : say("input.hint");
  return look(file);
}

function drawn(strokes) {
  stopCamera();
  $("preview").hidden = true;
  $("hint").textContent = say("input.hint");
  return strokes.length ? look(digitOf(strokes)) : reset();
}

async function look(picture) {
  stopWork();
  state.picture = picture;
  const { model } = state;
  if (!model) return; // choose() takes it when the model has come
  const request = ++state.request;
  try {
    const answer = await classify(model, picture);
    if (request !== state.request) return;
    stopWork(); // at the answer before
    state.answer = answer;
    showAnswer(answer);
    showSeen(answer.pixels, model.card.preprocess);
  } catch (error) {
    if (request !== state.request || leftGpu(error, model)) return;
    reset();
    showError(sentence(error));
  }
}

// Longer work, which may be stopped

function stopWork() {
  state.working?.abort();
  state.working = null;
}

async function lookWhere() {
  const { model, answer } = state;
  if (!(model && answer)) return;
  const { index, label, pixels } = answer;
  stopWork();
  const working = (state.working = new AbortController());
  $("stop").hidden = false;
  passFocus([$("look")], $("stop"));
  $("look").disabled = true;
  const progress = (share) => ($("heat-progress").textContent = say("heat.progress", { share: `${Math.round(100 * share)}%` }));
  try {
    progress(0);
    const map = await heatMap(model, pixels, index, progress, working.signal);
    if (working.signal.aborted) return;
    paintHeat($("heat-map"), map);
    $("heat-map").setAttribute("aria-label", say("heat.alt", { label: short(label) }));
    $("heat-text").textContent = say("heat.title", { label: short(label) });
    $("heat").hidden = false;
  } catch (error) {
    if (!working.signal.aborted && !leftGpu(error, model)) showError(sentence(error));
  } finally {
    if (state.working === working) state.working = null;
    $("look").disabled = false;
    passFocus([$("stop"), document.body], $("look"));
    $("stop").hidden = true;
    $("heat-progress").textContent = "";
  }
}

async function check() {
  const { model } = state;
  if (!model) return;
  const focused = document.activeElement === $("verify");
  $("verify").disabled = true;
  const tell = (text) => model === state.model && ($("verified").textContent = text);
  const progress = (share) => tell(say("heat.progress", { share: `${Math.round(100 * share)}%` }));
  try {
    progress(0);
    const found = await verify(model, progress);
    const [difference, allowed] = [found?.difference.toExponential(1), found?.allowed];
    const key = found ? (found.passed ? "verify.passed" : "verify.failed") : "verify.none";
    tell(say(key, { n: found?.pictures, difference, allowed }));
  } catch (error) {
    if (model === state.model && !leftGpu(error, model)) tell(sentence(error, "wrong.check"));
  } finally {
    $("verify").disabled = false;
    if (focused) passFocus([document.body], $("verify"));
  }
}

// The camera

function stopCamera() {
  if (!state.camera) return;
  state.camera.abort();
  state.camera = null;
  $("camera").textContent = say("camera.start");
  $("rate").textContent = "";
  $("video").hidden = true;
  $("answer").setAttribute("aria-live", "polite");
  if (state.answer) showSeen(state.answer.pixels, state.model.card.preprocess);
}

async function useCamera() {
  if (state.camera) return stopCamera();
  reset();
  state.pad.clear();
  $("hint").textContent = say("input.hint");
  const camera = (state.camera = new AbortController());
  $("camera").textContent = say("camera.stop");
  $("answer").setAttribute("aria-live", "off"); // else each picture would be read out
  let problem = null;
  try {
    await watch($("video"), (video, rate) => lookAt(video, rate, camera.signal), camera.signal);
  } catch (error) {
    problem = error;
  }
  if (state.camera !== camera) return; // stopped, and maybe used again
  stopCamera();
  if (problem) showError(sentence(problem));
}

async function lookAt(video, rate, signal) {
  $("video").hidden = false;
  const { model } = state;
  if (!model) return; // it still comes
  const picture = await pixelsOf(video);
  if (signal.aborted) return;
  state.picture = picture; // another model answers to it, also where this one fails
  const answer = await classify(model, picture).catch((error) => {
    if (signal.aborted || !leftGpu(error, model)) throw error;
  });
  if (signal.aborted) return;
  state.answer = answer;
  showAnswer(answer);
  $("rate").textContent = say("camera.rate", { rate: rate.toFixed(1) });
}

// The start

async function start() {
  fill(document);
  const missing = ["WebAssembly", "createImageBitmap", "ReadableStream"].find((name) => !(name in globalThis));
  if (missing) throw Object.assign(new Error(missing), { key: "wrong.browser", values: { what: missing } });
  const { models } = await site;
  $("models").replaceChildren(...models.map(({ label, bytes }, index) => make("option", `${short(label)} (${(bytes / 2 ** 20).toFixed(1)} MiB)`, { value: index })));
  $("menu").hidden = models.length < 2;
  $("gpu").hidden = !navigator.gpu;
  const first = Math.min(models.length - 1, Math.max(0, Number.parseInt(asked.get("model"), 10) || 0));
  $("models").value = first;
  $("webgpu").checked = Boolean(navigator.gpu) && asked.get("backend") === "webgpu";
  const again = () => choose(Number($("models").value), $("webgpu").checked ? "webgpu" : "wasm");
  $("models").addEventListener("change", again);
  $("webgpu").addEventListener("change", again);
  $("camera").addEventListener("click", useCamera);
  $("look").addEventListener("click", lookWhere);
  $("stop").addEventListener("click", stopWork);
  $("verify").addEventListener("click", check);
  givenFiles({ drop: $("drop"), input: $("file"), button: $("choose"), taken: show });
  state.pad = makePad($("pad"), $("undo"), $("clear"), drawn);
  await again();
  await keepPage();
}

try {
  await start();
} catch (error) {
  showRefused(error);
}
document.documentElement.dataset.ready = language;
