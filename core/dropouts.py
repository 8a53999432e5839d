"""Stretches of digital silence cut into speech, as lost packets leave them: where they are, and how to bridge short ones.

What a detector should hear is the speech, not the edges of its gaps; so short gaps are filled with what the sound on
either side predicts. Nothing here changes what is played or drawn.

Reference
---------
Kauppinen & Roth 2002, "Audio signal extrapolation - theory and applications", DAFx (linear prediction from both sides,
cross-faded).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

DROPOUT_S = (0.008, 0.4)  # shorter ones are zero crossings of coarse samples, longer ones pauses
BRIDGED_S = 0.062  # three packets of 20 ms: nobody can tell what was said in longer ones
ORDER, CONTEXT = 200, 1_000  # of the prediction, and the samples on either side that it is made from
_BESIDE, _LOUD = 80, 0.05  # samples on either side of a dropout, and what they must reach of the speech's level
_SILENT = 2.0**-16
_BLOCK = 1 << 20


def dropouts(samples: np.ndarray, speech_rms: float) -> Iterator[tuple[int, int]]:
    """[start, stop) of every digital silence between two loud moments; samples (n,) at 16 kHz."""
    shortest, longest = (round(s * 16_000) for s in DROPOUT_S)
    for at in range(0, len(samples), _BLOCK):
        part = samples[at : at + _BLOCK]
        silent = np.abs(part) <= _SILENT
        runs = np.flatnonzero(np.diff(np.concatenate([[0], silent.astype(np.int8), [0]]))).reshape(-1, 2)
        length = runs[:, 1] - runs[:, 0]
        for start, stop in runs[(length >= shortest) & (length <= longest)]:
            sides = part[max(0, start - _BESIDE) : start], part[stop : stop + _BESIDE]
            if all(len(x) and np.sqrt(np.mean(np.square(x, dtype=np.float64))) >= _LOUD * speech_rms for x in sides):
                yield at + int(start), at + int(stop)


def bridged(samples: np.ndarray) -> np.ndarray:
    """The samples (n,) with dropouts of up to ``BRIDGED_S`` filled; the very same array where there are none."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    gaps = [(a, b) for a, b in dropouts(samples, rms) if b - a <= BRIDGED_S * 16_000] if rms > 0 else []
    if not gaps:
        return samples
    filled = np.array(samples, np.float64)
    for start, stop in gaps:  # in order, so that what lies before a gap is filled already
        before, after = filled[max(0, start - CONTEXT) : start], filled[stop : stop + CONTEXT][::-1]
        n = stop - start
        fade = np.cos(np.linspace(0.0, np.pi / 2, n)) ** 2
        most = 1.2 * max(np.abs(before).max(), np.abs(after).max())
        filled[start:stop] = np.clip(fade * _goes_on(before, n) + (1 - fade) * _goes_on(after, n)[::-1], -most, most)
    return filled.astype(samples.dtype)


def _goes_on(x: np.ndarray, n: int) -> np.ndarray:
    """What linear prediction makes of the next n samples after x; coefficients by Burg's method, so it never grows."""
    from scipy import signal

    order = min(ORDER, len(x) // 3)
    forward, backward, a = x[1:], x[:-1], np.ones(1)
    for _ in range(order):
        k = -2 * (forward @ backward) / (forward @ forward + backward @ backward + 1e-12)
        a = np.append(a, 0.0) + k * np.append(a, 0.0)[::-1]
        forward, backward = (forward + k * backward)[1:], (backward + k * forward)[:-1]
    if not order:
        return np.zeros(n)
    return signal.lfilter([1.0], a, np.zeros(n), zi=signal.lfiltic([1.0], a, x[::-1][:order]))[0]
