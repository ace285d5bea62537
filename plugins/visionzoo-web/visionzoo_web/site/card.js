// Reads a card. It may come from anybody, so its parts are checked, as zoo/artifacts/card.py does it.

export const MAX_CHARACTERS = 16 * 2 ** 20;
export const MAX_PARTS = 1_000_000;
export const MAX_CLASSES = 100_000;
export const MAX_TEXT = 10_000;
const MAX_IMAGE_SIZE = 4096;
const MAX_EXAMPLES = 24;
const MAX_EXAMPLE = 4 * Math.ceil(2 ** 17 / 3); // characters of base64
// Also line separators, and surrogates without their other half.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]|\p{Surrogate}/u;

/** Why a card cannot be used; `key` is its sentence in texts.js. */
export class CardError extends Error {
  constructor(reason) {
    super(`card: ${reason}`);
    this.key = `card.${reason}`;
    this.values = {};
  }
}

const refuse = (reason) => {
  throw new CardError(reason);
};
const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isWhole = (value, least, most) => Number.isInteger(value) && value >= least && value <= most;

function text(value) {
  if (typeof value !== "string" || value.length > MAX_TEXT) refuse("invalid");
  return value;
}

function table(value) {
  return isTable(value) ? value : refuse("invalid");
}

function classesOf(value) {
  if (!Array.isArray(value) || value.length < 2) refuse("classes");
  if (value.length > MAX_CLASSES) refuse("too-many-classes");
  if (value.some((name) => typeof name !== "string" || name.length > MAX_TEXT)) refuse("classes");
  if (value.some((name) => CONTROL.test(name))) refuse("control");
  if (new Set(value).size < value.length) refuse("class-twice");
  return value;
}

function preprocessOf(value) {
  const spec = {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    resize: "crop",
    crop_fraction: 1,
    interpolation: "bilinear",
    channels: "rgb",
    ...table(value),
  };
  const triple = (values) => Array.isArray(values) && values.length === 3 && values.every(isNumber);
  const fits =
    isWhole(spec.image_size, 1, MAX_IMAGE_SIZE) &&
    triple(spec.mean) &&
    triple(spec.std) &&
    Math.min(...spec.std) > 0 &&
    isNumber(spec.crop_fraction) &&
    spec.crop_fraction > 0 &&
    spec.crop_fraction <= 1 &&
    ["crop", "squash", "shorter"].includes(spec.resize) &&
    ["bilinear", "bicubic"].includes(spec.interpolation) &&
    ["rgb", "grey"].includes(spec.channels);
  return fits ? spec : refuse("preprocess");
}

function referenceOf(value, count) {
  if (value === undefined || value === null) return null;
  const { pictures, logits, spread, tolerance } = table(value);
  const columns = Math.min(count, 4096);
  const fits =
    isWhole(pictures, 1, 1e6) &&
    Array.isArray(logits) &&
    isWhole(logits.length, 1, 16) &&
    logits.every((row) => Array.isArray(row) && row.length === columns && row.every(isNumber)) &&
    isNumber(spread) &&
    spread > 0 &&
    isNumber(tolerance) &&
    tolerance > 0 &&
    tolerance <= 1;
  return fits ? { pictures, logits, spread, tolerance } : refuse("reference");
}

function examplesOf(value, classes) {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > MAX_EXAMPLES) refuse("examples");
  for (const each of value) {
    const { label, file } = table(each);
    if (!classes.includes(label) || typeof file !== "string" || file.length > MAX_EXAMPLE) refuse("examples");
    if (!/^(iVBORw0KGgo|\/9j\/)[A-Za-z0-9+/]*={0,2}$/.test(file)) refuse("examples"); // PNG or JPEG
  }
  return value;
}

/** The parts of a card that the page uses. Throws a CardError. */
export function readCard(json) {
  if (json.length > MAX_CHARACTERS) refuse("too-large");
  let parts = 0;
  for (const mark of json) if ("[{,".includes(mark)) parts++;
  if (parts > MAX_PARTS) refuse("too-large");
  let fields;
  try {
    fields = JSON.parse(json);
  } catch {
    refuse("json");
  }
  const card = table(fields);
  if (card.input !== "pixels") refuse("input");
  const classes = classesOf(card.classes);
  const dataset = table(card.dataset);
  return {
    name: text(card.name),
    created: text(card.created),
    precision: text(card.precision),
    backbone: text(card.backbone),
    weights: text(card.weights),
    licence: text(card.weights_licence ?? ""),
    split: text(card.metrics_split),
    classes,
    preprocess: preprocessOf(card.preprocess),
    dataset: {
      name: text(dataset.name),
      source: text(dataset.source ?? ""),
      licence: text(dataset.licence ?? ""),
      drawable: dataset.drawable === true,
      notes: Array.isArray(dataset.notes) ? dataset.notes.slice(0, 3).map((note) => text(note)) : [],
    },
    metrics: table(card.metrics),
    parity: table(card.parity),
    mapped: table(card.exported ?? {}).heatmap === true,
    reference: referenceOf(card.reference, classes.length),
    examples: examplesOf(card.examples, classes),
  };
}
