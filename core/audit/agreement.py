"""How alike two maps are: rank correlation of their cells, and how many of their strongest cells they share.

Reference: Krishna et al. 2022, arXiv 2202.01602 (the disagreement problem in explainable machine learning).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.audit.cells import COARSE, grid_of

TOP = 0.1  # share of the cells that count as strongest


@dataclass(frozen=True)
class Likeness:
    """rank : Spearman correlation of signed cells, -1..1; top : share of the strongest tenth (by size) in common,
    0.1 by chance; overlap : sum of the smaller of both normalised sizes, 0..1; n : cells compared."""

    rank: float
    top: float
    overlap: float
    n: int = 0


def cells_of(values: np.ndarray, *, coarse: bool = False) -> np.ndarray:
    """A map (R, C) pooled to cells, flat float64."""
    size = COARSE if coarse else ()
    return grid_of(values.shape, *size).pool(np.asarray(values, np.float64)).ravel()


def likeness(one: np.ndarray, other: np.ndarray, *, coarse: bool = False) -> Likeness:
    """Compare two maps (R, C) of the same plane and stretch; ``coarse`` for maps of different resolution. Where one of
    them runs over time only, so does the comparison. Raises ValueError where their shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"maps of shapes {one.shape} and {other.shape} can't be compared")
    if _flat(one) or _flat(other):
        one, other = one.sum(0, keepdims=True), other.sum(0, keepdims=True)
    a, b = cells_of(one, coarse=coarse), cells_of(other, coarse=coarse)
    return Likeness(spearman(a, b), top_overlap(np.abs(a), np.abs(b)), overlap(a, b), a.size)


def _flat(values: np.ndarray) -> bool:
    """Whether all rows are the same."""
    return bool(np.allclose(values, values[:1], rtol=1e-6, atol=0.0))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation with ties sharing their mean rank; 0 where one of them is constant."""
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return 0.0 if norm == 0 else float(x @ y) / norm


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + last - 1) / 2)[inverse.ravel()]


def top_overlap(a: np.ndarray, b: np.ndarray, share: float = TOP) -> float:
    """Share of the largest ``share`` of a's cells that are among the largest of b's."""
    k = max(1, round(share * a.size))
    return len(set(np.argsort(-a, kind="stable")[:k]) & set(np.argsort(-b, kind="stable")[:k])) / k


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of min(P, Q) for the normalised sizes of both: 1 for equal maps, 0 for disjoint ones."""
    p, q = np.abs(a), np.abs(b)
    if p.sum() == 0 or q.sum() == 0:
        return 0.0
    return float(np.minimum(p / p.sum(), q / q.sum()).sum())
