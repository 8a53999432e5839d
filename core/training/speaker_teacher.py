"""What the teacher says of every training voice, once: at its own speed and at two others, which are other voices.

Resampling shifts pitch and formants together, so a voice at another speed is another voice, and the teacher says where it
lies. With a few hundred real voices to learn from, those between them are what makes a student follow its teacher.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from core.training.speaker_data import SAMPLE_RATE, Voice, samples
from models.speaker import fbank
from models.speaker_campplus import CamPlusPlus

SPEEDS = (0.80, 0.87, 0.93, 1.07, 1.15, 1.25)
PER_VOICE = 2  # of them
BATCH = 8
GRID_S, LONGEST_S = 0.5, 6.0


def speeds_of(voice: Voice) -> tuple[float, ...]:
    """1 and two of :data:`SPEEDS`, the same every time."""
    rng = np.random.default_rng(zlib.crc32(voice.name.encode()))
    return (1.0, *sorted(float(s) for s in rng.choice(SPEEDS, PER_VOICE, replace=False)))


def at_speed(x: np.ndarray, speed: float) -> np.ndarray:
    """Faster and higher for speeds above 1: (n,) -> about (n / speed,)."""
    import soxr

    return x if speed == 1.0 else soxr.resample(x, SAMPLE_RATE * speed, SAMPLE_RATE).astype(np.float32)


def fitted(x: np.ndarray, n: int) -> np.ndarray:
    """The first n samples, repeated from the start where there are fewer."""
    return np.resize(x, n) if len(x) < n else x[:n]


@torch.inference_mode()
def embed(network: torch.nn.Module, sounds: Sequence[np.ndarray]) -> np.ndarray:
    """Embeddings (n, 192) of sounds of any lengths, by any network that takes features; in batches of like lengths."""
    order = sorted(range(len(sounds)), key=lambda i: len(sounds[i]))
    out = np.zeros((len(sounds), 192), np.float32)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        grid = int(GRID_S * SAMPLE_RATE)
        n = min(-(-len(sounds[rows[-1]]) // grid) * grid, int(LONGEST_S * SAMPLE_RATE))
        wav = torch.from_numpy(np.stack([fitted(sounds[i], n) for i in rows]))
        with torch.autocast("cpu", torch.bfloat16):
            embedding = network(fbank(wav))
        out[rows] = F.normalize(embedding.float(), dim=1).numpy()
    return out


def label(teacher: CamPlusPlus, voices: Sequence[Voice], path: Path,
          on_progress: Callable[[int, int], None] = lambda done, total: None) -> np.ndarray:
    """Teacher embeddings (voices, 1 + PER_VOICE, 192), from ``path`` where they are there and fit."""
    names = np.array([v.name for v in voices])
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            if np.array_equal(kept["names"], names):
                return kept["embeddings"].astype(np.float32)
    out = np.zeros((len(voices), 1 + PER_VOICE, 192), np.float32)
    for start in range(0, len(voices), 64):
        rows = range(start, min(start + 64, len(voices)))
        sounds = [at_speed(samples(voices[i]), s) for i in rows for s in speeds_of(voices[i])]
        out[start : start + len(rows)] = embed(teacher, sounds).reshape(len(rows), 1 + PER_VOICE, 192)
        on_progress(rows.stop, len(voices))
    np.savez(path, names=names, embeddings=out.astype(np.float16))
    return out
