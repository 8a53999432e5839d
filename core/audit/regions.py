"""How a map's mass is shared between a marked stretch, its edges and the rest.

Synthetic stretches differ from their surroundings where they are, and splices give themselves away at their edges. A
map that explains the stretch puts more of itself inside than the stretch has of the time; a map that explains the
splice puts it on the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EDGE_S = 0.08


@dataclass(frozen=True)
class Share:
    """share of a map's mass and of the time in one place; ``ratio`` above 1 means more than its time."""

    where: str
    mass: float
    time: float

    @property
    def ratio(self) -> float:
        return self.mass / self.time if self.time > 0 else float("nan")


def shares(values: np.ndarray, times_s: np.ndarray, spans: Sequence[tuple[float, float]], *, sign: int = 0,
           edge_s: float = EDGE_S) -> tuple[Share, ...]:
    """Shares on the edges (+- ``edge_s``), inside and outside, which add up to 1.

    values : (R, C); times_s : [C] centres of columns; spans : marked stretches in seconds; sign : 0 for the sizes of
    all values, 1 or -1 for those towards bona fide or spoof alone. Raises ValueError for no spans.
    """
    if not spans:
        raise ValueError("no stretch is marked")
    mass = (np.abs(values) if sign == 0 else np.maximum(sign * values, 0.0)).sum(0)
    edge, inside = np.zeros(len(times_s), bool), np.zeros(len(times_s), bool)
    for start, stop in spans:
        inside |= (times_s >= start) & (times_s < stop)
        for boundary in (start, stop):
            edge |= np.abs(times_s - boundary) <= edge_s
    total = float(mass.sum()) or 1.0
    return tuple(Share(name, float(mass[m].sum()) / total, float(m.mean())) for name, m in
                 (("edges", edge), ("inside", inside & ~edge), ("outside", ~inside & ~edge)))
