"""Does the map change when everything that was learned is destroyed? It has to: else it shows the input, not the model.

The network's weights are shuffled within every tensor, the map is computed again, and the two are compared.

Reference: Adebayo et al. 2018, arXiv 1810.03292 (sanity checks for saliency maps).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.attribute.question import Posed
from core.attribute.run import compute
from core.audit.agreement import Likeness, likeness


def destroyed_map(posed: Posed, method: str, baseline: str, parameters: Mapping[str, Any], *, seed: int = 0,
                  on_progress: Callable[[float], Any] | None = None) -> np.ndarray | None:
    """The map (R, C) of the same question on destroyed weights; None where no copy of the network can be made."""
    scorer = posed.scorer.destroyed(seed)
    if scorer is None:
        return None
    return compute(posed.repose(scorer), method, baseline, seed=seed, parameters=parameters,
                   on_progress=on_progress).values


def measure(posed: Posed, values: np.ndarray, method: str, baseline: str, parameters: Mapping[str, Any], *,
            seed: int = 0, on_progress: Callable[[float], Any] | None = None) -> Likeness | None:
    """How alike the map and that of the destroyed network are (less is better); None where none can be made."""
    other = destroyed_map(posed, method, baseline, parameters, seed=seed + 1, on_progress=on_progress)
    return None if other is None else likeness(values, other)
