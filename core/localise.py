"""How well frame scores find the synthetic stretch: errors weighed by the time they last.

Range-based EER (L. Zhang, X. Wang, E. Cooper, N. Evans, J. Yamagishi, "Range-based equal error rate for spoof
localization", Interspeech 2023): instead of counting frames, whose labels at a boundary are ambiguous and
whose number depends on the hop, the durations of falsely accepted and falsely rejected time are integrated
against the exact reference boundaries. The paper searches the threshold; with constant scores inside a frame
the curve is a weighted DET curve and the result is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from core.det import eer

Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Frame scores of one recording beside the truth.

    scores: [T], higher = bona fide; frame t covers [t hop_s, (t+1) hop_s), the last one up to `duration_s`.
    spoof_spans: exact (start_s, stop_s) of the synthetic stretches; duration_s: length of the recording.
    """

    scores: np.ndarray
    hop_s: float
    spoof_spans: Sequence[Span]
    duration_s: float

    def seconds(self) -> tuple[np.ndarray, np.ndarray]:
        """Bona fide and spoofed seconds under each frame, [T] and [T]; together they are the duration."""
        n = len(self.scores)
        if n == 0 or self.hop_s <= 0 or self.duration_s <= 0:
            raise ValueError("frame scores need at least one frame, a hop and a duration")
        edges = np.minimum(np.arange(n + 1) * self.hop_s, self.duration_s)
        edges[-1] = self.duration_s
        edges = np.maximum.accumulate(np.clip(edges, 0.0, self.duration_s))
        total = np.diff(edges)
        spoof = np.zeros(n)
        for start, stop in merge_spans(self.spoof_spans):
            spoof += np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0.0, None)
        return np.maximum(total - spoof, 0.0), spoof


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, overlapping ones joined. Raises ValueError where a span ends before it starts."""
    merged: list[Span] = []
    for start, stop in sorted((float(a), float(b)) for a, b in spans):
        if stop < start:
            raise ValueError(f"a span ends ({stop} s) before it starts ({start} s)")
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _pooled(recordings: Iterable[FrameScores]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scores, bona fide seconds, spoofed seconds) of all frames of all recordings."""
    rows = [(np.asarray(r.scores, dtype=np.float64).reshape(-1), *r.seconds()) for r in recordings]
    if not rows:
        raise ValueError("no recordings")
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]


def range_eer(recordings: Iterable[FrameScores]) -> tuple[float, float]:
    """Range-based EER (0..1) and its threshold, pooled over recordings. ValueError where a class has
    no time.
    """
    scores, bona_s, spoof_s = _pooled(recordings)
    b, s = bona_s > 0, spoof_s > 0
    return eer(scores[b], scores[s], weights_bonafide=bona_s[b], weights_spoof=spoof_s[s], merge_ties=True)


def range_f1(recordings: Iterable[FrameScores], threshold: float) -> dict[str, float]:
    """Precision, recall and F1 of "spoofed where score < threshold", in seconds (NaN where undefined)."""
    scores, bona_s, spoof_s = _pooled(recordings)
    called = scores < threshold
    hit, false_alarm, missed = spoof_s[called].sum(), bona_s[called].sum(), spoof_s[~called].sum()

    def ratio(a: float, b: float) -> float:
        return float(a / b) if b > 0 else float("nan")

    return {
        "precision": ratio(hit, hit + false_alarm),
        "recall": ratio(hit, hit + missed),
        "f1": ratio(2 * hit, 2 * hit + false_alarm + missed),
    }
