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

/** 1 where there is ink. Lines and discs are Pillow's: src/libImaging/Draw.c, ImagingDrawWideLine. */
function inkOf(strokes, side) {
  const ink = new Uint8Array(side * side);
  for (const stroke of strokes) {
    stroke.forEach((point, index) => {
      if (index) drawLine(ink, side, stroke[index - 1].map(Math.trunc), point.map(Math.trunc));
      drawDisc(ink, side, point);
    });
  }
  return ink;
}

/** Sets the pixels of a box, cut off at the borders, for which `inside` holds. */
function set(ink, side, [left, top, right, bottom], inside) {
  for (let y = Math.max(0, top); y <= Math.min(side - 1, bottom); y++) {
    for (let x = Math.max(0, left); x <= Math.min(side - 1, right); x++) if (inside(x, y)) ink[y * side + x] = 1;
  }
}

function drawDisc(ink, side, [x, y]) {
  const radius = (OVERSAMPLING * PEN) / 2;
  const box = [x - radius, y - radius, x + radius, y + radius].map(Math.trunc);
  const [left, top, right, bottom] = box;
  const [across, down] = [(right - left + 1) / 2, (bottom - top + 1) / 2];
  const inside = (column, row) =>
    ((column - (left + right) / 2) / across) ** 2 + ((row - (top + bottom) / 2) / down) ** 2 <= 1;
  set(ink, side, box, inside);
}

function drawLine(ink, side, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  if (!dx && !dy) return;
  const half = (Math.round(OVERSAMPLING * PEN) - 1) / 2;
  const [most, least] = [up(half) / Math.hypot(dx, dy), down(half) / Math.hypot(dx, dy)];
  const corners = [
    [x0 - down(least * dy), y0 + up(most * dx)],
    [x1 - down(least * dy), y1 + up(most * dx)],
    [x1 + down(most * dy), y1 - up(least * dx)],
    [x0 + down(most * dy), y0 - up(least * dx)],
  ];
  const edges = corners.map(([x, y], index) => {
    const [nextX, nextY] = corners[(index + 1) % 4];
    return { x, y, dx: nextX - x, dy: nextY - y };
  });
  const turn = Math.sign(edges.reduce((sum, edge) => sum + edge.x * edge.dy - edge.y * edge.dx, 0));
  // The ends of a row are rounded to the next pixel.
  const inside = (x, y) =>
    edges.every((edge) => {
      const outside = turn * ((x - edge.x) * edge.dy - (y - edge.y) * edge.dx);
      return edge.dy ? outside < Math.abs(edge.dy) / 2 : outside <= 0;
    });
  const [columns, rows] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  set(ink, side, [Math.min(...columns), Math.min(...rows), Math.max(...columns), Math.max(...rows)], inside);
}

/** To the nearest whole number, halves away from 0. */
const up = (value) => Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
/** To the nearest whole number, halves towards 0. */
const down = (value) => Math.sign(value) * Math.ceil(Math.abs(value) - 0.5);

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
