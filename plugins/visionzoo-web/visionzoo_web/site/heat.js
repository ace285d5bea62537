// Heat maps: which parts of a picture an answer depends on, as zoo/artifacts/heat_maps.py computes them.
import { logitsOf, run } from "./runtime.js";
import { framed, halfToEven, modelView } from "./view.js";

const CELLS = 8; // along each side
const COVERED = 2; // cells along each side of the square that moves over the picture
const BATCH = 9; // pictures; between two batches the work may be stopped
const OPACITY = 0.75; // of the hottest cell
const COLOURS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis

/**
 * Where a model finds a class in a picture: { values, rows, columns, view, method }.
 * @param index the class
 * @param progress a function of the share that is done, from 0 to 1
 * @param signal an AbortSignal
 */
export async function heatMap(model, pixels, index, progress, signal) {
  const spec = model.card.preprocess;
  const view = modelView(pixels, spec);
  if (model.card.mapped) return { ...(await mapped(model, framed(view, spec), index)), view, method: "maps" };
  return { ...(await occlusion(model, view, index, progress, signal)), view, method: "occlusion" };
}

/** From the maps in the file: how much more a cell adds to the class than to the others on average. */
async function mapped(model, { data, width, height }, index) {
  const { heatmap } = await run(model, data, [1, height, width], ["heatmap"]);
  const [, classes, rows, columns] = heatmap.dims;
  const cells = rows * columns;
  if (classes !== model.card.classes.length || !heatmap.data.every(Number.isFinite)) throw new Error("heatmap");
  const values = Float64Array.from({ length: cells }, (_, cell) => {
    let sum = 0;
    for (let each = 0; each < classes; each++) sum += heatmap.data[each * cells + cell];
    return heatmap.data[index * cells + cell] - sum / classes;
  });
  return { values, rows, columns };
}

/** By covering squares: how far the log-odds of the class drop. */
async function occlusion(model, view, index, progress, signal) {
  const spec = model.card.preprocess;
  const size = view.width;
  const cells = Math.min(CELLS, size);
  const colour = spec.mean.map((value) => Math.min(255, Math.max(0, halfToEven(255 * value))));
  const places = [];
  for (let row = 1 - COVERED; row < cells; row++) {
    for (let column = 1 - COVERED; column < cells; column++) places.push([row, column]);
  }
  const edge = (cell) => halfToEven((size * Math.min(cells, Math.max(0, cell))) / cells);
  const [whole] = await odds(model, [view], index);
  const values = new Float64Array(cells * cells);
  const counts = new Float64Array(cells * cells);
  for (let start = 0; start < places.length; start += BATCH) {
    signal?.throwIfAborted();
    const batch = places.slice(start, start + BATCH);
    const covered = batch.map(([row, column]) => {
      const data = view.data.slice();
      for (let y = edge(row); y < edge(row + COVERED); y++) {
        for (let x = edge(column); x < edge(column + COVERED); x++) data.set(colour, 3 * (y * size + x));
      }
      return { data, width: size, height: size };
    });
    const found = await odds(model, covered, index);
    batch.forEach(([top, left], number) => {
      for (let row = Math.max(0, top); row < Math.min(cells, top + COVERED); row++) {
        for (let column = Math.max(0, left); column < Math.min(cells, left + COVERED); column++) {
          values[row * cells + column] += whole - found[number];
          counts[row * cells + column] += 1;
        }
      }
    });
    progress?.(Math.min(1, (start + BATCH) / places.length));
  }
  return { values: values.map((value, cell) => value / counts[cell]), rows: cells, columns: cells };
}

/** The log-odds of a class for views. Unlike a probability, they do not come to rest near 1. */
async function odds(model, views, index) {
  const frames = views.map((view) => framed(view, model.card.preprocess));
  const { width, height } = frames[0];
  const data = new Uint8Array(frames.length * 3 * width * height);
  frames.forEach((frame, number) => data.set(frame.data, number * 3 * width * height));
  const logits = await logitsOf(model, data, [frames.length, height, width]);
  const classes = model.card.classes.length;
  return frames.map((_, number) => {
    const row = Array.from(logits.subarray(number * classes, (number + 1) * classes));
    const [own] = row.splice(index, 1);
    const most = row.reduce((one, other) => Math.max(one, other), -Infinity);
    return own - most - Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
  });
}

/** Paints a heat map over what the model sees. */
export function paintHeat(canvas, { values, rows, columns, view }) {
  const side = view.width * Math.ceil(224 / view.width);
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const hottest = values.reduce((one, other) => Math.max(one, other), 0);
  for (let y = 0, place = 0; y < side; y++) {
    for (let x = 0; x < side; x++, place += 4) {
      const heat = hottest ? between(values, rows, columns, ((y + 0.5) * rows) / side, ((x + 0.5) * columns) / side) / hottest : 0;
      const hot = colourOf(heat);
      const from = 3 * (Math.floor((y * view.width) / side) * view.width + Math.floor((x * view.width) / side));
      for (let channel = 0; channel < 3; channel++) {
        image.data[place + channel] = (1 - OPACITY * heat) * view.data[from + channel] + OPACITY * heat * hot[channel];
      }
      image.data[place + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/** Bilinear, of what speaks for the class. */
function between(values, rows, columns, y, x) {
  const at = (row, column) =>
    Math.max(0, values[Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column))]);
  const [top, left] = [Math.floor(y - 0.5), Math.floor(x - 0.5)];
  const [down, right] = [y - 0.5 - top, x - 0.5 - left];
  const above = (1 - right) * at(top, left) + right * at(top, left + 1);
  return (1 - down) * above + down * ((1 - right) * at(top + 1, left) + right * at(top + 1, left + 1));
}

function colourOf(heat) {
  const place = Math.min(1, heat) * (COLOURS.length - 1);
  const step = Math.min(COLOURS.length - 2, Math.floor(place));
  return COLOURS[step].map((value, channel) => value + (place - step) * (COLOURS[step + 1][channel] - value));
}
