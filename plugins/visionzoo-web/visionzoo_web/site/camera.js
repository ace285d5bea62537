// The camera, picture after picture, as fast as the model answers.

const SMOOTHING = 0.8; // of the pictures a second

/** Why a camera cannot be used; `key` is its sentence in texts.js. */
export class CameraError extends Error {
  constructor(key) {
    super(key);
    this.key = key;
    this.values = {};
  }
}

/**
 * Shows the camera in a <video> and hands each picture to `look` until `signal` is aborted.
 * @param look an async function of the video and the pictures a second
 */
export async function watch(video, look, signal) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraError("wrong.camera-here");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch (error) {
    throw new CameraError(error.name === "NotAllowedError" ? "wrong.camera-denied" : "wrong.camera");
  }
  const stop = () => {
    for (const track of stream.getTracks()) track.stop();
    if (video.srcObject === stream) video.srcObject = null; // else it shows a newer stream
  };
  if (signal.aborted) return stop();
  signal.addEventListener("abort", stop);
  try {
    video.srcObject = stream;
    await video.play();
    let last = performance.now();
    let rate = 0;
    while (!signal.aborted && stream.active) {
      await look(video, rate);
      await new Promise((next) => (document.hidden ? setTimeout(next, 200) : requestAnimationFrame(next)));
      const now = performance.now();
      rate = rate ? SMOOTHING * rate + ((1 - SMOOTHING) * 1000) / (now - last) : 1000 / (now - last);
      last = now;
    }
  } finally {
    stop();
  }
}
