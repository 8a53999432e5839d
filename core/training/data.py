"""Batches for training: balanced draws, crops, and hybrids spliced on the fly with exact frame labels.

Balance is the point. The label is a fair coin; within a label, sources are drawn with probability proportional to the
square root of their size, then systems likewise, then a clip. Copies of bona fide clips are a fixed share of the spoof
draws: more of them drown the evidence of real systems, fewer leave sources recognisable by their channel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from core.training import augment
from core.training.corpus import Clip, load_views

SAMPLE_RATE = 16_000
FRAME = 320  # samples per encoder frame
FADE = 80  # samples of the cross-fade at a splice, 5 ms


@dataclass(frozen=True)
class Batch:
    """One training batch; labels are 1 for bona fide, 0 for spoof, NaN where the loss must not look."""

    wav: torch.Tensor  # (B, N) float32
    clip_label: torch.Tensor  # (B,)
    frame_label: torch.Tensor  # (B, T)


@dataclass(frozen=True)
class SamplerOptions:
    """What a draw may do; the ablations switch parts of it off."""

    batch: int = 16
    seconds: tuple[float, ...] = (2.0, 3.0, 4.0)
    clean_share: float = 0.6  # probability of the undegraded view
    degrade: bool = True
    use_copies: bool = True  # as whole clips and as donors of hybrids
    copy_share: float = 0.1  # of the spoof draws
    hybrid_share: float = 0.2  # of the batch
    control_share: float = 0.06  # of the batch: real speech spliced with real speech


class _Pool:
    """Clips of one kind, drawn by source, system and clip with square-root balance."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.members: dict[str, dict[str, list[Clip]]] = defaultdict(partial(defaultdict, list))
        for clip in clips:
            self.members[clip.source][clip.system].append(clip)

    @staticmethod
    def _pick(sizes: dict[str, int], rng: np.random.Generator) -> str:
        weights = np.sqrt(np.array(list(sizes.values()), float))
        return list(sizes)[rng.choice(len(sizes), p=weights / weights.sum())]

    def draw(self, rng: np.random.Generator) -> Clip:
        source = self.members[self._pick({s: sum(map(len, m.values())) for s, m in self.members.items()}, rng)]
        clips = source[self._pick({name: len(m) for name, m in source.items()}, rng)]
        return clips[rng.integers(len(clips))]


class Sampler(torch.utils.data.IterableDataset):
    """An endless, seeded stream of batches from a prepared corpus."""

    def __init__(self, folder: Path, clips: Sequence[Clip], options: SamplerOptions, seed: int) -> None:
        self.folder, self.options, self.seed = folder, options, seed
        clips = [c for c in clips if options.use_copies or not c.copier]
        kinds = {"bonafide": (True, False), "spoof": (False, False), "copy": (False, True)}
        self.pools = {kind: _Pool([c for c in clips if (c.bonafide, bool(c.copier)) == key])
                      for kind, key in kinds.items()}
        self.whole_spoofs = [c for c in clips if not c.bonafide and not c.partial]
        self.bonafide = [c for c in clips if c.bonafide]
        self.copies_of: dict[str, list[Clip]] = defaultdict(list)
        self.by_speaker: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            if clip.copier:
                self.copies_of[clip.parent].append(clip)
            elif clip.bonafide and clip.speaker:
                self.by_speaker[clip.speaker].append(clip)

    def draw(self, rng: np.random.Generator) -> Clip:
        """One clip: label, then source, then system, then clip."""
        if rng.random() < 0.5:
            return self.pools["bonafide"].draw(rng)
        copied = self.options.use_copies and rng.random() < self.options.copy_share
        return self.pools["copy" if copied else "spoof"].draw(rng)

    def samples(self, clip: Clip, rng: np.random.Generator) -> np.ndarray:
        """One view of a clip as float32 (n,)."""
        views = load_views(self.folder, clip)
        clean = not self.options.degrade or rng.random() < self.options.clean_share
        view = 0 if clean else int(rng.integers(1, len(views)))
        return views[view].astype(np.float32) / 32768.0

    def hybrid(self, n: int, rng: np.random.Generator, control: bool) -> tuple[np.ndarray, np.ndarray]:
        """A bona fide clip with one stretch of 0.3-2 s replaced. Returns samples (n,), frame labels (n // 320,).

        The stretch comes from its own copy at the same place, or from another spoof; in a control it comes from
        another bona fide clip (of the same speaker if there is one) and every label stays 1.
        """
        clip = self.bonafide[rng.integers(len(self.bonafide))]
        start_share = float(rng.random())
        x = self._crop(load_views(self.folder, clip)[0].astype(np.float32) / 32768.0, n, start_share)
        donor = self._donor(clip, rng, control)
        matched = donor.parent == clip.clip
        y = self._crop(load_views(self.folder, donor)[0].astype(np.float32) / 32768.0, n,
                       start_share if matched else float(rng.random()))
        length = int(rng.uniform(0.3, min(2.0, 0.6 * n / SAMPLE_RATE)) * SAMPLE_RATE) // FRAME * FRAME
        start = int(rng.integers(0, (n - length) // FRAME + 1)) * FRAME
        level = np.sqrt(np.mean(x**2) + 1e-8) / np.sqrt(np.mean(y**2) + 1e-8)
        mixed = splice(x, y * level, start, start + length)
        labels = np.ones(n // FRAME, np.float32)
        if not control:
            labels[start // FRAME : (start + length) // FRAME] = 0.0
        return mixed, labels

    def _donor(self, clip: Clip, rng: np.random.Generator, control: bool) -> Clip:
        if control:
            same = self.by_speaker.get(clip.speaker, []) if clip.speaker else []
            pool = same if len(same) > 1 else self.bonafide
        else:
            pool = self.copies_of.get(clip.clip, [])
            if not pool or rng.random() < 0.5:
                pool = self.whole_spoofs
        return pool[rng.integers(len(pool))]

    @staticmethod
    def _crop(x: np.ndarray, n: int, share: float) -> np.ndarray:
        """n samples from x at a relative place; shorter clips are repeated."""
        if len(x) < n:
            x = np.tile(x, -(-n // len(x)))
        start = int(share * (len(x) - n)) // FRAME * FRAME
        return x[start : start + n]

    def example(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, float, np.ndarray]:
        """Samples (n,), clip label, frame labels (n // 320,)."""
        kind = rng.random()
        if kind < self.options.hybrid_share + self.options.control_share:
            control = kind >= self.options.hybrid_share
            x, frames = self.hybrid(n, rng, control)
            if self.options.degrade and rng.random() > self.options.clean_share:
                x = augment.degrade(x, rng, exact=True)
            return x, 1.0 if control else float("nan"), frames
        clip = self.draw(rng)
        x = self._crop(self.samples(clip, rng), n, float(rng.random()))
        label = float(clip.bonafide)
        frames = np.full(n // FRAME, np.nan if clip.partial else label, np.float32)
        return x, label, frames

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            n = int(rng.choice(self.options.seconds) * SAMPLE_RATE)
            rows = [self.example(n, rng) for _ in range(self.options.batch)]
            yield Batch(torch.from_numpy(np.stack([r[0] for r in rows])),
                        torch.tensor([r[1] for r in rows]),
                        torch.from_numpy(np.stack([r[2] for r in rows])))


def splice(x: np.ndarray, y: np.ndarray, start: int, stop: int, fade: int = FADE) -> np.ndarray:
    """x with [start, stop) taken from y, cross-faded over ``fade`` samples inside the stretch. All (n,) float32."""
    gain = np.zeros(len(x), np.float32)
    gain[start:stop] = 1.0
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    if start > 0:
        gain[start : start + fade] = ramp
    if stop < len(x):
        gain[stop - fade : stop] = ramp[::-1]
    return ((1.0 - gain) * x + gain * y).astype(np.float32)
