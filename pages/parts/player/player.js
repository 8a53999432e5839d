// The bench: one time axis through sound, spectrogram and whatever curves a page hangs below them.
// Python hands over `data`; this file hands back `selection`, `clicked`, `heard` and, for long recordings, `wanted`.

const BASE_LANES = [
  { kind: "wave", label: "Waveform", note: "amplitude, full scale = 1" },
  { kind: "spectrum", label: "Spectrogram, kHz", note: "" },
];
const KEYS_HELP = [
  ["Space", "play or pause"], ["← →", "one frame (20 ms)"], ["Shift ← →", "one second"], ["Home End", "start, end"],
  ["L", "loop the selection"], ["[ ]", "selection starts, ends here"], ["Esc", "clear the selection"],
  ["+ − 0", "zoom in, out, all"], ["M", "linear or mel"], ["Ctrl + wheel", "zoom at the pointer"], ["Shift + wheel", "move along"],
];
const memory = (globalThis.__earwitnessPlayer ??= { heard: new Map(), commands: new Set() });

class Player {
  constructor(parent) {
    this.parent = parent;
    this.head = 0; this.view = { from: 0, to: 1 }; this.selection = null;
    this.loop = false; this.mel = false; this.speed = 1; this.hover = null; this.later = [];
    this.samples = new Samples(0, (at) => this.wantReel(at));
    this.transport = new Transport(this.samples, (end) => this.ended(end), (error) => this.complain(error.message));
    this.build();
  }

  // ---- the page ------------------------------------------------------------------------------------------------

  build() {
    const root = (this.root = document.createElement("div"));
    root.className = "player";
    root.innerHTML = `
      <div class="bar" role="toolbar" aria-label="Player controls">
        <button class="play" title="Play or pause (space)"><span class="icon" aria-hidden="true">▶</span><span class="word">Play</span></button>
        <button class="loop" aria-pressed="false" title="Loop the selection (L)">Loop</button>
        <label>Speed <select class="speed"><option value="0.5">0.5×</option><option value="0.75">0.75×</option><option value="1" selected>1×</option><option value="1.5">1.5×</option></select></label>
        <span class="now"><b class="time">0:00.000</b> <span class="sample"></span></span>
        <span class="gap"></span>
        <button class="mel" aria-pressed="false" title="Linear or mel frequency axis (M)">Mel</button>
        <span class="group"><button class="out" aria-label="Zoom out" title="Zoom out (−)">−</button><button class="in" aria-label="Zoom in" title="Zoom in (+)">+</button><button class="to" title="Zoom to the selection">To selection</button><button class="all" title="Show everything (0)">All</button></span>
        <button class="help" aria-expanded="false" title="Keys">Keys</button>
      </div>
      <div class="sheet" hidden></div>
      <div class="stage" tabindex="0" role="slider" aria-label="Position in the recording" aria-valuemin="0">
        <canvas class="base" aria-hidden="true"></canvas><canvas class="top" aria-hidden="true"></canvas>
      </div>
      <div class="scroll" aria-hidden="true"><div class="thumb"></div></div>
      <div class="line"><span class="chosen"></span><span class="gap"></span><span class="under" aria-hidden="true"></span></div>
      <div class="say" role="status" aria-live="polite"></div>`;
    this.parent.appendChild(root);
    this.$ = (name) => root.querySelector(`.${name}`);
    this.$("sheet").innerHTML = KEYS_HELP.map(([key, what]) => `<span><kbd>${key}</kbd> ${what}</span>`).join("");
    this.stage = this.$("stage");
    this.base = this.$("base"); this.top = this.$("top");
    this.listen();
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.stage);
  }

  listen() {
    const on = (name, act) => this.$(name).addEventListener("click", act);
    on("play", () => this.toggle());
    on("loop", () => this.setLoop(!this.loop));
    on("mel", () => this.setMel(!this.mel));
    on("in", () => this.zoom(0.5)); on("out", () => this.zoom(2));
    on("all", () => this.show(0, this.duration));
    on("to", () => this.selection && this.showAround(this.selection));
    on("help", () => {
      this.$("sheet").hidden = !this.$("sheet").hidden;
      this.$("help").setAttribute("aria-expanded", String(!this.$("sheet").hidden));
    });
    this.$("speed").addEventListener("change", (event) => this.setSpeed(Number(event.target.value)));
    this.stage.addEventListener("keydown", (event) => this.key(event));
    this.stage.addEventListener("pointerdown", (event) => this.press(event));
    this.stage.addEventListener("pointermove", (event) => this.move(event));
    this.stage.addEventListener("pointerup", (event) => this.release(event));
    this.stage.addEventListener("pointerleave", () => { this.hover = null; this.paintTop(); this.readout(); });
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.listenScroll();
  }

  listenScroll() {
    const track = this.$("scroll");
    const go = (event) => {
      const box = track.getBoundingClientRect(), wide = this.view.to - this.view.from;
      const from = ((event.clientX - box.left) / box.width) * this.duration - wide / 2;
      this.show(from, from + wide);
    };
    track.addEventListener("pointerdown", (event) => { track.setPointerCapture(event.pointerId); go(event); });
    track.addEventListener("pointermove", (event) => { if (track.hasPointerCapture(event.pointerId)) go(event); });
  }

  // ---- what Python hands over ------------------------------------------------------------------------------------

  update({ data, setStateValue, setTriggerValue }) {
    this.setStateValue = setStateValue;
    this.setTriggerValue = setTriggerValue;
    const text = JSON.stringify(data);
    const fresh = !this.data || this.data.id !== data.id;
    if (text !== this.lastText) {
      this.lastText = text;
      this.data = data;
      this.samples.setReels(data.reels);
      if (fresh) this.open(data);
      this.readLanes(data);
    }
    this.theme = readTheme(this.root);
    this.maps = new Map();
    this.picture = this.whole = null;
    this.resize();
    this.obey(data.command);
  }

  open(data) {
    this.transport.stop();
    this.samples.total = data.n;
    this.samples.pieces.clear();
    this.duration = data.n / RATE;
    this.overview = {
      column_s: data.overview.column_s, columns: data.overview.columns,
      peaks: decodeInt8(data.overview.peaks), image: decodeBytes(data.overview.image),
    };
    const kept = this.recall();
    this.head = clamp(kept.head || 0, 0, data.n);
    this.mel = Boolean(kept.mel); this.loop = Boolean(kept.loop);
    this.selection = data.selection || null;
    this.view = kept.view && kept.view.to <= this.duration + 0.01 ? kept.view : { from: 0, to: this.duration };
    this.$("mel").setAttribute("aria-pressed", String(this.mel));
    this.$("loop").setAttribute("aria-pressed", String(this.loop));
    if (!memory.heard.has(data.id)) memory.heard.set(data.id, new Uint8Array(Math.ceil(this.duration * 10)));
    this.say("");
    this.shown();
  }

  readLanes(data) {
    this.lanes = BASE_LANES.map((lane) => ({ ...lane }));
    for (const given of data.lanes) {
      const lane = { ...given };
      if (lane.kind === "image") lane.pixels = decodeBytes(lane.values);
      else { lane.values = decodeFloats(lane.values); lane.lows = decodeFloats(lane.lows); lane.highs = decodeFloats(lane.highs); }
      this.lanes.push(lane);
    }
    this.layout = layout(this.lanes);
    this.stage.style.height = `${this.layout.height}px`;
    this.stage.setAttribute("aria-valuemax", this.duration.toFixed(3));
  }

  /** Do what a button elsewhere on the page asked for, once. */
  obey(command) {
    if (!command || memory.commands.has(command.id)) return;
    memory.commands.add(command.id);
    if (command.select) {
      this.select(command.select, false);
      if (command.select[0] < this.view.from * RATE || command.select[1] > this.view.to * RATE) this.showAround(command.select);
    }
    if (command.seek !== undefined && command.seek !== null) this.seek(command.seek);
    if (command.play) this.play();
  }

  // ---- memory of this browser tab --------------------------------------------------------------------------------

  recall() {
    try { return JSON.parse(sessionStorage.getItem(`earwitness:${this.data.id}`)) || {}; } catch { return {}; }
  }

  remember() {
    const kept = { head: this.head, view: this.view, mel: this.mel, loop: this.loop };
    try { sessionStorage.setItem(`earwitness:${this.data.id}`, JSON.stringify(kept)); } catch { /* private mode */ }
  }

  // ---- hearing ---------------------------------------------------------------------------------------------------

  toggle() { if (this.transport.playing) this.pause(); else this.play(); }

  play() {
    const inside = this.selection && this.head >= this.selection[0] && this.head < this.selection[1] - 16;
    let from = this.head, to = this.data.n, loop = null;
    if (this.selection && (this.loop || inside || this.head === this.selection[1])) {
      from = inside ? this.head : this.selection[0];
      to = this.selection[1];
    }
    if (this.loop) loop = this.selection || [0, this.data.n];
    if (from >= to - 16) from = loop ? loop[0] : 0;
    this.say("");
    this.transport.play(from, to, loop, this.speed);
    this.started = from;
    this.buttons();
    this.follow();
  }

  follow() {
    cancelAnimationFrame(this.tick);
    const step = () => {
      if (!this.transport.playing) return;
      const at = this.transport.position(), heard = memory.heard.get(this.data.id);
      if (at > this.head && at - this.head < RATE) heard.fill(1, Math.floor((this.head / RATE) * 10), Math.ceil((at / RATE) * 10));
      this.head = at;
      const wide = this.view.to - this.view.from;
      if (at / RATE > this.view.to && wide < this.duration) this.show(at / RATE - wide * 0.05, at / RATE + wide * 0.95);
      this.shown();
      this.tick = requestAnimationFrame(step);
    };
    this.tick = requestAnimationFrame(step);
  }

  pause() {
    if (this.transport.playing) this.head = clamp(this.transport.position(), 0, this.data.n);
    this.transport.stop();
    this.settled();
  }

  ended(end) {
    const heard = memory.heard.get(this.data.id);
    heard.fill(1, Math.floor((this.head / RATE) * 10), Math.ceil((end / RATE) * 10));
    this.head = end;
    this.settled();
  }

  settled() {
    this.buttons(); this.shown(); this.remember();
    for (const send of this.later.splice(0)) send();
    if (this.data.report_heard) {
      const heard = memory.heard.get(this.data.id).reduce((sum, bin) => sum + bin, 0) / 10;
      this.setStateValue("heard", { id: this.data.id, seconds: Math.min(heard, this.duration) });
    }
  }

  /** Tell Python, but never while playing: a rerun of the page waits until the sound has stopped. */
  tell(name, value) {
    const send = () => this.setStateValue(name, { ...value, turn: (memory.turn = (memory.turn || 0) + 1) });
    if (!this.transport.playing) return send();
    this.later = this.later.filter((one) => one.about !== name);
    send.about = name;
    this.later.push(send);
  }

  wantReel(sample) {
    if (this.asked === sample) return;
    this.asked = sample;
    setTimeout(() => { if (this.asked === sample) this.asked = null; }, 2000);
    this.setStateValue("wanted", { id: this.data.id, sample });
  }

  complain(words) { this.buttons(); this.say(words); }
  say(words) { this.$("say").textContent = words; }

  // ---- moving about ----------------------------------------------------------------------------------------------

  seek(sample) {
    const playing = this.transport.playing;
    if (playing) this.transport.stop();
    this.head = clamp(Math.round(sample), 0, this.data.n);
    if (playing) this.play();
    this.shown(); this.buttons(); this.remember();
  }

  select(range, report = true) {
    this.selection = range && range[1] - range[0] >= 16 ? [Math.round(range[0]), Math.round(range[1])] : null;
    this.shown(); this.buttons();
    if (report) this.tell("selection", { id: this.data.id, range: this.selection });
  }

  setLoop(on) {
    this.loop = on;
    this.$("loop").setAttribute("aria-pressed", String(on));
    this.remember();
    if (this.transport.playing) { this.head = this.transport.position(); this.play(); }
  }

  setMel(on) {
    this.mel = on;
    this.$("mel").setAttribute("aria-pressed", String(on));
    this.picture = this.whole = null;
    this.remember(); this.paint();
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.transport.playing) { this.head = this.transport.position(); this.play(); }
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

  key(event) {
    const step = event.shiftKey ? RATE : FRAME;
    const acts = {
      " ": () => this.toggle(), ArrowLeft: () => this.nudge(-step), ArrowRight: () => this.nudge(step),
      Home: () => this.nudge(-Infinity), End: () => this.nudge(Infinity),
      l: () => this.setLoop(!this.loop), m: () => this.setMel(!this.mel), Escape: () => this.select(null),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.show(0, this.duration),
      "[": () => this.select([this.head, this.selection && this.selection[1] > this.head ? this.selection[1] : this.data.n]),
      "]": () => this.select([this.selection && this.selection[0] < this.head ? this.selection[0] : 0, this.head]),
    };
    const act = acts[event.key] || acts[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); event.stopPropagation();
    act();
  }

  nudge(samples) {
    if (this.transport.playing) this.head = this.transport.position();
    this.seek(this.head + samples);
    const t = this.head / RATE, { from, to } = this.view;
    if (t < from || t > to) this.show(t - (to - from) / 2, t + (to - from) / 2);
  }

  sampleAt(event) {
    const box = this.stage.getBoundingClientRect();
    return clamp(Math.round(this.painter().time(event.clientX - box.left) * RATE), 0, this.data.n);
  }

  press(event) {
    if (event.button !== 0) return;
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    const at = this.sampleAt(event), reach = ((this.view.to - this.view.from) * RATE * 6) / this.stage.clientWidth;
    this.drag = { x: event.clientX, at, anchor: at, moved: false };
    if (this.selection) {
      if (Math.abs(at - this.selection[0]) < reach) this.drag.anchor = this.selection[1];
      else if (Math.abs(at - this.selection[1]) < reach) this.drag.anchor = this.selection[0];
      else if (event.shiftKey) { this.drag.anchor = at < this.selection[0] ? this.selection[1] : this.selection[0]; this.drag.moved = true; }
    }
  }

  move(event) {
    const box = this.stage.getBoundingClientRect();
    this.hover = { x: event.clientX - box.left, y: event.clientY - box.top };
    if (this.drag && (this.drag.moved || Math.abs(event.clientX - this.drag.x) > 4)) {
      this.drag.moved = true;
      const at = this.sampleAt(event);
      this.selection = [Math.min(at, this.drag.anchor), Math.max(at, this.drag.anchor)];
      this.shown();
    }
    this.paintTop(); this.readout();
  }

  release(event) {
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    const at = this.sampleAt(event);
    if (drag.moved) {
      this.select([Math.min(at, drag.anchor), Math.max(at, drag.anchor)]);
      this.seek(this.selection ? this.selection[0] : at);
      return;
    }
    const span = this.spanAt(event);
    if (span) this.select([span.start_s * RATE, Math.min(span.stop_s * RATE, this.data.n)]);
    this.seek(span ? span.start_s * RATE : at);
    if (this.data.report_click) this.tell("clicked", { id: this.data.id, sample: this.head });
  }

  /** The marked stretch whose bar (the top of its lane) was clicked. */
  spanAt(event) {
    const box = this.stage.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const place = this.layout.places.find((p) => y >= p.top - 2 && y <= p.top + 9);
    const t = this.painter().time(x);
    return place && (this.data.spans || []).find((s) => s.lane === place.lane.id && s.start_s <= t && t <= s.stop_s);
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      event.preventDefault();
      const box = this.stage.getBoundingClientRect();
      this.zoom(Math.exp(clamp(event.deltaY, -200, 200) / 250), this.painter().time(event.clientX - box.left));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const by = ((event.deltaX || event.deltaY) / this.stage.clientWidth) * (this.view.to - this.view.from);
      this.show(this.view.from + by, this.view.to + by);
    }
  }

  // ---- painting --------------------------------------------------------------------------------------------------

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
    c.beginPath(); c.moveTo(x - 6, bottom + 9); c.lineTo(x + 6, bottom + 9); c.lineTo(x, bottom); c.fill();
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

  close() {
    this.transport.close();
    this.sizes.disconnect();
    cancelAnimationFrame(this.tick); cancelAnimationFrame(this.nextPaint);
    this.root.remove();
  }
}

const players = new WeakMap();

export default function (component) {
  const { parentElement } = component;
  let player = players.get(parentElement);
  if (!player) players.set(parentElement, (player = new Player(parentElement)));
  player.update(component);
  return () => { player.close(); players.delete(parentElement); };
}
