"""What loudspeakers and telephones do to speech: bands, resonances, distortion. (n,) float32 at 16 kHz, length kept."""

from __future__ import annotations

import numpy as np
from scipy import signal

from core.training.augment import SAMPLE_RATE


def loudspeaker(x: np.ndarray, rng: np.random.Generator, *, size: float | None = None) -> np.ndarray:
    """A small loudspeaker: no bass, two or three resonances, gently saturating.

    size : 0 (a phone's, cut off near 600 Hz, distorting) to 1 (a shelf speaker's, near 70 Hz), drawn if None.
    """
    size = float(rng.random()) if size is None else size
    low = 600 * (70 / 600) ** size * rng.uniform(0.85, 1.15)
    y = signal.sosfilt(signal.butter(3, low, "highpass", fs=SAMPLE_RATE, output="sos"), x)
    for _ in range(int(rng.integers(2, 4))):
        b, a = signal.iirpeak(rng.uniform(max(300, low), 6_500), rng.uniform(2, 6), fs=SAMPLE_RATE)
        y = y + rng.uniform(-0.4, 0.8) * signal.lfilter(b, a, y)
    peak = float(np.abs(y).max()) + 1e-9
    drive = rng.uniform(0.5, 1.0) * (2.0 - 1.6 * size)
    unit = y / peak
    bent = np.tanh(drive * (unit + 0.12 * (1 - size) * unit**2)) / np.tanh(drive)  # the square: not alike both ways
    return ((bent - bent.mean()) * peak * 0.9).astype(np.float32)


def telephone(x: np.ndarray, rng: np.random.Generator, *, snr_db: float | None = None) -> np.ndarray:
    """A telephone's 300-3,400 Hz with its sloped response, companded at 8 kHz and with line noise at 25-45 dB SNR."""
    import soxr

    from core.noise import add_at_snr, coloured_noise

    low, high = rng.uniform(250, 350), rng.uniform(3_200, 3_450)
    y = signal.sosfilt(signal.butter(4, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), x)
    y = y + rng.uniform(0.0, 0.6) * np.diff(y, prepend=0.0) * 2  # the handset's rise towards the top of the band
    narrow = soxr.resample(y.astype(np.float32), SAMPLE_RATE, 8_000)
    peak = float(np.abs(narrow).max()) + 1e-9
    narrow = np.round(companded(narrow / peak) * 127) / 127
    wide = soxr.resample(expanded(narrow).astype(np.float32) * peak, 8_000, SAMPLE_RATE)[: len(x)]
    wide = np.pad(wide, (0, len(x) - len(wide)))
    hiss = signal.sosfilt(signal.butter(4, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"),
                          coloured_noise(len(x), 1.0, rng))
    return add_at_snr(wide, hiss.astype(np.float32), float(rng.uniform(25, 45)) if snr_db is None else snr_db)


def companded(x: np.ndarray) -> np.ndarray:
    """Mu-law compression (ITU-T G.711) of values in [-1, 1]."""
    return np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)


def expanded(y: np.ndarray) -> np.ndarray:
    """Inverse of :func:`companded`."""
    return np.sign(y) * np.expm1(np.abs(y) * np.log(256)) / 255
