"""How much two models say the same: representations, errors, scores, attribution.

References: Kornblith et al. 2019, arXiv 1905.00414 (linear CKA); Kuncheva, Whitaker 2003, Machine Learning 51
(Q-statistic, double fault, oracle).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.audit.agreement import cells_of, overlap


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Likeness of two representations of the same N items, (N, d) and (N, e): 1 up to rotation and scale, about 0 for
    independent ones of many more items than dimensions; 0 where one is constant."""
    a, b = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return 0.0 if norm == 0 else float(np.linalg.norm(a.T @ b) ** 2 / norm)


def ridge_r2(x: np.ndarray, y: np.ndarray, *, strength: float = 1e-2, folds: int = 5) -> float:
    """How much of ``y`` (N, e) a ridge regression on ``x`` (N, d) predicts on items it wasn't fitted to: 1 for all of
    its variance, 0 or less for none. strength : of the ridge, as a share of x's mean variance times N."""
    residual = total = 0.0
    place = np.arange(len(x)) % folds
    for fold in range(folds):
        fit, held = place != fold, place == fold
        mx, my = x[fit].mean(0), y[fit].mean(0)
        a, b = x[fit] - mx, y[fit] - my
        gram = a.T @ a
        ridge = strength * np.trace(gram) / len(gram) + 1e-12
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), a.T @ b)
        residual += float(np.square(y[held] - my - (x[held] - mx) @ weights).sum())
        total += float(np.square(y[held] - my).sum())
    return 1.0 - residual / max(total, 1e-300)


def q_statistic(right: np.ndarray, other: np.ndarray) -> float:
    """Yule's Q of being right, bool [N] each: 1 where both err on the same items, 0 independent, -1 on different ones.
    0 where it isn't defined."""
    a, b = np.asarray(right, bool), np.asarray(other, bool)
    both, neither, one, two = (a & b).sum(), (~a & ~b).sum(), (a & ~b).sum(), (~a & b).sum()
    below = float(both * neither + one * two)
    return 0.0 if below == 0 else float(both * neither - one * two) / below


def double_fault(right: np.ndarray, other: np.ndarray) -> float:
    """Share of items on which both are wrong, bool [N] each."""
    return float((~np.asarray(right, bool) & ~np.asarray(other, bool)).mean())


def error_correlation(right: np.ndarray, other: np.ndarray) -> float:
    """Correlation of the errors, bool [N] each; 0 where one never errs or always."""
    a, b = (~np.asarray(v, bool) for v in (right, other))
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def oracle_scores(scores: Sequence[np.ndarray], bonafide: np.ndarray) -> np.ndarray:
    """For each item the score of whichever model is most right, [N]: a bound that no fusion can be asked to reach.

    scores : calibrated to one scale, higher = bona fide, [N] each; bonafide : bool [N].
    """
    stacked = np.stack(list(scores))
    return np.where(np.asarray(bonafide, bool), stacked.max(0), stacked.min(0))


def attribution_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Sum of the smaller of two normalised maps' cells, (R, C) each: 1 for the same evidence, 0 for disjoint."""
    return overlap(cells_of(one), cells_of(other))


def only_this(maps: Sequence[np.ndarray], which: int) -> np.ndarray:
    """Where one model has more of its evidence than any other: its normalised map less the largest of the others', or 0.
    maps : (R, C) each, on the same plane."""
    shares = [np.abs(m) / max(float(np.abs(m).sum()), 1e-300) for m in maps]
    others = np.max([s for i, s in enumerate(shares) if i != which], axis=0)
    return np.maximum(shares[which] - others, 0.0)
