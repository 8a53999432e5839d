"""Hear a part of a recording alone or hear the rest without it, and score what is left.

A mask over time and frequency is applied to the short-time spectrum and the sound resynthesised. Removing part of a
spectrum makes sound that no detector was trained on, so what the removal does to the score is set beside what removing
the same shape does elsewhere in the same stretch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.attribute.problem import HOP, N_FFT, SAMPLE_RATE, istft, stft
from core.attribute.question import Posed
from core.attribute.run import Map
from core.errors import InvalidOption

CONTROLS = 6
SOFTENING = 1  # frames and bins over which a mask's edges are softened, each way


@dataclass(frozen=True)
class Box:
    """A rectangle on a map: seconds and Hz."""

    start_s: float
    stop_s: float
    low_hz: float
    high_hz: float


@dataclass(frozen=True, eq=False)
class Audition:
    """Part of a recording, and what its absence does.

    part, rest : samples [n] of the explained stretch, alone and without it; before, after : the score with and without
    it; alone : the score of the part alone; elsewhere : scores without the same shape elsewhere [CONTROLS]; share : of
    the stretch's energy in the part.
    """

    start_s: float
    part: np.ndarray
    rest: np.ndarray
    before: float
    after: float
    alone: float
    elsewhere: np.ndarray
    share: float
    unit: str

    @property
    def moved(self) -> float:
        return self.after - self.before

    @property
    def beyond_chance(self) -> bool:
        """Whether the score moves further than under every removal of the same shape elsewhere."""
        return bool(abs(self.moved) > np.abs(self.elsewhere - self.before).max(initial=0.0))


def box_mask(box: Box, start_s: float, n_samples: int) -> np.ndarray:
    """A box on the short-time spectrum of n samples from ``start_s``: (257, T) bool. Raises InvalidOption where the box
    has no area or lies outside."""
    times = start_s + np.arange(n_samples // HOP + 1) * HOP / SAMPLE_RATE
    hz = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    mask = ((hz >= box.low_hz) & (hz <= box.high_hz))[:, None] & ((times >= box.start_s) & (times < box.stop_s))[None]
    if not mask.any():
        raise InvalidOption("The box holds nothing: draw it over the map, at least 10 ms and 32 Hz wide.")
    return mask


def map_mask(given: Map, cells: np.ndarray, start_s: float, n_samples: int) -> np.ndarray:
    """Cells of a map, (R, C) bool, on the short-time spectrum of n samples from ``start_s``: (257, T) bool."""
    hz = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    rows = np.clip(np.searchsorted(given.edges_hz, hz, side="right") - 1, 0, cells.shape[0] - 1)
    times = start_s + np.arange(n_samples // HOP + 1) * HOP / SAMPLE_RATE
    columns = np.floor((times - given.start_s) / given.hop_s + 1e-6).astype(int)
    inside = (columns >= 0) & (columns < cells.shape[1])
    return cells[rows[:, None], np.clip(columns, 0, cells.shape[1] - 1)[None]] & inside[None]


def split(samples: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the masked part, the rest) of samples [n] by their short-time spectrum; they add up to the samples."""
    import torch

    wav = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None]
    gain = torch.from_numpy(_softened(mask).astype(np.float32))
    part = istft(stft(wav) * gain, wav.shape[-1])[0].numpy()
    return part, (samples - part).astype(np.float32)


def _softened(mask: np.ndarray) -> np.ndarray:
    """Edges of a mask (F, T) spread over neighbouring bins and frames."""
    width = 2 * SOFTENING + 1
    gain = mask.astype(np.float64)
    for axis in (0, 1):
        padded = np.pad(gain, [(SOFTENING, SOFTENING) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        gain = sum(np.take(padded, np.arange(i, i + gain.shape[axis]), axis=axis) for i in range(width)) / width
    return gain


def audition(posed: Posed, mask: np.ndarray, samples: np.ndarray, *, whole: float | None = None,
             seed: int = 0) -> Audition:
    """Take a mask (257, T) out of the explained stretch, samples [n] from the first explained window's start.

    whole : the score of the whole recording, of which the explained windows are a part; theirs alone for None.
    """
    part, rest = split(samples, mask)
    others = [split(samples, m)[1] for m in _elsewhere(mask, seed)]
    with posed.scorer.lock:  # once: whoever listens shouldn't wait anew for every score behind a map's tests
        explained, without, alone, *elsewhere = (score_of(posed, sound) for sound in (samples, rest, part, *others))
    whole = explained if whole is None else whole
    total = float(np.sum(np.square(samples, dtype=np.float64))) or 1.0
    return Audition(posed.span_s[0], part, rest, whole, whole + without - explained, whole + alone - explained,
                    whole + np.array(elsewhere) - explained, float(np.sum(np.square(part, dtype=np.float64))) / total,
                    posed.unit)


def score_of(posed: Posed, samples: np.ndarray) -> float:
    """The explained windows' score for other samples [n] of the same stretch, through the whole front end."""
    import torch

    first, total = posed.windows[0].start, 0.0
    spans = [(w.start - first, w.stop - first) for w in posed.windows]
    changed = posed.with_sound(lambda i, _: samples[spans[i][0] : spans[i][1]])
    with posed.scorer.lock, torch.no_grad():
        for problem in changed.problems:
            total += float(problem.score(problem.x)[0])
    return total


def _elsewhere(mask: np.ndarray, seed: int) -> list[np.ndarray]:
    """The same shape at other moments: the mask moved around in time, never by less than a tenth of the stretch."""
    rng = np.random.default_rng(seed)
    n = mask.shape[1]
    least = max(1, n // 10)
    return [np.roll(mask, int(s), axis=1) for s in rng.integers(least, max(least + 1, n - least), CONTROLS)]
