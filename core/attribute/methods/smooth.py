"""Integrated Gradients averaged over noisy copies of the input: captum's NoiseTunnel (type "smoothgrad") with a
generator of its own, so that two sessions at once don't draw from each other's random numbers.

Reference: Smilkov, Thorat, Kim, Viégas, Wattenberg 2017, arXiv 1706.03825.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.attribute.methods.integrated_gradients import along_the_line

if TYPE_CHECKING:
    import torch

    from core.attribute.problem import Problem

DEFAULTS: dict[str, Any] = {"copies": 6, "noise": 0.1, "steps": 12, "batch": 8}


def attribute(problem: Problem, baseline: torch.Tensor, *, tell: Callable[[float], Any], seed: int = 0,
              copies: int = 6, noise: float = 0.1, steps: int = 12, batch: int = 8) -> torch.Tensor:
    """copies : noisy inputs; noise : its deviation as a share of the input's; steps, batch : of each line."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    deviation = noise * float(problem.x.std())
    total = torch.zeros(problem.shape, device=problem.x.device)
    for copy in range(copies):
        noisy = problem.x + deviation * torch.randn(problem.x.shape, generator=generator).to(problem.x)
        total += along_the_line(problem, noisy, baseline, steps, batch,
                                lambda done, copy=copy: tell((copy + done) / copies))
    return total / copies
