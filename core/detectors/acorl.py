"""ACoRL's members, alliance and fusion as detectors: each hears rows of the panel's frame tracks, window by window.

The fusion also hears f-InfoED, which is one of its members. None of them decides the default finding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.calibrate import Calibration
from core.complement.shipped import FINFOED, FUSION, NETWORKS, Shipped, installed, shipped
from core.detectors.base import Opinion
from core.detectors.rad import refusals
from core.errors import Cancelled, ModelUnavailable
from core.frames import plan_windows

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from core.encode import Encoding
    from models.acorl import Alliance
    from models.registry import Detector

PREFIX = "acorl-"
TITLES = {"cepstra": "Cepstra network (ACoRL member)", "excitation": "Excitation network (ACoRL member)",
          "alliance": "Alliance (ACoRL)", FUSION: "Fusion of members and alliance (ACoRL)"}


def names() -> tuple[str, ...]:
    """The three networks and their fusion with f-InfoED, where they are installed."""
    return tuple(PREFIX + name for name in TITLES) if installed() else ()


def recognises(name_or_path: str | Path) -> bool:
    """Whether this is one of the names."""
    return str(name_or_path) in {PREFIX + name for name in TITLES}


def load(name_or_path: str | Path, device: str = "auto") -> TrackDetector | FusionDetector:
    """One of them; the networks run on the CPU. Raises ModelUnavailable."""
    from core.examine import detector_for
    from models.registry import DEFAULT_MODEL

    key = str(name_or_path).removeprefix(PREFIX)
    if key in NETWORKS:
        return TrackDetector(key, shipped())
    if key != FUSION:
        raise ModelUnavailable(f"There is no detector {str(name_or_path)[:200]!r} here; one of {', '.join(names())}.")
    return FusionDetector(key, shipped(), detector_for(DEFAULT_MODEL, "cpu"))


@dataclass(frozen=True, eq=False)
class TrackDetector:
    """One network as a ``ClipDetector``."""

    key: str
    ours: Shipped

    @property
    def name(self) -> str:
        return PREFIX + self.key

    @property
    def title(self) -> str:
        return TITLES[self.key]

    @property
    def content_sha256(self) -> str:
        import hashlib

        return hashlib.sha256(f"{self.ours.content_sha256}\n{self.key}".encode()).hexdigest()

    @property
    def card(self) -> Mapping[str, Any]:
        return self.ours.card

    @property
    def lock(self) -> threading.RLock:
        return self.ours.lock

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device("cpu")

    @property
    def network(self) -> Alliance | None:
        return self.ours.networks.get(self.key)

    @property
    def calibration(self) -> Calibration:
        return self.ours.calibrations[self.key]

    def window_scores(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) at 16 kHz -> mean over its windows (B,), differentiable. Windows count alike here.

        Raises ValueError for an empty input.
        """
        parts = [self.score(wav[:, w.start : w.stop]) for w in plan_windows(wav.shape[1])]
        if not parts:
            raise ValueError("there are no samples to score")
        return sum(parts) / len(parts)

    def score(self, wav: torch.Tensor) -> torch.Tensor:
        """One window (B, N) -> (B,)."""
        from models.acorl import tracks_of

        return self.network(tracks_of(wav))

    def opinion(self, recording: Recording, encoding: Encoding | None = None, *,
                on_progress: Callable[[float], Any] | None = None,
                cancelled: Callable[[], bool] | None = None) -> Opinion:
        """Listen to the whole recording. Raises Cancelled, ModelUnavailable."""
        import torch

        refusal = refusals(recording)
        if refusal:
            return self._opinion(None, (), np.zeros(0), refusal)
        windows, scores = plan_windows(len(recording.samples)), []
        for window in windows:
            if cancelled is not None and cancelled():
                raise Cancelled()
            wav = torch.from_numpy(np.array(recording.samples[window.start : window.stop], np.float32))[None]
            with self.lock, torch.inference_mode():
                scores.append(float(self.score(wav)))
            if on_progress is not None:
                on_progress(len(scores) / len(windows))
        if not np.isfinite(scores).all():
            raise ModelUnavailable(f"{self.name} gives no finite number for this recording; it can't be used on it.")
        score = float(np.average(scores, weights=[w.n_samples for w in windows]))
        return self._opinion(score, windows, np.array(scores), ())

    def _opinion(self, score: float | None, windows: tuple, scores: np.ndarray, notes: tuple[str, ...]) -> Opinion:
        line = self.calibration
        return Opinion(self.name, self.title, self.content_sha256, score, None if score is None else line.apply(score),
                       None if score is None else line.bounds, windows, scores, notes=notes,
                       exposure="the corpus named in the model card, as the default detector")


@dataclass(frozen=True, eq=False)
class FusionDetector(TrackDetector):
    """The weighted sum of the networks' and f-InfoED's scores. ``detector``: the default model."""

    detector: Detector

    @property
    def content_sha256(self) -> str:
        import hashlib

        return hashlib.sha256(f"{self.ours.content_sha256}\n{self.detector.content_sha256}".encode()).hexdigest()

    @property
    def lock(self) -> threading.RLock:
        return self.detector.lock

    def score(self, wav: torch.Tensor) -> torch.Tensor:
        """One window (B, N) -> (B,)."""
        from models.acorl import tracks_of

        tracks, network = tracks_of(wav), self.detector.network
        total = 0.0
        for name, weight in zip(self.ours.fused, self.ours.weight.tolist(), strict=True):
            one = network.analyse(network.encode(wav)).clip_logit if name == FINFOED else self.ours.networks[name](tracks)
            total = total + weight * one
        return total + self.ours.bias
