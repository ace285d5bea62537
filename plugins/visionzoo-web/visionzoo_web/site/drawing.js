// Turns strokes on the pad into a picture like those of MNIST, as demo/zoo_demo/drawing.py does it: scaled into a box
// of 20 pixels, antialiased, in a field of 28 by 28 with its centre of mass in the middle.

const SIDE = 28;
const BOX = 20;
const PEN = 2.4;
const MIDDLE = 14.5; // MNIST's mean centre of mass: the middle of the fifteenth pixel
const SMALLEST_EXTENT = 0.05; // a tap is not enlarged to the whole box
const OVERSAMPLING = 16;

/** { data, width, height } of strokes: lists of [x, y], fractions of the pad's side from its upper left corner. */
export function digitOf(strokes) {
  const points = strokes.flat();
  const low = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
  const high = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])));
  const extent = Math.max(high[0] - low[0], high[1] - low[1], SMALLEST_EXTENT);
  const scale = (OVERSAMPLING * (BOX - PEN) - 2) / extent;
  const margin = OVERSAMPLING * SIDE;
  const place = (point) => point.map((value, axis) => (value - low[axis]) * scale + margin);
  const ink = inkOf(strokes.map((stroke) => stroke.map(place)), 3 * margin);
  const { left, upper } = corners(ink, 3 * margin);
  const data = new Uint8Array(3 * SIDE * SIDE);
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      let sum = 0;
      for (let y = 0; y < OVERSAMPLING; y++) {
        const start = (upper + row * OVERSAMPLING + y) * 3 * margin + left + column * OVERSAMPLING;
        for (let x = 0; x < OVERSAMPLING; x++) sum += ink[start + x] ?? 0;
      }
      data.fill(Math.round((255 * sum) / OVERSAMPLING ** 2), 3 * (row * SIDE + column), 3 * (row * SIDE + column) + 3);
    }
  }
  return { data, width: SIDE, height: SIDE };
}

/** 1 where there is ink: within half a pen of a line, with round ends and joints. */
function inkOf(strokes, side) {
  const ink = new Uint8Array(side * side);
  const radius = (OVERSAMPLING * PEN) / 2;
  for (const stroke of strokes) {
    stroke.forEach((point, index) => stamp(ink, side, stroke[Math.max(0, index - 1)], point, radius));
  }
  return ink;
}

function stamp(ink, side, [ax, ay], [bx, by], radius) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const from = (one, other) => Math.max(0, Math.floor(Math.min(one, other) - radius));
  const to = (one, other) => Math.min(side - 1, Math.ceil(Math.max(one, other) + radius));
  // Pillow's discs reach half a pixel farther: they include their last pixel.
  const reach = (radius + 0.5) ** 2;
  for (let y = from(ay, by); y <= to(ay, by); y++) {
    for (let x = from(ax, bx); x <= to(ax, bx); x++) {
      const along = length ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
      if ((x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 <= reach) ink[y * side + x] = 1;
    }
  }
}

/** Where the field begins: whole pixels before the ink, with its mean in the middle and no ink outside. */
function corners(ink, side) {
  const axes = [0, 1].map(() => ({ low: side, high: 0, sum: 0 }));
  let count = 0;
  ink.forEach((value, place) => {
    if (!value) return;
    count++;
    [place % side, Math.floor(place / side)].forEach((position, axis) => {
      const seen = axes[axis];
      seen.low = Math.min(seen.low, position);
      seen.high = Math.max(seen.high, position);
      seen.sum += position;
    });
  });
  const [left, upper] = axes.map(({ low, high, sum }) => {
    const pixels = Math.round(MIDDLE - (sum / count + 0.5 - low) / OVERSAMPLING);
    const room = SIDE - Math.ceil((high + 1 - low) / OVERSAMPLING);
    return low - OVERSAMPLING * Math.min(Math.max(pixels, 0), room);
  });
  return { left, upper };
}
