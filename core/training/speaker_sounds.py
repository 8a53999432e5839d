"""What comes between a speaker and the encoder: rooms, filters, noise, music, other voices; and muted stretches.

Degradations themselves are in ``augment*``. Each function takes and returns mono float32 at 16 kHz, length kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from core.training import augment, augment_room

SAMPLE_RATE = augment.SAMPLE_RATE
SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones
NOTE_S = (0.15, 0.6)


def music_like(n: int, rng: np.random.Generator) -> np.ndarray:
    """Chords of decaying harmonic tones over a beat of noise bursts, unit variance, (n,)."""
    y = np.zeros(n)
    root, beat = 55.0 * 2 ** (rng.uniform(0, 2)), rng.uniform(*NOTE_S)
    step = max(1, int(beat * SAMPLE_RATE))
    tilt, drums = rng.uniform(0.8, 2.0), rng.uniform(0.0, 1.5)
    for start in range(0, n, step):
        length = min(int(step * rng.uniform(1, 2.5)), n - start)
        t = np.arange(length) / SAMPLE_RATE
        for _ in range(int(rng.integers(1, 4))):
            pitch = root * 2 ** (int(rng.integers(0, 3)) + SCALE[int(rng.integers(len(SCALE)))] / 12)
            harmonics = np.arange(1, min(9, int(7_600 / pitch) + 1))
            phase = 2 * np.pi * pitch * np.outer(harmonics, t) + rng.uniform(0, 6.3, (len(harmonics), 1))
            y[start : start + length] += (np.sin(phase) / harmonics[:, None] ** tilt).sum(0) * np.exp(-t / (2 * beat))
        hit = min(800, length)
        y[start : start + hit] += drums * rng.standard_normal(hit) * np.exp(-np.arange(hit) / 160)
    return (y / (y.std() + 1e-9)).astype(np.float32)


def babble(n: int, rng: np.random.Generator, draw: Callable[[], np.ndarray]) -> np.ndarray:
    """One to four other voices at once, (n,). draw : gives some sound of speech of any length."""
    sounds = [draw() for _ in range(int(rng.integers(1, 5)))]
    voices = [np.resize(np.roll(x, int(rng.integers(len(x)))), n) for x in sounds]
    return np.sum([x / (x.std() + 1e-6) for x in voices], axis=0).astype(np.float32)


def behind(x: np.ndarray, rng: np.random.Generator, draw: Callable[[], np.ndarray], snr_db: tuple[float, float],
           kind: str | None = None) -> np.ndarray:
    """x with noise, music or (10 dB farther away) other voices behind it, at a ratio drawn from snr_db."""
    ratio = float(rng.uniform(*snr_db))
    kind = kind or str(rng.choice(["noise", "music", "voices"], p=[0.45, 0.3, 0.25]))
    if kind == "noise":
        return augment.add_at_snr(x, augment.coloured_noise(len(x), float(rng.uniform(0, 2)), rng), ratio)
    if kind == "music":
        return augment.add_at_snr(x, music_like(len(x), rng), ratio)
    return augment.add_at_snr(x, babble(len(x), rng, draw), max(ratio, 0.0) + 8.0)


def disturb(x: np.ndarray, rng: np.random.Generator, draw: Callable[[], np.ndarray]) -> np.ndarray:
    """A random chain: room, filter, something behind, band limit, codec, level. A quarter of the sounds stay clean."""
    if rng.random() < 0.25:
        return augment.level(x, rng)
    if rng.random() < 0.4:
        x = augment_room.room(x, rng) if rng.random() < 0.3 else augment.reverberate(x, rng)
    if rng.random() < 0.35:
        x = augment.equalise(x, rng)
    if rng.random() < 0.65:
        x = behind(x, rng, draw, (0.0, 25.0))
    if rng.random() < 0.15:
        x = augment.band_limit(x, rng)
    if rng.random() < 0.08:
        x = augment.codec(x, rng)
    return augment.level(np.nan_to_num(x), rng)


def mute_stretches(features: torch.Tensor, rng: np.random.Generator, share: float = 0.35,
                   most: float = 0.6) -> torch.Tensor:
    """Some rows of (B, T, 80) with up to ``most`` of their frames turned down or off, as a gate on frames does."""
    b, t, _ = features.shape
    gate = torch.ones(b, t)
    for row in np.flatnonzero(rng.random(b) < share):
        for _ in range(int(rng.integers(1, 4))):
            length = int(rng.uniform(0.05, most / 2) * t)
            start = int(rng.integers(0, t - length + 1))
            gate[row, start : start + length] = float(rng.choice([0.0, 0.0, 0.1, 0.3]))
    return features * gate.unsqueeze(2)
