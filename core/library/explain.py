"""What mattered in a comparison: which reference, by how much, and how two recordings differ to the ear's instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.library import Clip, LibraryError
from core.library.compare import Query, View

if TYPE_CHECKING:
    from core.calibrate import Llr
    from core.detectors.rad import RetrievalDetector, ViewScore

BANDS, FFT, HOP = 64, 1024, 320
FLOOR_DB = -90.0


@dataclass(frozen=True)
class Influence:
    """One reference: its share of the attention, and how the score moves when it is taken out (None where it can't)."""

    clip: Clip
    attention: float
    change: float | None


@dataclass(frozen=True)
class Scored:
    """One detector's answer for one view: its raw score and its calibrated log10 LR; or why there is none."""

    detector: str
    title: str
    score: float | None
    llr: Llr | None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        llr = (
            None
            if self.llr is None
            else {"value": self.llr.value, "low": self.llr.low, "high": self.llr.high, "bounded": self.llr.bounded}
        )
        return {"detector": self.detector, "score": self.score, "llr_log10": llr, "problem": self.problem}


def score(detector: RetrievalDetector, query: Query, view: View) -> Scored:
    """A detector's answer for a view; a view that leaves nothing to compare with gives the reason instead."""
    try:
        found = detector.score_view(query, view)
    except LibraryError as problem:
        return Scored(detector.name, detector.title, None, None, problem.message)
    return Scored(detector.name, detector.title, found.score, detector.calibration.apply(found.score))


def attention_by_clip(found: ViewScore, query: Query, view: View) -> list[tuple[Clip, float]]:
    """Attention of each retrieved clip, most first; sums to 1. A neighbour's share is split evenly over its layers."""
    if found.weights is None or found.rows is None:
        return []
    segments, shares = view.searcher.segments, {}
    seconds = np.array([query.windows[i].n_samples for i in query.lasting], np.float64)
    for window, share in enumerate(seconds / seconds.sum()):
        for rank, rows in enumerate(found.rows[window]):
            for row in rows[rows >= 0]:
                owner = int(segments.owner[row])
                shares[owner] = shares.get(owner, 0.0) + share * float(found.weights[window, rank]) / len(rows)
    order = sorted(shares, key=lambda i: (-shares[i], i))
    return [(segments.clips[i], shares[i]) for i in order]


def influences(detector: RetrievalDetector, query: Query, view: View, most: int = 12) -> list[Influence]:
    """The references that mattered most, each with the change of the score when it alone is taken out."""
    whole = detector.score_view(query, view)
    found = []
    for clip, share in attention_by_clip(whole, query, view)[:most]:
        try:
            rest = detector.score_view(query, replace(view, without=view.without | {clip.sha256}))
            found.append(Influence(clip, share, rest.score - whole.score))
        except LibraryError:
            found.append(Influence(clip, share, None))
    return found


def band_levels(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(levels in dB [T, 64], centres in Hz [64]) of mono samples at 16 kHz: 64 ms windows every 20 ms, 125 Hz bands."""
    x = np.pad(np.asarray(samples, np.float32), (0, max(0, FFT - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(x, FFT)[::HOP] * np.hanning(FFT).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1))[:, 1:] ** 2  # (T, 512)
    bands = power.reshape(len(power), BANDS, -1).mean(2)
    width = 8000 / BANDS
    return np.maximum(10 * np.log10(bands + 1e-12), FLOOR_DB), (np.arange(BANDS) + 0.5) * width


def long_term(levels: np.ndarray) -> np.ndarray:
    """Mean level of each band over the louder half of the frames, less the mean of all bands: [T, B] -> [B]."""
    loud = levels[levels.mean(1) >= np.median(levels.mean(1))]
    mean = 10 * np.log10(np.mean(10 ** (loud / 10), axis=0) + 1e-12)
    return mean - mean.mean()


def tally(clips: Sequence[Clip]) -> str:
    """``7 bona fide, 3 spoofed`` for some clips."""
    bona = sum(c.bonafide for c in clips)
    return f"{bona} bona fide, {len(clips) - bona} spoofed"
