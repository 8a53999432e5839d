"""The random chain that training material goes through, and single degradations by name and level.

:func:`steps` is what ``augment.degrade`` draws from; :data:`DEGRADATIONS` and :data:`LEVELS` are for whoever wants one of
them at a stated level: ``DEGRADATIONS["white noise"](x, rng, 10.0)`` is white noise at 10 dB SNR. Nothing here ever
sees a label.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import soxr

from core.training import augment, augment_codec, augment_device, augment_noise, augment_room, augment_time

Step = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Degradation = Callable[[np.ndarray, np.random.Generator, float], np.ndarray]


def exact_codec(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A codec whose delay can be taken out."""
    return augment.codec(x, rng, augment.EXACT_CODECS)


def faster_or_slower(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Speed, at the length of before."""
    return augment_time.fitted(augment_time.change_speed(x, rng), len(x), rng)


def paused(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pause put in, at the length of before."""
    return augment_time.fitted(augment_time.insert_silence(x, rng), len(x), rng)


# What keeps every sample in its place, in the order in which it happens to a recording: talker and room, loudspeaker and
# microphone, noise, then what a file or a call does. The second number is the probability.
BEFORE: tuple[tuple[Step, float], ...] = (
    (augment_room.room, 0.15), (augment.reverberate, 0.12), (augment_device.loudspeaker, 0.1), (augment.equalise, 0.4),
    (augment_noise.convolutive, 0.12), (augment_noise.signal_dependent, 0.08), (augment.noise, 0.35),
    (augment_noise.independent, 0.1), (augment_noise.clicks, 0.05), (augment.clip_samples, 0.08),
)
MIDDLE: tuple[tuple[Step, float], ...] = (
    (augment.band_limit, 0.22), (augment.resample_chain, 0.3), (augment_device.telephone, 0.08),
)
AFTER: tuple[tuple[Step, float], ...] = ((augment.lose_packets, 0.03), (augment_time.bursty_loss, 0.05))
MOVING: tuple[tuple[Step, float], ...] = ((faster_or_slower, 0.08), (paused, 0.05))


@lru_cache(maxsize=2)
def steps(exact: bool = False) -> tuple[tuple[Step, float], ...]:
    """The steps of a chain with their probabilities; ``exact``: only such as keep every sample in its place."""
    codec: Step = exact_codec if exact else augment_codec.random_codec
    return ((() if exact else MOVING) + BEFORE + MIDDLE + ((codec, 0.5), (codec, 0.1)) + AFTER)


def _snr(make: Callable[[int, np.random.Generator], np.ndarray]) -> Degradation:
    return lambda x, rng, level: augment.add_at_snr(x, make(len(x), rng).astype(np.float32), level)


def _coder(name: str) -> Degradation:
    return lambda x, rng, level: augment_codec.through(x, name, int(level))


def _clipped(x: np.ndarray, rng: np.random.Generator, level: float) -> np.ndarray:
    limit = float(np.quantile(np.abs(x), 1 - level)) + 1e-9
    return np.clip(x, -limit, limit).astype(np.float32)


def _low_passed(x: np.ndarray, rng: np.random.Generator, level: float) -> np.ndarray:
    from scipy import signal

    return signal.sosfilt(signal.butter(8, level, fs=augment.SAMPLE_RATE, output="sos"), x).astype(np.float32)


def _resampled(x: np.ndarray, rng: np.random.Generator, level: float) -> np.ndarray:
    y = soxr.resample(soxr.resample(x, augment.SAMPLE_RATE, level), level, augment.SAMPLE_RATE)[: len(x)]
    return np.pad(y, (0, len(x) - len(y))).astype(np.float32)


def _at_level(x: np.ndarray, rng: np.random.Generator, level: float) -> np.ndarray:
    y = x * (10 ** (level / 20) / (float(np.sqrt(np.mean(x**2))) + 1e-12))
    return (np.round(np.clip(y, -1, 1) * 32767) / 32767).astype(np.float32)


# Degradation: what its level is, and levels from mild to severe. Speed and pauses change the length; nothing else does.
LEVELS: dict[str, tuple[str, tuple[float, ...]]] = {
    "white noise": ("dB SNR", (30, 20, 10, 5)),
    "pink noise": ("dB SNR", (30, 20, 10, 5)),
    "stationary coloured noise": ("dB SNR", (30, 20, 10, 5)),
    "impulsive noise": ("share of samples", (0.02, 0.05, 0.1)),
    "clicks": ("per second", (1, 5, 20)),
    "convolutive noise": ("dB of the second power", (-20, -12, -6)),
    "room": ("s of reverberation", (0.2, 0.4, 0.7, 1.0)),
    "loudspeaker": ("size, 1 shelf to 0 phone", (1.0, 0.5, 0.0)),
    "telephone": ("dB SNR of the line", (45, 35, 25)),
    "low-pass": ("Hz", (7_000, 5_500, 4_000, 3_000)),
    "resampling": ("Hz", (44_100, 22_050, 12_000, 8_000)),
    "level": ("dBFS RMS", (-14, -30, -45)),
    "clipping": ("share of samples", (0.005, 0.02, 0.1)),
    "packet loss": ("share of packets", (0.01, 0.03, 0.1)),
    "pause": ("s", (0.1, 0.3, 0.6)),
    "trimming": ("dB below the loudest", (-50, -40, -30)),
    "speed": ("factor", (1.05, 0.95, 1.1, 0.9)),
    "tandem codecs": ("codecs", (2, 3)),
} | {f"codec {name}": ("bit/s, 0 for the only one", rates) for name, rates in augment_codec.ENCODERS.items()}

DEGRADATIONS: dict[str, Degradation] = {
    "white noise": _snr(lambda n, rng: rng.standard_normal(n)),
    "pink noise": _snr(lambda n, rng: augment.coloured_noise(n, 1.0, rng)),
    "stationary coloured noise": lambda x, rng, level: augment_noise.independent(x, rng, snr_db=level),
    "impulsive noise": lambda x, rng, level: augment_noise.signal_dependent(x, rng, share=level),
    "clicks": lambda x, rng, level: augment_noise.clicks(x, rng, per_second=level),
    "convolutive noise": lambda x, rng, level: augment_noise.convolutive(x, rng, nonlinear_db=level),
    "room": lambda x, rng, level: augment_room.room(x, rng, rt60_s=level),
    "loudspeaker": lambda x, rng, level: augment_device.loudspeaker(x, rng, size=level),
    "telephone": lambda x, rng, level: augment_device.telephone(x, rng, snr_db=level),
    "low-pass": _low_passed,
    "resampling": _resampled,
    "level": _at_level,
    "clipping": _clipped,
    "packet loss": lambda x, rng, level: augment_time.bursty_loss(x, rng, share=level),
    "pause": lambda x, rng, level: augment_time.insert_silence(x, rng, seconds=level),
    "trimming": lambda x, rng, level: augment_time.trim(x, rng, floor_db=level),
    "speed": lambda x, rng, level: augment_time.change_speed(x, rng, factor=level),
    "tandem codecs": lambda x, rng, level: augment_codec.tandem(x, rng, times=int(level)),
} | {f"codec {name}": _coder(name) for name in augment_codec.ENCODERS}
