// Sound: samples fetched piece by piece from this machine's server, and a transport that plays them to the sample.

const PIECE = 10 * RATE; // samples per fetched piece
const KEPT_PIECES = 48;
const AHEAD_S = 1.2;

// Pieces of this browser tab's recordings by digest and number: a change of page asks the server for no sound again.
const heldPieces = (globalThis.__earwitnessSound ??= new Map());

/** Samples of the working copy by range, cached; `onMissing(sample)` is called where no reel covers a sample yet. */
class Samples {
  constructor(onMissing) {
    this.id = "";
    this.total = 0;
    this.reels = [];
    this.pending = new Map();
    this.onMissing = onMissing;
  }

  /** From now on the samples of this recording. */
  of(id, total) { this.id = id; this.total = total; }

  piece(p) { return heldPieces.get(`${this.id} ${p}`); }

  setReels(reels) { this.reels = reels; }

  has(first, last) {
    for (let p = Math.floor(first / PIECE); p * PIECE < last; p++) if (!this.piece(p)) return false;
    return true;
  }

  /** Copy of the samples [first, last), or null where some are not here yet. */
  take(first, last) {
    if (!this.has(first, last)) return null;
    const out = new Float32Array(last - first);
    for (let p = Math.floor(first / PIECE); p * PIECE < last; p++) {
      const piece = this.piece(p), start = p * PIECE;
      const from = Math.max(first, start), to = Math.min(last, start + piece.length);
      if (to > from) out.set(piece.subarray(from - start, to - start), from - first);
    }
    return out;
  }

  /** Fetch whatever of [first, last) isn't here. Resolves when it is; rejects when the sound can't be had. */
  async load(first, last) {
    const waits = [];
    for (let p = Math.floor(first / PIECE); p * PIECE < Math.min(last, this.total); p++) {
      if (this.piece(p)) continue;
      if (!this.pending.has(p)) this.pending.set(p, this.fetchPiece(p).finally(() => this.pending.delete(p)));
      waits.push(this.pending.get(p));
    }
    await Promise.all(waits);
  }

  async fetchPiece(p) {
    const id = this.id, first = p * PIECE, last = Math.min(this.total, first + PIECE);
    for (let attempt = 0; attempt < 8; attempt++) {
      const reel = id === this.id && this.reels.find((r) => r.start <= first && last <= r.start + r.n);
      if (reel) {
        const from = 44 + 2 * (first - reel.start), to = 44 + 2 * (last - reel.start) - 1;
        const answer = await fetch(reel.url, { headers: { Range: `bytes=${from}-${to}` } }).catch(() => null);
        if (answer && answer.ok) {
          let bytes = await answer.arrayBuffer();
          if (answer.status === 200) bytes = bytes.slice(from, to + 1); // a server that ignores ranges
          const words = new Int16Array(bytes), piece = new Float32Array(words.length);
          for (let i = 0; i < words.length; i++) piece[i] = words[i] / 32767;
          heldPieces.set(`${id} ${p}`, piece);
          while (heldPieces.size > KEPT_PIECES) heldPieces.delete(heldPieces.keys().next().value);
          return;
        }
      }
      this.onMissing(first);
      await new Promise((done) => setTimeout(done, 250 * (attempt + 1)));
    }
    throw new Error("The sound could not be loaded; reload the page.");
  }
}

/** Plays [from, to) of the samples, looped or once, and knows which sample sounds now. */
class Transport {
  constructor(samples, onEnd, onError) {
    this.samples = samples;
    this.onEnd = onEnd;
    this.onError = onError;
    this.context = null;
    this.playing = false;
    this.run = 0;
  }

  async play(from, to, loop, speed) {
    this.stop();
    const run = ++this.run;
    this.playing = true;
    this.plan = { from, to, loop, speed, loopFrom: loop ? loop[0] : from };
    this.segments = [];
    this.sources = new Set();
    try {
      if (!this.context) {
        this.context = new AudioContext({ sampleRate: RATE });
        this.gain = this.context.createGain();
        this.gain.connect(this.context.destination);
      }
      await this.context.resume();
      await this.samples.load(from, Math.min(to, from + RATE));
      if (run !== this.run) return;
      this.next = from;
      this.when = this.context.currentTime + 0.06;
      this.fill(run);
    } catch (error) {
      if (run !== this.run) return;
      this.stop();
      this.onError(error);
    }
  }

  /** Schedule sound up to AHEAD_S from now; comes back by timer while playing. */
  async fill(run) {
    while (run === this.run && this.when < this.context.currentTime + AHEAD_S) {
      if (this.next >= this.plan.to) {
        if (!this.plan.loop) break;
        this.next = this.plan.loop[0];
        this.plan.to = this.plan.loop[1];
      }
      const edge = (Math.floor(this.next / PIECE) + 1) * PIECE;
      const last = Math.min(this.plan.to, edge, this.next + RATE);
      if (!this.samples.has(this.next, last)) {
        try { await this.samples.load(this.next, last); } catch (error) { this.stop(); this.onError(error); return; }
        if (run !== this.run) return;
        this.when = Math.max(this.when, this.context.currentTime + 0.05);
      }
      this.schedule(this.samples.take(this.next, last), this.next, last);
      this.next = last;
    }
    if (run !== this.run) return;
    if (this.next < this.plan.to) this.samples.load(this.next, Math.min(this.plan.to, this.next + PIECE)).catch(() => {});
    const now = this.context.currentTime;
    this.segments = this.segments.filter((s, i) => s.stop > now - 1 || i === this.segments.length - 1);
    if (!this.plan.loop && this.next >= this.plan.to && now >= this.when) {
      const end = this.plan.to;
      this.stop();
      this.onEnd(end);
      return;
    }
    this.timer = setTimeout(() => this.fill(run), 60);
  }

  schedule(data, first, last) {
    const buffer = this.context.createBuffer(1, Math.max(1, data.length), RATE);
    buffer.copyToChannel(data, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.playbackRate.value = this.plan.speed;
    source.connect(this.gain);
    source.start(this.when);
    this.sources.add(source);
    source.onended = () => this.sources && this.sources.delete(source);
    const length = (last - first) / RATE / this.plan.speed;
    this.segments.push({ start: this.when, stop: this.when + length, first });
    this.when += length;
  }

  /** The sample that sounds now. */
  position() {
    if (!this.segments || !this.segments.length) return this.plan ? this.plan.from : 0;
    const now = this.context.currentTime - (this.context.outputLatency || 0);
    let at = this.segments[0];
    for (const segment of this.segments) if (segment.start <= now) at = segment;
    return Math.round(at.first + clamp(now - at.start, 0, at.stop - at.start) * RATE * this.plan.speed);
  }

  stop() {
    this.run++;
    this.playing = false;
    clearTimeout(this.timer);
    for (const source of this.sources || []) { try { source.stop(); } catch { /* not started yet */ } }
    this.sources = new Set();
  }

  close() {
    this.stop();
    if (this.context) this.context.close().catch(() => {});
    this.context = null;
  }
}
