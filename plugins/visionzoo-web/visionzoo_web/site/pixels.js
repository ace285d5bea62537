// From any picture to RGB: upright, transparency on white, no colour profile applied, as zoo's own decoder does it.

export const MAX_FILE = 100 * 2 ** 20; // bytes
export const MAX_SIDE = 16384; // of a canvas, in several browsers
export const MAX_PIXELS = 50_000_000; // a third of a gigabyte as RGBA, RGB and in the model

/** Why a picture cannot be used; `key` is its sentence in texts.js. */
export class PictureError extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** { data, width, height } of anything that `classify` takes; data is RGB, a Uint8Array. */
export async function pixelsOf(picture) {
  if (typeof picture.arrayBuffer === "function") { // a Blob, maybe of another frame
    const bitmap = await decoded(picture);
    try {
      return drawn(bitmap);
    } finally {
      bitmap.close();
    }
  }
  if (!picture.data) return drawn(picture);
  const { data, width, height } = picture;
  if (data.length === 3 * width * height) return { data, width, height };
  return onWhite(data, width, height);
}

async function decoded(file) {
  if (file.size > MAX_FILE) throw new PictureError("wrong.file-size", { most: MAX_FILE / 2 ** 20 });
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new PictureError((await startsAsPicture(file)) ? "wrong.damaged" : "wrong.picture");
  }
}

/** Whether a file begins as a PNG, JPEG, GIF or WebP file, which each browser can read. */
async function startsAsPicture(file) {
  const first = new Uint8Array(await file.slice(0, 12).arrayBuffer().catch(() => new ArrayBuffer(0)));
  return /^(\x89PNG|\xff\xd8\xff|GIF8|RIFF[^]{4}WEBP)/.test(String.fromCharCode(...first));
}

function drawn(image) {
  const width = image.videoWidth ?? image.naturalWidth ?? image.width;
  const height = image.videoHeight ?? image.naturalHeight ?? image.height;
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS) {
    throw new PictureError("wrong.size", { width, height, side: MAX_SIDE, most: MAX_PIXELS / 1e6 });
  }
  if (!(width && height)) throw new PictureError("wrong.picture");
  try {
    const context = canvasOf(width, height).getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, width, height);
    context.drawImage(image, 0, 0, width, height);
    return onWhite(context.getImageData(0, 0, width, height).data, width, height);
  } catch {
    throw new PictureError("wrong.memory", { width, height });
  }
}

function canvasOf(width, height) {
  if (globalThis.OffscreenCanvas) return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** RGB of RGBA. */
export function onWhite(rgba, width, height) {
  const data = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3];
    for (let channel = 0; channel < 3; channel++) {
      const value = rgba[from + channel];
      data[to++] = alpha === 255 ? value : Math.round((value * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return { data, width, height };
}
