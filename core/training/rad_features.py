"""Frozen states of a prepared corpus, once: what RAD, its baselines and its ablations are trained and measured on.

Every clip (and copy) of the working folder goes through the encoder without adapters in a few views; means of blocks of
ten frames are kept. Coarser blocks, projections and neighbours are computed from these in seconds.

    WORK/rad/<encoder>/view<v>.npy     fp16 (n, L, 20, F): blocks of the n windows
    WORK/rad/<encoder>/owner<v>.npy    int (n, 3): clip number, window number, filled blocks

A view is a number (0 clean, the others the working folder's degraded ones) or the name of a copy made by ``rad_copies``
from the clean view of the clips that are no copies themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.training.corpus import Clip, load_views

if TYPE_CHECKING:
    from models.registry import Detector

FINE = 10  # frames per kept block
FINE_BLOCKS = 20  # of a 4 s window
STEP = 3_200  # window lengths are cut to whole 0.2 s, so that windows of like length share a batch
SHORTEST = 6_400
BATCH = 8


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of all clips in one view. x fp16 (n, L, 20, F), memory-mapped; clip, blocks, place in its clip (n,)."""

    x: np.ndarray
    clip: np.ndarray
    blocks: np.ndarray
    number: np.ndarray

    @cached_property
    def means(self) -> np.ndarray:
        """Time averages (n, L, F), float32."""
        sums = np.stack([row.astype(np.float32).sum(1) for row in self.x])
        return sums / self.blocks[:, None, None]

    def coarse(self, factor: int) -> tuple[np.ndarray, np.ndarray]:
        """Blocks of ``factor`` fine blocks: (n, L, 20 / factor, F) fp16 and how many are filled (n,)."""
        n, layers, _, features = self.x.shape
        filled = np.maximum(1, (self.blocks + factor // 2) // factor)
        out = np.zeros((n, layers, FINE_BLOCKS // factor, features), np.float16)
        for i in range(n):
            for block in range(filled[i]):
                stop = min((block + 1) * factor, self.blocks[i])
                out[i, :, block] = self.x[i, :, block * factor : stop].astype(np.float32).mean(1)
        return out, filled


def load_windows(
    work: Path, clips: Sequence[Clip], detector: Detector, view: int | str, say: Callable[[str], None] = lambda _: None
) -> Windows:
    """The windows of one view, encoded now if they are not in the working folder yet."""
    from core.library.geometry import encoder_digest

    folder = work / "rad" / encoder_digest(detector)[:12]
    x, owner = folder / f"view{view}.npy", folder / f"owner{view}.npy"
    if not owner.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _encode(_sounds(work, clips, view), detector, x, owner, say)
    rows = np.load(owner)
    return Windows(np.load(x, mmap_mode="r"), rows[:, 0], rows[:, 2], rows[:, 1])


def _sounds(work: Path, clips: Sequence[Clip], view: int | str) -> Iterator[tuple[int, np.ndarray]]:
    """(clip number, samples float32) of every clip that has the view."""
    from core.training.rad_copies import Copies

    if isinstance(view, str):
        copies = Copies(work, clips)
        yield from ((number, copies.make(number, view)) for number in copies.numbers(view))
        return
    for number, clip in enumerate(clips):
        views = load_views(work, clip)
        yield number, views[min(view, len(views) - 1)].astype(np.float32) / 32768.0


def _encode(
    sounds: Iterable[tuple[int, np.ndarray]], detector: Detector, x: Path, owner: Path, say: Callable[[str], None]
) -> None:
    from core.encode import forward
    from core.frames import plan_windows

    buckets: dict[int, list[tuple[int, int, np.ndarray]]] = defaultdict(list)
    for number, samples in sounds:
        samples = np.resize(samples, max(len(samples), SHORTEST))
        for window in plan_windows(len(samples)):
            length = window.n_samples // STEP * STEP
            buckets[length].append((number, window.index, samples[window.start : window.start + length]))
    total, done, rows = sum(map(len, buckets.values())), 0, []
    encoder = detector.network.encoder
    out = np.lib.format.open_memmap(x, "w+", np.float16, (total, encoder.n_layers, FINE_BLOCKS, encoder.n_features))
    for _, waiting in sorted(buckets.items()):
        for first in range(0, len(waiting), BATCH):
            batch = waiting[first : first + BATCH]
            states = forward(detector, np.stack([s for *_, s in batch]), adapters=False).astype(np.float32)
            n = states.shape[2] // FINE
            fine = states[:, :, : n * FINE].reshape(*states.shape[:2], n, FINE, -1).mean(3)  # (B, L, n, F)
            out[done : done + len(batch)] = 0
            out[done : done + len(batch), :, :n] = fine
            rows += [(number, index, n) for number, index, _ in batch]
            done += len(batch)
        say(f"{x.stem}: {done} of {total} windows encoded")
    out.flush()
    np.save(owner, np.array(rows))
