// Answers and cards as elements. Texts of cards are untrusted: they become text, never markup.
import { count, say } from "./texts.js";

const SURE = 0.9995; // shown with one decimal, what is above would look like certainty
const MAX_SHOWN = 120; // characters of a name
const SHOWN_CLASSES = 12;

/** A probability with one decimal. Only 1 is shown as 100%, and only 0 as 0%. */
export function percent(share) {
  if (share >= SURE && share < 1) return ">99.9%";
  if (share > 0 && share < 1 - SURE) return "<0.1%";
  return `${(100 * share).toFixed(1)}%`;
}

/** A text of a card, shortened, without characters that would change the direction of the page's own text. */
export function short(text, most = MAX_SHOWN) {
  const clean = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");
  return clean.length > most ? `${clean.slice(0, most - 1)}…` : clean;
}

/** An element with a text or with children. */
export function make(tag, content, attributes = {}) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (typeof content === "string") element.textContent = content;
  else element.append(...(content ?? []));
  return element;
}

/** Classes with their probabilities: a list of bars. */
export function bars(top) {
  const rows = top.map(({ label, probability }) => {
    const bar = make("span", "", { class: "filled" });
    bar.style.width = `${(100 * probability).toFixed(2)}%`;
    return make("li", [
      make("bdi", short(label), { class: "name" }),
      make("span", percent(probability), { class: "share" }),
      make("span", [bar], { class: "bar", "aria-hidden": "true" }),
    ]);
  });
  return make("ol", rows, { class: "bars" });
}

/** A button for an example picture of a card. `show` is called with the picture, a Blob. */
export function example({ label, file }, index, show) {
  const bytes = Uint8Array.from(atob(file), (character) => character.charCodeAt(0));
  const picture = new Blob([bytes], { type: file.startsWith("/9j/") ? "image/jpeg" : "image/png" });
  const image = make("img", "", { alt: say("examples.alt", { n: index + 1, label: short(label) }) });
  image.src = URL.createObjectURL(picture);
  for (const kind of ["load", "error"]) image.addEventListener(kind, () => URL.revokeObjectURL(image.src));
  const button = make("button", [image], { type: "button", class: "example" });
  button.addEventListener("click", () => show(picture));
  return button;
}

/** RGB pixels on a canvas. */
export function paint(canvas, { data, width, height }) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let from = 0, to = 0; from < data.length; to += 4) {
    image.data[to] = data[from++];
    image.data[to + 1] = data[from++];
    image.data[to + 2] = data[from++];
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** What a model is, in a sentence. */
export function about({ classes }) {
  const more = classes.length - SHOWN_CLASSES;
  const names = classes.slice(0, SHOWN_CLASSES).map((name) => short(name)).join(", ");
  return say(more > 0 ? "card.about-more" : "card.about", { n: count(classes.length), names, more: count(Math.max(0, more)) });
}

/** The facts of a card: <dt> and <dd>. */
export function facts(card) {
  const rows = [
    [card.precision === "fp32" ? "card.accuracy" : "card.accuracy-before", accuracy(card)],
    ["card.accuracy-after", accuracyAfter(card)],
    ["card.parity", parity(card)],
    ["card.backbone", card.backbone],
    ["card.weights", card.weights],
    ["card.data", [card.dataset.name, card.dataset.source].filter(Boolean).map((part) => short(part)).join(": ")],
    ["card.licences", [card.dataset.licence, card.licence].filter(Boolean).map((part) => short(part, 300)).join("; ")],
    ["card.precision", card.precision],
    ["card.created", card.created],
    ["card.notes", card.dataset.notes.map((note) => short(note, 1000)).join(" ")],
  ];
  const told = rows.filter(([, value]) => value);
  return told.flatMap(([term, value]) => [make("dt", say(term)), make("dd", [make("bdi", short(value, 3000))])]);
}

function accuracy({ metrics, split }) {
  const { top1, num_pictures: pictures } = metrics;
  if (!(isShare(top1) && Number.isSafeInteger(pictures))) return say("card.unmeasured");
  return say("card.measured", { share: share(top1), n: count(pictures), split: short(split) });
}

/** What the conversion to another precision did, on the pictures that were compared at the export. */
function accuracyAfter({ precision, parity }) {
  const { artifact, classifier, pictures } = parity.accuracy ?? {};
  if (precision === "fp32" || !isShare(artifact) || !isShare(classifier) || !Number.isSafeInteger(pictures)) return "";
  return say("card.compared", { share: share(artifact), before: share(classifier), n: count(pictures) });
}

function parity({ parity: { max } }) {
  return typeof max === "number" && max >= 0 && max < 1e6 ? say("card.agreement", { most: max.toExponential(1) }) : "";
}

const share = (value) => `${(100 * value).toFixed(2)}%`;
const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;
