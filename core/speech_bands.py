"""Short-time band powers and tonal persistence: the two measurements from which the quality checks are made.

Own vectorised framing and real FFTs, in blocks, so that a minute costs milliseconds and an hour stays small.
Nothing here decides anything.
"""

from __future__ import annotations

import numpy as np

from core.frames import SAMPLE_RATE

HOP = 320              # samples, 20 ms
N_FFT = 512            # 32 ms
# FFT bins (31.25 Hz each) at which the 25 bands begin and end: 94 Hz to 8 kHz, a third of an octave and less
BAND_EDGES = np.array([3, 5, 7, 9, 11, 13, 15, 18, 21, 24, 28, 32, 37, 43, 50, 58, 67, 78, 90, 105, 122, 142,
                       165, 192, 224, 257])
SPEECH_BANDS = slice(1, 18)   # 156 Hz to 2.8 kHz: present even in telephone speech
_BLOCK = 256

TONAL_HOP = 1024       # samples, 64 ms
_TONAL_N = 1024        # samples at 8 kHz, 128 ms
_TONAL_BINS = slice(10, 390)  # 78 Hz to 3 kHz
_TONAL_LAG = 2         # frames; the two frames that are compared don't overlap


def _frames(samples: np.ndarray, first: int, count: int, size: int, hop: int) -> np.ndarray:
    """``count`` frames from sample ``first`` on (may be negative), zeros outside, (count, size)."""
    stop = first + (count - 1) * hop + size
    part = np.asarray(samples[max(0, first): max(0, min(stop, len(samples)))], dtype=np.float32)
    if first < 0 or stop > len(samples):
        part = np.pad(part, (max(0, -first), stop - max(first, 0) - len(part)))
    return np.lib.stride_tricks.sliding_window_view(part, size)[::hop]


def band_power(samples: np.ndarray) -> np.ndarray:
    """Mean-square value per band and 20 ms frame.

    samples : np.ndarray [shape=(n,)] mono float32 at 16 kHz
    Returns float32 [shape=(T, 25)], T = max(1, n // 320); frame t is centred at (t + 0.5) * 20 ms, and the
    sum over bands is the mean square of the signal between 94 Hz and 8 kHz (a full-scale sine has 0.5).
    """
    from scipy.fft import rfft

    window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    scale = 2.0 / (N_FFT * float((window**2).sum()))
    total = max(1, len(samples) // HOP)
    power = np.empty((total, len(BAND_EDGES) - 1), np.float32)
    for start in range(0, total, _BLOCK):
        count = min(_BLOCK, total - start)
        frames = _frames(samples, start * HOP + (HOP - N_FFT) // 2, count, N_FFT, HOP)  # (c, 512)
        spectrum = rfft(frames * window, axis=1)  # (c, 257)
        squared = spectrum.real**2 + spectrum.imag**2
        power[start : start + count] = np.add.reduceat(squared, BAND_EDGES[:-1], axis=1)
    return power * np.float32(scale)


def fine_structure_tracks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tonal persistence and harmonicity, one value each per 64 ms.

    persistence : correlation of two adjoining 128 ms spectra (78 Hz to 3 kHz, fourth root of the power,
        broad shape taken away), -1 to 1: near 1 for tones and chords, near 0 for noise, mostly below 0.75 for
        speech, whose harmonics move.
    harmonicity : strongest period of the fine structure below 1.5 kHz that belongs to a pitch of 65 to
        420 Hz, relative to the mean over all periods: 5 to 10 for noise, over 15 for voiced speech.
    Returns two float32 arrays [shape=(K,)] and [shape=(K + 2,)], K >= 1.
    """
    from scipy.fft import rfft

    window = np.hanning(_TONAL_N + 1)[:-1].astype(np.float32)
    total = max(_TONAL_LAG + 1, 1 + (len(samples) - 2 * _TONAL_N) // TONAL_HOP)
    persistence = np.empty(total - _TONAL_LAG, np.float32)
    harmonicity = np.empty(total, np.float32)
    before = np.zeros((0, 0), np.float32)  # the last two rows of the block before
    for start in range(0, total, _BLOCK):
        count = min(_BLOCK, total - start)
        size = (count - 1) * TONAL_HOP + 2 * _TONAL_N
        half = _frames(samples, start * TONAL_HOP, 1, size, size)[0].reshape(-1, 2).mean(axis=1)  # 8 kHz
        frames = np.lib.stride_tricks.sliding_window_view(half, _TONAL_N)[:: TONAL_HOP // 2]  # (c, 1024)
        fine = _fine_structure(rfft(frames * window, axis=1)[:, _TONAL_BINS])  # (c, 366)
        harmonicity[start : start + count] = _harmonicity(fine)
        joined = np.concatenate([before, fine]) if start else fine
        first = max(0, start - _TONAL_LAG)
        persistence[first : start + count - _TONAL_LAG] = np.einsum("ij,ij->i", joined[:-_TONAL_LAG],
                                                                    joined[_TONAL_LAG:])
        before = joined[-_TONAL_LAG:]
    return persistence, harmonicity


def _harmonicity(fine: np.ndarray, width: int = 180, size: int = 512) -> np.ndarray:
    """Peak of the spectrum of the fine structure in the range of speaking pitches over its mean, (c,)."""
    from scipy.fft import rfft

    spectrum = rfft(fine[:, :width] * np.hanning(width).astype(np.float32), size, axis=1)  # (c, 257)
    power = spectrum.real**2 + spectrum.imag**2
    period_s = np.arange(power.shape[1]) / size / (SAMPLE_RATE / 2 / _TONAL_N)
    pitches = (period_s > 1 / 420) & (period_s < 1 / 65)
    return power[:, pitches].max(axis=1) / (power.mean(axis=1) + 1e-12)


def _fine_structure(spectrum: np.ndarray, width: int = 15) -> np.ndarray:
    """Compressed magnitudes minus their running mean over 15 bins, unit length per row, (c, bins - 14)."""
    magnitude = np.sqrt(np.sqrt(spectrum.real**2 + spectrum.imag**2))
    sums = np.cumsum(np.pad(magnitude, ((0, 0), (1, 0))), axis=1)
    smooth = (sums[:, width:] - sums[:, :-width]) / width
    fine = magnitude[:, width // 2 : width // 2 + smooth.shape[1]] - smooth
    return fine / (np.sqrt((fine**2).sum(axis=1, keepdims=True)) + 1e-9)


def frame_of_tonal(n_frames: int, n_tonal: int) -> np.ndarray:
    """For each 20 ms frame the index of the 64 ms value nearest to it, int [shape=(n_frames,)].

    The first value lies at its frame's or pair of frames' centre, and there are as many as fit.
    """
    span = n_frames * HOP - (n_tonal - 1) * TONAL_HOP  # samples covered by one value
    centre = (np.arange(n_frames) + 0.5) * HOP
    return np.clip(np.rint((centre - span / 2) / TONAL_HOP).astype(int), 0, n_tonal - 1)
