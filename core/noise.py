"""Noise of a colour, and sound with noise at a ratio: for training, and for fitting a library's map."""

from __future__ import annotations

import numpy as np

from core.frames import SAMPLE_RATE


def coloured_noise(n: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with power ~ 1/f**exponent, unit variance, (n,) float32."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    f = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE), 20.0)
    y = np.fft.irfft(spectrum * f ** (-exponent / 2), n)
    return (y / (y.std() + 1e-12)).astype(np.float32)


def add_at_snr(x: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """x + g * noise, with g such that the ratio of their powers is snr_db. Both (n,)."""
    power, noise_power = float(np.mean(x**2)), float(np.mean(noise**2))
    if power <= 0 or noise_power <= 0:
        return x
    return (x + noise * np.sqrt(power / noise_power / 10 ** (snr_db / 10))).astype(np.float32)
