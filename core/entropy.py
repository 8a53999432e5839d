"""Frame entropy of a recording: what the f-InfoED bottleneck says about every 20 ms of it.

Reads the hidden states of an `Encoding` through the detector's heads and lays the results on one time axis:
entropy H_t in bits per frame, the frame score, the entropy map, rate and distortion, the distance to the
population on which the detector was calibrated, and stretches worth listening to. The entropy is a statistic
of a learned posterior, not of the signal; low-entropy stretches are leads and never a verdict. No finding is
made here (`core.finding`).

Reference: Zhao et al., arXiv 2504.10819 (ICME 2025). How windows are pooled and stretches are found is our
own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.bottleneck import frame_posterior, mel_target, reconstruct, timeline_of
from core.errors import Cancelled
from core.frames import SAMPLE_RATE, Track, seconds_to_samples
from core.timeline import sample_track, smooth, stretches

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from core.encode import Encoding
    from core.panel import PanelReading
    from core.quality import Quality
    from models.registry import Detector

__all__ = [
    "EntropyAnalysis",
    "Region",
    "Run",
    "analyse_entropy",
    "clip_score",
    "frame_posterior",
    "population_distance",
    "reconstruct",
]

LN2, LN10 = float(np.log(2.0)), float(np.log(10.0))
SMOOTHING_S = 0.1  # moving average before a curve is cut into stretches
SHORTEST_S = 0.2  # shorter stretches are not listed
BRIDGE_S = 0.1  # gaps up to this long inside a stretch are closed
SPEECH_SHARE = 0.5  # of a stretch that must be speech, where speech is known
SPOOF_BELOW = 0.0  # frame score under which a frame supports synthesis or conversion


@dataclass(frozen=True)
class Run:
    """A stretch of low entropy: a place to listen to."""

    start_s: float
    stop_s: float
    mean_bits: float

    @property
    def samples(self) -> tuple[int, int]:
        """[start, stop) in samples at 16 kHz."""
        return seconds_to_samples(self.start_s), seconds_to_samples(self.stop_s)


@dataclass(frozen=True)
class Region:
    """A stretch whose frame scores support synthesis or conversion; `mean_score` is their mean, log10
    units.
    """

    start_s: float
    stop_s: float
    mean_score: float

    @property
    def samples(self) -> tuple[int, int]:
        """[start, stop) in samples at 16 kHz."""
        return seconds_to_samples(self.start_s), seconds_to_samples(self.stop_s)


@dataclass(frozen=True, eq=False)
class EntropyAnalysis:
    """Everything this issue's analyses read off one encoding. T frames, W windows, D latent dimensions.

    entropy: bits per frame; score: frame score (log10 units, higher = bona fide, uncalibrated: see
    `SPOOF_BELOW`); window_scores: raw clip scores of what decides (the panel, or f-InfoED where
    there is none) [W], higher = bona fide; window_times: (start_s, stop_s) of its windows [W, 2];
    window_seconds: seconds each counts for in the clip score [W]; own_window_scores, own_window_seconds: f-InfoED's
    clip logits and the seconds of its windows [V]; member_scores: the panel's members by view, means over the
    windows; trace_scores: how plainly the sound bears the traces of what it may have been through
    (`models.panel.TRACES`); entropy_map: bits, float16 [T, D];
    kl_nats_per_frame, recon_mse, mean_bits: means over the frames with speech; distance: Mahalanobis distance
    to the calibration population.
    """

    entropy: Track
    score: Track
    window_scores: np.ndarray
    window_times: np.ndarray
    window_seconds: np.ndarray
    entropy_map: np.ndarray
    kl_nats_per_frame: float
    recon_mse: float
    mean_bits: float
    distance: float
    low_runs: tuple[Run, ...]
    frame_spoof_runs: tuple[Region, ...]
    own_window_scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    own_window_seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    member_scores: Mapping[str, float] = field(default_factory=dict)
    trace_scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def own_score(self) -> float | None:
        """f-InfoED's raw score of the whole recording, whoever decides."""
        return clip_score(self.own_window_scores, self.own_window_seconds) if len(self.own_window_scores) else None

    @property
    def clip_score(self) -> float:
        """The deciding raw score of the whole recording, higher = bona fide."""
        return clip_score(self.window_scores, self.window_seconds)


def clip_score(window_scores: np.ndarray, window_seconds: np.ndarray) -> float:
    """Mean of the window scores [W], weighed by the seconds of speech each stands for [W].

    This one rule is used by the training's evaluation, by the calibration and by every examination.
    """
    weights = np.asarray(window_seconds, dtype=np.float64)
    if weights.sum() <= 0:
        weights = np.ones_like(weights)
    return float(np.average(np.asarray(window_scores, dtype=np.float64), weights=weights))


def speech_weights(quality: Quality | None, n: int, hop_s: float, start_s: float) -> np.ndarray:
    """Weight of each of n frames, [n]: 1 where there is speech; all ones where too little is known of it."""
    if quality is None or len(quality.speech.values) == 0:
        return np.ones(n)
    speech = sample_track(quality.speech, start_s + hop_s * np.arange(n)) > 0.5
    return speech.astype(np.float64) if speech.sum() * hop_s >= SHORTEST_S else np.ones(n)


def population_distance(mean_state: np.ndarray, reference: Mapping[str, np.ndarray]) -> float:
    """Mahalanobis distance of a mean state [F] to the calibration population, in its principal subspace.

    Uses population_mean [F], population_basis [F, k] and population_scale [k] (standard deviations). NaN
    where the reference has none of them.
    """
    if "population_mean" not in reference:
        return float("nan")
    away = (np.asarray(mean_state, np.float64) - reference["population_mean"]) @ reference["population_basis"]
    return float(np.sqrt(np.sum((away / np.maximum(reference["population_scale"], 1e-12)) ** 2)))


def analyse_entropy(
    encoding: Encoding,
    recording: Recording,
    detector: Detector,
    quality: Quality | None = None,
    reading: PanelReading | None = None,
    *,
    on_progress: Callable[[float], Any] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> EntropyAnalysis:
    """Run the heads over an encoding. With `quality`, means and stretches regard speech only.

    reading: what the panel says, where there is one: its scores then stand in the place of f-InfoED's own.

    Raises Cancelled where `cancelled()` turns true between batches.
    """
    reader = _Reader(encoding, recording, detector, quality, reading)
    for done in reader.read(cancelled):
        if on_progress is not None:
            on_progress(done)
    return reader.result()


class _Reader:
    """Goes through an encoding batch by batch and collects what `EntropyAnalysis` holds."""

    def __init__(
        self,
        encoding: Encoding,
        recording: Recording,
        detector: Detector,
        quality: Quality | None,
        reading: PanelReading | None,
    ) -> None:
        self.encoding, self.recording, self.detector, self.reading = encoding, recording, detector, reading
        self.hop_s = float(encoding.hop_s)
        encoder = detector.network.encoder
        self.start_s = float(encoding.start_s)
        self.timeline = timeline_of(encoding, detector)
        n, latent = self.timeline.n_frames, int(detector.network.config.latent)
        self.speech = speech_weights(quality, n, self.hop_s, self.start_s)
        self.map = np.zeros((n, latent), np.float16)
        self.curves = np.zeros((n, 4), np.float32)  # bits, score, KL in nats, squared error
        self.scores = np.zeros(len(encoding.windows))
        self.state_sum = np.zeros(int(encoder.n_features))
        self.state_weight = 0.0

    def read(self, cancelled: Callable[[], bool] | None):
        """Yields the share done after each batch."""
        import torch

        seen = 0
        for indices, states in self.encoding.batches():
            if cancelled is not None and cancelled():
                raise Cancelled()
            indices = list(indices)
            with torch.inference_mode():
                self._batch(indices, states)
            seen += len(indices)
            yield seen / max(1, len(self.scores))

    def _batch(self, indices: list[int], states: torch.Tensor) -> None:
        """One batch of windows of equal length, states [B, L, T, F]."""
        import torch

        from models.finfoed import kl_to_standard_normal

        network, device = self.detector.network, self.detector.device
        with self.detector.lock:
            out = network.analyse(states.to(device).float())
            rebuilt = network.reconstruct(out.mu)  # (B, T, 80)
        bits = out.entropy / LN2  # (B, T, D)
        target = mel_target(self.recording, [self.encoding.windows[i] for i in indices], rebuilt, self.detector)
        curves = torch.stack(
            [
                bits.sum(-1),
                out.frame_logit,
                kl_to_standard_normal(out.mu, out.logvar).sum(-1),
                (rebuilt - target).square().mean(-1),
            ],
            dim=-1,
        )  # (B, T, 4)
        maps, curves = bits.half().cpu().numpy(), curves.float().cpu().numpy()
        states_mixed = out.aggregated.float().cpu().numpy()  # (B, T, F)
        self.scores[indices] = out.clip_logit.float().cpu().numpy()
        for row, i in enumerate(indices):
            self.timeline.put(self.map, i, maps[row])
            self.timeline.put(self.curves, i, curves[row])
            fresh, first = self.timeline.fresh[i], self.timeline.first[i]
            weights = self.speech[first + fresh : first + self.timeline.counts[i]]
            self.state_sum += weights @ states_mixed[row, fresh : self.timeline.counts[i]]
            self.state_weight += float(weights.sum())

    def _frame_threshold(self) -> float:
        """Frame score at which the frame head is undecided; 0 where the reference does not say."""
        decides = self.detector.reference if self.reading is None else self.detector.deciding_reference
        value = decides.get("frame_threshold")
        return 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])

    def _frame_scores(self) -> np.ndarray:
        """What decides, per frame of the grid, log10 units over its threshold [T]."""
        values = self.curves[:, 1]
        if self.reading is not None:
            frames = self.reading.frames
            values = frames[np.minimum(np.arange(self.timeline.n_frames), len(frames) - 1)]
        return (values - self._frame_threshold()) / LN10

    def result(self) -> EntropyAnalysis:
        reference, reading = self.detector.deciding_reference, self.reading
        own_seconds = self.timeline.speech_seconds(self.speech, self.hop_s)
        timeline = self.timeline if reading is None else reading.timeline
        scores = self.scores if reading is None else reading.scores
        seconds = own_seconds if reading is None else reading.speech_seconds(self.speech)
        bits, score = self.curves[:, 0].copy(), self._frame_scores()
        means = np.average(self.curves.astype(np.float64), axis=0, weights=self.speech)
        low_bits = reference.get("low_entropy_bits")
        low = [] if low_bits is None else self._stretches(bits, float(np.asarray(low_bits).reshape(-1)[0]))
        spoof = self._stretches(score, SPOOF_BELOW)
        windows = np.array([(w.start, w.stop) for w in timeline.windows]) / SAMPLE_RATE
        return EntropyAnalysis(
            entropy=Track("entropy", bits, self.hop_s, self.start_s, "bits per frame", "frame entropy H_t"),
            score=Track("score", score, self.hop_s, self.start_s, "log10", "frame score, higher = bona fide"),
            window_scores=scores,
            window_times=windows.reshape(-1, 2),
            window_seconds=seconds,
            entropy_map=self.map,
            kl_nats_per_frame=float(means[2]),
            recon_mse=float(means[3]),
            mean_bits=float(means[0]),
            distance=population_distance(self.state_sum / max(self.state_weight, 1e-9), reference),
            low_runs=tuple(Run(*self._span(a, b), float(bits[a:b].mean())) for a, b in low),
            frame_spoof_runs=tuple(Region(*self._span(a, b), float(score[a:b].mean())) for a, b in spoof),
            own_window_scores=self.scores,
            own_window_seconds=own_seconds,
            member_scores={} if reading is None else reading.clip_members(self.detector.panel.names, seconds),
            trace_scores={} if reading is None else reading.clip_traces(seconds),
        )

    def _stretches(self, values: np.ndarray, threshold: float) -> list[tuple[int, int]]:
        """Frames [start, stop) where the smoothed curve is below `threshold`, long enough and mostly
        speech.
        """
        flags = smooth(values, round(SMOOTHING_S / self.hop_s)) < threshold
        found = stretches(
            flags, bridge=round(BRIDGE_S / self.hop_s), shortest=max(1, round(SHORTEST_S / self.hop_s))
        )
        return [(a, b) for a, b in found if self.speech[a:b].mean() >= SPEECH_SHARE]

    def _span(self, start: int, stop: int) -> tuple[float, float]:
        """Seconds that frames [start, stop) stand for: half a hop before the first centre to half
        after the last.
        """
        begin = max(0.0, self.start_s + (start - 0.5) * self.hop_s)
        return begin, min(self.recording.duration_s, self.start_s + (stop - 0.5) * self.hop_s)
