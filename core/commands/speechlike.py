"""A signal shaped like speech, made from numbers: for benchmarks and tests, never a voice to be judged.

Glottal pulses with a wandering pitch and a falling spectrum go through moving formants, in syllables and
phrases with pauses, over a faint noise floor (the source-filter model; G. Fant, Acoustic theory of speech
production, 1960).
"""

from __future__ import annotations

import io

import numpy as np

RATE = 16_000
VOWELS = np.array(
    [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)]
)


def speechlike(seconds: float, seed: int = 0, *, level: float = 0.1) -> np.ndarray:
    """float32 [n] at 16 kHz, root mean square `level`. The same seed gives the same samples."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    sound = np.zeros(n)
    at = round(0.1 * RATE)
    while at < n:
        length = round(rng.uniform(0.12, 0.32) * RATE)
        piece = _syllable(length, rng)[: max(0, n - at)]
        sound[at : at + len(piece)] += piece
        at += length + round(
            (rng.uniform(0.25, 0.6) if rng.random() < 0.12 else rng.uniform(0.0, 0.06)) * RATE
        )
    sound *= level / max(1e-9, float(np.sqrt(np.mean(sound**2))))
    return (sound + rng.normal(0, level * 0.01, n)).astype(np.float32)


def _syllable(n: int, rng: np.random.Generator) -> np.ndarray:
    """A voiced syllable with a noisy onset, [n] float64, about unit level."""
    from scipy.signal import lfilter

    t = np.arange(n) / RATE
    pitch = rng.uniform(95, 190) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * t) - 0.2 * t)
    phase = np.cumsum(pitch) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) * (1 + 0.05 * rng.normal(size=n))
    source = lfilter([1.0, -1.0], [1.0, -0.9], pulses) + 0.01 * rng.normal(size=n)
    onset = min(n, round(rng.uniform(0.02, 0.07) * RATE))
    source[:onset] = 0.12 * rng.normal(size=onset)
    for formant, width in zip(
        VOWELS[rng.integers(len(VOWELS))] * rng.uniform(0.9, 1.1), (80, 100, 140), strict=True
    ):
        radius, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * formant / RATE
        source = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], source)
    envelope = np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.02 * RATE))
    source = source * envelope
    breath = np.diff(rng.normal(size=n), prepend=0.0) * envelope  # reaches up to the Nyquist frequency
    return source / max(1e-9, float(source.std())) + 0.02 * breath


def wav_bytes(samples: np.ndarray, rate: int = RATE, *, subtype: str = "PCM_16") -> bytes:
    """A WAV file of samples [n] or [n, channels] as bytes."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()
