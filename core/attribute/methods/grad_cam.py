"""Grad-CAM: the last convolution's feature maps, each weighed by the mean of the score's gradient over it.

Negative parts are kept (they point the other way). Maps of a one-dimensional convolution run over time only and are
spread over frequency evenly. Values have no unit; the map is scaled to sum to 1 in absolute terms.

Reference: Selvaraju et al. 2017, arXiv 1610.02391; computed by captum (LayerGradCam), whose hooks need the model's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import InvalidOption

if TYPE_CHECKING:
    import torch

    from core.attribute.problem import Problem

DEFAULTS: dict[str, Any] = {}


def attribute(problem: Problem, baseline: torch.Tensor, *, tell: Callable[[float], Any], seed: int = 0) -> torch.Tensor:
    """The baseline isn't used. Raises InvalidOption where the detector has no feature maps."""
    import torch
    from captum.attr import LayerGradCam

    layer = problem.scorer.feature_maps()
    if layer is None:
        raise InvalidOption("This detector has no convolutional feature maps for Grad-CAM; choose another method.")
    tell(0.0)
    x = problem.x.clone().requires_grad_(True)
    cam = LayerGradCam(problem.score, layer).attribute(x)
    cam = (cam[0] if isinstance(cam, tuple) else cam).detach()  # (1, 1, T) or (1, 1, H, T)
    spread = _spread(cam, problem.shape)
    return spread / spread.abs().sum().clamp_min(torch.finfo(spread.dtype).tiny)


def _spread(cam: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Bring a class activation map to the input's shape."""
    from torch.nn import functional as F

    if cam.dim() == 3:  # over time only
        line = F.interpolate(cam, size=shape[-1], mode="linear", align_corners=False)[0, 0]
        return line.expand(shape).contiguous()
    if len(shape) == 1:
        line = cam.sum(2)
        return F.interpolate(line, size=shape[-1], mode="linear", align_corners=False)[0, 0]
    plane = F.interpolate(cam, size=shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    return plane.expand(shape).contiguous()
