// The part of the page that tells how far a model has come, and why it has not.
import { $, sentence } from "./output.js";
import { make } from "./shown.js";
import { say } from "./texts.js";

let told = "";

// Screen readers read out each change of the status, so the share has an element of its own.
function tell(key) {
  if (told !== key) $("status").textContent = say(key);
  told = key;
}

export function showStart() {
  $("loaded").hidden = false;
  showShare(0);
}

/** Shows how much of a file has come, from 0 to 1. */
export function showShare(share) {
  $("loaded").value = share;
  $("share").textContent = `${Math.round(100 * share)}%`;
  tell(share < 1 ? "loading" : "starting");
}

/** Shows that the model is there, or a sentence about another way. */
export function showEnd(notice = "") {
  $("loaded").hidden = true;
  $("share").textContent = "";
  $("status").textContent = told = notice;
}

/** Shows why there is not a model. */
export function showRefused(error) {
  showEnd();
  $("main").hidden = true;
  $("status").replaceChildren(make("span", sentence(error, "wrong.model"), { class: "wrong", role: "alert" }));
}
