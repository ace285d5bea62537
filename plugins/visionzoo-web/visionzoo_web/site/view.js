// What a model sees of a picture, as zoo/transforms/view.py shows it: within one level.

/** { data, width, height } of the square that the model sees. */
export function modelView(pixels, spec) {
  const size = spec.image_size;
  const area = spec.resize === "crop" ? centre(pixels, shown(spec)) : whole(pixels);
  const shortest = Math.min(area.width, area.height);
  const columns = weights(area.width, shortest, spec);
  const rows = weights(area.height, shortest, spec);
  const limit = spec.interpolation === "bicubic" ? (value) => Math.min(255, Math.max(0, value)) : (value) => value;
  const data = new Uint8Array(3 * size * size);
  const lines = new Map(); // rows of the picture, resampled along the columns
  rows.forEach(({ first, parts }, target) => {
    for (const known of lines.keys()) if (known < first) lines.delete(known);
    const sums = new Float64Array(3 * size);
    parts.forEach((part, index) => {
      const row = first + index;
      if (!lines.has(row)) lines.set(row, line(pixels, area, row, columns, limit));
      const values = lines.get(row);
      for (let place = 0; place < sums.length; place++) sums[place] += part * values[place];
    });
    for (let place = 0; place < sums.length; place++) data[3 * size * target + place] = Math.round(limit(sums[place]));
  });
  if (spec.channels === "grey") grey(data);
  return { data, width: size, height: size };
}

/** A picture of which the model sees exactly this view: the view, with a black frame if it cuts one off. */
export function framed(view, spec) {
  const size = spec.image_size;
  if (spec.resize === "squash") return view;
  let side = shorterSide(spec);
  let start = halfToEven((side - size) / 2);
  if (spec.resize === "crop") {
    const [numerator, denominator] = fractionOf(spec.crop_fraction);
    side = Math.ceil((size * denominator) / numerator);
    start = Math.floor((side - size) / 2);
  }
  const data = new Uint8Array(3 * side * side);
  for (let row = 0; row < size; row++) {
    const line = view.data.subarray(3 * size * row, 3 * size * (row + 1));
    data.set(line, 3 * (side * (start + row) + start));
  }
  return { data, width: side, height: side };
}

const whole = ({ width, height }) => ({ top: 0, left: 0, width, height });

function centre({ width, height }, [numerator, denominator]) {
  const side = Math.max(1, Math.floor((Math.min(height, width) * numerator) / denominator));
  return { top: Math.floor((height - side) / 2), left: Math.floor((width - side) / 2), width: side, height: side };
}

const shown = (spec) => fractionOf(spec.crop_fraction);

function shorterSide(spec) {
  return spec.resize === "shorter" ? Math.trunc(spec.image_size / Math.max(spec.crop_fraction, 1 / 4096) + 1e-6) : spec.image_size;
}

/** The nearest whole number, as numpy rounds. */
export function halfToEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

/** Per pixel of the result: the first pixel of an axis that it sees, and the weights of that and the next ones. */
function weights(length, shortest, spec) {
  const size = spec.image_size;
  const cubic = spec.interpolation === "bicubic";
  let target = size;
  if (spec.resize === "shorter") target = Math.floor((shorterSide(spec) * length) / shortest);
  const half = Math.floor((target - size) / 2);
  const margin = Math.floor((target - size + (((half % 2) + 2) % 2)) / 2); // the half, rounded to an even number
  const scale = length / target;
  const stretch = Math.max(scale, 1);
  const support = cubic ? 2 * stretch : stretch;
  return Array.from({ length: size }, (_, index) => {
    const middle = (index + margin + 0.5) * scale;
    const first = Math.min(length - 1, Math.max(0, Math.trunc(middle - support + 0.5)));
    const last = Math.max(first + 1, Math.min(length, Math.trunc(middle + support + 0.5)));
    const parts = Float64Array.from({ length: last - first }, (_, place) => {
      const distance = Math.abs(first + place - middle + 0.5) / stretch;
      return cubic ? keys(distance) : Math.max(0, 1 - distance);
    });
    const sum = parts.reduce((one, other) => one + other, 0);
    return { first, parts: sum ? parts.map((part) => part / sum) : parts };
  });
}

/** Keys' kernel with a = -0.5. */
function keys(x) {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

function line({ data, width }, area, row, columns, limit) {
  const values = new Float64Array(3 * columns.length);
  columns.forEach(({ first, parts }, target) => {
    let place = 3 * ((area.top + row) * width + area.left + first);
    let [red, green, blue] = [0, 0, 0];
    for (const part of parts) {
      red += part * data[place++];
      green += part * data[place++];
      blue += part * data[place++];
    }
    values.set([limit(red), limit(green), limit(blue)], 3 * target);
  });
  return values;
}

/** The luma of Pillow's mode "L". */
function grey(data) {
  for (let place = 0; place < data.length; place += 3) {
    const luma = (data[place] * 19595 + data[place + 1] * 38470 + data[place + 2] * 7471 + 0x8000) >> 16;
    data.fill(luma, place, place + 3);
  }
}

/** Numerator and denominator up to 4096 of the nearest fraction, as Python's `limit_denominator`. */
export function fractionOf(share) {
  const most = 4096n;
  const scale = 2n ** 70n;
  let [numerator, denominator] = [BigInt(share * 2 ** 70), scale];
  const exact = [numerator, denominator];
  let [p0, q0, p1, q1] = [0n, 1n, 1n, 0n];
  while (denominator) {
    const part = numerator / denominator;
    const next = q0 + part * q1;
    if (next > most) break;
    [p0, q0, p1, q1] = [p1, q1, p0 + part * p1, next];
    [numerator, denominator] = [denominator, numerator - part * denominator];
  }
  if (!denominator) return [Number(p1), Number(q1)];
  const times = (most - q0) / q1;
  const [p2, q2] = [p0 + times * p1, q0 + times * q1];
  const far = (p, q) => { const d = p * exact[1] - exact[0] * q; return d < 0n ? -d : d; };
  // |p1/q1 - x| <= |p2/q2 - x|
  const nearer = far(p1, q1) * q2 <= far(p2, q2) * q1;
  return nearer ? [Number(p1), Number(q1)] : [Number(p2), Number(q2)];
}
