"""Which known system does a recording resemble most, and is that near enough to name one? Open-set, training-free.

A system's score is the mean cosine of its few nearest clips, over all layers. Whether the best score is near enough is
decided by a logistic curve on the score and its lead over the second, fitted by leaving whole systems out: "none of
these" is an answer, not a leftover. In the shipped library nearly every system comes from one publisher's page, so
resembling a system also means resembling that page's channel, speakers and texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.library import Segments
from core.library.compare import Query, View

NEAREST = 3  # clips of a system that count
LEAST_CLIPS = 4  # a system with fewer isn't a candidate
HALF = 0.5


@dataclass(frozen=True)
class Candidate:
    """One known system: mean cosine of its nearest clips, and how many clips of it the library has."""

    system: str
    family: str
    score: float
    clips: int


@dataclass(frozen=True)
class Attribution:
    """Candidates, best first, and the calibrated probability that the true system is among the known ones.

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
                {"system": c.system, "family": c.family, "score": round(c.score, 4), "clips": c.clips}
                for c in self.candidates[:10]
            ],
        }


class Systems:
    """The candidate systems of some segments, and which segments are theirs. allowed: mask (n,) or None."""

    def __init__(self, segments: Segments, allowed: np.ndarray | None = None, *, least: int = LEAST_CLIPS) -> None:
        clips = segments.clips
        mask = np.ones(len(segments), bool) if allowed is None else allowed
        present = set(segments.owner[mask].tolist())
        tally: dict[str, int] = {}
        for i in present:
            if not clips[i].bonafide and clips[i].system and not clips[i].partial:
                tally[clips[i].system] = tally.get(clips[i].system, 0) + 1
        self.counts = {name: n for name, n in sorted(tally.items()) if n >= least}
        self.names = tuple(self.counts)
        family = {c.system: c.family for c in clips if not c.bonafide}
        self.families = tuple(family[name] for name in self.names)
        numbers = {name: i for i, name in enumerate(self.names)}
        code = np.array([-1 if c.bonafide or c.partial else numbers.get(c.system, -1) for c in clips])
        self.rows = np.flatnonzero(mask & (code[segments.owner] >= 0))
        self.owner, self.code = segments.owner[self.rows], code[segments.owner[self.rows]]

    def scores(self, cosines: np.ndarray) -> np.ndarray:
        """Cosines with ``rows`` (q, m) -> score of each system (q, C): mean over its ``NEAREST`` nearest clips."""
        order = np.lexsort((self.owner, self.code))
        starts = np.flatnonzero(np.r_[True, np.diff(self.owner[order]) != 0])
        best = np.maximum.reduceat(cosines[:, order], starts, axis=1)  # (q, clips)
        code, out = self.code[order][starts], np.full((len(cosines), len(self.names)), -np.inf)
        for i in range(len(self.names)):
            mine = best[:, code == i]
            if mine.shape[1]:
                out[:, i] = -np.sort(-mine, axis=1)[:, :NEAREST].mean(1)
        return out


def mean_cosine(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Mean over layers of the cosines of queries (q, L, V) with segments (n, L, V): (q, n)."""
    return np.einsum("qlv,nlv->qn", query, vectors, optimize=True) / query.shape[1]


def features(scores: np.ndarray) -> np.ndarray:
    """What the curve looks at, from scores (q, C): best score and its lead over the second, (q, 2)."""
    top = -np.sort(-scores, axis=1)[:, :2]
    lead = top[:, 0] - top[:, 1] if top.shape[1] > 1 else np.zeros(len(top))
    return np.stack([top[:, 0], np.where(np.isfinite(lead), lead, 0.0)], axis=1)


def probability_known(scores: np.ndarray, curve: Mapping[str, Any]) -> np.ndarray:
    """Scores (q, C) -> probability (q,) by a fitted curve {"weights": [2], "bias": float}."""
    z = features(scores) @ np.asarray(curve["weights"], float) + float(curve["bias"])
    return 1 / (1 + np.exp(-np.clip(z, -50, 50)))


def fit_curve(known: np.ndarray, unknown: np.ndarray, ridge: float = 1e-3) -> dict[str, Any]:
    """A logistic curve from scores of clips whose system was among the candidates and of clips whose wasn't.

    Both kinds count the same, whatever their numbers. Newton's method on standardised features.
    """
    x = np.concatenate([features(known), features(unknown)])
    y = np.r_[np.ones(len(known)), np.zeros(len(unknown))]
    w = np.r_[np.full(len(known), 0.5 / len(known)), np.full(len(unknown), 0.5 / len(unknown))]
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    theta = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(-z @ theta))
        hessian = (z * (w * p * (1 - p))[:, None]).T @ z + ridge * np.eye(3)
        theta -= np.linalg.solve(hessian, z.T @ (w * (p - y)) + ridge * theta)
    weights = theta[:2] / scale
    return {"weights": [float(v) for v in weights], "bias": float(theta[2] - weights @ mean)}


def attribute(
    query: Query,
    view: View,
    curve: Mapping[str, Any],
    windows: Sequence[int] | None = None,
    without_systems: Collection[str] = (),
) -> Attribution:
    """Rank the known systems for a recording. Nothing is named where the library has no candidate."""
    segments = view.searcher.segments
    allowed = view.allowed(query)
    if without_systems:
        allowed = allowed & np.array([c.system not in without_systems for c in segments.clips])[segments.owner]
    systems = Systems(segments, allowed)
    if not systems.names:
        return Attribution((), 0.0)
    cosine = mean_cosine(query.vector(windows)[None], segments.vectors[systems.rows])
    scores = systems.scores(cosine)
    order = np.argsort(-scores[0], kind="stable")
    ranked = tuple(
        Candidate(systems.names[i], systems.families[i], float(scores[0, i]), systems.counts[systems.names[i]])
        for i in order
    )
    return Attribution(ranked, float(probability_known(scores, curve)[0]))
