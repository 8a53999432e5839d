"""Occlusion: how far the score falls when a patch of time and frequency is replaced by the baseline.

Patches tile the plane without overlapping (those at its end are smaller), and a patch's fall is spread evenly over its
values, so they sum to the patches' falls. Computed by captum.

Reference: Zeiler, Fergus 2014, arXiv 1311.2901.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from core.attribute.problem import Problem

DEFAULTS: dict[str, Any] = {"patch_rows": 8, "patch_columns": 10, "batch": 16}


def attribute(problem: Problem, baseline: torch.Tensor, *, tell: Callable[[float], Any], seed: int = 0,
              patch_rows: int = 8, patch_columns: int = 10, batch: int = 16) -> torch.Tensor:
    """patch_rows : of 80 rows (more on a finer plane, in proportion); patch_columns : of 10 ms.

    Raises InvalidOption where the plane has no frequency axis.
    """
    import torch
    from captum.attr import Occlusion

    from core.errors import InvalidOption

    if len(problem.shape) < 2:
        raise InvalidOption("Occlusion covers patches of time and frequency; choose the log-mel or the spectrum plane.")
    rows, columns = problem.shape[-2:]
    height = min(rows, max(1, round(patch_rows * rows / 80)))
    width = min(columns, patch_columns)
    patch = (*problem.shape[:-2], height, width)
    total = -(-rows // height) * -(-columns // width)
    done = 0

    def score(points: torch.Tensor) -> torch.Tensor:
        nonlocal done
        tell(min(1.0, done / max(1, total)))
        done += len(points)
        with torch.no_grad():
            return problem.score(points)

    fall = Occlusion(score).attribute(problem.x, sliding_window_shapes=patch, strides=patch, baselines=baseline,
                                      perturbations_per_eval=batch)[0]
    tall, wide = _sizes(rows, height).to(fall), _sizes(columns, width).to(fall)
    layers = problem.shape[0] if len(problem.shape) == 3 else 1
    return fall.detach().to(problem.x.dtype) / (layers * tall[:, None] * wide)


def _sizes(n: int, size: int) -> torch.Tensor:
    """For each of n places, how many places its patch has: ``size``, fewer in the last one."""
    import torch

    first = torch.arange(n) // size * size
    return torch.minimum(first + size, torch.tensor(n)) - first
