"""What happens to speech in time: lost packets, pauses cut out or put in, speed. (n,) float32 at 16 kHz."""

from __future__ import annotations

import numpy as np
import soxr

from core.training.augment import SAMPLE_RATE, trim_silence

PACKET = 320  # samples, 20 ms
FADE = 80


def bursty_loss(x: np.ndarray, rng: np.random.Generator, *, share: float | None = None, burst: float = 2.5) -> np.ndarray:
    """Packets of 20 ms lost in bursts (a two-state chain, Gilbert 1960), concealed as decoders do: the last packet again,
    6 dB weaker each time, and silence from the fifth on.

    share : expected share of lost packets (0.5-8 % if None); burst : mean length of a burst in packets.
    """
    share = float(rng.uniform(0.005, 0.08)) if share is None else share
    leave, enter = 1 / max(1.0, burst), share / max(1e-9, (1 - share) * max(1.0, burst))
    y, run, lost = x.copy(), 0, False
    for start in range(0, len(x), PACKET):
        lost = rng.random() >= leave if lost else rng.random() < enter
        run = run + 1 if lost else 0
        if not lost:
            continue
        before = y[max(0, start - PACKET) : start]
        stop = min(len(x), start + PACKET)
        y[start:stop] = 0.0
        if run < 5 and len(before) == PACKET:
            y[start:stop] = 0.5 * before[: stop - start]
    return y


def insert_silence(x: np.ndarray, rng: np.random.Generator, *, seconds: float | None = None) -> np.ndarray:
    """A pause of 0.1-0.6 s put in at the quietest of a few random places, filled with the level of what is around it.

    The result is longer by the pause.
    """
    seconds = float(rng.uniform(0.1, 0.6)) if seconds is None else seconds
    places = rng.integers(FADE, max(FADE + 1, len(x) - FADE), 12)
    place = int(min(places, key=lambda p: float(np.mean(x[max(0, p - 160) : p + 160] ** 2))))
    around = x[max(0, place - 160) : place + 160]
    floor = min(float(np.sqrt(np.mean(around**2))), 10 ** (-60 / 20))
    pause = (floor * rng.standard_normal(int(seconds * SAMPLE_RATE))).astype(np.float32)
    return np.concatenate([x[:place], pause, x[place:]]).astype(np.float32)


def trim(x: np.ndarray, rng: np.random.Generator, *, floor_db: float | None = None) -> np.ndarray:
    """Leading and trailing silence cut at a random threshold of -50 to -30 dB. The result is shorter."""
    return trim_silence(x, floor_db=float(rng.uniform(-50, -30)) if floor_db is None else floor_db,
                        margin_s=float(rng.uniform(0.0, 0.1)))


def change_speed(x: np.ndarray, rng: np.random.Generator, *, factor: float | None = None) -> np.ndarray:
    """Played faster or slower, pitch and all, by 0.9-1.1. The result is shorter by the factor."""
    factor = float(rng.uniform(0.9, 1.1)) if factor is None else factor
    return soxr.resample(x, SAMPLE_RATE * factor, SAMPLE_RATE).astype(np.float32)


def fitted(y: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n samples of y: a random stretch of a longer one, a shorter one begun again."""
    if len(y) >= n:
        start = int(rng.integers(0, len(y) - n + 1))
        return y[start : start + n]
    return np.tile(y, -(-n // max(1, len(y))))[:n] if len(y) else np.zeros(n, np.float32)
