// Whether this browser answers as the exporting machine did: the check of zoo/parity/self_check.py.
import { logitsOf } from "./runtime.js";
import { VERSIONS, syntheticPictures } from "./synthetic.js";

const MAX_LISTED = 4096;

/** The classes whose logits a card holds: all, or evenly spaced ones. */
export function listedClasses(count) {
  const listed = Math.min(count, MAX_LISTED);
  return Array.from({ length: listed }, (_, place) => {
    const exact = (place * (count - 1)) / (listed - 1);
    const below = Math.floor(exact);
    return exact - below === 0.5 ? below + (below % 2) : Math.round(exact); // as numpy rounds
  });
}

/**
 * Compares a model's answers to the synthetic pictures with its card.
 * @returns null where the card has no such answers, or { pictures, difference, allowed, passed }
 */
export async function verify(model, progress) {
  const { card } = model;
  const { reference } = card;
  if (!reference || !VERSIONS.includes(reference.pictures)) return null;
  const listed = listedClasses(card.classes.length);
  const pictures = syntheticPictures(card.preprocess.image_size, reference.pictures);
  if (pictures.length !== reference.logits.length) return null;
  let most = 0;
  for (const [number, { data, width, height }] of pictures.entries()) {
    const logits = await logitsOf(model, data, [1, height, width]);
    listed.forEach((index, place) => {
      most = Math.max(most, Math.abs(logits[index] - reference.logits[number][place]));
    });
    progress?.((number + 1) / pictures.length);
  }
  const difference = most / reference.spread;
  return { pictures: pictures.length, difference, allowed: reference.tolerance, passed: difference <= reference.tolerance };
}
