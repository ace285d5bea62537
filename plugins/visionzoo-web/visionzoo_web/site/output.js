// The part of the page that has the answer.
import { bars, make, paint, short } from "./shown.js";
import { say } from "./texts.js";
import { modelView } from "./view.js";

export const $ = (id) => document.getElementById(id) ?? document.querySelector(id);

/** Gives the focus on: a browser drops it from an element that is disabled or hidden. */
export function passFocus(from, to) {
  if (from.includes(document.activeElement)) to.focus({ preventScroll: true });
}

/** The sentence of an error. */
export function sentence(error, key = "wrong.run") {
  if (error.key) return say(error.key, error.values);
  return say(key, { reason: short(String(error?.message ?? error), 300).replace(/\.$/, "") }); // the sentence has its own
}

export function showError(text) {
  $("answer").replaceChildren(make("p", text, { class: "wrong", role: "alert" }));
  $("details").hidden = true;
}

export function showNothing() {
  $("details").hidden = true;
  $("answer").replaceChildren(make("p", say("answer.hint")));
}

export function showAnswer({ top, milliseconds, pixels }) {
  const { width, height } = pixels;
  $("answer").replaceChildren(
    make("p", [make("bdi", short(top[0].label))], { class: "best" }),
    bars(top),
    make("p", say("answer.time", { ms: milliseconds.toFixed(1), width, height })),
  );
}

/** Shows what a model sees of pixels; `spec` is its preprocessing. */
export function showSeen(pixels, spec) {
  const text = say("answer.seen", { side: spec.image_size });
  paint($("seen"), modelView(pixels, spec));
  $("seen").setAttribute("aria-label", text);
  $("seen-text").textContent = text;
  $("heat").hidden = true;
  $("details").hidden = false;
}
