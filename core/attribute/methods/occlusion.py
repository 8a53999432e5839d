"""Occlusion: how far the score falls when a patch of time and frequency is replaced by the baseline.

A patch's fall is spread evenly over its cells, and where patches overlap a cell gets the mean, so a map's cells sum to
the patches' falls. Computed by captum.

Reference: Zeiler, Fergus 2014, arXiv 1311.2901.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from core.attribute.problem import Problem

DEFAULTS: dict[str, Any] = {"patch_rows": 8, "patch_columns": 10, "overlap": 1, "batch": 16}


def attribute(problem: Problem, baseline: torch.Tensor, *, tell: Callable[[float], Any], seed: int = 0,
              patch_rows: int = 8, patch_columns: int = 10, overlap: int = 1, batch: int = 16) -> torch.Tensor:
    """patch_rows : of 80 rows (more on a finer plane, in proportion); patch_columns : of 10 ms; overlap : 1 for none,
    2 for half a patch. Raises InvalidOption where the plane has no frequency axis."""
    import torch
    from captum.attr import Occlusion

    from core.errors import InvalidOption

    if len(problem.shape) < 2:
        raise InvalidOption("Occlusion covers patches of time and frequency; choose the log-mel or the spectrum plane.")
    rows, columns = problem.shape[-2:]
    height = min(rows, max(1, round(patch_rows * rows / 80)))
    width = min(columns, patch_columns)
    patch = (*problem.shape[:-2], height, width)
    strides = (*problem.shape[:-2], max(1, height // overlap), max(1, width // overlap))
    total = -(-(rows - height) // strides[-2] + -1) * -(-(columns - width) // strides[-1] + -1)
    done = 0

    def score(points: torch.Tensor) -> torch.Tensor:
        nonlocal done
        tell(min(1.0, done / max(1, total)))
        done += len(points)
        with torch.no_grad():
            return problem.score(points)

    fall = Occlusion(score).attribute(problem.x, sliding_window_shapes=patch, strides=strides, baselines=baseline,
                                      perturbations_per_eval=batch)[0]
    cells = height * width * (problem.shape[0] if len(problem.shape) == 3 else 1)
    return fall.detach().to(problem.x.dtype) / cells
