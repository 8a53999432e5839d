// Mouse and keyboard of the player: what a gesture asks for. What is then done, `Player` knows.

const KEYS_HELP = [
  ["Space", "play or pause"], ["← →", "one frame (20 ms)"], ["Shift ← →", "one second"], ["Home End", "start, end"],
  ["L", "loop the selection"], ["[ ]", "selection starts, ends here"], ["Esc", "clear the selection"],
  ["+ − 0", "zoom in, out, all"], ["M", "linear or mel"], ["Ctrl + wheel", "zoom at the pointer"], ["Shift + wheel", "move along"],
];

class Hands extends Bench {
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
}
