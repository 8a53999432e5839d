"""ACoRL fold by fold: members, plain networks and alliances, each trained once per seed and fold and kept on disk.

A run is (variant, seed, fold); its result is the representation and the score of every window, whether or not the window
was trained on. A run that is there is never repeated. Fold ``ALL`` trains on everything, for what is shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.training.acorl import AcorlOptions, represent_all, train_alliance
from core.training.acorl_bank import Windows, finfoed_windows, fold_finfoed, load_windows
from core.training.corpus import FOLDS, Clip, split
from core.training.panel import clip_weights
from models.acorl import VIEWS, Alliance, AllianceConfig
from models.finfoed import FInfoED

MEMBERS = ("cepstra", "excitation")
FROZEN = (*MEMBERS, "f-infoed")  # what an alliance is trained against
ALL = -1
ETAS = {"plain": 0.0, "acorl": 1.0, "acorl-0.3": 0.3, "acorl-3": 3.0, "acorl-10": 10.0}
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Output:
    """What one network makes of all R windows: vectors (R, d), scores (R,), higher for bona fide."""

    vectors: np.ndarray
    scores: np.ndarray


@dataclass(eq=False)
class Material:
    """The prepared corpus as ACoRL sees it, and the runs on it."""

    work: Path
    clips: list[Clip]
    shipped: FInfoED
    windows: Windows
    x: torch.Tensor  # (R, 79, 400) float16
    y: torch.Tensor  # (R,) 1 for bona fide
    say: Say

    @classmethod
    def load(cls, work: Path, clips: Sequence[Clip], shipped: FInfoED, say: Say) -> Material:
        originals = [c for c in clips if not c.copier]
        windows, label = load_windows(work, clips, say), {c.clip: float(c.bonafide) for c in originals}
        return cls(work, originals, shipped, windows, torch.from_numpy(np.array(windows.tracks)),
                   torch.tensor([label[c] for c in windows.clip]), say)

    def training(self, fold: int) -> tuple[np.ndarray, torch.Tensor]:
        """Rows that a fold trains on and how often each is drawn: balanced as the panel's fit, a clip by its length."""
        clips = self.clips if fold == ALL else split(self.clips, FOLDS[fold])[0]
        rows = self.windows.rows_of(clips)
        share = clip_weights(clips)
        total: dict[str, int] = {}
        for r in rows:
            total[self.windows.clip[r]] = total.get(self.windows.clip[r], 0) + self.windows.samples[r]
        weights = [share[self.windows.clip[r]] * self.windows.samples[r] / total[self.windows.clip[r]] for r in rows]
        return rows, torch.tensor(weights)

    def test(self, fold: int) -> list[Clip]:
        return split(self.clips, FOLDS[fold])[1]

    def finfoed(self, fold: int) -> Output:
        """f-InfoED trained without the fold (the shipped one for ``ALL``); vectors standardised on the training rows."""
        if fold == ALL:
            network, name = self.shipped, "finfoed-shipped"
        else:
            network, name = fold_finfoed(self.work, self.clips, self.shipped, fold, self.say), f"finfoed-f{fold}"
        vectors, scores = finfoed_windows(self.work, self.clips, network, name, self.say)
        seen = vectors[self.training(fold)[0]]
        return Output((vectors - seen.mean(0)) / (seen.std(0) + 1e-4), scores)

    def run(self, name: str, seed: int, fold: int) -> Output:
        """A member's, plain network's or alliance's output, trained where it isn't on disk."""
        if name == "f-infoed":
            return self.finfoed(fold)
        path = self.work / "acorl" / f"run-{name}-s{seed}-f{fold}.npz"
        if not path.exists():
            self.say(f"{name}, seed {seed}, {'everything' if fold == ALL else f'without fold {fold}'}")
            vectors, scores = represent_all(self.train(name, seed, fold), self.x)
            np.savez(path, vectors=vectors.half().numpy(), scores=scores.numpy())
        with np.load(path, allow_pickle=False) as data:
            return Output(data["vectors"].astype(np.float32), data["scores"])

    def train(self, name: str, seed: int, fold: int) -> Alliance:
        """Train one network."""
        rows, weights = self.training(fold)
        first, count = VIEWS[name if name in MEMBERS else "alliance"]
        options = AcorlOptions(eta=ETAS.get(name, 0.0), seed=seed)
        known = [torch.from_numpy(self.run(m, 0, fold).vectors[rows]) for m in FROZEN] if options.eta > 0 else []
        config = AllianceConfig(rows=count, first=first)
        return train_alliance(self.x[rows], self.y[rows], config, known, options, weights)

    def held_out(self, name: str, seed: int) -> dict[str, float]:
        """Score per clip, each by the network that never heard its source: windows by length."""
        found: dict[str, float] = {}
        for fold in range(len(FOLDS)):
            found |= self.clip_means(self.run(name, seed, fold).scores, self.test(fold))
        return found

    def clip_means(self, scores: np.ndarray, clips: Sequence[Clip]) -> dict[str, float]:
        """Mean of the windows' scores (R,) per clip, windows by length."""
        rows = self.windows.rows_of(clips)
        names, place = np.unique(self.windows.clip[rows], return_inverse=True)
        length = self.windows.samples[rows]
        means = np.bincount(place, scores[rows] * length) / np.bincount(place, length)
        return dict(zip(names.tolist(), means.tolist(), strict=True))
