// Small pure helpers of the player: times, ticks, decoding of what Python sends. No DOM, no audio.

const RATE = 16000;
const FRAME = 320; // samples per analysis frame, 20 ms

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** m:ss.mmm, rounded to the nearest millisecond. */
function formatTime(seconds) {
  const ms = Math.round(Math.max(0, seconds) * 1000);
  const rest = ms % 60000;
  return `${Math.floor(ms / 60000)}:${String(Math.floor(rest / 1000)).padStart(2, "0")}.${String(rest % 1000).padStart(3, "0")}`;
}

/** Thousands separated by thin spaces, so that sample indices can be read. */
const formatCount = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

/** Axis times without digits that the tick step doesn't need. */
function formatTick(seconds, step) {
  const text = formatTime(seconds);
  if (step >= 1) return text.slice(0, -4);
  if (step >= 0.1) return text.slice(0, -2);
  return text.slice(0, step >= 0.01 ? -1 : undefined);
}

/** A round step so that about `count` steps span `range`. */
function niceStep(range, count) {
  const raw = range / Math.max(1, count);
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
  return steps.find((s) => s >= raw) || 3600;
}

/** A round step of 1, 2 or 5 times a power of ten, for value axes. */
function niceValueStep(range, count) {
  const raw = range / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
}

function decodeBytes(base64) {
  const text = atob(base64 || "");
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const decodeFloats = (base64) => (base64 ? new Float32Array(decodeBytes(base64).buffer) : null);
const decodeInt8 = (base64) => new Int8Array(decodeBytes(base64).buffer);
