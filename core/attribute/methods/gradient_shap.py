"""GradientShap: the mean of (x' - x0) times the gradient at a random point between x0 and a noisy x'.

The points are spread evenly over the line (one in each of n equal parts), which leaves the mean what it is and lowers
its variance. As captum's GradientShap, with a generator of its own.

References: Lundberg, Lee 2017, arXiv 1705.07874; Erion et al. 2019 (expected gradients), arXiv 1906.10670.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from core.attribute.problem import Problem

DEFAULTS: dict[str, Any] = {"samples": 48, "noise": 0.1, "batch": 8}


def attribute(problem: Problem, baseline: torch.Tensor, *, tell: Callable[[float], Any], seed: int = 0,
              samples: int = 48, noise: float = 0.1, batch: int = 8) -> torch.Tensor:
    """samples : random points; noise : its deviation as a share of the input's; batch : points per pass."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    x, deviation = problem.x, noise * float(problem.x.std())
    total = torch.zeros(problem.shape, device=x.device)
    for first in range(0, samples, batch):
        tell(first / samples)
        count = min(batch, samples - first)
        noisy = x + deviation * torch.randn((count, *problem.shape), generator=generator).to(x)  # (B, *shape)
        alpha = (first + torch.arange(count) + torch.rand(count, generator=generator)) / samples
        alpha = alpha.to(x).view(-1, *[1] * len(problem.shape))
        points = (baseline + alpha * (noisy - baseline)).requires_grad_(True)
        gradient, = torch.autograd.grad(problem.score(points).sum(), points)
        total += ((noisy - baseline) * gradient).sum(0)
    return total / samples
