"""The panel that gives the default finding, as a detector of its own, so that its answer can be explained too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.detectors.finfoed import FInfoEDDetector
from core.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

    from core.calibrate import Calibration

NAME = "panel"


def names() -> tuple[str, ...]:
    """``panel`` where the default model has one."""
    from models.registry import DEFAULT_MODEL, WEIGHTS

    return (NAME,) if (WEIGHTS / DEFAULT_MODEL / "panel.safetensors").is_file() else ()


def recognises(name_or_path: str | Path) -> bool:
    """Whether this is the panel's name."""
    return str(name_or_path) == NAME


def load(name_or_path: str | Path, device: str = "auto") -> PanelDetector:
    """The default model's panel. Raises ModelUnavailable where it has none."""
    from core.examine import detector_for
    from models.registry import DEFAULT_MODEL

    detector = detector_for(DEFAULT_MODEL, device)
    if detector.panel is None:
        raise ModelUnavailable("The default model has no panel; f-InfoED gives its finding.")
    return PanelDetector(detector)


@dataclass(frozen=True, eq=False)
class PanelDetector(FInfoEDDetector):
    """The same windows, score and LLR as the default finding; differentiable with respect to the sound."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def title(self) -> str:
        return f"Panel of {self.detector.panel.size} views (gives the default finding)"

    @property
    def device(self) -> torch.device:
        return self.detector.device

    @property
    def calibration(self) -> Calibration:
        from core.finding import calibration_of

        return calibration_of(self.detector)
