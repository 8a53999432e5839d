"""Scores of many recordings at once: windows of different files share a batch, and nothing is kept but the
score.

For lists and folders. The windows, the rounding of the states to fp16, the heads and the rule that makes one
score of a recording are those of `core.encode` and `core.entropy`, so a table says what an examination says;
curves, mel and reconstruction are left out. While the device works, the caller's iterator may decode ahead.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.encode import BATCH, FP16_MAX
from core.entropy import clip_score, population_distance, speech_weights
from core.errors import UnreadableAudio
from core.frames import SAMPLE_RATE, Window, plan_windows
from core.panel import read_panel
from core.timeline import Timeline

if TYPE_CHECKING:
    from core.audio import Recording
    from core.entropy import Region
    from core.quality import Quality
    from models.registry import Detector

BATCH_CUDA = 64  # windows; a large device is idle with fewer
WAITING = 4 * BATCH_CUDA  # windows held back at most until their batch is full


@dataclass(frozen=True, eq=False)
class ClipEvidence:
    """What `core.finding.conclude` needs of a recording, in the shapes of `EntropyAnalysis`; no regions."""

    window_scores: np.ndarray
    window_times: np.ndarray
    window_seconds: np.ndarray
    distance: float
    seconds: float  # its share of the time that its batches took
    frame_spoof_runs: tuple[Region, ...] = ()
    member_scores: Mapping[str, float] = field(default_factory=dict)
    trace_scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def clip_score(self) -> float:
        """The detector's raw score of the whole recording, higher = bona fide."""
        return clip_score(self.window_scores, self.window_seconds)


@dataclass(eq=False)
class _Clip:
    """A recording on its way."""

    key: Hashable
    recording: Recording
    quality: Quality
    timeline: Timeline
    speech: np.ndarray  # weight of each frame, [T]
    scores: np.ndarray  # [W]
    state_sum: np.ndarray  # [F]
    missing: int
    seconds: float = 0.0
    problem: Exception | None = None
    window_speech: np.ndarray = field(default_factory=lambda: np.zeros(0))


def batch_size(detector: Detector) -> int:
    """Windows in a full batch on this detector's device."""
    return BATCH_CUDA if detector.device.type == "cuda" else BATCH


def score_many(
    items: Iterable[tuple[Hashable, Recording, Quality]], detector: Detector
) -> Iterator[tuple[Hashable, ClipEvidence | Exception]]:
    """(key, evidence or the exception that this recording met), in the order of the items."""
    size, line = batch_size(detector), deque()
    buckets: dict[int, list[tuple[_Clip, Window]]] = defaultdict(list)
    for key, recording, quality in items:
        try:
            clip = _plan(key, recording, quality, detector)
        except UnreadableAudio as problem:
            line.append((key, problem))
        else:
            line.append((key, clip))
            for window in clip.timeline.windows:
                bucket = buckets[window.n_samples]
                bucket.append((clip, window))
                if len(bucket) >= size:
                    _run(buckets.pop(window.n_samples), detector)
        while sum(map(len, buckets.values())) > WAITING:
            _run(buckets.pop(next(iter(buckets))), detector)
        yield from _ready(line, detector)
    for bucket in buckets.values():
        _run(bucket, detector)
    yield from _ready(line, detector)


def _plan(key: Hashable, recording: Recording, quality: Quality, detector: Detector) -> _Clip:
    encoder = detector.network.encoder
    windows = plan_windows(len(recording.samples))
    counts = [encoder.n_frames(w.n_samples) for w in windows]
    if not windows or min(counts) < 1:
        raise UnreadableAudio(
            "The recording is too short for the detector; use a longer one.", code="too-short"
        )
    timeline = Timeline.plan(windows, counts, encoder.hop_s)
    speech = speech_weights(quality, timeline.n_frames, encoder.hop_s, encoder.start_s)
    scores, states = np.zeros(len(windows)), np.zeros(encoder.n_features)
    return _Clip(key, recording, quality, timeline, speech, scores, states, len(windows))


def _run(bucket: list[tuple[_Clip, Window]], detector: Detector) -> None:
    """One batch; where it fails, its windows one by one, so that only the culprit's recording has a
    problem.
    """
    began = time.perf_counter()
    try:
        _forward(bucket, detector)
    except Exception as problem:
        if len(bucket) == 1:
            bucket[0][0].problem = problem
            bucket[0][0].missing -= 1
        else:
            for item in bucket:
                _run([item], detector)
        return
    for clip, _ in bucket:
        clip.seconds += (time.perf_counter() - began) / len(bucket)
        clip.missing -= 1


def _forward(bucket: list[tuple[_Clip, Window]], detector: Detector) -> None:
    """Windows of equal length through encoder and heads; fills the clips' scores and state sums."""
    import torch

    network, device = detector.network, detector.device
    samples = np.stack([clip.recording.samples[w.start : w.stop] for clip, w in bucket])
    weights = np.stack([_fresh_speech(clip, w) for clip, w in bucket])
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    with detector.lock, torch.inference_mode():
        wav = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)).to(device)  # (B, N)
        with autocast:
            states = network.encode(wav)  # (B, L, T, F)
        states = states.clamp(-FP16_MAX, FP16_MAX).half().float()
        out = network.analyse(states)
        sums = torch.einsum("bt,btf->bf", torch.from_numpy(weights).float().to(device), out.aggregated)
        results = torch.cat([out.clip_logit.float()[:, None], sums.float()], dim=1).float().cpu().numpy()  # (B, 1 + F)
    for (clip, window), row in zip(bucket, results, strict=True):
        clip.scores[window.index] = row[0]
        clip.state_sum += row[1:]


def _fresh_speech(clip: _Clip, window: Window) -> np.ndarray:
    """Speech weight of a window's frames, 0 for those that an earlier window covers, [T]."""
    t, i = clip.timeline, window.index
    weights = clip.speech[t.first[i] : t.first[i] + t.counts[i]].copy()
    weights[: t.fresh[i]] = 0.0
    return weights


def _ready(line: deque, detector: Detector) -> Iterator[tuple[Hashable, Any]]:
    """Whatever is finished at the head of the line."""
    while line and (isinstance(line[0][1], Exception) or line[0][1].missing == 0):
        key, clip = line.popleft()
        yield key, clip if isinstance(clip, Exception) else (clip.problem or _evidence(clip, detector))


def _evidence(clip: _Clip, detector: Detector) -> ClipEvidence:
    began = time.perf_counter()
    reading = read_panel(clip.recording, detector)
    timeline = clip.timeline if reading is None else reading.timeline
    windows = np.array([(w.start, w.stop) for w in timeline.windows]) / SAMPLE_RATE
    mean = clip.state_sum / max(float(clip.speech.sum()), 1e-9)
    if reading is None:
        seconds = timeline.speech_seconds(clip.speech, detector.network.encoder.hop_s)
    else:
        seconds = reading.speech_seconds(clip.speech)
    return ClipEvidence(
        window_scores=clip.scores if reading is None else reading.scores,
        window_times=windows.reshape(-1, 2),
        window_seconds=seconds,
        member_scores={} if reading is None else reading.clip_members(detector.panel.names, seconds),
        trace_scores={} if reading is None else reading.clip_traces(seconds),
        distance=population_distance(mean, detector.deciding_reference),
        seconds=clip.seconds + time.perf_counter() - began,
    )
