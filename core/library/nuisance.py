"""Noise for fitting a library's map: which way does a recording move when hiss is added to it?"""

from __future__ import annotations

import numpy as np

SNR_DB = (10.0, 30.0)
COLOURS = (-0.2, 1.5)  # power ~ 1 / f ** colour: a little blue, white, pink, towards brown


def noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mono samples (n,) with stationary Gaussian noise of random colour, 10 to 30 dB below them; float32 (n,)."""
    colour, snr_db = rng.uniform(*COLOURS), rng.uniform(*SNR_DB)
    bins = np.fft.rfft(rng.standard_normal(len(x)))
    hiss = np.fft.irfft(bins / np.maximum(np.arange(len(bins)), 0.00125 * len(x)) ** (colour / 2), len(x))  # from 20 Hz
    power = np.square(x, dtype=np.float64).mean() / max(np.square(hiss).mean(), 1e-30)
    return (x + hiss * np.sqrt(power / 10 ** (snr_db / 10))).astype(np.float32)
