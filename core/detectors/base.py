"""What every detector offers beside the default finding, and what it answers: one contract, one result.

A detector is one file here and one line in ``core.detectors.FAMILIES``; no page changes. Scores and LLRs are higher for
bona fide speech everywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from core.calibrate import Llr
    from core.encode import Encoding
    from core.frames import Window


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one detector says of one recording.

    detector: the name that loads it; score: mean of ``window_scores``, None where it was refused; llr: None where the
    detector isn't calibrated (the score is then raw and must be shown as such); windows: which samples each of
    ``window_scores`` [shape=(W,)] heard; saturated: the network's own output is at its numerical end, so its size says
    nothing; notes: plain sentences to show beside the score; exposure: what it was trained on, as far as known.
    """

    detector: str
    title: str
    content_sha256: str
    score: float | None
    llr: Llr | None
    bounds: tuple[float, float] | None
    windows: tuple[Window, ...]
    window_scores: np.ndarray
    saturated: bool = False
    notes: tuple[str, ...] = ()
    exposure: str = ""


class ClipDetector(Protocol):
    """A detector ready to run. Hold ``lock`` around every use of its network."""

    name: str
    title: str
    content_sha256: str  # of weights, calibration and whatever else its answer depends on
    card: Mapping[str, Any]
    lock: threading.RLock

    def window_scores(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) at 16 kHz on the detector's device -> scores (B,), differentiable with respect to ``wav``."""
        ...

    def opinion(self, recording: Recording, encoding: Encoding | None = None, *,
                on_progress: Callable[[float], Any] | None = None,
                cancelled: Callable[[], bool] | None = None) -> Opinion:
        """Listen to the whole recording, window by window. ``encoding`` spares the detectors that read the default
        encoder's states a second pass. Raises Cancelled, ModelUnavailable.
        """
        ...
