"""Windows of recordings through the bare encoder, and what a library keeps of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.audio import Recording
    from core.encode import Encoding
    from core.frames import Window
    from core.library.geometry import Geometry
    from models.registry import Detector

BATCH = 8  # windows per forward pass
LEAST_SAMPLES = 16_000  # a clip's windows shorter than a second are left out where there is a longer one


def segments_of(n_samples: int) -> list[Window]:
    """The windows of a clip that are kept: as an examination cuts them, short remainders left out."""
    from core.frames import plan_windows

    windows = plan_windows(n_samples)
    return [w for w in windows if w.n_samples >= LEAST_SAMPLES] or list(windows[:1])


def measure_many(
    recordings: Sequence[Recording], detector: Detector, geometry: Geometry
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None]:
    """(samples, vectors, short, blocks) of each recording; None where it is too short for one frame."""
    plan = [segments_of(len(r.samples)) for r in recordings]
    found: dict[tuple[int, int], tuple] = {}
    for keys, states in states_of([r.samples for r in recordings], plan, detector):
        m = geometry.measure(states)
        found |= {key: (m.vectors[i], m.short[i], m.blocks[i]) for i, key in enumerate(keys)}
    for number, windows in enumerate(plan):
        parts = [found[number, i] for i in range(len(windows)) if (number, i) in found]
        if parts:
            vectors, short, blocks = (np.stack(part) for part in zip(*parts, strict=True))
            yield np.array([(w.start, w.stop) for w in windows]), vectors, short, blocks
        else:
            yield None


def states_of(
    sounds: Sequence[np.ndarray], plan: Sequence[Sequence[Window]], detector: Detector
) -> Iterator[tuple[list[tuple[int, int]], np.ndarray]]:
    """(which windows, states float32 (B, L, T, F)) of all windows, equal lengths together."""
    from core.encode import forward

    buckets: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, windows in enumerate(plan):
        for i, window in enumerate(windows):
            if detector.network.encoder.n_frames(window.n_samples) >= 1:
                buckets[window.n_samples].append((number, i))
    for keys in buckets.values():
        for first in range(0, len(keys), BATCH):
            part = keys[first : first + BATCH]
            cut = [sounds[n][plan[n][i].start : plan[n][i].stop] for n, i in part]
            yield part, forward(detector, np.stack(cut), adapters=False).astype(np.float32)


def measure_encoding(encoding: Encoding, geometry: Geometry):
    """All windows of an encoding made without adapters, as ``Measured``. Raises ValueError for one made with them."""
    from core.library.geometry import Measured

    if encoding.adapters:
        raise ValueError("a library is compared with states of the bare encoder, without adapters")
    parts = [geometry.measure(states.numpy()) for _, states in encoding.batches()]
    return Measured(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("vectors", "short", "blocks")))


def averages(sounds: Sequence[np.ndarray], detector: Detector) -> list[np.ndarray]:
    """Time averages of hidden states (L, F) of every window of some sounds (n,), in an order that lengths settle."""
    plan = [segments_of(len(x)) for x in sounds]
    return [row for _, states in states_of(sounds, plan, detector) for row in states.mean(2)]
