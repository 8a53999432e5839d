"""Deletion and insertion: does the score follow when the cells that the map names are removed, or put back first?

Cells are removed (replaced by the baseline) in the map's order, those first that hold the score up against the
baseline's; insertion starts from the baseline and puts them back in the same order. The same is done loudest first,
quietest first and in random orders: a map that orders no better says nothing. The area between insertion and deletion,
as a share of the distance between the two scores, is the map's faithfulness; above 0 is better than nothing, and random
orders show what chance gives.

References: Samek et al. 2017, arXiv 1509.06321 (perturbation curves); Petsiuk et al. 2018, arXiv 1806.07421 (deletion
and insertion areas).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.attribute.baselines import make_baseline
from core.attribute.problem import Problem
from core.attribute.question import Posed
from core.audit.cells import grid_of, level_map, removed

SHARES = np.array([0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
RANDOM_ORDERS = 3
BATCH = 13
BY_LEVEL = {"loudest first": -1, "quietest first": 1}


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores at ``SHARES`` of the cells removed (deletion) or put back (insertion), for one order. [15] each."""

    name: str
    deletion: np.ndarray
    insertion: np.ndarray

    def areas(self) -> tuple[float, float]:
        """Mean height of deletion and insertion between the baseline's score (0) and the recording's (1)."""
        base, gap = self.insertion[0], self.deletion[0] - self.insertion[0]
        if abs(gap) < 1e-9:
            return float("nan"), float("nan")
        return tuple(float(np.trapezoid((c - base) / gap, SHARES)) for c in (self.deletion, self.insertion))

    @property
    def faithfulness(self) -> float:
        """Area between insertion and deletion; 0 for an order that says nothing, about 1 for an ideal one."""
        deletion, insertion = self.areas()
        return insertion - deletion


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of the map, of the better of loudest first and quietest first, and of random orders."""

    map: Curve
    energy: Curve
    random: tuple[Curve, ...] = field(default=())

    @property
    def random_mean(self) -> float:
        return float(np.mean([c.faithfulness for c in self.random]))

    @property
    def random_deviation(self) -> float:
        return float(np.std([c.faithfulness for c in self.random]))


def measure(posed: Posed, maps: Sequence[np.ndarray], baseline: str, *, seed: int = 0,
            on_progress: Callable[[float], Any] | None = None, randoms: int = RANDOM_ORDERS) -> Curves:
    """Curves over all explained windows; each window loses the same share of its cells.

    maps : (R, C) per window; randoms : random orders.
    """
    names = ["map", *BY_LEVEL, *(f"random {i + 1}" for i in range(randoms))]
    totals = {name: np.zeros((2, len(SHARES))) for name in names}
    rng = np.random.default_rng(seed)
    for index, (problem, values) in enumerate(zip(posed.problems, maps, strict=True)):
        orders = _orders(problem, values, baseline, seed, rng, randoms)
        for place, name in enumerate(names):
            if on_progress is not None:
                on_progress((index + place / len(names)) / len(maps))
            totals[name] += curve(problem, orders[name], baseline, seed)
    made = {name: Curve(name, *totals[name]) for name in names}
    energy = max((made[name] for name in BY_LEVEL), key=lambda c: c.faithfulness)
    return Curves(made["map"], energy, tuple(made[n] for n in names[3:]))


def _orders(problem: Problem, values: np.ndarray, baseline: str, seed: int, rng: np.random.Generator,
            randoms: int) -> dict[str, np.ndarray]:
    """Cells in order of removal, flat indices, by name of the order."""
    import torch

    grid = grid_of(values.shape)
    with problem.scorer.lock, torch.no_grad():
        start = make_baseline(problem, baseline, seed)
        ends = problem.score(torch.cat([problem.x, start]))
    towards = 1.0 if float(ends[0]) >= float(ends[1]) else -1.0
    cells = grid.pool(values)
    level = grid.pool(level_map(problem))
    made = {"map": np.argsort(-towards * cells, axis=None, kind="stable"),
            **{name: np.argsort(sign * level, axis=None, kind="stable") for name, sign in BY_LEVEL.items()}}
    return made | {f"random {i + 1}": rng.permutation(cells.size) for i in range(randoms)}


def curve(problem: Problem, order: np.ndarray, baseline: str, seed: int = 0) -> np.ndarray:
    """Scores of deletion and insertion at ``SHARES``, (2, 15), for cells removed in ``order``."""
    import torch

    shape = problem.to_map(problem.x[0]).shape
    grid = grid_of(shape)
    rank = np.empty(order.size)
    rank[order] = np.arange(order.size)
    ranks = grid.spread(rank.reshape(grid.shape))  # (R, C)
    inner = SHARES[1:-1]
    gone = ranks[None] < (inner * order.size)[:, None, None]  # (13, R, C)
    out = np.zeros((2, len(SHARES)))
    with problem.scorer.lock, torch.no_grad():
        start = make_baseline(problem, baseline, seed)
        ends = problem.score(torch.cat([problem.x, start])).double().cpu().numpy()
        for kind, masks in enumerate((gone, ~gone)):
            for first in range(0, len(inner), BATCH):
                batch = problem.score(removed(problem, start, masks[first : first + BATCH]))
                out[kind, 1 + first : 1 + first + len(batch)] = batch.double().cpu().numpy()
    out[0, [0, -1]] = ends
    out[1, [0, -1]] = ends[::-1]
    return out
