"""Intervals by resampling groups: how far a figure would move with other speakers and other systems.

Clips of one speaker or one system resemble each other, so whole groups are drawn with replacement, never
single clips of a group (cluster bootstrap; Efron and Tibshirani 1993, ch. 8). The two classes are drawn
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.det import as_scores, as_weights, eer


@dataclass(frozen=True)
class Interval:
    """A figure with the bootstrap percentiles around it; `level` is the coverage aimed at."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def group_codes(groups: ArrayLike | Sequence | None, n: int) -> np.ndarray:
    """Groups as integers 0..g-1, [n]; None makes each trial its own group. Raises ValueError for a wrong
    length.
    """
    if groups is None:
        return np.arange(n)
    codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1].reshape(-1)
    if codes.size != n:
        raise ValueError(f"{codes.size} groups for {n} trials")
    return codes


class GroupResampler:
    """Draws trials by whole groups. `counts(k)` says how often each trial is in each of k resamples."""

    def __init__(self, groups: ArrayLike | Sequence | None, n: int, rng: np.random.Generator) -> None:
        self.codes = group_codes(groups, n)
        self.n_groups = int(self.codes.max()) + 1
        self._rng = rng

    def counts(self, k: int) -> np.ndarray:
        """Multiplicity of each trial in k resamples, float64 [k, n]."""
        share = np.full(self.n_groups, 1.0 / self.n_groups)
        return self._rng.multinomial(self.n_groups, share, size=k)[:, self.codes].astype(np.float64)

    def indices(self) -> np.ndarray:
        """Positions of one resample's trials, with repetitions."""
        drawn = self._rng.multinomial(self.n_groups, np.full(self.n_groups, 1.0 / self.n_groups))
        return np.repeat(np.arange(self.codes.size), drawn[self.codes])


def percentile_interval(value: float, draws: ArrayLike, level: float) -> Interval:
    """`value` with the central `level` share of the finite `draws`."""
    finite = np.asarray(draws, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return Interval(value, float("nan"), float("nan"), level)
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def bootstrap_interval(
    fn: Callable[..., float | tuple],
    bonafide: ArrayLike,
    spoof: ArrayLike,
    groups_bonafide: ArrayLike | Sequence | None = None,
    groups_spoof: ArrayLike | Sequence | None = None,
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    weights_bonafide: ArrayLike | None = None,
    weights_spoof: ArrayLike | None = None,
) -> Interval:
    """`fn(bonafide, spoof)` with its grouped bootstrap interval (of a tuple, its first entry).

    Groups are usually the speaker for bona fide and the system for spoofed speech. With weights, fn is called
    with `weights_bonafide` and `weights_spoof` as well.
    """
    b, s = as_scores(bonafide, "bona fide scores"), as_scores(spoof, "spoof scores")
    weighted = weights_bonafide is not None or weights_spoof is not None
    wb, ws = as_weights(weights_bonafide, b.size), as_weights(weights_spoof, s.size)

    def figure(i: np.ndarray | slice, j: np.ndarray | slice) -> float:
        extra = {"weights_bonafide": wb[i], "weights_spoof": ws[j]} if weighted else {}
        out = fn(b[i], s[j], **extra)
        return float(out[0] if isinstance(out, tuple) else out)

    rng = np.random.default_rng(seed)
    draw_b, draw_s = GroupResampler(groups_bonafide, b.size, rng), GroupResampler(groups_spoof, s.size, rng)
    draws = [figure(draw_b.indices(), draw_s.indices()) for _ in range(n)]
    return percentile_interval(figure(slice(None), slice(None)), draws, level)


def eer_many(b: np.ndarray, s: np.ndarray, counts_b: np.ndarray, counts_s: np.ndarray) -> np.ndarray:
    """EER of k weightings of the same trials at once, [k]; `counts_*` are [k, n_*]. The scores are sorted
    once.
    """
    order = np.argsort(np.concatenate((b, s)), kind="stable")
    k = len(counts_b)
    missed = np.cumsum(np.concatenate((counts_b, np.zeros((k, s.size))), axis=1)[:, order], axis=1)
    caught = np.cumsum(np.concatenate((np.zeros((k, b.size)), counts_s), axis=1)[:, order], axis=1)
    frr, far = missed / missed[:, -1:], 1.0 - caught / caught[:, -1:]
    i = np.argmin(np.abs(frr - far), axis=1)[:, None]
    return (np.take_along_axis(frr, i, 1)[:, 0] + np.take_along_axis(far, i, 1)[:, 0]) / 2


def eer_interval(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    groups_bonafide: ArrayLike | Sequence | None = None,
    groups_spoof: ArrayLike | Sequence | None = None,
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """`eer` with its grouped bootstrap interval, all resamples in a few array operations."""
    b, s = as_scores(bonafide, "bona fide scores"), as_scores(spoof, "spoof scores")
    rng = np.random.default_rng(seed)
    draw_b, draw_s = GroupResampler(groups_bonafide, b.size, rng), GroupResampler(groups_spoof, s.size, rng)
    step = max(1, 4_000_000 // (b.size + s.size))  # bounds the memory of one block
    blocks = [min(step, n - i) for i in range(0, n, step)]
    draws = [eer_many(b, s, draw_b.counts(k), draw_s.counts(k)) for k in blocks]
    return percentile_interval(eer(b, s)[0], np.concatenate(draws) if draws else [], level)


def macro_eer(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    systems: ArrayLike | Sequence,
    groups_bonafide: ArrayLike | Sequence | None = None,
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[Interval, dict[str, float]]:
    """Mean over spoofing systems of each system's EER against all bona fide trials, and the EER per system.

    The interval draws bona fide groups and spoofing systems anew; n = 0 gives no interval (NaN).
    """
    b, s = as_scores(bonafide, "bona fide scores"), as_scores(spoof, "spoof scores")
    names = np.asarray(systems).astype(str)
    if names.size != s.size:
        raise ValueError(f"{names.size} system names for {s.size} spoofed trials")
    per_system = {str(name): eer(b, s[names == name])[0] for name in np.unique(names)}
    value = float(np.mean(list(per_system.values())))
    if n <= 0:
        return percentile_interval(value, [], level), per_system
    rng = np.random.default_rng(seed)
    counts = GroupResampler(groups_bonafide, b.size, rng).counts(n)
    drawn = rng.multinomial(len(per_system), np.full(len(per_system), 1 / len(per_system)), size=n)
    # (n, systems)
    table = np.stack([_eer_of_system(b, s[names == name], counts) for name in per_system], axis=1)
    return percentile_interval(value, (table * drawn).sum(1) / len(per_system), level), per_system


def _eer_of_system(b: np.ndarray, s: np.ndarray, counts_b: np.ndarray) -> np.ndarray:
    """EER of one system's trials under each bona fide resample, [k], in blocks of bounded memory."""
    step = max(1, 4_000_000 // (b.size + s.size))
    blocks = [counts_b[i : i + step] for i in range(0, len(counts_b), step)]
    return np.concatenate([eer_many(b, s, block, np.ones((len(block), s.size))) for block in blocks])
