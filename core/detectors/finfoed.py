"""The detectors shipped or trained here, behind the contract that all detectors share.

Windows, weights and score are those of the Finding (``core.entropy``, ``core.batch``), so the two never differ, and
where the Finding would abstain there is no score here either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.detectors.base import Opinion
from core.errors import Cancelled
from core.frames import Window, plan_windows
from core.panel import panel_windows, read_panel

if TYPE_CHECKING:
    import threading

    import torch

    from core.audio import Recording
    from core.encode import Encoding
    from models.registry import Detector

EXPOSURE = ("training_data", "corpus", "trained_on")  # where a card says what the training material was


def names() -> tuple[str, ...]:
    """Shipped detectors, the default first."""
    from models.registry import detector_names

    return detector_names()


def recognises(name_or_path: str | Path) -> bool:
    """Whether this is a shipped name or a folder with one of our own weights files."""
    from safetensors import SafetensorError, safe_open

    if str(name_or_path) in names():
        return True
    weights = Path(name_or_path).expanduser() / "model.safetensors"
    try:
        if not weights.is_file():
            return False
        with safe_open(str(weights), framework="np") as file:
            return "finfoed" in (file.metadata() or {})
    except (OSError, SafetensorError, ValueError):
        return False


def load(name_or_path: str | Path, device: str = "auto") -> FInfoEDDetector:
    """A shipped detector or a folder of one. Raises ModelUnavailable."""
    from core.examine import detector_for

    return FInfoEDDetector(detector_for(name_or_path, device))


@dataclass(frozen=True, eq=False)
class FInfoEDDetector:
    """f-InfoED as a ``ClipDetector``."""

    detector: Detector

    @property
    def name(self) -> str:
        return self.detector.name

    @property
    def title(self) -> str:
        return str(self.card.get("title") or self.name)

    @property
    def content_sha256(self) -> str:
        return self.detector.content_sha256

    @property
    def card(self) -> Mapping[str, Any]:
        return self.detector.card

    @property
    def lock(self) -> threading.RLock:
        return self.detector.lock

    def window_scores(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) at 16 kHz -> mean over its windows (B,), differentiable. Windows count alike here.

        What decides scores: the panel where there is one, f-InfoED's own head otherwise.
        """
        parts = [self._score(wav[:, w.start : w.stop]) for w in self.plan(wav.shape[1])]
        if not parts:
            raise ValueError("there are no samples to score")
        return sum(parts) / len(parts)

    def _score(self, wav: torch.Tensor) -> torch.Tensor:
        network, panel = self.detector.network, self.detector.panel
        if panel is None:
            return network.analyse(network.encode(wav)).clip_logit
        return panel(wav).clip

    def plan(self, n_samples: int) -> tuple[Window, ...]:
        """The windows of what decides."""
        return plan_windows(n_samples) if self.detector.panel is None else panel_windows(n_samples)

    def opinion(self, recording: Recording, encoding: Encoding | None = None, *,
                on_progress: Callable[[float], Any] | None = None,
                cancelled: Callable[[], bool] | None = None) -> Opinion:
        """The score and LLR of the Finding. Raises Cancelled, ModelUnavailable, UnreadableAudio."""
        from core.examine import quality_of
        from core.finding import conclude

        if cancelled is not None and cancelled():
            raise Cancelled()
        quality = quality_of(recording)
        evidence = self._evidence(recording, encoding, quality)
        if on_progress is not None:
            on_progress(1.0)
        finding = conclude(recording, quality, evidence, self.detector)
        notes = tuple(f"No score: {reason.message}." for reason in finding.reasons)
        llr = finding.detectors[0].llr if finding.detectors else None
        windows = self.plan(len(recording.samples))
        scores = np.zeros(0) if finding.abstained else np.asarray(evidence.window_scores, dtype=np.float64)
        return Opinion(self.name, self.title, self.content_sha256, finding.score, llr,
                       None if finding.abstained else finding.bounds, () if finding.abstained else windows, scores,
                       notes=notes, exposure=self._exposure())

    def _evidence(self, recording: Recording, encoding: Encoding | None, quality: Any) -> Any:
        if encoding is not None and encoding.adapters and encoding.model == self.detector.name:
            from core.entropy import analyse_entropy

            reading = read_panel(recording, self.detector)
            return analyse_entropy(encoding, recording, self.detector, quality, reading)
        from core.batch import score_many

        _, evidence = next(iter(score_many([(0, recording, quality)], self.detector)))
        if isinstance(evidence, Exception):
            raise evidence
        return evidence

    def _exposure(self) -> str:
        words = next((self.card[key] for key in EXPOSURE if isinstance(self.card.get(key), str)), "")
        return words or "see the model card"
