// Drawing of the lanes on one time axis. Reads a view {from, to} in seconds; never touches sound or the page.

const GUTTER = 64; // px left of the lanes, for value axes
const MARGIN = 14; // px right of the lanes
const TITLE = 19; // px above each lane for its name
const AXIS = 27; // px below the lanes for the times
const HEIGHTS = { wave: 74, spectrum: 150, line: 92, image: 132, steps: 22 };

/** A lane brings its own height only while its values are still being computed. */
const laneHeight = (lane) => lane.height || HEIGHTS[lane.kind];

/** Where each lane lies: [{lane, top, height}], top of the plot below its title. */
function layout(lanes) {
  let top = 0;
  const places = lanes.map((lane) => {
    const place = { lane, top: top + TITLE, height: laneHeight(lane) };
    top = place.top + place.height + 3;
    return place;
  });
  return { places, height: top + AXIS };
}

class Painter {
  constructor(context, width, view, theme) {
    Object.assign(this, { c: context, width, view, theme });
    this.left = GUTTER;
    this.right = width - MARGIN;
    context.font = `12px ${theme.font}`;
    context.textBaseline = "middle";
  }

  x(seconds) { return this.left + ((seconds - this.view.from) / (this.view.to - this.view.from)) * (this.right - this.left); }
  time(x) { return this.view.from + ((x - this.left) / (this.right - this.left)) * (this.view.to - this.view.from); }

  clip(place, draw) {
    this.c.save();
    this.c.beginPath();
    this.c.rect(this.left, place.top, this.right - this.left, place.height);
    this.c.clip();
    draw();
    this.c.restore();
  }

  text(words, x, y, colour, align = "left", size = 12) {
    this.c.font = `${size}px ${this.theme.font}`;
    this.c.fillStyle = colour;
    this.c.textAlign = align;
    this.c.fillText(words, x, y);
  }

  title(place) {
    const { lane } = place, y = place.top - TITLE / 2 + 1;
    this.text(lane.label, this.left, y, this.theme.text);
    const used = this.c.measureText(lane.label).width;
    if (lane.note) {
      const room = this.right - this.left - used - 24;
      let note = lane.note;
      this.c.font = `11px ${this.theme.font}`;
      while (note.length > 4 && this.c.measureText(note).width > room) note = `${note.slice(0, -2).trimEnd()}…`;
      this.text(note, this.right, y, this.theme.soft, "right", 11);
    }
  }

  frame(place) {
    this.c.strokeStyle = this.theme.faint;
    this.c.lineWidth = 1;
    this.c.strokeRect(this.left + 0.5, place.top + 0.5, this.right - this.left - 1, place.height - 1);
  }

  wave(place, overview, close) {
    const { c, theme } = this, middle = place.top + place.height / 2, half = place.height / 2 - 2;
    this.clip(place, () => {
      c.strokeStyle = theme.faint;
      c.beginPath(); c.moveTo(this.left, middle); c.lineTo(this.right, middle); c.stroke();
      c.fillStyle = theme.wave;
      const { from, to } = this.view, pixels = Math.round(this.right - this.left);
      for (let px = 0; px < pixels; px++) {
        const t0 = from + (px / pixels) * (to - from), t1 = from + ((px + 1) / pixels) * (to - from);
        const [low, high] = close ? extremes(close, t0, t1) : overviewExtremes(overview, t0, t1);
        c.fillRect(this.left + px, middle - high * half, 1, Math.max(1, (high - low) * half));
      }
    });
    this.text("+1", this.left - 6, place.top + 7, theme.soft, "right", 11);
    this.text("0", this.left - 6, middle, theme.soft, "right", 11);
    this.text("−1", this.left - 6, place.top + place.height - 7, theme.soft, "right", 11);
  }

  spectrum(place, picture, mel, bandwidth) {
    const { c, theme } = this;
    this.clip(place, () => {
      if (picture) {
        c.imageSmoothingEnabled = true;
        c.drawImage(picture.canvas, this.x(picture.from), place.top, this.x(picture.to) - this.x(picture.from), place.height);
      }
    });
    const y = (hz) => place.top + place.height * (1 - heightOf(hz, mel));
    for (const hz of mel ? [500, 1000, 2000, 4000, 8000] : [0, 2000, 4000, 6000, 8000]) {
      this.text(String(hz / 1000), this.left - 6, clamp(y(hz), place.top + 6, place.top + place.height - 6), theme.soft, "right", 11);
    }
    if (!bandwidth || bandwidth > 7750) return;
    c.strokeStyle = theme.dark ? "#ffffff" : "#000000"; c.setLineDash([7, 4]); c.lineWidth = 1;
    c.beginPath(); c.moveTo(this.left, y(bandwidth)); c.lineTo(this.right, y(bandwidth)); c.stroke();
    c.setLineDash([]);
    const words = `band ends at ${(bandwidth / 1000).toFixed(1)} kHz`;
    c.font = `11px ${theme.font}`;
    const w = c.measureText(words).width + 8, top = clamp(y(bandwidth) - 17, place.top + 1, place.top + place.height - 18);
    c.fillStyle = `rgba(${theme.paper.join(",")},0.85)`;
    c.fillRect(this.right - w - 4, top, w, 15);
    this.text(words, this.right - 8, top + 8, theme.text, "right", 11);
  }

  line(place) {
    const { c, theme } = this, { lane } = place, { low, high } = lane;
    const y = (v) => place.top + 3 + (1 - (v - low) / (high - low)) * (place.height - 6);
    const step = niceValueStep(high - low, 4);
    this.clip(place, () => {
      if (lane.band) {
        c.fillStyle = theme.band;
        c.fillRect(this.left, y(lane.band[1]), this.right - this.left, y(lane.band[0]) - y(lane.band[1]));
      }
      c.strokeStyle = theme.faint; c.lineWidth = 1;
      for (let v = Math.ceil(low / step) * step; v <= high + 1e-9; v += step) {
        c.beginPath(); c.moveTo(this.left, y(v)); c.lineTo(this.right, y(v)); c.stroke();
      }
      if (lane.diverging) this.fillDiverging(lane, y);
      this.stroke(lane, y, lane.diverging ? theme.text : theme[lane.colour] || theme.purple);
    });
    for (let v = Math.ceil(low / step) * step; v <= high + 1e-9; v += step) {
      const at = clamp(y(v), place.top + 6, place.top + place.height - 6);
      const shown = Math.abs(v) < 1e-9 ? "0" : String(+v.toPrecision(4)).replace("-", "−");
      this.text(shown, this.left - 6, at, theme.soft, "right", 11);
    }
  }

  /** The words at the top and bottom of a curve's lane; drawn after the marked stretches, below their bars. */
  ends(place, marked) {
    const { theme } = this, { lane } = place;
    if (lane.above) this.chip(lane.above, place.top + (marked ? 17 : 10), lane.diverging ? theme.blue : theme.soft);
    if (lane.below) this.chip(lane.below, place.top + place.height - 10, lane.diverging ? theme.vermilion : theme.soft);
  }

  /** A word on the plot, on a patch of background so that the curve doesn't cross it. */
  chip(words, y, colour) {
    this.c.font = `11px ${this.theme.font}`;
    const w = this.c.measureText(words).width + 8;
    this.c.fillStyle = `rgba(${this.theme.paper.join(",")},0.82)`;
    this.c.fillRect(this.right - w - 3, y - 8, w, 15);
    this.text(words, this.right - 7, y, colour, "right", 11);
  }

  /** Index range of the frames in sight, one to either side. */
  inSight(lane) {
    const first = Math.max(0, Math.floor((this.view.from - lane.start_s) / lane.hop_s) - 1);
    const last = Math.min(lane.values.length, Math.ceil((this.view.to - lane.start_s) / lane.hop_s) + 2);
    return [first, last];
  }

  stroke(lane, y, colour) {
    const { c } = this, [first, last] = this.inSight(lane), per = (last - first) / (this.right - this.left);
    c.strokeStyle = colour; c.fillStyle = colour; c.lineWidth = 1.6; c.lineJoin = "round";
    if (lane.lows || per > 2.5) {
      c.globalAlpha = 0.32;
      for (let px = 0; px < this.right - this.left; px++) {
        const [lo, hi] = laneExtremes(lane, this.time(this.left + px), this.time(this.left + px + 1));
        if (lo <= hi) c.fillRect(this.left + px, y(hi), 1, Math.max(1, y(lo) - y(hi)));
      }
      c.globalAlpha = 1;
    }
    c.beginPath();
    let pen = false;
    for (const [t, v] of this.means(lane)) {
      if (Number.isNaN(v)) { pen = false; continue; }
      if (pen) c.lineTo(this.x(t), y(v)); else c.moveTo(this.x(t), y(v));
      pen = true;
    }
    c.stroke();
  }

  /** Mean of each `stride` values in sight as [[seconds, mean or NaN], ...]. */
  means(lane) {
    const [first, last] = this.inSight(lane), stride = Math.max(1, Math.floor((last - first) / (this.right - this.left)));
    const out = [];
    for (let i = first; i < last; i += stride) {
      let sum = 0, n = 0;
      for (let k = i; k < Math.min(last, i + stride); k++) if (!Number.isNaN(lane.values[k])) { sum += lane.values[k]; n++; }
      out.push([lane.start_s + (i + (stride - 1) / 2) * lane.hop_s, n ? sum / n : NaN]);
    }
    return out;
  }

  /** Area above zero in blue, below zero in hatched vermilion. */
  fillDiverging(lane, y) {
    const { c, theme } = this, zero = y(0), points = this.means(lane);
    for (const [sign, fills] of [[1, [[theme.blue, 0.42]]], [-1, [[theme.vermilion, 0.25], [hatch(c, theme.vermilion), 0.9]]]]) {
      c.beginPath();
      let before = null;
      for (const [t, v] of points) {
        const x = this.x(t), keep = Number.isNaN(v) ? 0 : sign * Math.max(0, sign * v);
        if (before === null) c.moveTo(x, zero);
        else if (before.v * v < 0) c.lineTo(before.x + ((x - before.x) * before.v) / (before.v - v), zero);
        c.lineTo(x, y(keep));
        before = { x, v };
      }
      if (before) c.lineTo(before.x, zero);
      c.closePath();
      for (const [fill, alpha] of fills) { c.globalAlpha = alpha; c.fillStyle = fill; c.fill(); }
    }
    c.globalAlpha = 1;
    c.strokeStyle = theme.soft; c.lineWidth = 1;
    c.beginPath(); c.moveTo(this.left, zero); c.lineTo(this.right, zero); c.stroke();
  }

  image(place, picture) {
    const { c, theme } = this, { lane } = place;
    this.clip(place, () => {
      c.imageSmoothingEnabled = false;
      const from = lane.start_s - lane.hop_s / 2;
      c.drawImage(picture, this.x(from), place.top, this.x(from + lane.columns * lane.hop_s) - this.x(from), place.height);
    });
    this.text(lane.top_label || "", this.left - 6, place.top + 7, theme.soft, "right", 11);
    this.text(lane.bottom_label || "", this.left - 6, place.top + place.height - 7, theme.soft, "right", 11);
  }

  steps(place) {
    const { c, theme } = this, { lane } = place, [first, last] = this.inSight(lane);
    this.clip(place, () => {
      c.fillStyle = theme.grey;
      for (let i = first; i < last; i++) {
        if (lane.values[i] < 0.5) continue;
        const start = i;
        while (i + 1 < last && lane.values[i + 1] >= 0.5) i++;
        const x0 = this.x(lane.start_s + (start - 0.5) * lane.hop_s), x1 = this.x(lane.start_s + (i + 0.5) * lane.hop_s);
        c.fillRect(x0, place.top + 5, Math.max(1, x1 - x0), place.height - 10);
      }
    });
    if (lane.side) this.text(lane.side, this.left - 6, place.top + place.height / 2, theme.soft, "right", 11);
  }

  pending(place) {
    this.text("computing …", (this.left + this.right) / 2, place.top + place.height / 2, this.theme.soft, "center");
  }

  /** Marked stretches: a bar along the top of their lane, hatched where they speak for synthesis. */
  spans(place, spans) {
    const { c, theme } = this;
    this.clip(place, () => {
      for (const span of spans) {
        const colour = { spoof: theme.vermilion, bonafide: theme.blue, lead: theme.purple }[span.kind] || theme.grey;
        const x0 = this.x(span.start_s), w = Math.max(2, this.x(span.stop_s) - x0);
        c.globalAlpha = 0.13; c.fillStyle = colour; c.fillRect(x0, place.top, w, place.height);
        c.globalAlpha = 1; c.fillRect(x0, place.top, w, 6);
        if (span.kind !== "bonafide") { c.fillStyle = hatch(c, `rgb(${theme.paper.join(",")})`, 5); c.fillRect(x0, place.top, w, 6); }
        c.strokeStyle = colour; c.lineWidth = 1; c.strokeRect(x0 + 0.5, place.top + 0.5, w - 1, place.height - 1);
      }
    });
  }

  axis(top) {
    const { c, theme } = this, step = niceStep(this.view.to - this.view.from, (this.right - this.left) / 110);
    c.strokeStyle = theme.soft; c.lineWidth = 1;
    c.beginPath(); c.moveTo(this.left, top + 0.5); c.lineTo(this.right, top + 0.5); c.stroke();
    for (let i = Math.ceil(this.view.from / step - 1e-6); i * step <= this.view.to + 1e-9; i++) {
      const x = this.x(i * step);
      c.beginPath(); c.moveTo(x, top); c.lineTo(x, top + 5); c.stroke();
      this.text(formatTick(i * step, step), clamp(x, this.left + 12, this.right - 16), top + 18, theme.soft, "center", 11);
    }
    this.text("m:ss", this.left - 8, top + 18, theme.soft, "right", 11);
  }
}

function extremes(close, t0, t1) {
  const first = clamp(Math.floor(t0 * RATE) - close.first, 0, close.pcm.length - 1);
  const last = clamp(Math.ceil(t1 * RATE) - close.first, first + 1, close.pcm.length);
  let low = 1, high = -1;
  for (let i = first; i < last; i++) { const v = close.pcm[i]; if (v < low) low = v; if (v > high) high = v; }
  return [low, high];
}

function overviewExtremes(overview, t0, t1) {
  const n = overview.peaks.length / 2;
  const first = clamp(Math.floor(t0 / overview.column_s), 0, n - 1), last = clamp(Math.ceil(t1 / overview.column_s), first + 1, n);
  let low = 127, high = -127;
  for (let i = first; i < last; i++) {
    low = Math.min(low, overview.peaks[2 * i]);
    high = Math.max(high, overview.peaks[2 * i + 1]);
  }
  return [low / 127, high / 127];
}

function laneExtremes(lane, t0, t1) {
  const first = clamp(Math.floor((t0 - lane.start_s) / lane.hop_s + 0.5), 0, lane.values.length - 1);
  const last = clamp(Math.ceil((t1 - lane.start_s) / lane.hop_s + 0.5), first + 1, lane.values.length);
  let low = Infinity, high = -Infinity;
  for (let i = first; i < last; i++) {
    const a = lane.lows ? lane.lows[i] : lane.values[i], b = lane.highs ? lane.highs[i] : lane.values[i];
    if (a < low) low = a;
    if (b > high) high = b;
  }
  return [low, high];
}
