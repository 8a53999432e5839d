"""What the player draws of a recording as a whole: waveform peaks and a spectrogram, of bounded size.

However long the recording is, the result has at most ``MAX_COLUMNS`` columns, and it is computed block by
block, so an hour costs no more memory than a minute. The player computes the close view itself, from the
samples it plays, with the same window and the same scale. Nothing here is used as evidence; no analysis reads
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000
MAX_COLUMNS = 1_536  # columns of the overview, waveform and spectrogram alike
N_FFT = 512  # samples, 32 ms Hann window
N_ROWS = 128  # 62.5 Hz each, 0-8 kHz
FLOOR_DB = -110.0  # dB relative to a full-scale sine; byte 0
CEILING_DB = -20.0  # byte 255
_FRAMES_AT_A_TIME = 2_048
_MAX_FRAMES_PER_COLUMN = 8


@dataclass(frozen=True, eq=False)
class Overview:
    """The whole recording at a glance.

    peaks : np.ndarray [shape=(C, 2)] int8, lowest and highest sample per column, 127 = full scale
    image : np.ndarray [shape=(C, 128)] uint8, level per column and 62.5 Hz row, 0 = -110 dB, 255 = -20 dB re
    full scale
    column_s : duration of one column in seconds (columns tile the recording from 0)
    """

    peaks: np.ndarray
    image: np.ndarray
    column_s: float
    duration_s: float


def overview(samples: np.ndarray, *, max_columns: int = MAX_COLUMNS) -> Overview:
    """Peaks and spectrogram of a recording.

    samples : np.ndarray [shape=(n,)] mono float in [-1, 1] at 16 kHz; may be a memory map
    Returns an Overview with at most ``max_columns`` columns; columns last at least 5 ms.
    """
    n = len(samples)
    columns = int(min(max_columns, max(1, n // 80)))
    edges = np.linspace(0, n, columns + 1).astype(np.int64)
    return Overview(
        _peaks(samples, edges), _image(samples, edges), n / columns / SAMPLE_RATE, n / SAMPLE_RATE
    )


def _peaks(samples: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Lowest and highest sample between edges, (C, 2) int8; reads about a million samples at a time."""
    columns = len(edges) - 1
    out = np.zeros((columns, 2), np.int8)
    step = max(1, int(1_000_000 // max(1, edges[-1] // columns)))
    for first in range(0, columns, step):
        last = min(columns, first + step)
        block = np.asarray(samples[edges[first] : edges[last]], np.float32)
        if not len(block):
            continue
        starts = np.minimum(edges[first:last] - edges[first], len(block) - 1)
        out[first:last, 0] = _as_int8(np.minimum.reduceat(block, starts))
        out[first:last, 1] = _as_int8(np.maximum.reduceat(block, starts))
    return out


def _as_int8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values * 127.0), -127, 127).astype(np.int8)


def _image(samples: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Level in dB per column and row as bytes, (C, 128); a column longer than a window averages several
    frames.
    """
    columns = len(edges) - 1
    width = edges[-1] / columns
    per_column = int(np.clip(np.ceil(width / N_FFT), 1, _MAX_FRAMES_PER_COLUMN))
    inside = (np.arange(per_column) + 0.5) / per_column  # (K,)
    centres = (edges[:-1, None] + inside * np.diff(edges)[:, None]).astype(np.int64)  # (C, K)
    out = np.empty((columns, N_ROWS), np.uint8)
    step = max(1, _FRAMES_AT_A_TIME // per_column)
    for first in range(0, columns, step):
        chosen = centres[first : first + step]
        power = _frame_power(samples, chosen.reshape(-1)).reshape(*chosen.shape, N_ROWS).mean(axis=1)
        out[first : first + step] = to_bytes(power)
    return out


def _frame_power(samples: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Power relative to a full-scale sine in 128 rows for Hann frames around the given samples, (K, 128)
    float32.
    """
    low = max(0, int(centres.min()) - N_FFT // 2)
    high = min(len(samples), int(centres.max()) + N_FFT // 2)
    if high - low <= 8_000_000:
        block = np.zeros(int(centres.max() - centres.min()) + N_FFT, np.float32)
        offset = int(centres.min()) - N_FFT // 2
        block[low - offset : high - offset] = samples[low:high]
        frames = block[(centres - centres.min())[:, None] + np.arange(N_FFT)]  # (K, 512)
    else:  # frames far apart in a long recording: read each by itself rather than everything between them
        frames = np.zeros((len(centres), N_FFT), np.float32)
        for row, centre in zip(frames, centres, strict=True):
            start, stop = max(0, centre - N_FFT // 2), min(len(samples), centre + N_FFT // 2)
            row[start - (centre - N_FFT // 2) : stop - (centre - N_FFT // 2)] = samples[start:stop]
    window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1)[:, 1:]  # (K, 256), DC left out
    power = (np.abs(spectrum) / (window.sum() / 2)).astype(np.float32) ** 2
    return power.reshape(len(centres), N_ROWS, 2).max(axis=2)  # (K, 128)


def to_bytes(power: np.ndarray) -> np.ndarray:
    """Power re full scale as bytes on the decibel scale of the image."""
    level = 10.0 * np.log10(np.maximum(power, 1e-14))
    return np.clip(np.round((level - FLOOR_DB) * (255.0 / (CEILING_DB - FLOOR_DB))), 0, 255).astype(np.uint8)


def pcm16(samples: np.ndarray) -> bytes:
    """Samples as a 16-bit mono WAV file at 16 kHz, the working copy as it is played; clipped to full
    scale.
    """
    body = np.clip(np.round(np.asarray(samples, np.float32) * 32767.0), -32768, 32767).astype("<i2").tobytes()
    sizes = np.array([36 + len(body), 16, SAMPLE_RATE, 2 * SAMPLE_RATE, len(body)], "<u4")
    head = b"RIFF" + sizes[0].tobytes() + b"WAVEfmt " + sizes[1].tobytes() + np.array([1, 1], "<u2").tobytes()
    head += (
        sizes[2].tobytes()
        + sizes[3].tobytes()
        + np.array([2, 16], "<u2").tobytes()
        + b"data"
        + sizes[4].tobytes()
    )
    return head + body


@dataclass(frozen=True, eq=False)
class Pooled:
    """A curve of bounded length. ``low`` and ``high`` are None where nothing had to be pooled (factor 1)."""

    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    factor: int


def pool(values: np.ndarray, *, max_points: int = 12_000) -> Pooled:
    """Mean, least and greatest of every ``factor`` consecutive values so that at most ``max_points`` remain.

    values : np.ndarray [shape=(T,)], NaN where there is no value; a group of NaN only stays NaN.
    """
    values = np.asarray(values, np.float32)
    factor = -(-len(values) // max_points) if len(values) else 1
    if factor == 1:
        return Pooled(values, None, None, 1)
    padded = np.full(-(-len(values) // factor) * factor, np.nan, np.float32)
    padded[: len(values)] = values
    groups = padded.reshape(-1, factor)  # (C, factor)
    empty = np.isnan(groups).all(axis=1)
    filled = np.where(empty[:, None], 0.0, groups)
    out = [f(filled, axis=1).astype(np.float32) for f in (np.nanmean, np.nanmin, np.nanmax)]
    for array in out:
        array[empty] = np.nan
    return Pooled(*out, factor)


def pool_map(values: np.ndarray, *, max_columns: int = MAX_COLUMNS) -> tuple[np.ndarray, int]:
    """Mean over every ``factor`` consecutive frames of a map [shape=(T, D)]; returns ([C, D] float32,
    factor).
    """
    values = np.asarray(values)
    factor = max(1, -(-len(values) // max_columns))
    starts = np.arange(0, len(values), factor)
    sums = np.add.reduceat(values, starts, axis=0, dtype=np.float32)
    return sums / np.diff(np.append(starts, len(values)))[:, None], factor
