"""Rooms by the image method: a shoebox with six equal walls, a talker and a microphone somewhere in it.

The first 80 ms are mirror images; later ones are so dense that noise with the room's own decay stands for them. The
direct sound comes first and at its own level, so what is reverberated stays in place.

References
----------
Allen & Berkley 1979, "Image method for efficiently simulating small-room acoustics".  Eyring 1930 (reverberation time).
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from core.training.augment import SAMPLE_RATE

SPEED_OF_SOUND = 343.0  # m/s
EARLY_S = 0.08


def wall_reflection(size_m: np.ndarray, rt60_s: float) -> float:
    """Reflection coefficient of the walls (of pressure) for a reverberation time, by Eyring; 0 to 0.99."""
    volume, surface = float(np.prod(size_m)), 2 * float(size_m[0] * size_m[1] + size_m[1] * size_m[2]
                                                        + size_m[0] * size_m[2])
    absorbed = 1.0 - np.exp(-0.161 * volume / (surface * rt60_s))
    return float(np.sqrt(np.clip(1.0 - absorbed, 0.0, 0.98)))


def image_response(size_m: np.ndarray, source_m: np.ndarray, microphone_m: np.ndarray, reflection: float,
                   seconds: float) -> np.ndarray:
    """Impulse response [shape=(n,)] of a shoebox by mirror images: amplitude reflection**bounces / distance, at the time
    that the sound takes. Its first sample is the moment of emission.
    """
    n = int(seconds * SAMPLE_RATE)
    reach = SPEED_OF_SOUND * seconds
    axes = []
    for size, source, microphone in zip(size_m, source_m, microphone_m, strict=True):
        order = np.arange(-int(reach / (2 * size)) - 1, int(reach / (2 * size)) + 2)
        straight = 2 * order * size + source - microphone
        mirrored = 2 * order * size - source - microphone
        bounces = np.concatenate([np.abs(2 * order), np.abs(2 * order - 1)])
        axes.append((np.concatenate([straight, mirrored]), bounces))
    (x, i), (y, j), (z, k) = axes
    distance = np.sqrt(x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2)
    hits = i[:, None, None] + j[None, :, None] + k[None, None, :]
    near = distance < reach * (n - 2) / n
    delay = distance[near] / SPEED_OF_SOUND * SAMPLE_RATE
    amplitude = reflection ** hits[near] / np.maximum(distance[near], 0.1)
    whole = delay.astype(int)
    response = np.zeros(n)
    np.add.at(response, whole, amplitude * (1 - (delay - whole)))  # between two samples: shared by both
    np.add.at(response, whole + 1, amplitude * (delay - whole))
    return response


def room_response(rng: np.random.Generator, rt60_s: float, distance_m: float | None = None) -> np.ndarray:
    """A random room's response with the direct sound, of amplitude 1, in its first sample."""
    size = rng.uniform([2.8, 2.6, 2.3], [8.0, 6.0, 3.6])
    source = rng.uniform(0.15, 0.85, 3) * size
    distance = float(rng.uniform(0.3, 2.5)) if distance_m is None else distance_m
    way = rng.standard_normal(3)
    microphone = np.clip(source + distance * way / np.linalg.norm(way), 0.2, size - 0.2)
    distance = max(0.1, float(np.linalg.norm(source - microphone)))
    reflection = wall_reflection(size, rt60_s)
    early = image_response(size, source, microphone, reflection, EARLY_S + distance / SPEED_OF_SOUND) * distance
    direct = int(distance / SPEED_OF_SOUND * SAMPLE_RATE)
    response = np.zeros(max(len(early) - direct, int(1.1 * rt60_s * SAMPLE_RATE)))
    response[: len(early) - direct] = early[direct:]
    joint = len(early) - direct
    if joint < len(response):
        t = np.arange(len(response) - joint) / SAMPLE_RATE
        around = early[-int(0.02 * SAMPLE_RATE) :]
        tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60_s)
        response[joint:] = tail * float(np.sqrt(np.mean(around**2)))
    response[0] = max(1.0, response[0] + response[1])
    response[1] = 0.0
    return response


def room(x: np.ndarray, rng: np.random.Generator, *, rt60_s: float | None = None,
         distance_m: float | None = None) -> np.ndarray:
    """x (n,) float32 in a random room, 0.15-0.9 s of reverberation unless told. Length, level and place stay."""
    rt60_s = float(rng.uniform(0.15, 0.9)) if rt60_s is None else rt60_s
    y = signal.fftconvolve(x, room_response(rng, rt60_s, distance_m))[: len(x)]
    return (y * np.sqrt((np.mean(x**2) + 1e-12) / (np.mean(y**2) + 1e-12))).astype(np.float32)
