"""From a detector's score to a likelihood ratio, bounded to what the calibration data support.

log10 LR = slope * score + intercept, by logistic regression in which both classes weigh the same whatever
their numbers (so the fitted log odds are a log likelihood ratio); an interval from refitting on resampled
groups; and empirical upper and lower bounds beyond which the data say nothing more. Nothing here decides
whether to report the number: that is `core.finding`.

References:
  N. Brümmer and J. du Preez, Application-independent evaluation of speaker detection, CSL 20 (2006).
  G. S. Morrison, Tutorial on logistic-regression calibration and fusion, Aust. J. Forensic Sci. 45 (2013).
  P. Vergeer et al., Numerical likelihood ratios outputted by LR systems are often based on extrapolation:
  when to stop extrapolating?, Science & Justice 56 (2016): the bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from core.bootstrap import GroupResampler
from core.det import as_scores, as_weights

LN10 = float(np.log(10.0))
# on the slope of the standardised score: gives separable data a finite slope, moves others by well under 0.1
# %
RIDGE = 1e-5
GRID_STEP = 0.01  # log10 units in which the bounds are searched
LEVEL = 0.95


@dataclass(frozen=True)
class Llr:
    """A log10 likelihood ratio with its interval; `bounded` where the fitted line went beyond the bounds."""

    value: float
    low: float
    high: float
    bounded: bool


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted calibration. bootstrap: [B, 2] (slope, intercept); bounds: (lowest, highest) log10 LR to
    report.
    """

    slope: float
    intercept: float
    bootstrap: np.ndarray
    bounds: tuple[float, float]

    def apply(self, score: float) -> Llr:
        """The bounded LLR of one score. Raises ValueError where the score is not finite."""
        value, low, high, bounded = self.apply_many([score])
        return Llr(float(value[0]), float(low[0]), float(high[0]), bool(bounded[0]))

    def apply_many(self, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(value, low, high, bounded) of scores [n], each [n]. Raises ValueError where a score is not
        finite.
        """
        x = as_scores(scores)
        if not np.isfinite(x).all():
            raise ValueError("a score that is not finite has no likelihood ratio")
        raw = self.slope * x + self.intercept
        low, high = raw, raw
        if len(self.bootstrap):
            lines = self.bootstrap[:, :1] * x + self.bootstrap[:, 1:]  # (B, n)
            low, high = np.quantile(lines, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            low, high = np.minimum(low, raw), np.maximum(high, raw)
        outside = (raw < self.bounds[0]) | (raw > self.bounds[1])
        return np.clip(raw, *self.bounds), np.clip(low, *self.bounds), np.clip(high, *self.bounds), outside

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of calibration.safetensors: slope [1], intercept [1], bootstrap [B, 2], bounds [2]."""
        return {
            "slope": np.array([self.slope]),
            "intercept": np.array([self.intercept]),
            "bootstrap": np.ascontiguousarray(self.bootstrap, dtype=np.float64).reshape(-1, 2),
            "bounds": np.array(self.bounds, dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Calibration:
        """Back from `to_arrays`. Raises ValueError where an array is missing or makes no sense."""
        try:
            slope, intercept = (
                float(arrays["slope"].reshape(-1)[0]),
                float(arrays["intercept"].reshape(-1)[0]),
            )
            bootstrap = np.asarray(arrays["bootstrap"], dtype=np.float64).reshape(-1, 2)
            low, high = (float(v) for v in np.asarray(arrays["bounds"]).reshape(-1))
        except (KeyError, IndexError, ValueError) as problem:
            raise ValueError(f"the calibration file is incomplete ({problem})") from problem
        if not np.isfinite([slope, intercept, low, high]).all() or not np.isfinite(bootstrap).all():
            raise ValueError("the calibration file holds numbers that are not finite")
        if low > high:
            raise ValueError("the calibration file's lower bound is above its upper bound")
        return cls(slope, intercept, bootstrap, (low, high))

    def save(self, path: Path | str) -> None:
        """Writes calibration.safetensors."""
        from safetensors.numpy import save_file

        save_file(self.to_arrays(), str(path))

    @classmethod
    def load(cls, path: Path | str) -> Calibration:
        """Reads calibration.safetensors."""
        from safetensors.numpy import load_file

        return cls.from_arrays(load_file(str(path)))


def split_labels(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(scores float64 [n], is bona fide bool [n]). Labels are 1 or True for bona fide, 0 or False for spoof.

    Raises ValueError where a class is missing, a score is not finite or the lengths differ.
    """
    x = as_scores(scores)
    y = np.asarray(labels).reshape(-1)
    if y.size != x.size or not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (spoof) or 1 (bona fide), one for each score")
    if not np.isfinite(x).all():
        raise ValueError("scores must be finite to be calibrated")
    y = y.astype(bool)
    if y.all() or not y.any():
        raise ValueError("calibration needs bona fide and spoofed trials")
    return x, y


def _balanced(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of which each class has one half."""
    sums = np.where(y, weights[y].sum(), weights[~y].sum())
    if not (sums > 0).all():
        raise ValueError("the weights of one class are all zero")
    return 0.5 * weights / sums


def fit_logistic(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """(slope, intercept) of the log10 LR by class-balanced logistic regression.

    scores: [n]; labels: [n], 1 = bona fide; weights: [n] relative weights within each class, ones for None.
    Newton's method with step halving on the standardised score; RIDGE keeps separable data finite.
    """
    x, y = split_labels(scores, labels)
    w = _balanced(y, as_weights(weights, x.size))
    mean = float(w @ x)
    scale = float(np.sqrt(w @ (x - mean) ** 2))
    if scale <= 1e-12 * max(1.0, abs(mean)):
        return 0.0, 0.0  # constant scores say nothing
    slope, intercept = _newton((x - mean) / scale, y, w)
    return slope / scale / LN10, (intercept - slope * mean / scale) / LN10


def _newton(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """(slope, intercept) in natural log odds for standardised scores z, both [n]."""
    sign = np.where(y, 1.0, -1.0)

    def loss(theta: np.ndarray) -> float:
        return float(w @ np.logaddexp(0.0, -sign * (theta[0] * z + theta[1])) + 0.5 * RIDGE * theta[0] ** 2)

    theta = np.zeros(2)
    current = loss(theta)
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-np.clip(theta[0] * z + theta[1], -700, 700)))
        r, v = w * (p - y), w * p * (1 - p)
        gradient = np.array([r @ z + RIDGE * theta[0], r.sum()])
        hessian = np.array([[v @ (z * z) + RIDGE, v @ z], [v @ z, v.sum() + 1e-12]])
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while loss(theta - size * step) > current and size > 1e-10:
            size /= 2
        theta = theta - size * step
        previous, current = current, loss(theta)
        if abs(previous - current) < 1e-14 and np.abs(gradient).max() < 1e-9:
            break
    return float(theta[0]), float(theta[1])


def elub(llr_log10: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, float]:
    """Empirical lower and upper bound of log10 LRs: where using them stops beating LR = 1 (Vergeer 2016).

    At each threshold t the expected cost of deciding by LR > t, with one consequential misleading trial added
    to each class, is compared with that of never looking; the bounds are the thresholds nearest to 0 at which
    it does no better, on a grid of GRID_STEP. With weights, the added trial is one of the class's effective
    number.
    """
    llr, y = split_labels(np.clip(np.asarray(llr_log10, dtype=np.float64), -9.0, 9.0), labels)
    w = as_weights(weights, llr.size)
    n_b, n_s = (w[c].sum() ** 2 / (w[c] ** 2).sum() for c in (y, ~y))
    low, high = max(llr.min(), -np.log10(n_b + 1)), min(llr.max(), np.log10(n_s + 1))
    first, last = min(0, int(low // GRID_STEP)), max(0, int(high // GRID_STEP) + 1)
    t = np.arange(first, last + 1) * GRID_STEP
    miss = (n_b * _share_at_most(llr[y], w[y], t) + 1) / (n_b + 1)
    alarm = (n_s * (1 - _share_at_most(llr[~y], w[~y], t)) + 1) / (n_s + 1)
    cost = miss + 10**t * alarm
    neutral = np.where(t < 0, 10**t, 1.0)
    bad = neutral < cost
    lower = np.max(t[bad & (t <= 0)] + GRID_STEP, initial=t[0])
    upper = np.min(t[bad & (t >= 0)] - GRID_STEP, initial=t[-1])
    return float(min(lower, 0.0)), float(max(upper, 0.0))


def _share_at_most(values: np.ndarray, weights: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Weighted share of values <= t at each t."""
    order = np.argsort(values)
    cumulated = np.concatenate(([0.0], np.cumsum(weights[order])))
    return cumulated[np.searchsorted(values[order], t, side="right")] / cumulated[-1]


def fit_calibration(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | Sequence | None = None,
    weights: ArrayLike | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Logistic calibration with bootstrap lines and bounds, on scores the detector was not trained on.

    groups: [n] the speaker of bona fide and the system of spoofed trials (resampled whole, within each
    class);
    weights: [n], for example to let every source count the same.
    """
    x, y = split_labels(scores, labels)
    w = as_weights(weights, x.size)
    slope, intercept = fit_logistic(x, y, w)
    names = np.arange(x.size) if groups is None else np.asarray(groups).astype(str)
    if names.size != x.size:
        raise ValueError(f"{names.size} groups for {x.size} trials")
    rng = np.random.default_rng(seed)
    counts = np.zeros((n_boot, x.size))
    for c in (y, ~y):
        counts[:, c] = GroupResampler(names[c], int(c.sum()), rng).counts(n_boot)
    lines = [fit_logistic(x, y, w * k) for k in counts if (w * k)[y].sum() > 0 and (w * k)[~y].sum() > 0]
    bounds = elub(slope * x + intercept, y, w)
    return Calibration(slope, intercept, np.array(lines, dtype=np.float64).reshape(-1, 2), bounds)
