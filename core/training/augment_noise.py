"""RawBoost-like disturbances and clicks: convolutive (linear and non-linear), impulsive, stationary. float32 (n,).

References
----------
Tak, Kamble, Patino, Todisco, Evans 2022, "RawBoost", arXiv 2111.04433: (1) linear and non-linear convolutive noise,
(2) impulsive signal-dependent noise, (3) stationary signal-independent noise. The parameters' ranges follow its table.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from core.noise import add_at_snr
from core.training.augment import SAMPLE_RATE


def notch_filter(rng: np.random.Generator, bands: int = 5, taps: int = 65) -> np.ndarray:
    """A linear-phase FIR filter of odd length whose response has a few random notches, sum of taps near 1."""
    grid = np.linspace(0.0, 1.0, 257)
    gain = np.ones_like(grid)
    for _ in range(bands):
        centre, width = rng.uniform(0.0025, 1.0), rng.uniform(0.0125, 0.125)
        gain[np.abs(grid - centre) < width / 2] = 10 ** (-rng.uniform(6, 30) / 20)
    return signal.firwin2(taps, grid, gain).astype(np.float64)


def convolutive(x: np.ndarray, rng: np.random.Generator, *, nonlinear_db: float | None = None, orders: int = 5,
                bands: int = 5) -> np.ndarray:
    """x and its powers up to ``orders``, each through its own notch filter, the powers ``nonlinear_db`` or more below x.

    nonlinear_db : level of the second power against the first, drawn from -5 to -20 dB if None; each further power is
    3 dB weaker. Length and, as near as the notches allow, level stay.
    """
    peak = float(np.abs(x).max()) + 1e-9
    unit = x / peak
    down = float(rng.uniform(5, 20)) if nonlinear_db is None else -nonlinear_db
    rms = float(np.sqrt(np.mean(unit**2))) + 1e-12
    y = np.zeros(len(x))
    for order in range(1, orders + 1):
        power = unit**order
        power = power - power.mean() if order > 1 else power
        part = signal.fftconvolve(power, notch_filter(rng, bands), mode="same")
        if order > 1:
            part *= rms * 10 ** (-(down + 3 * (order - 2)) / 20) / (float(np.sqrt(np.mean(part**2))) + 1e-12)
        y += part
    return (y * peak * min(1.0, 1.0 / (np.abs(y).max() + 1e-9))).astype(np.float32)


def signal_dependent(x: np.ndarray, rng: np.random.Generator, *, share: float | None = None,
                     gain: float = 2.0) -> np.ndarray:
    """Impulsive noise that follows the signal: x times noise, added at a random ``share`` (up to 10 %) of the samples."""
    share = float(rng.uniform(0.0, 0.1)) if share is None else share
    hit = rng.random(len(x)) < share
    y = x.astype(np.float64).copy()
    noise = rng.uniform(-1, 1, int(hit.sum())) * rng.uniform(-1, 1, int(hit.sum()))
    y[hit] += gain * np.abs(y[hit]) * noise
    return y.astype(np.float32)


def independent(x: np.ndarray, rng: np.random.Generator, *, snr_db: float | None = None) -> np.ndarray:
    """Stationary noise of a random smooth colour (white through a notch filter) at 10-40 dB SNR."""
    snr_db = float(rng.uniform(10, 40)) if snr_db is None else snr_db
    colour = signal.fftconvolve(rng.standard_normal(len(x)), notch_filter(rng, 5), mode="same")
    return add_at_snr(x, colour.astype(np.float32), snr_db)


def clicks(x: np.ndarray, rng: np.random.Generator, *, per_second: float | None = None,
           level_db: float = 0.0) -> np.ndarray:
    """Short decaying clicks (0.3-3 ms), 1-10 a second, up to ``level_db`` against the signal's peak."""
    per_second = float(rng.uniform(1, 10)) if per_second is None else per_second
    y, peak = x.astype(np.float32).copy(), float(np.abs(x).max())
    for start in rng.integers(0, len(x), rng.poisson(per_second * len(x) / SAMPLE_RATE)):
        length = int(rng.uniform(0.0003, 0.003) * SAMPLE_RATE) + 1
        shape = rng.standard_normal(length) * np.exp(-5 * np.arange(length) / length)
        shape *= peak * 10 ** (level_db / 20) * rng.uniform(0.2, 1) / (np.abs(shape).max() + 1e-12)
        stop = min(len(x), start + length)
        y[start:stop] += shape[: stop - start].astype(np.float32)
    return y
