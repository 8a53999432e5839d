"""Noise for fitting a library's map: which way does a recording move when hiss is added to it?"""

from __future__ import annotations

import numpy as np

from core.noise import add_at_snr, coloured_noise

SNR_DB = (10.0, 30.0)
COLOURS = (-0.2, 1.5)  # power ~ 1 / f ** colour: a little blue, white, pink, towards brown


def noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mono samples (n,) with stationary Gaussian noise of random colour, 10 to 30 dB below them; float32 (n,)."""
    colour, snr_db = rng.uniform(*COLOURS), rng.uniform(*SNR_DB)
    return add_at_snr(x, coloured_noise(len(x), colour, rng), snr_db)
