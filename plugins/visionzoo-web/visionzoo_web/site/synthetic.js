// The synthetic pictures of zoo/parity/synthetic.py, number by number: a card has the model's answers to them.

export const VERSIONS = [1, 2];
const MAX_SIDE = 640;

/** Pictures { data, width, height } around the size that a model sees. `version`: of VERSIONS. */
export function syntheticPictures(imageSize, version) {
  const side = Math.min(imageSize, MAX_SIDE);
  const half = (value) => Math.floor(value / 2);
  const pictures = [
    picture(side, side, noise(1)),
    picture(side, side + half(side), ramps),
    picture(side + Math.floor(side / 3) + 1, side, checker),
    picture(side + 1, 2 * side + 1, noise(Math.max(2, Math.floor(side / 8)))),
    picture(side + Math.floor(side / 4), side, disc),
    picture(half(side) + 3, half(side) + 1, waves),
  ];
  return version === 1 ? pictures : [...pictures, halfTones(4 * side + Math.floor(side / 4) + 1, 5 * side)];
}

function picture(height, width, colours) {
  const data = new Uint8Array(3 * height * width);
  const paint = colours(height, width);
  for (let y = 0, place = 0; y < height; y++) for (let x = 0; x < width; x++, place += 3) paint(data, place, y, x);
  return { data, width, height };
}

function put(data, place, red, green, blue) {
  data[place] = red;
  data[place + 1] = green;
  data[place + 2] = blue;
}

function ramps(height, width) {
  const right = Math.max(1, width - 1);
  const below = Math.max(1, height - 1);
  return (data, place, y, x) =>
    put(data, place, (255 * x) / right, (255 * y) / below, (255 * (x + y)) / (width + height - 1));
}

function checker(_, width) {
  const field = Math.max(1, Math.floor(width / 7));
  return (data, place, y, x) => {
    const light = (Math.floor(y / field) + Math.floor(x / field)) % 2;
    put(data, place, 230 * light + 10, 40 + 150 * light, 200 - 180 * light);
  };
}

function disc(height, width) {
  const [column, row] = [Math.floor((2 * width) / 5), Math.floor((3 * height) / 5)];
  const shorter = Math.min(height, width) ** 2;
  return (data, place, y, x) => {
    const distance = (x - column) ** 2 + (y - row) ** 2;
    const inside = 8 * distance < shorter && 20 * distance > shorter;
    put(data, place, 255 * inside, 225 * inside, 170 * inside);
  };
}

function waves() {
  const wave = (value) => Math.abs((((value % 510) + 510) % 510) - 255); // as Python's %
  return (data, place, y, x) =>
    put(data, place, wave(17 * x + 5 * y), wave(-7 * x + 19 * y), wave(11 * x - 13 * y));
}

function halfTones(height, width) {
  const dots = picture(height, width, noise(1));
  const levels = picture(height, width, ramps).data;
  dots.data.forEach((dot, index) => (dots.data[index] = dot < levels[index] ? 255 : 0));
  return dots;
}

const noise = (block) => () => (data, place, y, x) => {
  const at = Math.floor(y / block) * 65_537 + Math.floor(x / block);
  put(data, place, hash(3 * at + 1), hash(3 * at + 2), hash(3 * at + 3));
};

// SplitMix64 in two halves of 32 bits: BigInt would take seconds. `high` and `low` are the product of `multiply`.
let high = 0;
let low = 0;

function hash(seed) {
  multiply(Math.floor(seed / 2 ** 32), seed >>> 0, 0x9e3779b9, 0x7f4a7c15);
  shifted(30);
  multiply(high, low, 0xbf58476d, 0x1ce4e5b9);
  shifted(27);
  multiply(high, low, 0x94d049bb, 0x133111eb);
  shifted(31);
  return high >>> 24;
}

/** z ^= z >> bits */
function shifted(bits) {
  const [above, below] = [high, low];
  high = (above ^ (above >>> bits)) >>> 0;
  low = (below ^ ((below >>> bits) | (above << (32 - bits)))) >>> 0;
}

/** Of two numbers of 64 bits, modulo 2^64. */
function multiply(aHigh, aLow, bHigh, bLow) {
  const [a1, a0, b1, b0] = [aLow >>> 16, aLow & 0xffff, bLow >>> 16, bLow & 0xffff];
  const middle = a1 * b0 + Math.floor((a0 * b0) / 65536);
  const other = a0 * b1 + (middle & 0xffff);
  const carry = a1 * b1 + Math.floor(middle / 65536) + Math.floor(other / 65536);
  low = (((other & 0xffff) << 16) | ((a0 * b0) & 0xffff)) >>> 0;
  high = (carry + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) >>> 0;
}
