// The close view: spectrum of the samples in sight, in the same window and decibel scale as the overview from Python.

const N_FFT = 512;
const N_BINS = 256; // 31.25 Hz each, DC left out

const fftTables = (() => {
  const reversed = new Uint16Array(N_FFT);
  const bits = Math.log2(N_FFT);
  for (let i = 0; i < N_FFT; i++) {
    let r = 0;
    for (let b = 0; b < bits; b++) r |= ((i >> b) & 1) << (bits - 1 - b);
    reversed[i] = r;
  }
  const cos = new Float32Array(N_FFT / 2), sin = new Float32Array(N_FFT / 2), hann = new Float32Array(N_FFT);
  let sum = 0;
  for (let i = 0; i < N_FFT / 2; i++) {
    cos[i] = Math.cos((2 * Math.PI * i) / N_FFT);
    sin[i] = -Math.sin((2 * Math.PI * i) / N_FFT);
  }
  for (let i = 0; i < N_FFT; i++) sum += hann[i] = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / N_FFT);
  return { reversed, cos, sin, hann, scale: 2 / sum };
})();

const re = new Float32Array(N_FFT), im = new Float32Array(N_FFT);

/** In-place radix-2 transform of `re`, `im`. */
function transform() {
  const { cos, sin } = fftTables;
  for (let size = 2; size <= N_FFT; size *= 2) {
    const half = size / 2, step = N_FFT / size;
    for (let start = 0; start < N_FFT; start += size) {
      for (let k = 0; k < half; k++) {
        const a = start + k, b = a + half, c = cos[k * step], s = sin[k * step];
        const tr = re[b] * c - im[b] * s, ti = re[b] * s + im[b] * c;
        re[b] = re[a] - tr; im[b] = im[a] - ti;
        re[a] += tr; im[a] += ti;
      }
    }
  }
}

/** Levels as bytes, [columns x 256], frames centred on each column of the range [first, last) in samples. */
function closeSpectrum(pcm, offset, first, last, columns, floorDb, ceilingDb) {
  const { reversed, hann, scale } = fftTables;
  const out = new Uint8Array(columns * N_BINS);
  const gain = 255 / (ceilingDb - floorDb);
  for (let c = 0; c < columns; c++) {
    const start = Math.round(first + ((c + 0.5) * (last - first)) / columns) - N_FFT / 2 - offset;
    for (let i = 0; i < N_FFT; i++) {
      const at = start + i;
      re[reversed[i]] = at >= 0 && at < pcm.length ? pcm[at] * hann[i] * scale : 0;
    }
    im.fill(0);
    transform();
    for (let b = 0; b < N_BINS; b++) {
      const power = re[b + 1] * re[b + 1] + im[b + 1] * im[b + 1];
      out[c * N_BINS + b] = clamp((10 * Math.log10(power + 1e-14) - floorDb) * gain, 0, 255);
    }
  }
  return out;
}

const melOf = (hz) => 2595 * Math.log10(1 + hz / 700);
const hzOf = (mel) => 700 * (10 ** (mel / 2595) - 1);
const TOP_HZ = 8000;

/** Height in 0..1 (0 at the bottom) of a frequency, and back. */
const heightOf = (hz, mel) => (mel ? melOf(hz) / melOf(TOP_HZ) : hz / TOP_HZ);
const hzAt = (height, mel) => (mel ? hzOf(height * melOf(TOP_HZ)) : height * TOP_HZ);

/** Paint levels [columns x rows] on a canvas of `columns` x `height` pixels; louder is further from the background. */
function paintLevels(levels, columns, rows, height, mel, ink, paper) {
  const canvas = document.createElement("canvas");
  canvas.width = columns; canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, height);
  const lut = new Uint8ClampedArray(256 * 3);
  for (let v = 0; v < 256; v++) {
    const w = (v / 255) ** 1.5;
    for (let k = 0; k < 3; k++) lut[v * 3 + k] = paper[k] + (ink[k] - paper[k]) * w;
  }
  for (let y = 0; y < height; y++) {
    const low = (hzAt((height - 1 - y) / height, mel) / TOP_HZ) * rows;
    const high = (hzAt((height - y) / height, mel) / TOP_HZ) * rows;
    const wide = high - low > 1.5;
    const centre = clamp((low + high) / 2 - 0.5, 0, rows - 1);
    const below = Math.floor(centre), above = Math.min(rows - 1, below + 1), part = centre - below;
    const from = Math.floor(low), to = Math.min(rows, Math.ceil(high));
    for (let x = 0; x < columns; x++) {
      const at = x * rows;
      let v = 0;
      if (wide) for (let r = from; r < to; r++) v = Math.max(v, levels[at + r]);
      else v = levels[at + below] * (1 - part) + levels[at + above] * part;
      const p = (y * columns + x) * 4, l = Math.round(v) * 3;
      image.data[p] = lut[l]; image.data[p + 1] = lut[l + 1]; image.data[p + 2] = lut[l + 2]; image.data[p + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
