"""Hybrids for evaluation: real recordings with one synthetic stretch, from clips that the training never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.training.corpus import Clip, load_views
from core.training.data import FRAME, splice

SAMPLE_RATE = 16_000


@dataclass(frozen=True, eq=False)
class Hybrid:
    """Samples float32 (n,) with one synthetic stretch [start, stop) in samples."""

    samples: np.ndarray
    start: int
    stop: int
    host: Clip
    donor: Clip

    @property
    def spoof_span_s(self) -> tuple[float, float]:
        return self.start / SAMPLE_RATE, self.stop / SAMPLE_RATE


def make_hybrids(folder: Path, test: Sequence[Clip], count: int, seed: int) -> list[Hybrid]:
    """Splice a spoof of the same source (else of any) into a bona fide test clip, at equal level.

    The stretch lasts 0.4-2 s; hosts are at least 2 s long. Only whole spoofs that no training fold of these sources
    has seen donate; copies are left out, so every synthetic stretch is from a held-out real system.
    """
    rng = np.random.default_rng(seed)
    hosts = [c for c in test if c.bonafide and load_views(folder, c).shape[1] >= 2 * SAMPLE_RATE]
    donors = [c for c in test if not c.bonafide and not c.partial]
    by_source: dict[str, list[Clip]] = {}
    for clip in donors:
        by_source.setdefault(clip.source, []).append(clip)
    made: list[Hybrid] = []
    while hosts and donors and len(made) < count:
        host = hosts[rng.integers(len(hosts))]
        pool = by_source.get(host.source, donors)
        donor = pool[rng.integers(len(pool))]
        x, y = (load_views(folder, c)[0].astype(np.float32) / 32768.0 for c in (host, donor))
        length = int(min(rng.uniform(0.4, 2.0) * SAMPLE_RATE, 0.5 * len(x), len(y))) // FRAME * FRAME
        start = int(rng.integers(0, (len(x) - length) // FRAME + 1)) * FRAME
        offset = int(rng.integers(0, len(y) - length + 1))
        patch = np.zeros_like(x)
        patch[start : start + length] = y[offset : offset + length]
        level = np.sqrt(np.mean(x**2) + 1e-9) / np.sqrt(np.mean(y[offset : offset + length] ** 2) + 1e-9)
        made.append(Hybrid(splice(x, patch * min(level, 8.0), start, start + length), start, start + length, host,
                           donor))
    return made
