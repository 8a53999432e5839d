"""From windows to one time axis, and from curves to stretches. Pure functions over arrays; no network.

Windows are encoded one by one; their frames are laid on one grid of hops. Where the last window overlaps its
predecessor the earlier value stays; a frame that no window gives (some encoders lose one per window) repeats
the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.frames import SAMPLE_RATE, Track, Window


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where each window's frames go. first: grid frame of each window's frame 0; n_frames: of the
    whole grid.
    """

    windows: tuple[Window, ...]
    first: tuple[int, ...]
    fresh: tuple[int, ...]
    counts: tuple[int, ...]
    n_frames: int

    @classmethod
    def plan(cls, windows: Sequence[Window], counts: Sequence[int], hop_s: float) -> Timeline:
        """windows in order of time with `counts` frames each. `fresh` is each one's first uncovered frame."""
        hop = hop_s * SAMPLE_RATE
        first = [round(w.start / hop) for w in windows]
        ends = np.maximum.accumulate([f + n for f, n in zip(first, counts, strict=True)]) if windows else []
        before = [0, *ends[:-1]]
        fresh = [min(max(0, int(b) - f), n) for f, b, n in zip(first, before, counts, strict=True)]
        return cls(
            tuple(windows), tuple(first), tuple(fresh), tuple(counts), int(ends[-1]) if len(ends) else 0
        )

    def speech_seconds(self, speech: np.ndarray, hop_s: float) -> np.ndarray:
        """Seconds of speech that each window alone stands for, [W]; `speech` is the weight of each
        frame, [T].
        """
        total = np.concatenate(([0.0], np.cumsum(speech)))
        first = np.array(self.first)
        return (total[first + np.array(self.counts)] - total[first + np.array(self.fresh)]) * hop_s

    def put(self, grid: np.ndarray, index: int, values: np.ndarray) -> None:
        """Lay the values of window `index`, [counts, ...], on the grid [n_frames, ...]; earlier
        values stay.
        """
        skip, count = self.fresh[index], self.counts[index]
        start = self.first[index] + skip
        grid[start : self.first[index] + count] = values[skip:count]
        gap = self.first[index] - self._end_before(index)
        if gap > 0 and self.first[index] > 0:
            grid[self.first[index] - gap : self.first[index]] = grid[self.first[index] - gap - 1]

    def _end_before(self, index: int) -> int:
        return self.first[index - 1] + self.counts[index - 1] if index else 0

    def windows_between(self, t0: float, t1: float) -> list[int]:
        """Indices of the windows that share samples with [t0, t1) seconds."""
        return [w.index for w in self.windows if w.start < t1 * SAMPLE_RATE and w.stop > t0 * SAMPLE_RATE]


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Centred moving average over `width` frames; at the ends over those there are. [T] -> [T] float64."""
    values = np.asarray(values, dtype=np.float64)
    if width <= 1 or values.size == 0:
        return values
    total = np.concatenate(([0.0], np.cumsum(values)))
    centre = np.arange(values.size)
    low, high = np.maximum(centre - width // 2, 0), np.minimum(centre + width // 2 + 1, values.size)
    return (total[high] - total[low]) / (high - low)


def stretches(flags: np.ndarray, *, bridge: int = 0, shortest: int = 1) -> list[tuple[int, int]]:
    """[start, stop) of the runs of true flags; gaps of up to `bridge` frames are closed, short runs
    dropped.
    """
    padded = np.concatenate(([False], np.asarray(flags, dtype=bool), [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)
    joined: list[list[int]] = []
    for start, stop in edges.tolist():
        if joined and start - joined[-1][1] <= bridge:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return [(a, b) for a, b in joined if b - a >= shortest]


def sample_track(track: Track, times_s: np.ndarray) -> np.ndarray:
    """Values of a track at the frames nearest to `times_s`; the ends hold beyond it. Raises
    ValueError if empty.
    """
    if len(track.values) == 0:
        raise ValueError(f"the track {track.name!r} is empty")
    index = np.floor((times_s - track.start_s) / track.hop_s + 0.5).astype(np.int64)
    return np.asarray(track.values)[np.clip(index, 0, len(track.values) - 1)]
