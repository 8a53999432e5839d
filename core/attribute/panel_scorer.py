"""The panel that gives the default finding, as something that can be explained: its clip score and its frame scores.

The numbers are those of the examination (bfloat16 where the processor computes in it), so what is explained is what is
reported. Most of the time goes to the network that two of the members read.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from core.attribute.scorer import CALIBRATED, LN10, shuffle_weights
from core.frames import Window
from core.panel import panel_windows

if TYPE_CHECKING:
    import torch

    from core.calibrate import Calibration
    from models.panel import Panel
    from models.registry import Detector


@dataclass(frozen=True, eq=False)
class PanelScorer:
    """``models.panel`` with its calibration's straight line and its frame threshold. See ``core.attribute.scorer``."""

    name: str
    sha256: str
    panel: Panel
    calibration: Calibration
    threshold: float
    lock: threading.RLock
    device: Any
    unit: str = CALIBRATED
    log_mel: bool = False
    bridges: ClassVar[bool] = True
    most_s: ClassVar[float] = 8.0  # the network's derivatives take about 0.4 GB for each four seconds
    effort: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "integrated-gradients": {"steps": 16}, "smooth-gradients": {"copies": 8, "steps": 1},
        "gradient-shap": {"samples": 8}, "occlusion": {"patch_rows": 16, "patch_columns": 20}}

    @classmethod
    def of(cls, detector: Detector) -> PanelScorer:
        """The panel of a loaded model that has one. Raises ModelUnavailable where the calibration makes no sense."""
        from core.finding import calibration_of

        value = detector.deciding_reference.get("frame_threshold")
        threshold = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
        parts = "\n".join(f"{part} {digest}" for part, digest in sorted(detector.digests.items())
                          if part.startswith("panel"))
        return cls("panel", hashlib.sha256(parts.encode()).hexdigest(), detector.panel, calibration_of(detector),
                   threshold, detector.lock, detector.device)

    def front(self, wav: torch.Tensor) -> torch.Tensor:
        raise LookupError("The panel's views are its own; choose the band levels, the spectrum or the waveform.")

    clip_of_mel = frames_of_mel = front

    def clip_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        return self.calibration.slope * self.panel(wav).clip + self.calibration.intercept

    def frames_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        return (self.panel(wav).frames - self.threshold) / LN10

    def feature_maps(self) -> None:
        """None: five of seven members have no convolution."""

    def plan(self, n_samples: int) -> tuple[Window, ...]:
        return panel_windows(n_samples)

    def destroyed(self, seed: int) -> PanelScorer:
        """Every tensor of every member shuffled, and those of the network that two of them read."""
        panel = shuffle_weights(copy.deepcopy(self.panel), seed)
        return replace(self, name=f"{self.name} destroyed", panel=panel, lock=threading.RLock())
