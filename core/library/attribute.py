"""Which known system does a recording resemble most, and is that near enough to name one? Open-set, fitted on the fly.

Linear discriminant analysis over a library's spoofed clips: a system's mean, and one spread shared by all systems, in
which what differs within a system (voice, words) counts little; compared are the few directions in which the systems'
means differ most (canonical variates; Rao 1948). Plain cosine can't do it: the nearest clip to a vocoded sentence is the
same sentence by another vocoder. Whether the best system is near enough is decided by a logistic curve on its distance
and its lead over the second, fitted by leaving whole systems out: "none of these" is an answer, not a leftover. (How wide
a system's own clips scatter, and what lies outside these directions, did not help.) In the shipped library nearly every
system comes from one publisher's page, so resembling a system also means resembling that page's channel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.library import Segments
from core.library.compare import Query, View

LEAST_CLIPS = 4  # a system with fewer isn't a candidate
SHRINK = 0.1  # of the shared spread towards uncorrelated dimensions
LEADING = 192  # dimensions of each layer's vectors that are looked at, those of most variance
DIRECTIONS = 30  # in which systems are compared, fewer where there are fewer systems
HALF = 0.5


@dataclass(frozen=True)
class Candidate:
    """One known system: its distance in units of the shared spread (1 is a typical own clip), and its clips."""

    system: str
    family: str
    distance: float
    clips: int


@dataclass(frozen=True)
class Attribution:
    """Candidates, nearest first, and the calibrated probability that the true system is among the known ones.

    ``known`` supposes that the recording is spoofed and that known and unknown systems are equally likely beforehand.
    """

    candidates: tuple[Candidate, ...]
    known: float

    @property
    def named(self) -> Candidate | None:
        """The system that may be named, or None for "none of these"."""
        return self.candidates[0] if self.candidates and self.known >= HALF else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "named": self.named.system if self.named else None,
            "p_known": round(self.known, 4),
            "candidates": [
                {"system": c.system, "family": c.family, "distance": round(c.distance, 4), "clips": c.clips}
                for c in self.candidates[:10]
            ],
        }


@dataclass(frozen=True, eq=False)
class SystemClips:
    """Spoofed clips of systems with enough of them. x (n, D): mean of a clip's vectors; code (n,): which of ``names``;
    clip (n,): its number among the segments' clips.
    """

    names: tuple[str, ...]
    families: tuple[str, ...]
    x: np.ndarray
    code: np.ndarray
    clip: np.ndarray

    def counts(self) -> np.ndarray:
        """Clips of each system, (C,)."""
        return np.bincount(self.code, minlength=len(self.names))

    def part(self, mask: np.ndarray) -> SystemClips:
        """Only some of the clips; systems left without any stay in ``names``."""
        return SystemClips(self.names, self.families, self.x[mask], self.code[mask], self.clip[mask])


def leading(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, L, V) -> their leading dimensions side by side, (n, D)."""
    return vectors[..., :LEADING].reshape(len(vectors), -1)


def system_clips(segments: Segments, allowed: np.ndarray | None = None, least: int = LEAST_CLIPS) -> SystemClips:
    """The candidates of some segments (mask (n,) or all): wholly spoofed clips of a named system."""
    rows = np.arange(len(segments)) if allowed is None else np.flatnonzero(allowed)
    clips = segments.clips
    fit = np.array([not c.bonafide and bool(c.system) and not c.partial for c in clips], bool)
    rows = rows[fit[segments.owner[rows]]]
    owners, place = np.unique(segments.owner[rows], return_inverse=True)
    seen = leading(segments.vectors[rows])
    x = np.zeros((len(owners), seen.shape[1]))
    np.add.at(x, place, seen)
    x /= np.bincount(place, minlength=len(owners))[:, None]
    tally: dict[str, int] = {}
    for i in owners:
        tally[clips[i].system] = tally.get(clips[i].system, 0) + 1
    names = tuple(sorted(name for name, n in tally.items() if n >= least))
    numbers = {name: i for i, name in enumerate(names)}
    code = np.array([numbers.get(clips[i].system, -1) for i in owners], int)
    family = {c.system: c.family for c in clips if not c.bonafide}
    kept = code >= 0
    return SystemClips(names, tuple(family[n] for n in names), x[kept], code[kept], owners[kept])


class Discriminant:
    """System means, their shared spread, and the directions in which the means differ most."""

    def __init__(self, known: SystemClips, shrink: float = SHRINK, directions: int = DIRECTIONS) -> None:
        counts, width = known.counts(), known.x.shape[1]
        sums = np.zeros((len(known.names), width))
        np.add.at(sums, known.code, known.x)
        self.present = counts > 0
        means = sums / np.maximum(counts, 1)[:, None]
        rest = known.x - means[known.code]
        spread = rest.T @ rest / max(1, len(rest))
        alone = np.diag(np.diagonal(spread) + 1e-9 * np.trace(spread) / width + 1e-12)
        chol = np.linalg.cholesky((1 - shrink) * spread + shrink * alone)
        self.white = np.linalg.inv(chol).T  # x @ white has the shared spread of a unit sphere
        centres = means @ self.white
        self.middle = centres[self.present].mean(0)
        _, _, rows = np.linalg.svd(centres[self.present] - self.middle, full_matrices=False)
        self.axes = rows[: max(1, min(directions, self.present.sum() - 1))].T  # (D, r)
        self.centres = (centres - self.middle) @ self.axes

    def squares(self, x: np.ndarray) -> np.ndarray:
        """x (q, D) -> squared distance to each system per direction, in units of the shared spread: (q, C), inf where a
        system has no clip.
        """
        z = (x @ self.white - self.middle) @ self.axes
        found = np.square(z).sum(1)[:, None] - 2 * z @ self.centres.T + np.square(self.centres).sum(1)
        return np.where(self.present, np.maximum(found, 0.0) / z.shape[1], np.inf)


def features(squares: np.ndarray) -> np.ndarray:
    """What the curve looks at, from squares (q, C): the nearest system's, and how much larger the second is; (q, 2)."""
    near = np.sort(squares, axis=1)[:, :2]
    lead = near[:, 1] - near[:, 0] if near.shape[1] > 1 else np.zeros(len(near))
    return np.stack([near[:, 0], np.where(np.isfinite(lead), lead, 0.0)], axis=1)


def probability_known(squares: np.ndarray, curve: Mapping[str, Any]) -> np.ndarray:
    """Squares (q, C) -> probability (q,) by a fitted curve {"weights": [2], "bias": float}."""
    z = features(squares) @ np.asarray(curve["weights"], float) + float(curve["bias"])
    return 1 / (1 + np.exp(-np.clip(z, -50, 50)))


def fit_curve(known: np.ndarray, unknown: np.ndarray, ridge: float = 1e-3) -> dict[str, Any]:
    """A logistic curve from squares of clips whose system was among the candidates and of clips whose wasn't.

    Both kinds count the same, whatever their numbers. Newton's method on standardised features.
    """
    x = np.concatenate([features(known), features(unknown)])
    y = np.r_[np.ones(len(known)), np.zeros(len(unknown))]
    w = np.r_[np.full(len(known), 0.5 / len(known)), np.full(len(unknown), 0.5 / len(unknown))]
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    theta = np.zeros(z.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-z @ theta))
        hessian = (z * (w * p * (1 - p))[:, None]).T @ z + ridge * np.eye(len(theta))
        theta -= np.linalg.solve(hessian, z.T @ (w * (p - y)) + ridge * theta)
    weights = theta[:-1] / scale
    return {"weights": [float(v) for v in weights], "bias": float(theta[-1] - weights @ mean)}


def attribute(
    query: Query,
    view: View,
    curve: Mapping[str, Any],
    windows: Sequence[int] | None = None,
    without_systems: Collection[str] = (),
) -> Attribution:
    """Rank the known systems for a recording. Nothing is named where the library has no two candidates."""
    segments = view.searcher.segments
    allowed = view.allowed(query)
    if without_systems:
        allowed = allowed & np.array([c.system not in without_systems for c in segments.clips])[segments.owner]
    known = system_clips(segments, allowed)
    if len(known.names) < 2:
        return Attribution((), 0.0)
    chosen = query.lasting if windows is None or not len(windows) else np.asarray(windows)
    squares = Discriminant(known).squares(leading(query.vectors[chosen]).mean(0, keepdims=True))
    counts = known.counts()
    ranked = tuple(
        Candidate(known.names[i], known.families[i], float(np.sqrt(squares[0, i])), int(counts[i]))
        for i in np.argsort(squares[0], kind="stable")
    )
    return Attribution(ranked, float(probability_known(squares, curve)[0]))
