"""Voice activity without regard to whose voice: frame energy, and Silero's detector where it is installed.

Both are references beside the speaker's gate, on the same axis of 10 ms frames. What is speech for the quality checks
is for `core.quality`, whose detector looks for voicing too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from core.frames import SAMPLE_RATE, Track

HOP = 160  # samples, 10 ms
WINDOW = 400  # samples, 25 ms
RANGE_DB = 30.0  # below the loud frames' level a frame counts as a pause
FLOOR_DBFS = -60.0
LOUD = 0.95  # quantile of the frame levels that counts as loud
_BLOCK = 60_000  # frames at a time
SILERO, PROBABLE = "silero-vad", 0.5
_MINUTE, _LEAD = 6_016, 192  # frames; whole chunks of 512 samples


def frame_levels(samples: np.ndarray) -> np.ndarray:
    """Level in dB re full scale of 25 ms around every tenth millisecond.

    samples : np.ndarray [shape=(n,)] mono float at 16 kHz. Returns float32 [shape=(n // 160,)]; frame t is centred on
    sample 160 t, zeros beyond the ends.
    """
    total = len(samples) // HOP
    levels = np.empty(total, np.float32)
    for first in range(0, total, _BLOCK):
        last = min(total, first + _BLOCK)
        start, stop = first * HOP - WINDOW // 2, (last - 1) * HOP + WINDOW // 2
        part = np.asarray(samples[max(0, start) : min(stop, len(samples))], np.float64)
        part = np.pad(part, (max(0, -start), max(0, stop - len(samples))))
        sums = np.concatenate(([0.0], np.cumsum(part * part)))
        begins = np.arange(last - first) * HOP
        power = (sums[begins + WINDOW] - sums[begins]) / WINDOW
        levels[first:last] = 10 * np.log10(np.maximum(power, 1e-12))
    return levels


def energy_speech(samples: np.ndarray) -> np.ndarray:
    """1 where a 10 ms frame is at most 30 dB below the loud ones and above -60 dBFS. [n] -> float32 [n // 160]."""
    levels = frame_levels(samples)
    if not levels.size:
        return levels
    limit = max(float(np.quantile(levels, LOUD)) - RANGE_DB, FLOOR_DBFS)
    return (levels > limit).astype(np.float32)


def energy_track(samples: np.ndarray) -> Track:
    """`energy_speech` with its time geometry."""
    return Track("energy", energy_speech(samples), HOP / SAMPLE_RATE, 0.0, "", "1 where the level is that of speech")



def silero_track(samples: np.ndarray) -> tuple[Track | None, str]:
    """Silero's speech decisions on the grid of `energy_speech`, or None and why there are none.

    Heard in minutes, each with the two seconds before it, so that an hour takes no more memory.
    """
    import torch

    network = _silero()
    if network is None:
        return None, "Silero's voice activity detector isn't installed, so it isn't shown."
    from models.silero import at_frames

    out = np.zeros(len(samples) // HOP, np.float32)
    for first in range(0, len(out), _MINUTE):
        last, before = min(len(out), first + _MINUTE), max(0, first - _LEAD)
        part = np.array(samples[before * HOP : last * HOP], np.float32)
        with torch.inference_mode():
            heard = at_frames(network(torch.from_numpy(part)[None]), last - before)[0].numpy()
        out[first:last] = heard[first - before :] >= PROBABLE
    return Track("silero", out, HOP / SAMPLE_RATE, 0.0, "", "1 where Silero hears speech"), ""


@lru_cache(maxsize=1)
def _silero() -> Any | None:
    """The shipped network, or None where it is missing or damaged."""
    from safetensors import SafetensorError

    from models.registry import WEIGHTS
    from models.silero import load_silero

    try:
        return load_silero(WEIGHTS / SILERO)
    except (OSError, ValueError, SafetensorError):
        return None
