// The drawing pad. Strokes are kept as points, in fractions of the pad's side.
import { say } from "./texts.js";

const STEP = 0.04;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const places = (value) => Math.round(value * 1e4) / 1e4;

/** Makes a pad of a canvas and two buttons. `changed` is called with the strokes after each. Returns { clear }. */
export function makePad(canvas, undo, clear, changed) {
  const context = canvas.getContext("2d");
  const side = canvas.width;
  let strokes = [];
  let pointer = null;
  let pen = null; // moved by keys: its place, and whether it is down

  function point(event) {
    const box = canvas.getBoundingClientRect();
    return [places((event.clientX - box.left) / box.width), places((event.clientY - box.top) / box.height)];
  }

  function paint() {
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, side, side);
    context.fillStyle = "#6b7280";
    context.font = "28px system-ui, sans-serif";
    context.textAlign = "center";
    if (!strokes.length) context.fillText(say("pad.hint"), side / 2, side / 2);
    context.strokeStyle = "#111827";
    context.lineWidth = side * 0.05;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.beginPath();
      context.moveTo(stroke[0][0] * side, stroke[0][1] * side);
      // A tap is a line without a length, which a canvas leaves out.
      for (const [x, y] of stroke) context.lineTo(x * side + 0.01, y * side);
      context.stroke();
    }
    if (pen) {
      context.beginPath();
      context.arc(pen.x * side, pen.y * side, side * 0.03, 0, 2 * Math.PI);
      context.lineWidth = side * 0.008;
      context.strokeStyle = pen.down ? "#b91c1c" : "#1d4ed8";
      context.stroke();
    }
    undo.disabled = clear.disabled = !strokes.length;
  }

  function change(next) {
    strokes = next;
    paint();
    changed(strokes);
  }

  function finish(event) {
    if (event.pointerId !== pointer) return;
    pointer = null;
    changed(strokes);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    event.preventDefault();
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    strokes.push([point(event)]);
    paint();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1).push(...(moves.length ? moves : [event]).map(point));
    paint();
  });
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // a shortcut of the browser
    pen ??= { x: 0.5, y: 0.5, down: false };
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) strokes.push([[pen.x, pen.y]]);
      else changed(strokes);
    } else if (KEYS[event.key]) {
      const [right, below] = KEYS[event.key];
      const within = (value) => places(Math.min(1, Math.max(0, value)));
      pen.x = within(pen.x + right * STEP);
      pen.y = within(pen.y + below * STEP);
      if (pen.down) strokes.at(-1).push([pen.x, pen.y]);
    } else return;
    event.preventDefault();
    paint();
  });
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) pen = { x: 0.5, y: 0.5, down: false };
    paint();
  });
  canvas.addEventListener("blur", () => {
    if (pen?.down) changed(strokes);
    pen = null;
    paint();
  });
  function take(next) {
    change(next);
    if (!next.length) canvas.focus({ preventScroll: true }); // the buttons are disabled now
  }

  undo.addEventListener("click", () => take(strokes.slice(0, -1)));
  clear.addEventListener("click", () => take([]));
  paint();
  return {
    clear() {
      strokes = [];
      pointer = null; // a stroke that was begun is over
      if (pen) pen.down = false;
      paint();
    },
  };
}
