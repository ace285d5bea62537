// node answers.mjs LOADER MODEL < PICTURES
//
// What an exported file answers in onnxruntime-web, without a network: LOADER is the module of docs/loaders.md, PICTURES
// a JSON list of { width, height, batch, rgb }, the pixels in base64. Prints a list of logits per picture, as JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import * as ort from "onnxruntime-web";

const [loader, model] = process.argv.slice(2);
ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = false;
const { load, classify } = await import(pathToFileURL(loader));
const session = await load(readFileSync(model));

async function answer({ width, height, batch, rgb }) {
  const pixels = new Uint8Array(Buffer.from(rgb, "base64"));
  if (batch > 1) {
    const image = new ort.Tensor("uint8", pixels, [batch, height, width, 3]);
    return Array.from((await session.run({ image })).logits.data);
  }
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  pixels.forEach((value, index) => (data[index + Math.floor(index / 3)] = value));
  return Array.from((await classify(session, { data, width, height })).logits);
}

const answers = [];
for (const picture of JSON.parse(readFileSync(0, "utf8"))) answers.push(await answer(picture));
console.log(JSON.stringify(answers));
