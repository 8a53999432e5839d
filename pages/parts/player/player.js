// The player: one time axis through sound, spectrogram and whatever curves a page hangs below them.
// Python hands over `data`; this file hands back `selection`, `clicked`, `heard` and, for long recordings, `wanted`.

const memory = (globalThis.__earwitnessPlayer ??= { heard: new Map(), commands: new Set() });

class Player extends Hands {
  constructor(parent) {
    super();
    this.parent = parent;
    this.loop = false; this.speed = 1; this.later = [];
    this.samples = new Samples((at) => this.wantReel(at));
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
    this.samples.of(data.id, data.n);
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
    this.waiting = !this.samples.has(from, Math.min(to, from + RATE));
    this.say(this.waiting ? "Loading the sound …" : "");
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
      if (at > this.started) this.sounds();
      this.head = at;
      const wide = this.view.to - this.view.from;
      if (at / RATE > this.view.to && wide < this.duration) this.show(at / RATE - wide * 0.05, at / RATE + wide * 0.95);
      this.shown();
      this.tick = requestAnimationFrame(step);
    };
    this.tick = requestAnimationFrame(step);
  }

  /** The sound that was waited for has come, or nobody waits for it any more. */
  sounds() {
    if (this.waiting) this.say("");
    this.waiting = false;
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
    this.sounds();
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
