"""Attribution methods by name, one file each. A method is ``attribute(problem, baseline, *, tell, seed, **parameters)``.

It returns a tensor (*shape) that says, for every input value, how much it moves the score up (towards bona fide) or
down; ``tell(share)`` is called between passes and may raise Cancelled. Methods draw from a generator of their own:
the process-wide one is shared between sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.attribute.methods import grad_cam, gradient_shap, integrated_gradients, occlusion, smooth

if TYPE_CHECKING:
    import torch

    from core.attribute.problem import Problem

Tell = Callable[[float], Any]


@dataclass(frozen=True)
class Method:
    """What a method is, in words for the screen. complete: its map sums to the score's distance from the baseline's;
    in_units: its values are in the score's unit; parameters: their names and defaults."""

    name: str
    title: str
    run: Callable[..., torch.Tensor]
    computes: str
    paper: str
    complete: bool
    in_units: bool = True
    needs_gradient: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, problem: Problem) -> str:
        """Why the method can't explain this problem, in one sentence; empty where it can."""
        if self.name == "grad-cam" and problem.scorer.feature_maps() is None:
            return "This detector has no convolutional feature maps for Grad-CAM; choose another method."
        if self.name == "occlusion" and problem.plane == "waveform":
            return "Occlusion covers patches of time and frequency; choose the log-mel or the spectrum plane."
        return ""


METHODS: dict[str, Method] = {m.name: m for m in (
    Method("integrated-gradients", "Integrated Gradients", integrated_gradients.attribute,
           "adds up the score's gradient along the straight line from the baseline to the recording; the parts sum to "
           "the difference of the two scores.",
           "Sundararajan et al. 2017, arXiv 1703.01365", complete=True, parameters=integrated_gradients.DEFAULTS),
    Method("smooth-gradients", "Integrated Gradients, smoothed (NoiseTunnel)", smooth.attribute,
           "averages Integrated Gradients over copies of the input with a little noise, so that single ragged "
           "gradients cancel.",
           "Smilkov et al. 2017, arXiv 1706.03825", complete=False, parameters=smooth.DEFAULTS),
    Method("gradient-shap", "GradientShap", gradient_shap.attribute,
           "averages the gradient at random points between baseline and noisy copies of the recording: an estimate "
           "of Shapley values for a model that is nearly linear there.",
           "Lundberg and Lee 2017, arXiv 1705.07874; Erion et al. 2019, arXiv 1906.10670",
           complete=False, parameters=gradient_shap.DEFAULTS),
    Method("occlusion", "Occlusion", occlusion.attribute,
           "replaces one patch of time and frequency after the other by the baseline and notes how far the score "
           "falls. No gradients; patches that stand in for each other hide each other.",
           "Zeiler and Fergus 2014, arXiv 1311.2901", complete=False, needs_gradient=False,
           parameters=occlusion.DEFAULTS),
    Method("grad-cam", "Grad-CAM", grad_cam.attribute,
           "weighs the feature maps of the last convolution by their mean gradient. It has that layer's resolution, "
           "and its values have no unit. Where that layer runs over time only, so does the map.",
           "Selvaraju et al. 2017, arXiv 1610.02391", complete=False, in_units=False,
           parameters=grad_cam.DEFAULTS),
)}

__all__ = ["METHODS", "Method", "Tell"]
