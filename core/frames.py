"""Time geometry: windows, tracks, and the arithmetic between samples, frames and seconds.

All pure functions; no audio, no network. Sample counts are at 16 kHz unless a rate is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000  # Hz, the one internal rate


@dataclass(frozen=True)
class Window:
    """A stretch of samples [start, stop) that is encoded in one go; ``index`` is its place in the plan."""

    index: int
    start: int
    stop: int

    @property
    def n_samples(self) -> int:
        return self.stop - self.start


def plan_windows(n_samples: int, *, window: int = 64_000, min_window: int = 8_000) -> tuple[Window, ...]:
    """Cover ``n_samples`` with consecutive windows of ``window`` samples (default 4 s, least 0.5 s).

    A remainder of at least ``min_window`` becomes a shorter last window. A shorter remainder is covered by
    one more full window moved back to end at ``n_samples`` (it overlaps its predecessor). A recording no
    longer than one window is one window as it is. Zero samples give no window.

    Raises ValueError for a negative length or window sizes that make no sense.
    """
    if n_samples < 0 or window < 1 or not 0 < min_window <= window:
        raise ValueError(f"cannot plan windows: {n_samples=}, {window=}, {min_window=}")
    if n_samples == 0:
        return ()
    if n_samples <= window:
        return (Window(0, 0, n_samples),)
    bounds = [(start, start + window) for start in range(0, n_samples - window + 1, window)]
    remainder = n_samples - bounds[-1][1]
    if remainder >= min_window:
        bounds.append((bounds[-1][1], n_samples))
    elif remainder:
        bounds.append((n_samples - window, n_samples))
    return tuple(Window(i, start, stop) for i, (start, stop) in enumerate(bounds))


@dataclass(frozen=True, eq=False)
class Track:
    """Values over time with a unit and a hop.

    values : np.ndarray [shape=(T,)]; hop_s : seconds between frames; start_s : time of the CENTRE of frame 0.
    """

    name: str
    values: np.ndarray
    hop_s: float
    start_s: float = 0.0
    unit: str = ""
    description: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def times_s(self) -> np.ndarray:
        """Centres of the frames in seconds, shape (T,), float64."""
        return self.start_s + self.hop_s * np.arange(len(self.values))

    def at(self, t: float):
        """Value of the frame whose centre is nearest to ``t`` seconds (the ends hold beyond the track)."""
        if not len(self.values):
            raise ValueError(f"the track {self.name!r} is empty")
        index = math.floor((t - self.start_s) / self.hop_s + 0.5)
        return self.values[min(max(index, 0), len(self.values) - 1)]

    def slice(self, t0: float, t1: float) -> Track:
        """The frames whose centres lie in [t0, t1), as a track of its own (possibly empty)."""
        first = min(max(_ceil((t0 - self.start_s) / self.hop_s), 0), len(self.values))
        last = min(max(_ceil((t1 - self.start_s) / self.hop_s), first), len(self.values))
        return Track(self.name, self.values[first:last], self.hop_s, self.start_s + first * self.hop_s,
                     self.unit, self.description)


def _ceil(x: float) -> int:
    """Ceiling that forgives rounding in the last digits (0.06 / 0.02 is 3, not 4)."""
    nearest = round(x)
    return nearest if abs(x - nearest) < 1e-9 * max(1.0, abs(x)) else math.ceil(x)


def seconds_to_samples(seconds: float, rate: int = SAMPLE_RATE) -> int:
    """Index of the sample nearest to a time."""
    return math.floor(seconds * rate + 0.5)


def samples_to_seconds(samples: int, rate: int = SAMPLE_RATE) -> float:
    """Time of a sample."""
    return samples / rate


def frames_in(n_samples: int, hop: int = 320) -> int:
    """Whole frames of ``hop`` samples in ``n_samples`` (the last incomplete one is dropped)."""
    return n_samples // hop


def frame_to_samples(frame: int, hop: int = 320) -> tuple[int, int]:
    """The samples [start, stop) that a frame stands for."""
    return frame * hop, (frame + 1) * hop


def sample_to_frame(sample: int, hop: int = 320) -> int:
    """The frame in which a sample lies."""
    return sample // hop


def frame_centre_s(frame: int, hop: int = 320, rate: int = SAMPLE_RATE) -> float:
    """Time of the centre of a frame, in seconds."""
    return (frame + 0.5) * hop / rate


def format_time(seconds: float) -> str:
    """``m:ss.mmm`` (minutes not padded, an hour reads 60:00.000); rounds to the nearest millisecond."""
    if not math.isfinite(seconds):
        return "-:--.---"
    total_ms = math.floor(abs(seconds) * 1000 + 0.5)
    minutes, ms = divmod(total_ms, 60_000)
    sign = "-" if seconds < 0 and total_ms else ""
    return f"{sign}{minutes}:{ms // 1000:02d}.{ms % 1000:03d}"
