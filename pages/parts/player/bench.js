// What is seen of the player: the view on the time axis, the lanes, the playhead, the selection, the read-out.
// It knows no sound and no Python; `Player` fills in data, samples and the page's elements (`$`, `stage`, `base`, `top`).

const BASE_LANES = [
  { kind: "wave", label: "Waveform", note: "amplitude, full scale = 1" },
  { kind: "spectrum", label: "Spectrogram, kHz", note: "" },
];

class Bench {
  constructor() {
    this.head = 0; this.view = { from: 0, to: 1 }; this.selection = null;
    this.mel = false; this.hover = null;
  }

  show(from, to) {
    const wide = clamp(to - from, 0.02, this.duration);
    from = clamp(from, 0, this.duration - wide);
    this.view = { from, to: from + wide };
    this.paint(); this.remember();
  }

  showAround([first, last]) {
    const wide = Math.max(0.1, ((last - first) / RATE) * 1.3), middle = (first + last) / 2 / RATE;
    this.show(middle - wide / 2, middle + wide / 2);
  }

  zoom(factor, at = clamp(this.head / RATE, this.view.from, this.view.to)) {
    const { from, to } = this.view, wide = clamp((to - from) * factor, 0.02, this.duration);
    const share = (at - from) / (to - from);
    this.show(at - wide * share, at + wide * (1 - share));
  }

  painter(context = this.top.getContext("2d")) { return new Painter(context, this.width, this.view, this.theme); }

  resize() {
    if (!this.layout || !this.stage.clientWidth) return;
    this.width = this.stage.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.top]) {
      const w = Math.round(this.width * ratio), h = Math.round(this.layout.height * ratio);
      if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
      canvas.style.width = `${this.width}px`; canvas.style.height = `${this.layout.height}px`;
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.paint();
  }

  paint() {
    if (!this.width || !this.layout) return;
    cancelAnimationFrame(this.nextPaint);
    this.nextPaint = requestAnimationFrame(() => this.paintNow());
  }

  paintNow() {
    const context = this.base.getContext("2d"), p = this.painter(context);
    context.clearRect(0, 0, this.width, this.layout.height);
    const close = this.closeView();
    for (const place of this.layout.places) {
      const { lane } = place;
      if (lane.kind === "wave") p.wave(place, this.overview, close);
      else if (lane.kind === "spectrum") { lane.note = `${this.mel ? "mel" : "linear"} scale`; p.spectrum(place, this.spectrogram(place, close), this.mel, this.data.bandwidth_hz); }
      else if (lane.kind === "image") p.image(place, this.map(lane));
      else if (lane.kind === "steps") p.steps(place);
      else if (lane.kind === "pending") p.pending(place);
      else p.line(place);
      const marked = (this.data.spans || []).filter((s) => s.lane === lane.id);
      p.spans(place, marked);
      p.ends(place, marked.length > 0);
      p.frame(place); p.title(place);
    }
    p.axis(this.layout.height - AXIS);
    const thumb = this.$("thumb"), wide = this.view.to - this.view.from;
    this.$("scroll").classList.toggle("off", wide >= this.duration - 1e-6);
    thumb.style.left = `${(this.view.from / this.duration) * 100}%`;
    thumb.style.width = `${(wide / this.duration) * 100}%`;
    this.shown();
  }

  map(lane) {
    if (!this.maps.has(lane.id)) this.maps.set(lane.id, paintMap(lane, this.theme));
    return this.maps.get(lane.id);
  }

  /** The samples in sight, when they are few enough to draw one by one; fetched in the background when missing. */
  closeView() {
    const { from, to } = this.view;
    if (to - from > 40) return null;
    const first = Math.max(0, Math.floor(from * RATE) - N_FFT), last = Math.min(this.data.n, Math.ceil(to * RATE) + N_FFT);
    const pcm = this.samples.take(first, last);
    if (pcm) return { pcm, first };
    clearTimeout(this.fetchSoon);
    this.fetchSoon = setTimeout(() => this.samples.load(first, last).then(() => this.paint(), (error) => this.say(error.message)), 40);
    return null;
  }

  spectrogram(place, close) {
    const { overview, theme, data } = this, height = Math.round(place.height * (window.devicePixelRatio || 1));
    if (close) {
      const name = `${this.view.from}|${this.view.to}|${this.width}`;
      if (!this.picture || this.picture.name !== name) {
        const columns = Math.min(1800, Math.round(this.width - GUTTER - MARGIN));
        const levels = closeSpectrum(close.pcm, close.first, this.view.from * RATE, this.view.to * RATE, columns, data.overview.floor_db, data.overview.ceiling_db);
        this.picture = { name, levels, columns, rows: N_BINS, from: this.view.from, to: this.view.to };
        this.picture.canvas = paintLevels(levels, columns, N_BINS, height, this.mel, theme.ink, theme.paper);
      }
      return this.picture;
    }
    this.whole ??= {
      canvas: paintLevels(overview.image, overview.columns, data.overview.rows, height, this.mel, theme.ink, theme.paper),
      levels: overview.image, columns: overview.columns, rows: data.overview.rows, from: 0, to: this.duration,
    };
    return this.whole;
  }

  paintTop() {
    if (!this.width || !this.layout) return;
    const c = this.top.getContext("2d"), p = this.painter(c), bottom = this.layout.height - AXIS;
    c.clearRect(0, 0, this.width, this.layout.height);
    c.save(); c.beginPath(); c.rect(p.left - 7, 0, p.right - p.left + 14, this.layout.height); c.clip();
    if (this.selection) {
      const x0 = p.x(this.selection[0] / RATE), x1 = Math.max(x0 + 1, p.x(this.selection[1] / RATE));
      for (const place of this.layout.places) {
        c.fillStyle = this.theme.select; c.globalAlpha = this.theme.dark ? 0.22 : 0.34;
        c.fillRect(x0, place.top, x1 - x0, place.height);
        c.globalAlpha = 1; c.fillStyle = this.theme.selectEdge;
        c.fillRect(x0 - 1, place.top, 2, place.height); c.fillRect(x1 - 1, place.top, 2, place.height);
      }
    }
    if (this.hover && this.hover.x >= p.left && this.hover.x <= p.right) {
      c.strokeStyle = this.theme.soft; c.setLineDash([2, 3]);
      c.beginPath(); c.moveTo(Math.round(this.hover.x) + 0.5, TITLE); c.lineTo(Math.round(this.hover.x) + 0.5, bottom); c.stroke();
      c.setLineDash([]);
    }
    const x = p.x(this.head / RATE);
    c.fillStyle = this.theme.head;
    for (const place of this.layout.places) c.fillRect(x - 0.75, place.top, 1.5, place.height);
    c.beginPath(); c.moveTo(x - 5, bottom + 8); c.lineTo(x + 5, bottom + 8); c.lineTo(x, bottom); c.fill();
    c.restore();
  }

  /** Everything that shows the position and the selection. */
  shown() {
    if (!this.data) return;
    const seconds = this.head / RATE;
    this.$("time").textContent = formatTime(seconds);
    this.$("sample").textContent = `sample ${formatCount(this.head)} of ${formatTime(this.duration)}`;
    this.stage.setAttribute("aria-valuenow", seconds.toFixed(3));
    this.stage.setAttribute("aria-valuetext", `${formatTime(seconds)}, sample ${this.head}`);
    const range = this.selection;
    this.$("chosen").textContent = range
      ? `Selection ${formatTime(range[0] / RATE)} – ${formatTime(range[1] / RATE)} (${((range[1] - range[0]) / RATE).toFixed(3)} s, samples ${formatCount(range[0])} – ${formatCount(range[1])})`
      : "Drag to select a region; click to move the playhead.";
    this.$("to").disabled = !range;
    this.paintTop();
  }

  buttons() {
    const playing = this.transport.playing;
    this.root.dataset.playing = String(playing);
    this.$("icon").textContent = playing ? "❚❚" : "▶";
    this.$("word").textContent = playing ? "Pause" : "Play";
  }

  /** Values under the pointer, in a place that never moves. */
  readout() {
    const spot = this.hover, out = this.$("under");
    if (!spot || !this.layout) { out.textContent = ""; return; }
    const p = this.painter(), t = p.time(spot.x);
    if (t < this.view.from || t > this.view.to) { out.textContent = ""; return; }
    const parts = [formatTime(t)];
    const place = this.layout.places.find((one) => spot.y >= one.top && spot.y <= one.top + one.height);
    if (place && place.lane.kind === "spectrum") parts.push(`${Math.round(hzAt(1 - (spot.y - place.top) / place.height, this.mel))} Hz`);
    for (const lane of this.lanes) {
      if (lane.kind !== "line") continue;
      const v = lane.values[Math.round((t - lane.start_s) / lane.hop_s)];
      if (v !== undefined && !Number.isNaN(v)) parts.push(`${lane.short || lane.label} ${v.toFixed(2)}${lane.unit ? ` ${lane.unit}` : ""}`.replace("-", "−"));
    }
    out.textContent = parts.join(" · ");
  }
}
