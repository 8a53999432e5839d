"""Sums over frames from which the statistics pooling of any threshold follows without looking at a frame again.

A speaker encoder gives values h and attention logits l per frame; its pooling is the mean and the standard deviation of
h under the weights a = w exp(l). Both follow from the sums of a, a h and a h^2, and sums add up: over windows, so that
an hour takes no more room than a minute, and over levels of the gate, so that every threshold is a sum of levels.

Reference: Okabe, Koshinaka, Shinoda 2018, arXiv 1803.10963 (attentive statistics pooling).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVELS = 101  # of the gate: level k holds the frames with k <= 100 gamma < k + 1
EPSILON = 1e-6  # least variance, as in the encoder


def level_of(gamma: np.ndarray) -> np.ndarray:
    """The level of gate values in 0..1, any shape, int64. At a threshold of k / 100 the levels from k on are kept."""
    return np.clip(np.floor(np.asarray(gamma, np.float64) * (LEVELS - 1) + 1e-5), 0, LEVELS - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Moments:
    """a, a h and a h^2 of frames: weight [T, K], first and second [T, C]."""

    weight: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, logits: np.ndarray, reference: np.ndarray) -> Moments:
        """values : [shape=(T, C)]; logits : [shape=(T, K)]; reference : [shape=(K,)], taken off the logits so that their
        exponentials stay finite; the same for all frames that are to be added up.
        """
        weight = np.exp(np.minimum(logits - reference, 60.0))
        first = weight * values
        return cls(weight, first, first * values)


class Sums:
    """Moments added up per group of frames: weight [G, K], first and second [G, C], frames [G]."""

    def __init__(self, groups: int, n_logits: int, n_values: int) -> None:
        self.frames = np.zeros(groups)
        self.weight = np.zeros((groups, n_logits))
        self.first, self.second = np.zeros((2, groups, n_values))

    def add(self, moments: Moments, group: np.ndarray) -> None:
        """Add frames to their groups. group : [shape=(T,)] of 0..G-1."""
        if not len(group):
            return
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        present = group[order][starts]
        for into, given in ((self.weight, moments.weight), (self.first, moments.first), (self.second, moments.second)):
            into[present] += np.add.reduceat(given[order], starts, axis=0)
        self.frames += np.bincount(group, minlength=len(self.frames))

    def merged(self, into: np.ndarray) -> Sums:
        """The sums of merged groups. into : [shape=(G,)], the new group of each."""
        out = Sums(int(into.max()) + 1, self.weight.shape[1], self.first.shape[1])
        for name in ("frames", "weight", "first", "second"):
            np.add.at(getattr(out, name), into, getattr(self, name))
        return out

    def chosen(self, groups: np.ndarray) -> Sums:
        """The sums of the chosen groups as one. groups : [shape=(G,)] bool."""
        out = Sums(1, self.weight.shape[1], self.first.shape[1])
        for name in ("frames", "weight", "first", "second"):
            getattr(out, name)[0] = getattr(self, name)[groups].sum(0)
        return out

    def statistics(self, chosen: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray] | None:
        """(mean, standard deviation), each [shape=(C,)] float32, of the chosen groups; None where they hold no frame."""
        if not self.frames[chosen].sum() > 0:
            return None
        mean, deviation = _statistics(*(x[chosen].sum(0) for x in (self.weight, self.first, self.second)))
        return mean, deviation

    def from_level(self) -> tuple[np.ndarray, np.ndarray]:
        """Statistics of the groups from k on, for every k: (means, deviations), each [shape=(G, C)], NaN where there is
        no frame.
        """
        return self._running(slice(None, None, -1))

    def below_level(self) -> tuple[np.ndarray, np.ndarray]:
        """Statistics of the groups before k, for every k; the first is NaN."""
        nothing = np.full((1, self.first.shape[1]), np.nan, np.float32)
        return tuple(np.concatenate((nothing, x[:-1])) for x in self._running(slice(None)))

    def _running(self, way: slice) -> tuple[np.ndarray, np.ndarray]:
        frames, *sums = (np.cumsum(x[way], axis=0)[way] for x in (self.frames, self.weight, self.first, self.second))
        empty = (frames <= 0)[:, None]
        return tuple(np.where(empty, np.float32(np.nan), x) for x in _statistics(*sums))

    @property
    def n_bytes(self) -> int:
        """Bytes held, however many frames were added."""
        return self.weight.nbytes + self.first.nbytes + self.second.nbytes


def _statistics(weight: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weight = np.maximum(weight, 1e-300)
    mean = first / weight
    deviation = np.sqrt(np.maximum(second / weight - mean * mean, EPSILON))
    return mean.astype(np.float32), deviation.astype(np.float32)
