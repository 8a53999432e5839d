"""One pass of the networks over a recording, window by window: frame features, gate, and sums for every pooling.

What is held at any time is one batch of windows and the sums; an hour takes no more than a minute. Features are
normalised per window of eight seconds, in which a channel may drift. What the sums mean is for `verify`.

References: arXiv 2305.19581 (SVVAD: gate gamma, shift beta, FiLM on the features).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import Cancelled, UnreadableAudio
from core.frames import SAMPLE_RATE, Window, plan_windows
from core.speaker.networks import SpeakerNetworks
from core.speaker.pooling import LEVELS, Moments, Sums, level_of
from core.speaker.vad import energy_speech
from core.timeline import Timeline

WINDOW, SHORTEST = 128_000, 16_000  # samples: 8 s, and 1 s
BATCH = 4  # windows
BLOCK = 100  # frames: a second; neighbouring blocks make the spans whose voices are compared
SPAN = 2  # blocks
KEPT_BYTES = 128 * 1024**2  # of frame values, for the attribution; a longer recording has none

Told = Callable[[float], Any]


@dataclass(frozen=True, eq=False)
class Spans:
    """Voices of short stretches: unit embeddings [S, 192], first and last frame [S, 2], seconds of speech [S]."""

    embeddings: np.ndarray
    frames: np.ndarray
    speech_s: np.ndarray


@dataclass(frozen=True, eq=False)
class Heard:
    """What one pass gives. T frames of ``hop_s``; frame t is centred on ``start_s + t hop_s``.

    levels: sums of the frames as recorded, by level of the gate; speech: those where each voice activity detector hears
    speech (one group); gated: sums of the features after gate and shift (one group); values, logits: every frame's
    [T, C] and [T, K] as fp16, None for long recordings.
    """

    hop_s: float
    start_s: float
    gamma: np.ndarray
    beta: np.ndarray
    levels: Sums
    gated: Sums
    speech: Mapping[str, Sums]
    spans: Spans
    values: np.ndarray | None = None
    logits: np.ndarray | None = None


def plan(n_samples: int) -> tuple[Window, ...]:
    """The windows of a recording: eight seconds each, none shorter than a second unless it is the only one."""
    return plan_windows(n_samples, window=WINDOW, min_window=SHORTEST)


def geometry() -> tuple[float, float]:
    """(hop, centre of frame 0 from a window's start), both in seconds."""
    from models import speaker

    return speaker.HOP_S, speaker.START_S


def pooled(samples: np.ndarray, networks: SpeakerNetworks) -> tuple[np.ndarray, Spans]:
    """The embedding of samples [shape=(n,)] as they are, a unit vector [shape=(192,)], and those of its spans.

    Raises UnreadableAudio (too-short).
    """
    import torch

    timeline, spans, sums, reference = timeline_of(len(samples)), _Spans(), None, None
    speech = _fitted(energy_speech(samples), timeline.n_frames).astype(np.int64)
    for windows, wav in _batches(samples, None):
        with networks.lock, torch.inference_mode():
            given = [x.float().cpu().numpy() for x in networks.encoder.frames(_features(wav, networks))]
        for i, window in enumerate(windows):
            skip = timeline.fresh[window.index]
            first = timeline.first[window.index] + skip
            values, logits = (x[i, skip:] for x in given)
            if sums is None:
                sums, reference = Sums(1, logits.shape[1], values.shape[1]), logits.max(0)
            moments = Moments.of(values, logits, reference)
            sums.add(moments, np.zeros(len(values), np.int64))
            spans.add(moments, speech[first : first + len(values)], first)
    mean, deviation = sums.statistics()
    return networks.embed(mean[None], deviation[None])[0], spans.embedded(networks)


def listen(samples: np.ndarray, enrolled: np.ndarray, networks: SpeakerNetworks, speech: dict[str, np.ndarray], *,
           on_progress: Told | None = None, cancelled: Callable[[], bool] | None = None) -> Heard:
    """The pass. samples : [shape=(n,)] at 16 kHz; enrolled : [shape=(192,)]; speech : per detector 0/1 on the pass's
    frames (a missing last frame counts as no speech). The first one decides which frames the spans are made of.

    Raises Cancelled; UnreadableAudio (too-short) for less than one frame.
    """
    timeline = timeline_of(len(samples))
    taken: _Taken | None = None
    for windows, wav in _batches(samples, cancelled):
        given = _run(wav, enrolled, networks)
        if taken is None:
            taken = _Taken(timeline, given, speech)
        for i, window in enumerate(windows):
            taken.take(window.index, {name: x[i] for name, x in given.items()})
        if on_progress is not None:
            on_progress((windows[-1].index + 1) / len(timeline.windows))
    return taken.heard(networks)


def _batches(samples: np.ndarray, cancelled: Callable[[], bool] | None) -> Iterator[tuple[list[Window], np.ndarray]]:
    """Windows of equal length with their samples (B, N)."""
    windows = plan(len(samples))
    if not windows or windows[0].n_samples < 400:
        raise UnreadableAudio("The recording is too short to compare voices; use a longer one.", code="too-short")
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) == BATCH or window.n_samples != batch[0].n_samples):
            yield batch, np.stack([samples[w.start : w.stop] for w in batch])
            batch = []
        if cancelled is not None and cancelled():
            raise Cancelled()
        batch.append(window)
    yield batch, np.stack([samples[w.start : w.stop] for w in batch])


def _features(wav: np.ndarray, networks: SpeakerNetworks) -> Any:
    import torch

    from models.speaker import fbank

    return fbank(torch.from_numpy(np.ascontiguousarray(wav, np.float32)).to(networks.device))  # (B, T, 80)


def _run(wav: np.ndarray, enrolled: np.ndarray, networks: SpeakerNetworks) -> dict[str, np.ndarray]:
    """All networks over one batch (B, N): gate and shift (B, T), frame values (B, T, C) and logits (B, T, K), and both
    of the gated features.
    """
    import torch

    from models.svvad import film

    with networks.lock, torch.inference_mode():
        features = _features(wav, networks)
        who = torch.from_numpy(np.ascontiguousarray(enrolled, np.float32)).to(networks.device)
        encoder, gate = networks.encoder, networks.gate
        heard = encoder.values(features)
        given = (features, heard) if networks.shared else (features,)
        gamma, beta = gate(who.expand(len(wav), -1), *given)
        values, logits = encoder.spread(heard, features.shape[1])
        gated = encoder.frames(film(features, gamma, beta))
        out = {"gamma": gamma, "beta": beta, "values": values, "logits": logits,
               "gated values": gated[0], "gated logits": gated[1]}
        return {name: x.float().cpu().numpy() for name, x in out.items()}


def timeline_of(n_samples: int) -> Timeline:
    """Where the frames of each window lie on the recording's grid."""
    hop_s, _ = geometry()
    hop = round(hop_s * SAMPLE_RATE)
    windows = plan(n_samples)
    return Timeline.plan(windows, [w.n_samples // hop for w in windows], hop_s)


def _fitted(mask: np.ndarray, n_frames: int) -> np.ndarray:
    """A mask of exactly n_frames, cut or continued with zeros."""
    out = np.zeros(n_frames, np.float32)
    out[: min(n_frames, len(mask))] = mask[:n_frames]
    return out


class _Taken:
    """What has been taken in of a pass so far."""

    def __init__(self, timeline: Timeline, given: dict[str, np.ndarray], speech: dict[str, np.ndarray]) -> None:
        n, widths = timeline.n_frames, (given["logits"].shape[2], given["values"].shape[2])
        self.timeline = timeline
        self.names = tuple(speech)
        # one bit per voice activity detector
        self.speech = sum((_fitted(mask, n) > 0).astype(np.int64) << i for i, mask in enumerate(speech.values()))
        self.gamma, self.beta = np.zeros((2, n), np.float32)
        self.cells = Sums(LEVELS << len(speech), *widths)
        self.gated = Sums(1, *widths)
        self.references = given["logits"][0].max(0), given["gated logits"][0].max(0)
        self.kept = None
        if 2 * n * sum(widths) <= KEPT_BYTES:
            self.kept = tuple(np.empty((n, width), np.float16) for width in reversed(widths))
        self.spans = _Spans()

    def take(self, index: int, given: dict[str, np.ndarray]) -> None:
        """Take the fresh frames of one window; where it overlaps the one before, that one's stay."""
        skip = self.timeline.fresh[index]
        first = self.timeline.first[index] + skip
        given = {name: x[skip:] for name, x in given.items()}
        here = slice(first, first + len(given["gamma"]))
        self.gamma[here], self.beta[here] = given["gamma"], given["beta"]
        moments = Moments.of(given["values"], given["logits"], self.references[0])
        self.cells.add(moments, (level_of(given["gamma"]) << len(self.names)) + self.speech[here])
        self.spans.add(moments, self.speech[here] & 1, first)
        gated = Moments.of(given["gated values"], given["gated logits"], self.references[1])
        self.gated.add(gated, np.zeros(len(gated.first), np.int64))
        if self.kept is not None:
            for into, values in zip(self.kept, (given["values"], given["logits"]), strict=True):
                into[here] = np.clip(values, -65_504, 65_504)

    def heard(self, networks: SpeakerNetworks) -> Heard:
        """The finished pass."""
        hop_s, start_s = geometry()
        cell = np.arange(len(self.cells.frames))
        speech = {name: self.cells.chosen((cell >> i) & 1 == 1) for i, name in enumerate(self.names)}
        levels = self.cells.merged(cell >> len(self.names))
        return Heard(hop_s, start_s, self.gamma, self.beta, levels, self.gated, speech, self.spans.embedded(networks),
                     *(self.kept or (None, None)))


class _Spans:
    """Statistics of spans of SPAN blocks of speech within a window, for `several`; only these are kept."""

    def __init__(self) -> None:
        self._statistics: list[tuple[np.ndarray, np.ndarray]] = []
        self._frames: list[tuple[int, int]] = []
        self._speech: list[int] = []

    def add(self, moments: Moments, speech: np.ndarray, first: int) -> None:
        """Take the spans of a window whose first frame is ``first``; speech : [shape=(T,)] of 0 and 1."""
        blocks = len(speech) // BLOCK
        if blocks < SPAN:
            return
        n = blocks * BLOCK
        sums = Sums(2 * blocks, moments.weight.shape[1], moments.first.shape[1])
        sums.add(Moments(moments.weight[:n], moments.first[:n], moments.second[:n]),
                 2 * (np.arange(n) // BLOCK) + speech[:n])
        for start in range(blocks - SPAN + 1):
            spoken = 2 * np.arange(start, start + SPAN) + 1
            statistics = sums.statistics(spoken)
            if statistics is not None:
                self._statistics.append(statistics)
                self._frames.append((first + start * BLOCK, first + (start + SPAN) * BLOCK))
                self._speech.append(int(sums.frames[spoken].sum()))

    def embedded(self, networks: SpeakerNetworks) -> Spans:
        """What was taken, as voices."""
        if not self._statistics:
            return Spans(np.zeros((0, networks.encoder.width), np.float32), np.zeros((0, 2), np.int64), np.zeros(0))
        means, deviations = (np.stack(x) for x in zip(*self._statistics, strict=True))
        return Spans(networks.embed(means, deviations), np.array(self._frames), np.array(self._speech) * geometry()[0])
