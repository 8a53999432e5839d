"""All plotly figures of the workbench, built from plain arrays: the only room that imports plotly.

Every function returns a ``plotly.graph_objects.Figure`` with units on its axes, direct labels, uncertainty
drawn, and an optional provenance line. Text and grid colours are left to the page's theme; the colours with a
meaning are fixed (``template``). Nothing is computed here beyond what drawing needs.
"""

from core.figures.entropy import adapters_effect, entropy_over_time, mel_pair
from core.figures.evidence import detector_llrs, lr_axis, score_over_time
from core.figures.reference import entropy_histogram, layer_weights, posterior, rate_distortion
from core.figures.template import BLUE, GREY, PURPLE, VERMILION, YELLOW, config

__all__ = [
    "BLUE",
    "GREY",
    "PURPLE",
    "VERMILION",
    "YELLOW",
    "adapters_effect",
    "config",
    "detector_llrs",
    "entropy_histogram",
    "entropy_over_time",
    "layer_weights",
    "lr_axis",
    "mel_pair",
    "posterior",
    "rate_distortion",
    "score_over_time",
]
