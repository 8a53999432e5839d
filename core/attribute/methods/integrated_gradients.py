"""Integrated Gradients: (x - x0) times the mean gradient on the straight line from x0 to x.

Reference: Sundararajan, Taly, Yan 2017, arXiv 1703.01365; computed by captum with Gauss-Legendre steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from core.attribute.problem import Problem

DEFAULTS: dict[str, Any] = {"steps": 32, "batch": 8}


def attribute(problem: Problem, baseline: torch.Tensor, *, tell: Callable[[float], Any], seed: int = 0,
              steps: int = 32, batch: int = 8) -> torch.Tensor:
    """steps : points on the line; batch : of them per pass. Returns (*shape) in the score's unit."""
    return along_the_line(problem, problem.x, baseline, steps, batch, tell)


def along_the_line(problem: Problem, x: torch.Tensor, baseline: torch.Tensor, steps: int, batch: int,
                   tell: Callable[[float], Any]) -> torch.Tensor:
    """Integrated Gradients of the problem's score from ``baseline`` to any point ``x``, both (1, *shape)."""
    from captum.attr import IntegratedGradients

    done = 0

    def score(points: torch.Tensor) -> torch.Tensor:
        nonlocal done
        tell(min(1.0, done / steps))
        done += len(points)
        return problem.score(points)

    return IntegratedGradients(score).attribute(x, baseline, n_steps=steps, method="gausslegendre",
                                                internal_batch_size=min(batch, steps)).detach()[0]
