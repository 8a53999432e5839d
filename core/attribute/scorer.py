"""What is explained: a detector as a differentiable function of the log-mel or of the samples.

The numbers are those of the finding, before they are bounded: a bounded likelihood ratio has no gradient beyond its
bounds. Parameters never get gradients; whoever calls these functions holds ``lock``. Which method explains them is
for ``core.attribute.methods``.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from core.frames import Window, plan_windows

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.calibrate import Calibration
    from core.detectors.base import ClipDetector
    from models.registry import Detector

LN10 = float(np.log(10.0))
CALIBRATED, RAW = "log10 LR", "raw score"
MOST_S = 64.0


class Scorer(Protocol):
    """A detector to be explained. Scores are higher for bona fide, in ``unit``."""

    name: str
    sha256: str
    unit: str
    lock: threading.RLock
    device: torch.device
    log_mel: bool  # whether it hears a log-mel, so that there is such a plane
    most_s: float  # seconds of sound in one pass with gradients at most, which bounds memory
    bridges: bool  # whether lost packets are bridged before it hears a recording (core.dropouts)
    effort: Mapping[str, Mapping[str, Any]]  # parameters by method that replace the method's own

    def front(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> log-mel (B, R, S) before anything is hidden from the detector."""
        ...

    def clip_of_mel(self, mel: torch.Tensor) -> torch.Tensor:
        """Log-mel (B, R, S) -> score of each window, (B,)."""
        ...

    def clip_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> score of each window, (B,)."""
        ...

    def frames_of_mel(self, mel: torch.Tensor) -> torch.Tensor:
        """Log-mel (B, R, S) -> frame scores (B, T), uncalibrated. Raises LookupError where there are none."""
        ...

    def frames_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> frame scores (B, T), uncalibrated. Raises LookupError where there are none."""
        ...

    def feature_maps(self) -> nn.Module | None:
        """The last convolution that every score depends on, or None."""
        ...

    def plan(self, n_samples: int) -> tuple[Window, ...]:
        """The windows that a recording of n samples is heard in."""
        ...

    def destroyed(self, seed: int) -> Scorer | None:
        """The same detector with every weight tensor shuffled, or None where no copy can be made."""
        ...


@dataclass(frozen=True, eq=False)
class FInfoEDScorer:
    """f-InfoED (``models.finfoed``) with its own calibration's straight line, whether or not a panel decides."""

    name: str
    sha256: str
    network: Any  # FInfoED
    calibration: Calibration
    threshold: float
    lock: threading.RLock
    device: Any
    unit: str = CALIBRATED
    most_s: ClassVar[float] = MOST_S
    bridges: ClassVar[bool] = False
    effort: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def of(cls, detector: Detector) -> FInfoEDScorer:
        """Raises ModelUnavailable where the calibration makes no sense."""
        from core.finding import own_calibration_of

        value = detector.reference.get("frame_threshold")
        threshold = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
        parts = "\n".join(f"{part} {detector.digests.get(part, '')}" for part in ("model", "calibration", "reference"))
        content = hashlib.sha256(parts.encode()).hexdigest()  # not the panel's files: it has no part in what is explained
        return cls(detector.name, content, detector.network, own_calibration_of(detector), threshold, detector.lock,
                   detector.device)

    @property
    def log_mel(self) -> bool:
        """True for encoders that hear a mel spectrogram of 80 bands."""
        return self.network.encoder.family in ("whisper", "logmel")

    def front(self, wav: torch.Tensor) -> torch.Tensor:
        return self.network.encoder.features(wav)

    def clip_of_mel(self, mel: torch.Tensor) -> torch.Tensor:
        return self.calibration.slope * self._analyse(mel).clip_logit + self.calibration.intercept

    def clip_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        return self.clip_of_mel(self.front(wav))

    def frames_of_mel(self, mel: torch.Tensor) -> torch.Tensor:
        return (self._analyse(mel).frame_logit - self.threshold) / LN10

    def frames_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        return self.frames_of_mel(self.front(wav))

    def _analyse(self, features: torch.Tensor) -> Any:
        from models.finfoed import guard

        network = self.network
        heard = guard(features, network.config.guard_bands)  # (B, R, S)
        return network.analyse(network.encode_features(heard))

    def feature_maps(self) -> nn.Module | None:
        return self.network.bottleneck.output

    def plan(self, n_samples: int) -> tuple[Window, ...]:
        return plan_windows(n_samples)

    def destroyed(self, seed: int) -> FInfoEDScorer:
        """A network of the same configuration, built anew (a copy would share the adapters' hooks)."""
        from models.finfoed import FInfoED

        network = FInfoED(self.network.config)
        network.load_state_dict(self.network.state_dict())
        shuffle_weights(network, seed)
        network = network.requires_grad_(False).eval().to(self.device)
        return FInfoEDScorer(f"{self.name} destroyed", self.sha256, network, self.calibration, self.threshold,
                             threading.RLock(), self.device)


@dataclass(frozen=True, eq=False)
class ClipScorer:
    """Any other detector (``core.detectors.base.ClipDetector``): explained on its samples or their spectrum."""

    detector: ClipDetector
    device: Any
    slope: float = 1.0
    intercept: float = 0.0
    unit: str = RAW
    log_mel: bool = False
    effort: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def of(cls, detector: ClipDetector) -> ClipScorer:
        """In log10 LR where the detector carries a calibration, in its raw score otherwise."""
        import torch

        device = getattr(detector, "device", None) or torch.device("cpu")
        line = getattr(detector, "calibration", None)
        if line is None or not hasattr(line, "slope"):
            return cls(detector, device)
        return cls(detector, device, float(line.slope), float(line.intercept), CALIBRATED)

    @property
    def most_s(self) -> float:
        return getattr(self.detector, "most_s", MOST_S)

    @property
    def bridges(self) -> bool:
        return getattr(self.detector, "bridges", False)

    @property
    def name(self) -> str:
        return self.detector.name

    @property
    def sha256(self) -> str:
        return self.detector.content_sha256

    @property
    def lock(self) -> threading.RLock:
        return self.detector.lock

    def front(self, wav: torch.Tensor) -> torch.Tensor:
        raise LookupError("This detector's front end is its own; choose the band levels, the spectrum or the waveform.")

    clip_of_mel = frames_of_mel = front

    def clip_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        return self.slope * self.detector.window_scores(wav) + self.intercept

    def frames_of_wav(self, wav: torch.Tensor) -> torch.Tensor:
        raise LookupError("This detector has no score per moment; explain the clip or a region.")

    def plan(self, n_samples: int) -> tuple[Window, ...]:
        return tuple(getattr(self.detector, "plan", plan_windows)(n_samples))

    def feature_maps(self) -> nn.Module | None:
        from torch import nn

        network = getattr(self.detector, "network", None)
        if not isinstance(network, nn.Module):
            return None
        found = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        return found[-1] if found else None

    def destroyed(self, seed: int) -> ClipScorer | None:
        from torch import nn

        network = getattr(self.detector, "network", None)
        if not isinstance(network, nn.Module) or any(m._forward_hooks for m in network.modules()):
            return None
        other = copy.copy(self.detector)
        try:
            object.__setattr__(other, "network", shuffle_weights(copy.deepcopy(network), seed))
            object.__setattr__(other, "lock", threading.RLock())
        except (AttributeError, TypeError, RuntimeError):
            return None
        return ClipScorer(other, self.device, self.slope, self.intercept, self.unit)


def shuffle_weights(network: nn.Module, seed: int) -> nn.Module:
    """Permute the values inside every floating-point tensor of the network, in place: their distribution stays and
    everything that was learned goes (the full randomisation of Adebayo et al. 2018, arXiv 1810.03292). Returns it.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point() and value.numel() > 1:
                order = torch.randperm(value.numel(), generator=generator).to(value.device)
                value.copy_(value.flatten()[order].view_as(value))
    return network


def scorer_of(detector: Any) -> Scorer:
    """The scorer of a loaded model (f-InfoED's own answer), of the panel that decides, or of any ``ClipDetector``.

    Raises ModelUnavailable, with the detector's own reason, where it may not be used yet.
    """
    from core.attribute.panel_scorer import PanelScorer
    from core.detectors.finfoed import FInfoEDDetector
    from core.detectors.panel import PanelDetector
    from core.errors import ModelUnavailable
    from models.finfoed import FInfoED

    if isinstance(detector, PanelDetector):
        return PanelScorer.of(detector.detector)
    inner = detector.detector if isinstance(detector, FInfoEDDetector) else detector
    if isinstance(getattr(inner, "network", None), FInfoED) and hasattr(inner, "reference"):
        return FInfoEDScorer.of(inner)
    refusal = getattr(detector, "refusal", "")
    if refusal:
        raise ModelUnavailable(str(refusal))
    return ClipScorer.of(detector)
