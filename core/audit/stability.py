"""Does the map stay when a little noise is added that nobody hears? And how far does the score itself move?

White noise 40 dB below the window's speech is added to the samples, and the map is computed again.
Reference: Alvarez-Melis, Jaakkola 2018, arXiv 1806.08049 (robustness of interpretability methods).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.attribute.question import Posed
from core.attribute.run import compute
from core.audit.agreement import Likeness, likeness

NOISE_DB = -40.0


@dataclass(frozen=True)
class Stability:
    """likeness : of the map to the map with noise; moved : how far the score moved; score : with noise."""

    likeness: Likeness
    moved: float
    score: float


def measure(posed: Posed, values: np.ndarray, score: float, method: str, baseline: str, parameters: Mapping[str, Any],
            *, seed: int = 0, on_progress: Callable[[float], Any] | None = None) -> Stability:
    """Compare the map ``values`` (R, C) with the one of slightly noisy sound."""
    rng = np.random.default_rng(seed)

    def noisy(_: int, samples: np.ndarray) -> np.ndarray:
        level = np.sqrt(np.mean(np.square(samples, dtype=np.float64))) * 10 ** (NOISE_DB / 20)
        return samples + (level * rng.standard_normal(samples.shape)).astype(np.float32)

    other = compute(posed.with_sound(noisy), method, baseline, seed=seed, parameters=parameters,
                    on_progress=on_progress)
    return Stability(likeness(values, other.values), abs(other.score - score), other.score)
