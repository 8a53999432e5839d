"""What a recording has been through, told from the fixed views: low-rate speech coders, rooms, strong compression.

The robustness table says behind which of them scores mean something else; a finding that would rest on such a score is
refused. A recogniser is one more ridge regression: clips as they are, and the same clips altered. Its limit comes from
clips of sources that it never heard: ``REFUSED`` of them lie above it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from core.panel import listen, panel_windows
from core.training.augment import encode_decode
from core.training.augment_room import room
from core.training.corpus import FOLDS, Clip, load_views, split
from core.training.panel import Bank, apply, beyond, clip_weights, fit_linear, read_bank, window_vectors, write_bank
from core.training.robustness_conditions import applied, through_sndfile, white
from models import views
from models.panel import TRACES, Panel

REFUSED = 0.015  # of unaltered held-out clips, by each recogniser
PENALTY = 0.3
CLIPS = {False: 250, True: 150}  # of each class that are altered: of the declared folds, beyond them
AS_IT_IS = 0.5  # of the weight of what bears no trace goes to unaltered clips

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _speech_coder(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return encode_decode(x, "opus", int(rng.choice((8_000, 10_000, 12_000, 14_000))))


def _speech_coder_again(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    once = applied(_speech_coder, x, rng)
    return encode_decode(once, str(rng.choice(("mp3", "aac"))), int(rng.choice((48_000, 64_000, 96_000))))


def _room(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return room(x, rng, rt60_s=float(rng.uniform(0.25, 0.9)))


_vorbis = partial(through_sndfile, rate_hz=16_000, container="OGG", subtype="VORBIS")


def _compression(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.2:
        return _vorbis(x, rng, compression=float(rng.uniform(0.95, 1.0)))
    return encode_decode(x, str(rng.choice(("mp3", "aac"))), int(rng.choice((24_000, 32_000, 40_000))))


def _mild(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.2:
        return _medium_vorbis(x, rng)
    if rng.random() < 0.25:
        return encode_decode(x, "opus", int(rng.choice((24_000, 32_000))))
    return encode_decode(x, str(rng.choice(("mp3", "aac"))), int(rng.choice((64_000, 96_000, 128_000))))


def _medium_vorbis(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _vorbis(x, rng, compression=float(rng.uniform(0.3, 0.7)))


def _noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return white(x, rng, snr_db=float(rng.uniform(22, 35)))


def _by_rule(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through WORLD with few, smoothed coefficients, as statistical synthesis does it: not what a coder's trace is."""
    import pyworld
    from scipy.ndimage import uniform_filter1d

    signal = x.astype(np.float64)
    f0, times = pyworld.dio(signal, 16_000)
    f0 = pyworld.stonemask(signal, f0, times, 16_000)
    cepstra = pyworld.code_spectral_envelope(pyworld.cheaptrick(signal, f0, times, 16_000), 16_000,
                                             int(rng.integers(20, 50)))
    cepstra = np.ascontiguousarray(uniform_filter1d(cepstra, int(rng.integers(1, 12)), axis=0))
    envelope = pyworld.decode_spectral_envelope(cepstra, 16_000, pyworld.get_cheaptrick_fft_size(16_000))
    noise = pyworld.d4c(signal, f0, times, 16_000)
    if rng.random() < 0.5:
        noise = np.where(f0[:, None] > 0, rng.uniform(0.0, 0.2), 0.999) * np.ones_like(noise)
    return pyworld.synthesize(f0, envelope, np.ascontiguousarray(noise), 16_000)


KINDS: tuple[tuple[str, str, Change], ...] = (  # name, its trace or none, what is done
    ("Opus at 8 to 14 kbit/s", "speech-coder", _speech_coder),
    ("the same, then MP3 or AAC", "speech-coder", _speech_coder_again),
    ("rooms of 0.25 to 0.9 s", "room", _room),
    ("MP3 and AAC at 24 to 40 kbit/s, Vorbis at its lowest", "compression", _compression),
    ("milder codecs", "", _mild),
    ("noise at 22 to 35 dB", "", _noise),
    ("WORLD, smoothed as in statistical synthesis", "", _by_rule),
    ("Vorbis at medium quality", "", _medium_vorbis),
)


def by_turns(clips: Sequence[Clip], n: int, rng: np.random.Generator) -> list[Clip]:
    """At most n, every system or source by turns as long as it has any."""
    groups: dict[str, list[Clip]] = {}
    for i in rng.permutation(len(clips)):
        groups.setdefault(clips[i].source if clips[i].bonafide else clips[i].system, []).append(clips[i])
    drawn: list[Clip] = []
    while len(drawn) < n and any(groups.values()):
        drawn += [members.pop() for members in groups.values() if members]
    return drawn[:n]


def chosen(clips: Sequence[Clip]) -> list[Clip]:
    """The clips of a folder that are altered."""
    rng = np.random.default_rng(0)
    return [c for far, n in CLIPS.items() for label in (True, False)
            for c in by_turns([c for c in clips if c.bonafide == label and beyond(c) == far], n, rng)]


def build_altered(folder: Path, clips: Sequence[Clip], blank: Panel) -> Bank:
    """Statistics of the chosen clips altered in each of ``KINDS``, whose number is the bank's view; kept on disk."""
    mine, quiet = chosen(clips), blank.without_network()
    key = zlib.crc32("|".join([*(name for name, _, _ in KINDS), *(c.clip for c in mine)]).encode())
    path = folder / "panel" / f"altered-{len(mine)}-{key:08x}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        names, kinds, lengths, rows = [], [], [], []
        for clip in mine:
            samples = load_views(folder, clip)[0].astype(np.float32) / 32768.0
            for kind, (name, _, change) in enumerate(KINDS):
                rng = np.random.default_rng(zlib.crc32(f"{clip.clip}|{name}".encode()))
                altered = applied(change, samples, rng)
                for window in panel_windows(len(altered)):
                    vectors = window_vectors(quiet, altered[window.start : window.stop])
                    rows.append({v: vectors[v] for v in views.VIEWS})
                    names.append(clip.clip)
                    kinds.append(kind)
                    lengths.append(window.n_samples)
        write_bank(path, Bank(np.array(names), np.array(kinds), np.array(lengths),
                               {v: np.stack([r[v] for r in rows]) for v in views.VIEWS}))
    return read_bank(path)


def fit_traces(panel: Panel, bank: Bank, altered: Bank, clips: Sequence[Clip]) -> None:
    """Fit ``panel.traces`` on these clips alone. bank : the panel's own, of which the unaltered views are taken; in a
    recogniser what bears its trace has one half of the weight.
    """
    share = clip_weights(clips)
    clean = np.flatnonzero((bank.view == 0) & np.isin(bank.clip, list(share)))
    other = np.flatnonzero(np.isin(altered.clip, list(share)))
    x = np.concatenate([together(bank, clean), together(altered, other)])
    trace = np.concatenate([np.full(len(clean), ""), np.array([t for _, t, _ in KINDS])[altered.view[other]]])
    length = np.concatenate([bank.samples[clean], altered.samples[other]]).astype(float)
    as_it_is = np.arange(len(x)) < len(clean)
    length[as_it_is] *= np.array([share[name] for name in bank.clip[clean]])
    for name in TRACES:
        weight, bears = length.copy(), trace == name
        for rows, part in ((bears, 0.5), (as_it_is, 0.5 * AS_IT_IS), (~bears & ~as_it_is, 0.5 * (1 - AS_IT_IS))):
            weight[rows] *= part / weight[rows].sum()
        panel.traces[name] = fit_linear(x, np.where(bears, 1.0, -1.0), weight, PENALTY)


def together(bank: Bank, rows: np.ndarray) -> np.ndarray:
    """The fixed views of these rows beside each other (R, D)."""
    return np.concatenate([bank.vectors[v][rows] for v in views.VIEWS], 1).astype(np.float32)


def trace_scores(panel: Panel, bank: Bank, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clip and view (G,) of each group of these rows, and its scores (G, 3), windows by length."""
    x = together(bank, rows)
    scores = np.stack([apply(panel.traces[name], x) for name in TRACES], 1)
    keys, group = np.unique(np.char.add(np.char.add(bank.clip[rows], "|"), bank.view[rows].astype(str)),
                            return_inverse=True)
    total = np.bincount(group, bank.samples[rows])
    means = np.stack([np.bincount(group, bank.samples[rows] * scores[:, j]) / total for j in range(len(TRACES))], 1)
    names, kinds = zip(*(key.rsplit("|", 1) for key in keys), strict=True)
    return np.array(names), np.array(kinds, int), means


def fit_and_measure(panels: Sequence[Panel], bank: Bank, altered: Bank, clips: Sequence[Clip]
                    ) -> tuple[np.ndarray, dict]:
    """Fit the recognisers of the declared folds' panels; the limits (3,) from held-out clips as they are, and the card's
    entry: how many held-out clips each refuses, as they are and altered.
    """
    bona = {c.clip: c.bonafide for c in clips}
    clean, changed = [], []
    for panel, fold in zip(panels, FOLDS, strict=True):
        training, test = split(clips, fold)
        fit_traces(panel, bank, altered, training)
        mine = [c.clip for c in test if not c.copier]
        clean.append(trace_scores(panel, bank, np.flatnonzero((bank.view == 0) & np.isin(bank.clip, mine))))
        changed.append(trace_scores(panel, altered, np.flatnonzero(np.isin(altered.clip, mine))))
    names, _, scores = (np.concatenate(parts) for parts in zip(*clean, strict=True))
    _, kinds, others = (np.concatenate(parts) for parts in zip(*changed, strict=True))
    limits = np.quantile(scores, 1 - REFUSED, axis=0)
    label = np.array([bona[name] for name in names])
    measured = [("bona fide, as it is", scores[label]), ("spoof, as it is", scores[~label])]
    measured += [(name, others[kinds == kind]) for kind, (name, _, _) in enumerate(KINDS)]
    return limits, {
        "definition": f"Each recogniser refuses {100 * REFUSED:g} % of the held-out clips as they are; every share is of "
                      "clips whose source it never heard. A finding is refused by any of them.",
        "limits": {name: round(float(limit), 3) for name, limit in zip(TRACES, limits, strict=True)},
        "rows": [{"clips": name, "n": len(s), "any": round(float((s > limits).any(1).mean()), 4)}
                 | {t: round(float(v), 4) for t, v in zip(TRACES, (s > limits).mean(0), strict=True)}
                 for name, s in measured],
    }


def recognisers_alone(panel: Panel) -> Panel:
    """The panel's recognisers without its members, so that the network needn't be asked."""
    alone = panel.without_network()
    alone.traces = panel.traces
    return alone


def bears_traces(panel: Panel, samples: np.ndarray, limits: np.ndarray) -> bool:
    """Whether an examination of samples float32 (n,) would be refused for its traces."""
    reading = listen(samples, panel)
    scores = reading.clip_traces(np.array([w.n_samples for w in reading.timeline.windows]))
    return any(score > limit for score, limit in zip(scores.values(), limits, strict=True))
