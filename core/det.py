"""Miss and false-alarm rates over thresholds, and the equal error rate: the ground that other metrics stand
on.

The ASVspoof 5 convention: scores are higher for bona fide speech; the pooled scores are sorted stably, with
an extra first point at which nothing is rejected. Users import all of this from `core.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class DetCurve:
    """Miss rate `frr` and false-alarm rate `far` at each threshold, [n+1] each; the first point is (0, 1)."""

    frr: np.ndarray
    far: np.ndarray
    thresholds: np.ndarray

    def probits(self, *, floor: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
        """(far, frr) on the normal-deviate axes of a DET plot, rates clipped to [floor, 1 - floor]."""
        from scipy.special import ndtri

        return ndtri(np.clip(self.far, floor, 1 - floor)), ndtri(np.clip(self.frr, floor, 1 - floor))


def as_scores(scores: ArrayLike, what: str = "scores") -> np.ndarray:
    """`scores` as float64 [n]. Raises ValueError where there are none or one of them is NaN."""
    array = np.asarray(scores, dtype=np.float64).reshape(-1)
    if array.size == 0:
        raise ValueError(f"no {what}: each class needs at least one trial")
    if np.isnan(array).any():
        raise ValueError(f"{what} contain NaN")
    return array


def as_weights(weights: ArrayLike | None, n: int) -> np.ndarray:
    """`weights` as float64 [n], ones for None. Raises ValueError for a wrong length, a negative or a zero
    sum.
    """
    if weights is None:
        return np.ones(n)
    array = np.asarray(weights, dtype=np.float64).reshape(-1)
    if array.size != n or not np.isfinite(array).all() or (array < 0).any() or array.sum() <= 0:
        raise ValueError(f"weights must be {n} non-negative numbers that are not all zero")
    return array


def det_curve(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    weights_bonafide: ArrayLike | None = None,
    weights_spoof: ArrayLike | None = None,
    merge_ties: bool = False,
) -> DetCurve:
    """Error rates at every score, by a stable sort of the pooled scores with an extra first point (frr 0, far
    1).

    Point i > 0 has every trial up to the i-th lowest score rejected. As in the ASVspoof package, tied scores
    of the two classes give points that no threshold reaches, bona fide first; `merge_ties` keeps the real
    ones only. Weights (for example durations) count instead of trials.
    """
    b, s = as_scores(bonafide, "bona fide scores"), as_scores(spoof, "spoof scores")
    wb, ws = as_weights(weights_bonafide, b.size), as_weights(weights_spoof, s.size)
    pooled = np.concatenate((b, s))
    order = np.argsort(pooled, kind="stable")
    ordered = pooled[order]
    missed = np.cumsum(np.concatenate((wb, np.zeros(s.size)))[order])
    caught = np.cumsum(np.concatenate((np.zeros(b.size), ws))[order])
    frr = np.concatenate(([0.0], missed / missed[-1]))
    far = np.concatenate(([1.0], 1.0 - caught / caught[-1]))
    thresholds = np.concatenate(([ordered[0] - 0.001], ordered))
    if merge_ties:
        keep = np.concatenate(([True], ordered[1:] != ordered[:-1], [True]))
        frr, far, thresholds = frr[keep], far[keep], thresholds[keep]
    return DetCurve(frr, far, thresholds)


def eer(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    weights_bonafide: ArrayLike | None = None,
    weights_spoof: ArrayLike | None = None,
    merge_ties: bool = False,
) -> tuple[float, float]:
    """Equal error rate (0..1) and its threshold: mean of frr and far where they are closest.

    Where two thresholds are equally close, which ties bring about, the first counts, as in the ASVspoof package; with
    `merge_ties` both do, so that the rate stays the same when the classes change places.
    """
    curve = det_curve(
        bonafide, spoof, weights_bonafide=weights_bonafide, weights_spoof=weights_spoof, merge_ties=merge_ties
    )
    gap = np.abs(curve.frr - curve.far)
    i = int(np.argmin(gap))
    closest = np.flatnonzero(gap <= gap[i] + 1e-12) if merge_ties else np.array([i])
    return float((curve.frr[closest] + curve.far[closest]).mean()) / 2, float(curve.thresholds[i])
