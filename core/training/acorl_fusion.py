"""Fusions of ACoRL's networks and of their plain counterparts: a sum of scores, a logistic one, and of representations.

The sum divides each score by its spread on the fold's training windows, as the panel does: nothing is learnt from labels,
so nothing can be overfitted. The logistic one takes its weights for a fold from the held-out scores of the other folds;
that of representations (``models.acorl.LateFusion``) learns from training clips, where members are surer than they
will be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core import metrics
from core.bootstrap import GroupResampler, eer_many, percentile_interval
from core.training.acorl import AcorlOptions, train_fusion
from core.training.acorl_runs import Material
from core.training.baselines import balanced_weights, fit_penalised
from core.training.corpus import FOLDS, Clip
from core.training.measure import HeldOut

PENALTY = 1e-2
Scores = Mapping[str, float]  # clip -> score
Named = tuple[str, int]  # variant, seed


@dataclass(frozen=True, eq=False)
class Weights:
    """A score fusion: score = sum of weight * member's score + bias. weight : np.ndarray [shape=(M,)]"""

    weight: np.ndarray
    bias: float

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Scores (n, M) -> (n,)."""
        return x @ self.weight + self.bias


def spread_weights(material: Material, names: Sequence[Named], fold: int) -> Weights:
    """Each network by one over its spread on the fold's training windows, all together counting as one."""
    rows, draws = material.training(fold)
    share = (draws / draws.sum()).numpy()
    seen = np.stack([material.run(name, seed, fold).scores[rows] for name, seed in names], 1)  # (n, M)
    mean = share @ seen
    weight = 1.0 / np.sqrt(share @ np.square(seen - mean)) / len(names)
    return Weights(weight, float(-(weight * mean).sum()))


def summed(material: Material, names: Sequence[Named]) -> dict[str, float]:
    """Fused score per clip of networks (variant, seed), fold by fold."""
    found: dict[str, float] = {}
    for fold in range(len(FOLDS)):
        scores = np.stack([material.run(name, seed, fold).scores for name, seed in names], 1)  # (R, M)
        fused = spread_weights(material, names, fold).apply(scores)
        found |= material.clip_means(fused, material.test(fold))
    return found


def fit_weights(parts: Sequence[Scores], clips: Sequence[Clip]) -> Weights:
    """Balanced logistic regression on members' held-out scores of these clips."""
    x = table(parts, clips)
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    weight, bias = fit_penalised(((x - mean) / deviation).astype(np.float32), np.array([c.bonafide for c in clips]),
                                balanced_weights(clips), PENALTY)
    return Weights(weight / deviation, float(bias - (weight * mean / deviation).sum()))


def table(parts: Sequence[Scores], clips: Sequence[Clip]) -> np.ndarray:
    """Members' scores of the clips, (n, M)."""
    return np.array([[p[c.clip] for p in parts] for c in clips])


def cross_fitted(parts: Sequence[Scores], clips: Sequence[Clip]) -> dict[str, float]:
    """Fused score per clip, each fold's by weights that the other folds gave."""
    known = [c for c in clips if all(c.clip in p for p in parts)]
    found: dict[str, float] = {}
    for sources in FOLDS:
        test = [c for c in known if c.source in sources]
        weights = fit_weights(parts, [c for c in known if c.source not in sources])
        found |= dict(zip((c.clip for c in test), weights.apply(table(parts, test)).tolist(), strict=True))
    return found


def late_fused(material: Material, names: Sequence[Named], seed: int = 0) -> dict[str, float]:
    """Fused score per clip of ``LateFusion`` over the representations of (variant, seed), fold by fold."""
    found: dict[str, float] = {}
    for fold in range(len(FOLDS)):
        rows, weights = material.training(fold)
        parts = [torch.from_numpy(material.run(name, s, fold).vectors) for name, s in names]
        fusion = train_fusion([p[rows] for p in parts], material.y[rows], AcorlOptions(seed=seed), weights)
        with torch.no_grad():
            found |= material.clip_means(fusion(parts).numpy(), material.test(fold))
    return found


def difference(one: HeldOut, other: HeldOut, n: int = 1_000) -> dict[str, float]:
    """EER of the one less that of the other on the same resampled speakers and systems; negative favours the one."""
    b, s = one.bonafide, ~one.bonafide
    rng = np.random.default_rng(0)
    draw_b, draw_s = (GroupResampler(one.group[m], int(m.sum()), rng) for m in (b, s))
    counts_b, counts_s = draw_b.counts(n), draw_s.counts(n)
    rates = [eer_many(h.score[b], h.score[s], counts_b, counts_s) for h in (one, other)]
    value = metrics.eer(one.score[b], one.score[s])[0] - metrics.eer(other.score[b], other.score[s])[0]
    found = percentile_interval(float(value), rates[0] - rates[1], 0.95)
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}
